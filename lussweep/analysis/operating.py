"""Operating points at a threshold chosen beforehand.

The threshold comes from validation patients. Everything else is computed on holdout patients.
Intervals are percentiles of a bootstrap that draws whole patients, as for AUC-ROC. The threshold
is the same in every resample.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lussweep.metrics.auroc import Labels, Scores, check_scored, patient_weights
from lussweep.metrics.classification import at_threshold

Float64s = NDArray[np.float64]


class IntervalEstimate(NamedTuple):
    """A value with its interval; NaN where it does not exist.

    n_undefined: resamples in which the value does not exist. The interval leaves them out.
    """

    value: float
    low: float
    high: float
    n_undefined: int


class Threshold(NamedTuple):
    """A threshold, with its sensitivity and specificity on validation frames.

    A frame is called positive if its score is at least the threshold.
    """

    threshold: float
    sensitivity: float
    specificity: float


class OperatingPoint(NamedTuple):
    """Shares of holdout frames that are called right at one threshold."""

    threshold: float
    sensitivity: IntervalEstimate
    specificity: IntervalEstimate


def threshold_for_specificity(label_N: Labels, score_N: Scores, wanted: float) -> Threshold:
    """The threshold of highest sensitivity among those with at least the wanted specificity.

    It is one of the N scores. Frames at or above it are called positive. It is inf, which calls
    no frame positive, if no score reaches the specificity. That happens when negatives have the
    highest scores or are tied with them. Give it validation scores. Raises ValueError for bad
    input, a single class, or `wanted` outside (0, 1].
    """
    check_scored(label_N, score_N)
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
    n_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int,
) -> OperatingPoint:
    """Sensitivity and specificity of N holdout frames, with intervals over patients.

    The estimates are those of `at_threshold`. A resample without positive frames has no
    sensitivity, and one without negative frames has no specificity. Raises ValueError for bad
    input or a single class.
    """
    reached = at_threshold(label_N, score_N, threshold)
    index_N, weight_RP = _resamples(patient_N, label_N.shape, n_resamples, confidence, seed)
    is_pos_N, called_N = label_N == 1, score_N >= threshold
    kinds = (is_pos_N & called_N, ~is_pos_N & called_N, ~is_pos_N & ~called_N, is_pos_N & ~called_N)
    n_PK = np.stack([np.bincount(index_N, kind, weight_RP.shape[1]) for kind in kinds], axis=1)
    true_pos, false_pos, true_neg, false_neg = (weight_RP @ n_PK).T
    sensitivity_R = _share(true_pos, true_pos + false_neg)
    specificity_R = _share(true_neg, true_neg + false_pos)
    return OperatingPoint(
        threshold,
        percentile_estimate(reached.sensitivity, sensitivity_R, confidence),
        percentile_estimate(reached.specificity, specificity_R, confidence),
    )


def percentile_estimate(value: float, resampled_R: Float64s, confidence: float) -> IntervalEstimate:
    """The value with a percentile interval of its R resamples; NaN resamples are left out."""
    valid_R = resampled_R[~np.isnan(resampled_R)]
    n_undefined = len(resampled_R) - len(valid_R)
    if np.isnan(value) or not len(valid_R):
        return IntervalEstimate(float(value), np.nan, np.nan, n_undefined)
    low, high = np.quantile(valid_R, [(1 - confidence) / 2, (1 + confidence) / 2])
    return IntervalEstimate(float(value), float(low), float(high), n_undefined)


def _resamples(
    patient_N: NDArray[Any],
    shape: tuple[int, ...],
    n_resamples: int,
    confidence: float,
    seed: int,
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Return each frame's patient as an index into the sorted ids, and the patients' weights.

    Weights have shape (R, P): how often each resample draws each patient.
    """
    if patient_N.shape != shape:
        raise ValueError(f"patient ids have shape {patient_N.shape}, labels {shape}")
    if n_resamples < 1 or not 0 < confidence < 1:
        raise ValueError(f"n_resamples is {n_resamples}, confidence {confidence}")
    ids, index_N = np.unique(patient_N, return_inverse=True)
    return index_N, patient_weights(len(ids), n_resamples, seed=seed)


def _share(part: NDArray[Any], whole: NDArray[Any]) -> Float64s:
    share = np.full(part.shape, np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share
