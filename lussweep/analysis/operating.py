"""Operating points at a threshold chosen beforehand.

The threshold comes from validation patients. Everything else is computed on holdout patients, and
its intervals say what other holdout patients would change, for this model and this threshold.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lussweep.analysis.bootstrap import Interval
from lussweep.analysis.effective import MIN_PATIENTS, effective_patients
from lussweep.analysis.shares import share_interval
from lussweep.metrics.arrays import as_ids, check_one_table
from lussweep.metrics.auroc import Labels, Scores, check_scored
from lussweep.metrics.classification import at_threshold


class Threshold(NamedTuple):
    """A threshold, with its sensitivity and specificity on validation frames.

    A frame is called positive if its score is at least the threshold.
    """

    threshold: float
    sensitivity: float
    specificity: float


class Share(NamedTuple):
    """A share of the frames of one class that are called right."""

    value: float
    interval: Interval | None
    """Over patients; None under 5 patients."""
    n_patients: int
    n_effective: float
    """The number of patients, with equally many frames each, that would be worth as much (Kish)."""


class OperatingPoint(NamedTuple):
    """Shares of holdout frames that are called right at one threshold."""

    threshold: float
    sensitivity: Share
    specificity: Share


def threshold_for_specificity(label_N: Labels, score_N: Scores, wanted: float) -> Threshold:
    """The threshold of highest sensitivity among those with at least the wanted specificity.

    It is one of the N scores. Frames at or above it are called positive. It is inf, which calls
    no frame positive, if no score reaches the specificity. That happens when negatives have the
    highest scores or are tied with them. Give it validation scores. Raises ValueError for bad
    input, a single class, or `wanted` outside (0, 1].
    """
    label_N, score_N = check_scored(label_N, score_N)
    if not 0 < wanted <= 1:
        raise ValueError(f"the wanted specificity is {wanted}, not in (0, 1]")
    neg = np.sort(score_N[label_N == 0])
    n_below = int(np.ceil(wanted * len(neg) - 1e-9))  # 0.9 x 10 is a little more than 9
    above = score_N[score_N > neg[n_below - 1]]
    threshold = float(above.min()) if len(above) else np.inf
    reached = at_threshold(label_N, score_N, threshold)
    return Threshold(threshold, reached.sensitivity, reached.specificity)


def operating_point(
    label_N: Labels,
    score_N: Scores,
    patient_N: NDArray[Any],
    threshold: float,
    *,
    confidence: float = 0.95,
) -> OperatingPoint:
    """Sensitivity and specificity of N holdout frames, with intervals over patients.

    The estimates are those of `at_threshold`, the intervals those of `share_interval`. Raises
    ValueError for bad input, a single class, or a confidence outside (0, 1).
    """
    check_one_table({"labels": label_N, "scores": score_N, "patients": patient_N})
    label_N, score_N = check_scored(label_N, score_N)
    patient_N = as_ids(patient_N, "patients")
    if patient_N.shape != label_N.shape:
        raise ValueError(f"patient ids have shape {patient_N.shape}, labels {label_N.shape}")
    index_N = np.unique(patient_N, return_inverse=True)[1]
    is_pos_N, called_N = label_N == 1, score_N >= threshold
    shares = [
        _share(index_N[of_class_N], (called_N == is_pos_N)[of_class_N], confidence)
        for of_class_N in (is_pos_N, ~is_pos_N)
    ]
    return OperatingPoint(threshold, *shares)


def _share(index_M: NDArray[np.intp], right_M: NDArray[np.bool_], confidence: float) -> Share:
    """The share of a class's M frames that are called right. index_M: each frame's patient."""
    n_frames_P = np.bincount(index_M)
    n_right_P = np.bincount(index_M, right_M)
    interval = share_interval(n_right_P, n_frames_P, confidence=confidence)
    n_patients = int((n_frames_P > 0).sum())
    return Share(
        float(right_M.mean()),
        interval if n_patients >= MIN_PATIENTS else None,
        n_patients,
        effective_patients(n_frames_P),
    )
