import numpy as np
import pytest
from scipy import stats

from lussweep.analysis.contrasts import contrasts, differences
from lussweep.analysis.levels import Scored
from lussweep.analysis.paired import pair_up
from lussweep.analysis.two_way import leads, patient_covariance, two_way
from lussweep.metrics.auroc import WinMatrix, auroc


def test_a_published_multi_reader_study_is_reproduced():
    """Van Dyke's aortic dissections, two modalities and 5 readers: F on 1 and 15.2597 df."""
    n_readers, ms_t, ms_tr, cov2, cov3 = 5, 0.004796171, 0.0005510306, 0.0003440748, 0.0002390284
    difference = (2 * ms_t / n_readers) ** 0.5
    found = two_way(difference, n_readers, 2 * ms_tr, n_readers - 1, 2 * (cov2 - cov3))
    assert (found.difference / found.standard_error) ** 2 == pytest.approx(4.4563, abs=1e-4)
    assert found.df == pytest.approx(15.2597, abs=1e-3)
    p_value = 2 * stats.t.sf(found.difference / found.standard_error, found.df)
    assert p_value == pytest.approx(0.051666, abs=1e-6)


def scored(n_replicates=4, n_pos=9, n_neg=7, seed=0, both=0, spread=0.0):
    """Frames of variants d and e; `both` of the positive patients have negative frames too.

    Each training of e separates the classes better by `spread` than the one before.
    """
    rng = np.random.default_rng(seed)
    n = n_pos + n_neg
    patient_U = np.repeat(np.arange(n), rng.integers(2, 6, size=n))
    first_U = np.concatenate([[True], patient_U[1:] != patient_U[:-1]])
    label_U = ((patient_U < n_pos) & ~((patient_U < both) & first_U)).astype(np.int64)
    effect_P = rng.normal(size=n)
    own_P = {variant: 0.7 * rng.normal(size=n) for variant in "de"}
    return {
        (variant, k): Scored(
            label_U,
            label_U * (more + steps * k)
            + (effect_P + own_P[variant])[patient_U]
            + rng.normal(size=len(label_U)),
            patient_U,
            frame_U=np.arange(len(label_U)),
        )
        for k in range(1, n_replicates + 1)
        for variant, more, steps in (("d", 1.0, 0.0), ("e", 1.3, spread))
    }


def without(units, patient):
    kept_U = units.patient_U != patient
    return auroc(units.label_U[kept_U], units.score_U[kept_U])


@pytest.mark.parametrize("both", [0, 3])
def test_leads_are_what_the_auc_loses_without_a_patient(both):
    given = scored(both=both)
    paired = pair_up(given)
    (difference,) = differences(paired, "e", "d", [2])
    e, d = given["e", 2], given["d", 2]
    whole = auroc(e.label_U, e.score_U) - auroc(d.label_U, d.score_U)
    expected = [whole - without(e, p) + without(d, p) for p in range(16)]
    assert leads(difference) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("spread", "floored"), [(0.0, True), (-0.6, False)])
