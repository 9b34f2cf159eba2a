"""Contrasts on simulated studies whose truth is known.

A score is the sum of what a patient does to every model, what he does to every training of one
variant, and what he does to one training. A training moves the separation of the classes, so that
AUC-ROCs of two trainings of one variant differ for every holdout. The truth is the difference of
AUC-ROC, averaged over trainings and patients: Phi(shift / sqrt(2 + training variance)).

The bounds were fixed before the studies were run. A bound counts as broken where the exact
binomial test against it has p < 0.001. The method was chosen on other seeds.
"""

import zlib

import numpy as np
import pytest
from scipy.stats import binomtest, norm, t

from lussweep.analysis.contrasts import contrasts, holm
from lussweep.analysis.paired import PairedWins
from lussweep.metrics.auroc import win_matrix

AUROC = 0.9
SEPARATION = norm.ppf(AUROC) * 2**0.5
SLOPE = norm.pdf(norm.ppf(AUROC)) / 2**0.5
"""Change of the AUC-ROC with the separation of the classes."""
OWN = 0.2
"""Share of a score's variance that models do not have in common: half of it is the variant's."""
MARGIN = 0.02
HOLDOUTS = [(20, 20), (60, 60), (100, 24)]
TRAINING_SDS = [0.0, 0.007, 0.014, 0.021]
"""Of one replicate's difference of AUC-ROC."""
SHORT, LONG = 200, 1000

length = pytest.mark.parametrize(
    "n_studies",
    [
        pytest.param(SHORT, id=str(SHORT), marks=pytest.mark.unhurried),
        pytest.param(LONG, id=str(LONG), marks=pytest.mark.slow),
    ],
)


def generator(*names):
    return np.random.default_rng([20231, zlib.crc32(repr(names).encode())])


def study(rng, holdout, n_replicates, sds, n_variants=2, gain=0.0, most_frames=1, start=SEPARATION):
    """Win matrices by patient count 6, 7, ..., one count for each training SD.

    Variant 0 is the reference; the others have an AUC-ROC higher by `gain`. Patients have 1 to
    `most_frames` frames, and half of the variance lies between frames if there are several. `start`
    is the separation of the reference's classes.
    """
    n_pos, n_neg = holdout
    n_patients = n_pos + n_neg
    n_frames_P = rng.integers(1, most_frames + 1, size=n_patients)
    patient_U = np.repeat(np.arange(n_patients), n_frames_P)
    label_U = (patient_U < n_pos).astype(np.int64)

    def noise(variance, *shape):
        return rng.normal(size=shape) * variance**0.5

    def drawn(variance, *shape):
        """Of patients, and of their frames where there are several."""
        if most_frames == 1:
            return noise(variance, *shape, n_patients)
        by_patient = noise(variance / 2, *shape, n_patients)[..., patient_U]
        return by_patient + noise(variance / 2, *shape, len(patient_U))

    common_U, of_variant_VU = drawn(1 - OWN), drawn(OWN / 2, n_variants)
    found = {}
    for count, sd in enumerate(sds, 6):
        shift_VK = start + noise(sd**2 / 2 / SLOPE**2, n_variants, n_replicates)
        shift_VK[1:] += separation_for(gain, sd, start)
        score_VKU = common_U + of_variant_VU[:, None] + drawn(OWN / 2, n_variants, n_replicates)
        score_VKU += shift_VK[:, :, None] * label_U
        found[count] = paired(score_VKU, label_U, patient_U, most_frames == 1)
    return found


def separation_for(gain, sd, start):
    """The shift that raises the mean AUC-ROC over trainings by exactly `gain`."""
    scale = (2 + sd**2 / 2 / SLOPE**2) ** 0.5
    return norm.ppf(norm.cdf(start / scale) + gain) * scale - start


def paired(score_VKU, label_U, patient_U, one_frame):
    n_variants, n_replicates, _ = score_VKU.shape
    cells = [(v, k) for v in range(n_variants) for k in range(n_replicates)]
    if not one_frame:
        found = {(v, k): win_matrix(label_U, score_VKU[v, k], patient_U) for v, k in cells}
        first = found[0, 0]
        wins = {(str(v), k): found[v, k].wins_PP for v, k in cells}
        return PairedWins(wins, first.n_pos_P, first.n_neg_P)
    n_pos, n = int(label_U.sum()), len(label_U)
    wins = {}
    for v, k in cells:
        score_U = score_VKU[v, k]
        wins_PP = np.zeros((n, n))
        wins_PP[:n_pos, n_pos:] = score_U[:n_pos, None] > score_U[None, n_pos:]
        wins[str(v), k] = wins_PP
    return PairedWins(wins, label_U, 1 - label_U)


def keeps(n_broken, n_studies, bound):
    """Whether a bound on a rate stands."""
    return binomtest(n_broken, n_studies, bound, alternative="greater").pvalue >= 1e-3


