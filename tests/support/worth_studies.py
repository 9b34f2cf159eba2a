"""Simulated studies for worth and multiplier: true curves, patients' and trainings' noise known."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from lussweep.analysis.power_law import fit_power_law
from lussweep.analysis.resampled_means import resampled_means
from lussweep.metrics.auroc import patient_weights, resampled_auroc, win_matrix

FIVE, THREE = (6, 15, 29, 44, 58), (6, 15, 58)
CURVES = {
    "power": lambda n: 0.97 - 0.35 * n**-0.5,
    "steep": lambda n: 0.95 - 0.9 / n,
    "saturated": lambda n: 0.93 - 0.12 * np.exp(-n / 8),
    "flat": lambda n: 0.9 + 0 * n,
}
PATIENT_SD = 0.015
"""Of one cell's AUC-ROC over holdouts."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """A variant with which one patient counts as `m`: its true curve is the baseline's at m n."""

    curve: str
    m: float = 1.0
    counts: tuple[int, ...] = FIVE
    n_replicates: int = 3
    falling: bool = True
    """Training SD of a cell: 0.02 at 6 patients falling to 0.008 at 58, else 0.01."""
    n_pos: int = 60
    n_neg: int = 60
    alike: float = 0.9
    """Correlation between cells of the patients' noise."""
    paired: float = 0.5
    """Correlation of the training noise of baseline and variant in one replicate."""
    nested: float | None = None
    """Correlation of the training noise between patient counts, where cohorts are nested."""
    scored: bool = False
    """Whether patients have scores, one each, and AUC-ROCs are counted from them. Otherwise each
    patient adds a normal amount to a cell's AUC-ROC, whose SD over holdouts is `PATIENT_SD`."""

    def sd(self, count_K):
        slope = np.log(0.008 / 0.02) / np.log(58 / 6)
        return 0.02 * (count_K / 6) ** slope if self.falling else np.full(len(count_K), 0.01)


def simulate(scenario, seed, n_resamples=400):
    """The PairMeans of the variant, and the fitted law, of one study."""
    rng = np.random.default_rng(seed)
    cell_C = true_cells(scenario, rng)
    draw = drawn_scores if scenario.scored else drawn_amounts
    auroc_C, auroc_RC = draw(scenario, cell_C, rng, n_resamples)
    shape = (2, len(scenario.counts), scenario.n_replicates)
    v, k, r = (index.ravel() for index in np.indices(shape))
    pairs = resampled_means(
        np.array(["baseline", "combined"])[v],
        np.array(scenario.counts)[k],
        r + 1,
        auroc_C,
        auroc_RC,
        n_scarcer=min(scenario.n_pos, scenario.n_neg),
        nested=scenario.nested is not None,
        seed=seed[-1],
    )
    pair = next(pair for pair in pairs if pair.variant == "combined")
    return pair, fit_power_law(pair.count_K, pair.baseline_RK, pair.weight_K)


def true_cells(scenario, rng):
    """The AUC-ROC of every trained model over all patients, shape (C,)."""
    count_K = np.array(scenario.counts, dtype=np.float64)
    curve = CURVES[scenario.curve]
    truth_VK = np.stack([curve(count_K), curve(scenario.m * count_K)])

    def noise(n_variants):
        size, between = (n_variants, len(count_K), scenario.n_replicates), scenario.nested or 0.0
        whole = rng.normal(size=(n_variants, 1, scenario.n_replicates))
        return between**0.5 * whole + (1 - between) ** 0.5 * rng.normal(size=size)

    training = scenario.paired**0.5 * noise(1) + (1 - scenario.paired) ** 0.5 * noise(2)
    return (truth_VK[..., None] + scenario.sd(count_K)[:, None] * training).ravel()


def drawn_amounts(scenario, cell_C, rng, n_resamples):
    deviation_RC = np.zeros((n_resamples, len(cell_C)))
    each = PATIENT_SD / (1 / scenario.n_pos + 1 / scenario.n_neg) ** 0.5
    for n in (scenario.n_pos, scenario.n_neg):
        shared_P, own_PC = rng.normal(size=(n, 1)), rng.normal(size=(n, len(cell_C)))
        added_PC = each * (scenario.alike**0.5 * shared_P + (1 - scenario.alike) ** 0.5 * own_PC)
        cell_C = cell_C + added_PC.mean(axis=0)
        weight_RP = rng.multinomial(n, np.full(n, 1 / n), size=n_resamples) / n
        deviation_RC += weight_RP @ added_PC - added_PC.mean(axis=0)
    return cell_C.clip(0, 1), (cell_C + deviation_RC).clip(0, 1)


def drawn_scores(scenario, cell_C, rng, n_resamples):
    """Normal scores whose distance between the classes gives the AUC-ROC of the cell."""
    n = scenario.n_pos + scenario.n_neg
    label_P, patient_P = (np.arange(n) < scenario.n_pos).astype(np.int64), np.arange(n)
    shared_P, own_CP = rng.normal(size=n), rng.normal(size=(len(cell_C), n))
    score_CP = scenario.alike**0.5 * shared_P + (1 - scenario.alike) ** 0.5 * own_CP
    score_CP += label_P * (2**0.5 * norm.ppf(cell_C.clip(0.01, 0.999)))[:, None]
    weight_RP = patient_weights(n, n_resamples, seed=int(rng.integers(2**31)))
    matrices = [win_matrix(label_P, score_P, patient_P) for score_P in score_CP]
    auroc_RC = np.stack([resampled_auroc(m, weight_RP) for m in matrices], axis=1)
    one = np.ones((1, n), dtype=np.int64)
    return np.array([resampled_auroc(m, one)[0] for m in matrices]), auroc_RC