def test_the_analysis_equals_a_brute_force_two_way_jackknife(spread, floored):
    """Covariances from refitting without each patient, mean squares from their definitions.

    MS(TR) is at least what its expectation holds without any difference between trainings.
    """
    n_replicates, n_pos, n_neg = 4, 9, 7
    given = scored(n_replicates, n_pos, n_neg, spread=spread)
    found = contrasts({6: pair_up(given)}, "e", "d")[6].over_both
    names, replicates = ("e", "d"), range(1, n_replicates + 1)
    auc_TR = np.array([[auroc(given[v, k].label_U, given[v, k].score_U) for k in replicates]
                       for v in names])  # fmt: skip
    gone_TRP = np.array([[[without(given[v, k], p) for p in range(n_pos + n_neg)]
                          for k in replicates] for v in names])  # fmt: skip
    factor_P = np.repeat([1 - 1 / n_pos, 1 - 1 / n_neg], [n_pos, n_neg])
    lead_TRP = auc_TR[..., None] - gone_TRP
    cov = np.einsum("aip,bjp,p->aibj", lead_TRP, lead_TRP, factor_P)
    apart = ~np.eye(n_replicates, dtype=bool)
    cov2 = np.mean([cov[t, :, t][apart].mean() for t in (0, 1)])
    cov3 = np.mean([cov[t, :, 1 - t][apart].mean() for t in (0, 1)])
    centred_TR = auc_TR - auc_TR.mean(axis=0) - auc_TR.mean(axis=1, keepdims=True) + auc_TR.mean()
    ms_tr = (centred_TR**2).sum() / (n_replicates - 1)
    ms_t = n_replicates * ((auc_TR.mean(axis=1) - auc_TR.mean()) ** 2).sum()
    assert cov2 > cov3
    var = np.mean([np.diag(cov[t, :, t]).mean() for t in (0, 1)])
    cov1 = np.mean([np.diag(cov[t, :, 1 - t]).mean() for t in (0, 1)])
    least = var - cov1 - cov2 + cov3
    assert bool(ms_tr < least) == floored
    ms_tr = max(ms_tr, least)
    denominator = ms_tr + n_replicates * (cov2 - cov3)
    assert found.training_variance == pytest.approx(2 * ms_tr)
    assert found.patient_covariance == pytest.approx(2 * (cov2 - cov3))
    assert (found.difference / found.standard_error) ** 2 == pytest.approx(ms_t / denominator)


def test_the_covariances_are_those_of_a_bootstrap_over_patients():
    """A jackknife and a bootstrap estimate the same variance; 60 patients of each class."""
    paired = pair_up(scored(3, 60, 60, seed=4))
    matrices = differences(paired, "e", "d", [1, 2, 3])
    found = patient_covariance(matrices)
    rng = np.random.default_rng(1)
    drawn_RP = np.concatenate(
        [rng.multinomial(60, np.full(60, 1 / 60), size=20000) for _ in range(2)], axis=1
    )
    n_pairs_R = (drawn_RP @ paired.n_pos_P) * (drawn_RP @ paired.n_neg_P)
    d_RK = np.stack([((drawn_RP @ m.wins_PP) * drawn_RP).sum(1) / n_pairs_R for m in matrices], 1)
    cov_KK = np.cov(d_RK.T)
    between = cov_KK[~np.eye(3, dtype=bool)].mean()
    assert found.between == pytest.approx(between, rel=0.1)
    assert found.conditional == pytest.approx(d_RK.mean(axis=1).var(), rel=0.1)


def test_one_replicate_has_no_covariance_and_equal_variants_have_no_variance():
    paired = pair_up(scored(1))
    found = patient_covariance(differences(paired, "e", "d", [1]))
    assert found.between == 0 and found.conditional > 0
    nothing = WinMatrix(np.zeros((4, 4)), np.array([1, 1, 0, 0]), np.array([0, 0, 1, 1]))
    assert patient_covariance([nothing, nothing]).conditional == 0


def test_degrees_of_freedom_lie_between_those_of_their_parts():
    both = two_way(0.01, 5, 1e-4, 4, 1e-4, 23)
    assert 4 < both.df < 4 + 23
    assert two_way(0.01, 5, 1e-4, 4, 0.0, 23).df == pytest.approx(4)
    assert two_way(0.01, 5, 0.0, 4, 1e-4, 23).df == pytest.approx(23)
    assert two_way(0.01, 2, 1e-6, 1, 1e-4, 23).df == 1  # two replicates: the rule promises too much


@pytest.mark.parametrize("bad", [(1, 1e-4, 1e-4), (3, -1e-9, 1e-4), (3, 0.0, 0.0), (3, 1.0, -1.0)])
def test_bad_variances_are_refused(bad):
    n_replicates, training, patients = bad
    with pytest.raises(ValueError, match="replicates with variances"):
        two_way(0.0, n_replicates, training, 2, patients)
