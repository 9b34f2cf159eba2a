import numpy as np
import pytest
from scipy.stats import norm

from lussweep.analysis.auroc_interval import auroc_interval, won_by_patient
from lussweep.analysis.means import mean_aurocs
from lussweep.analysis.paired import PairedWins
from support import simulation as simulated
from support.simulation import keeps, length


def test_a_mean_is_over_replicates_and_mirrors():
    rng = np.random.default_rng(0)
    by_count = simulated.study(rng, (20, 20), 3, [0.01, 0.01])
    found = mean_aurocs(by_count, "1")[6]
    assert found.auroc == pytest.approx(np.mean(found.aurocs))
    assert found.interval.low < found.auroc < found.interval.high < 1
    paired = by_count[6]
    wins_PP = np.mean([paired.wins["1", k] for k in sorted(paired.replicates("1"))], axis=0)
    alone = auroc_interval(won_by_patient(paired.matrix(wins_PP))).interval
    assert found.conditional == pytest.approx(alone)
    assert found.interval.low <= found.conditional.low + 1e-9
    assert found.conditional.high <= found.interval.high + 1e-9
    spread = mean_aurocs(simulated.study(rng, (20, 20), 3, [1.0]), "1")[6]
    assert spread.interval.low < spread.conditional.low < spread.auroc
    lost = {
        n: PairedWins({cell: wins_PP.T for cell, wins_PP in p.wins.items()}, p.n_neg_P, p.n_pos_P)
        for n, p in by_count.items()
    }  # the other class is called positive: the same pairs are won
    again = mean_aurocs(lost, "1")[6]
    assert again.interval == pytest.approx(found.interval)


def test_what_has_no_interval_says_why():
    rng = np.random.default_rng(0)
    assert "1 replicate" in mean_aurocs(simulated.study(rng, (9, 9), 1, [0.0]), "0")[6].withheld
    assert "needs 5" in mean_aurocs(simulated.study(rng, (4, 9), 3, [0.0]), "0")[6].withheld
    perfect = mean_aurocs(simulated.study(rng, (9, 9), 3, [0.0], start=99.0), "0")[6]
    assert perfect.interval is None and perfect.auroc == 1
    with pytest.raises(ValueError, match="no replicate"):
        mean_aurocs(simulated.study(rng, (9, 9), 3, [0.0]), "9")


@length
@pytest.mark.parametrize("holdout", [(10, 10), (20, 20), (60, 60), (100, 24)], ids=str)
def test_intervals_cover_the_mean_over_trainings_and_patients(holdout, n_studies):
    """Coverage at least 92 % at AUC-ROCs of 0.7 to 0.99, with 3 and 10 replicates."""
    for truth in (0.7, 0.9, 0.95, 0.99):
        for n_replicates in (3, 10):
            if n_replicates == 10 and n_studies < 1000:
                continue
            rng = simulated.generator("means", holdout, truth, n_replicates)
            sd = 0.014 if truth < 0.99 else 0.003
            scale = (2 + sd**2 / 2 / simulated.SLOPE**2) ** 0.5
            n_missed = n_withheld = 0
            for _ in range(n_studies):
                by_count = simulated.study(
                    rng, holdout, n_replicates, [sd], start=norm.ppf(truth) * scale
                )
                interval = mean_aurocs(by_count, "0")[6].interval
                n_withheld += interval is None
                n_missed += interval is not None and not interval.low <= truth <= interval.high
            coverage = 1 - n_missed / (n_studies - n_withheld)
            print(f"{holdout}, {truth}, {n_replicates}: {coverage:.3f}, withheld {n_withheld}")
            assert keeps(n_missed, n_studies - n_withheld, 0.08), (truth, n_replicates)
            assert n_withheld < 0.1 * n_studies or truth == 0.99  # an AUC-ROC of 1
