"""DeLong's test of two correlated AUC-ROCs, for exactly one score per patient."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from lussweep.analysis.bootstrap import Interval
from lussweep.analysis.levels import Scored, check_units
from lussweep.metrics.auroc import Float64s


class DeLong(NamedTuple):
    """AUC-ROC(variant) - AUC-ROC(reference) with a normal test and interval."""

    auroc: float
    reference_auroc: float
    difference: float
    standard_error: float
    z: float
    """0 if there is no difference; infinite if a difference has no variance."""
    p_value: float
    """Two-sided."""
    interval: Interval


def delong_test(variant: Scored, reference: Scored, *, confidence: float = 0.95) -> DeLong:
    """Test the difference of two classifiers' AUC-ROCs (DeLong, DeLong & Clarke-Pearson 1988).

    Both are at patient level (`levels.to_patients`), with the same patients in the same order.
    The test assumes independent units. Frames and videos of one patient are not independent, so
    they are refused. Raises ValueError for units other than patients, for patients or labels that
    differ, for fewer than two patients in a class, or for a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, it must lie between 0 and 1")
    variant, reference = _checked(variant), _checked(reference)
    check_same_patients(variant, reference)
    won_MN, reference_won_MN = _won(variant), _won(reference)
    difference_MN = won_MN - reference_won_MN
    variance = sum(
        float(difference_MN.mean(axis=axis).var(ddof=1)) / difference_MN.shape[1 - axis]
        for axis in (0, 1)
    )
    difference, error = float(difference_MN.mean()), variance**0.5
    if error > 0:
        z = difference / error
    else:
        z = math.copysign(math.inf, difference) if difference else 0.0
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * error
    return DeLong(
        float(won_MN.mean()),
        float(reference_won_MN.mean()),
        difference,
        error,
        z,
        2 * NormalDist().cdf(-abs(z)),
        Interval(difference - reach, difference + reach),
    )


def check_same_patients(variant: Scored, reference: Scored) -> None:
    """Raise ValueError unless both have the same patients and labels in the same order."""
    for name in ("patient_U", "label_U"):
        if not np.array_equal(getattr(variant, name), getattr(reference, name)):
            raise ValueError(f"variant and reference differ in {name}")


def _checked(units: Scored) -> Scored:
    units = check_units(units)
    if units.video_U is not None or units.frame_U is not None:
        raise ValueError("DeLong's test is for one score a patient, not for frames or videos")
    if len(np.unique(units.patient_U)) < len(units.patient_U):
        raise ValueError("DeLong's test is for one score a patient; a patient appears twice")
    n_pos = int((units.label_U == 1).sum())
    if min(n_pos, len(units.label_U) - n_pos) < 2:
        raise ValueError("DeLong's test needs two patients of each class")
    return units


def _won(units: Scored) -> Float64s:
    """Wins of each positive (M) over each negative (N) patient, shape (M, N): 1, 1/2 or 0."""
    pos, neg = units.score_U[units.label_U == 1], units.score_U[units.label_U == 0]
    return np.where(pos[:, None] == neg, 0.5, (pos[:, None] > neg).astype(np.float64))
