"""Simulated studies whose truth is known, in a short form for the default suite and a slow one.

A score is the sum of what a patient does to every model, what he does to every training of one
variant, and what he does to one training. A training moves the separation of the classes, so that
AUC-ROCs of two trainings of one variant differ for every holdout. The truth is the AUC-ROC averaged
over trainings and patients: Phi(shift / sqrt(2 + training variance)).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from lussweep.analysis.paired import PairedWins
from lussweep.metrics.auroc import win_matrix

AUROC = 0.9
SEPARATION = norm.ppf(AUROC) * 2**0.5
SLOPE = norm.pdf(norm.ppf(AUROC)) / 2**0.5
"""Change of the AUC-ROC with the separation of the classes."""
OWN = 0.2
"""Share of a score's variance that models do not have in common: half of it is the variant's."""
SHORT, LONG = 200, 1000

length = pytest.mark.parametrize(
    "n_studies",
    [
        pytest.param(SHORT, id=str(SHORT), marks=pytest.mark.unhurried),
        pytest.param(LONG, id=str(LONG), marks=pytest.mark.slow),
    ],
)


def keeps(n_broken: int, n_studies: int, bound: float) -> bool:
    """Whether a bound on a rate stands: the exact binomial test against it has p >= 0.001."""
    return binomtest(n_broken, n_studies, bound, alternative="greater").pvalue >= 1e-3


def generator(*names: Any) -> np.random.Generator:
    return np.random.default_rng([20231, zlib.crc32(repr(names).encode())])


def study(
    rng: np.random.Generator,
    holdout: tuple[int, int],
    n_replicates: int,
    sds: Sequence[float],
    *,
    n_variants: int = 2,
    gain: float = 0.0,
    most_frames: int = 1,
    start: float = SEPARATION,
    own: float = OWN,
) -> Mapping[int, PairedWins]:
    """Win matrices by patient count 6, 7, ..., one count for each training SD.

    Variant 0 is the reference; the others have an AUC-ROC higher by `gain`. Patients have 1 to
    `most_frames` frames, and half of the variance lies between frames if there are several. `start`
    is the separation of the reference's classes, `own` the share of the variance that models do
    not have in common.
    """
    n_pos, n_neg = holdout
    n_patients = n_pos + n_neg
    n_frames_P = rng.integers(1, most_frames + 1, size=n_patients)
    patient_U = np.repeat(np.arange(n_patients), n_frames_P)
    label_U = (patient_U < n_pos).astype(np.int64)

    def noise(variance: float, *shape: int) -> np.ndarray:
        return np.asarray(rng.normal(size=shape) * variance**0.5)

    def drawn(variance: float, *shape: int) -> np.ndarray:
        """Of patients, and of their frames where there are several."""
        if most_frames == 1:
            return noise(variance, *shape, n_patients)
        by_patient: np.ndarray = noise(variance / 2, *shape, n_patients)[..., patient_U]
        return by_patient + noise(variance / 2, *shape, len(patient_U))

    common_U, of_variant_VU = drawn(1 - own), drawn(own / 2, n_variants)
    found = {}
    for count, sd in enumerate(sds, 6):
        shift_VK = start + noise(sd**2 / 2 / SLOPE**2, n_variants, n_replicates)
        if gain:
            shift_VK[1:] += separation_for(gain, sd, start)
        score_VKU = common_U + of_variant_VU[:, None] + drawn(own / 2, n_variants, n_replicates)
        score_VKU += shift_VK[:, :, None] * label_U
        found[count] = paired(score_VKU, label_U, patient_U, most_frames == 1)
    return found


def separation_for(gain: float, sd: float, start: float) -> float:
    """The shift that raises the mean AUC-ROC over trainings by exactly `gain`."""
    scale = (2 + sd**2 / 2 / SLOPE**2) ** 0.5
    return float(norm.ppf(norm.cdf(start / scale) + gain) * scale - start)


def paired(
    score_VKU: np.ndarray, label_U: np.ndarray, patient_U: np.ndarray, one_frame: bool
) -> PairedWins:
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