@length
@pytest.mark.parametrize("n_replicates", [3, 5, 10])
@pytest.mark.parametrize("holdout", HOLDOUTS, ids=str)
def test_single_contrasts_hold_their_level_and_cover(holdout, n_replicates, n_studies):
    """Without effect rejected in at most 5 % (bound 7 %); 95 % intervals cover in 93 % or more."""
    if n_studies == SHORT:
        n_studies = {3: 200, 5: 60, 10: 40}[n_replicates]
    for sd in TRAINING_SDS:
        rng = generator("single", holdout, n_replicates, sd)
        n_rejected = n_missed = 0
        widths = {"two-way": [], "Obuchowski-Rockette 1995": [], "sum of variances": []}
        for _ in range(n_studies):
            by_count = study(rng, holdout, n_replicates, [sd], n_variants=3)
            nothing = contrasts(by_count, "1", "0")[6]
            n_rejected += nothing.over_both.p_value <= 0.05
            gained = contrasts(study(rng, holdout, n_replicates, [sd], gain=0.03), "1", "0")[6]
            n_missed += not gained.interval.low <= 0.03 <= gained.interval.high
            both, quantile = nothing.over_both, t.ppf(0.975, n_replicates - 1)
            summed = (both.training_variance / n_replicates + nothing.patients.conditional) ** 0.5
            widths["two-way"].append(nothing.interval.high - nothing.interval.low)
            widths["Obuchowski-Rockette 1995"].append(2 * quantile * both.standard_error)
            widths["sum of variances"].append(2 * quantile * summed)
        shown = ", ".join(f"{name} {np.mean(width):.4f}" for name, width in widths.items())
        rates = f"rejected {n_rejected / n_studies:.3f}, missed {n_missed / n_studies:.3f}"
        print(f"{holdout}, {n_replicates} replicates, SD {sd}: {rates}; widths {shown}")
        assert keeps(n_rejected, n_studies, 0.07), sd
        assert keeps(n_missed, n_studies, 0.07), sd


@length
@pytest.mark.parametrize(
    "sds", [[0.014] * 5, np.geomspace(0.028, 0.007, 5)], ids=["flat", "falling"]
)
def test_pooled_variances_hold_the_level_at_every_count_and_in_the_family(sds, n_studies):
    """15 contrasts, 3 variants at 5 counts, 3 replicates: each one at 5 % (bound 7 %), and a false
    rejection among all of them after Holm's adjustment in at most 5 % (bound 7 %)."""
    n_studies //= 2
    for holdout in HOLDOUTS[1:]:
        rng = generator("family", holdout, list(sds))
        n_family, n_by_count = 0, np.zeros(len(sds), dtype=int)
        for _ in range(n_studies):
            by_count = study(rng, holdout, 3, sds, n_variants=4)
            found = [contrasts(by_count, variant, "0") for variant in "123"]
            p_values = [c.over_both.p_value for line in found for c in line.values()]
            n_family += min(holm(p_values)) <= 0.05
            n_by_count += [c.over_both.p_value <= 0.05 for c in found[0].values()]
        print(f"{holdout}: family {n_family / n_studies:.3f}, by count {n_by_count / n_studies}")
        assert keeps(n_family, n_studies, 0.07)
        assert all(keeps(int(n), n_studies, 0.07) for n in n_by_count), n_by_count


@length
@pytest.mark.parametrize("holdout", HOLDOUTS, ids=str)
def test_at_the_margin_non_inferiority_is_claimed_as_seldom_as_said(holdout, n_studies):
    """The truth is exactly the margin below: claimed in at most 2.5 % (bound 4 %)."""
    for n_replicates, sd in ((3, 0.014), (3, 0.0), (5, 0.021)):
        rng = generator("margin", holdout, n_replicates, sd)
        n_claimed = sum(
            contrasts(study(rng, holdout, n_replicates, [sd], gain=-MARGIN), "1", "0")[6]
            .non_inferior(MARGIN)
            for _ in range(n_studies)
        )  # fmt: skip
        print(f"{holdout}, {n_replicates} replicates, SD {sd}: {n_claimed / n_studies:.3f}")
        assert keeps(n_claimed, n_studies, 0.04)


@length
def test_frames_of_one_patient_are_no_further_evidence(n_studies):
    """1 to 20 frames a patient: the level holds though frames are many."""
    n_studies //= 4
    for holdout in ((20, 20), (60, 24)):
        rng = generator("frames", holdout)
        n_rejected = sum(
            contrasts(study(rng, holdout, 3, [0.007], most_frames=20), "1", "0")[6]
            .over_both.p_value <= 0.05
            for _ in range(n_studies)
        )  # fmt: skip
        print(f"{holdout}: {n_rejected / n_studies:.3f}")
        assert keeps(n_rejected, n_studies, 0.07)


def test_a_large_gain_is_found_with_24_negative_patients():
    """From 0.61 to 0.91: the adjusted p-values of all 5 of 15 contrasts are at most 0.05."""
    rng = generator("power")
    found = 0
    for _ in range(50):
        by_count = study(rng, (100, 24), 3, [0.007] * 5, gain=0.3, start=0.4)
        p_values = [c.over_both.p_value for c in contrasts(by_count, "1", "0").values()]
        found += max(holm(p_values, 15)) <= 0.05
    assert found >= 48
