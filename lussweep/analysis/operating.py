"""Operating points at a threshold chosen beforehand, and calibration of scores.

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

CLIP = 1e-6
"""Scores are clipped to [CLIP, 1 - CLIP] before their logit, which is then at most 13.8."""
N_BINS = 10
_MAX_STEPS = 100


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


class CalibrationLine(NamedTuple):
    """logit P(positive) = intercept + slope x logit(score).

    Calibrated scores have slope 1 and intercept 0.
    """

    slope: float
    intercept: float


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


def calibration_line(label_N: Labels, score_N: Scores) -> CalibrationLine:
    """Maximum-likelihood logistic regression of the label on the score's logit, without penalty.

    The source is Cox 1958, Two further applications of a model for binary regression. A slope
    below 1 means that scores are too extreme. Scores are clipped by `CLIP`. The line is NaN if a
    threshold separates the classes, because the likelihood then has no maximum. It is also NaN if
    Newton's method finds no maximum in 100 steps. Raises ValueError for bad input or a single
    class.
    """
    y_N, p_N = _checked(label_N, score_N)
    return _fit_line(y_N, _logit(p_N), CalibrationLine(1.0, 0.0))


def expected_calibration_error(label_N: Labels, score_N: Scores, *, n_bins: int = N_BINS) -> float:
    """Mean over frames of |share of positives - mean score| in the frame's bin, 0 to 1.

    Bins have equal mass (Nguyen and O'Connor 2015, arXiv 1508.05154). Equal scores stay together,
    in the bin of the middle of their mass, so the order of frames does not matter. Bins then
    differ in size and may be empty. Errors as for `calibration_line`.
    """
    if n_bins < 1:
        raise ValueError(f"n_bins is {n_bins}, not 1 or more")
    y_N, p_N = _checked(label_N, score_N)
    _, group_N, n_G = np.unique(p_N, return_inverse=True, return_counts=True)
    bin_G = (n_bins * (np.cumsum(n_G) - n_G / 2) / len(p_N)).astype(np.int64)
    excess_B = np.bincount(bin_G[group_N], y_N - p_N)
    return float(np.abs(excess_B).sum() / len(p_N))


def percentile_estimate(value: float, resampled_R: Float64s, confidence: float) -> IntervalEstimate:
    """The value with a percentile interval of its R resamples; NaN resamples are left out."""
    valid_R = resampled_R[~np.isnan(resampled_R)]
    n_undefined = len(resampled_R) - len(valid_R)
    if np.isnan(value) or not len(valid_R):
        return IntervalEstimate(float(value), np.nan, np.nan, n_undefined)
    low, high = np.quantile(valid_R, [(1 - confidence) / 2, (1 + confidence) / 2])
    return IntervalEstimate(float(value), float(low), float(high), n_undefined)


def _fit_line(y_N: Float64s, x_N: Float64s, start: CalibrationLine) -> CalibrationLine:
    """Newton's method with halved steps; NaN where the likelihood has no maximum."""
    pos, neg = x_N[y_N == 1], x_N[y_N == 0]
    nowhere = CalibrationLine(np.nan, np.nan)
    if neg.max() <= pos.min() or pos.max() <= neg.min():
        return nowhere

    def loss(slope: float, intercept: float) -> float:
        margin_N = intercept + slope * x_N
        return float((np.logaddexp(0, margin_N) - y_N * margin_N).sum())

    slope, intercept = start
    before = loss(slope, intercept)
    for _ in range(_MAX_STEPS):
        p_N = 1 / (1 + np.exp(-np.clip(intercept + slope * x_N, -700, 700)))
        left_N, bend_N = y_N - p_N, p_N * (1 - p_N)
        h00, h01, h11 = bend_N.sum(), bend_N @ x_N, bend_N @ x_N**2
        g0, g1, determinant = left_N.sum(), left_N @ x_N, h00 * h11 - h01**2
        if determinant <= 0:
            return nowhere
        up, tilt = (h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant
        if g0 * up + g1 * tilt <= 1e-18 * len(y_N):
            return CalibrationLine(float(slope + tilt), float(intercept + up))
        share = 1.0
        while (after := loss(slope + share * tilt, intercept + share * up)) > before * (1 + 1e-12):
            share /= 2
        slope, intercept, before = slope + share * tilt, intercept + share * up, after
    return nowhere


def _logit(p_N: Float64s) -> Float64s:
    clipped_N = p_N.clip(CLIP, 1 - CLIP)
    return np.asarray(np.log(clipped_N) - np.log1p(-clipped_N))


def _checked(label_N: Labels, score_N: Scores) -> tuple[Float64s, Float64s]:
    """Return labels and scores as float64. Raises ValueError unless scores are probabilities."""
    if not ((score_N >= 0) & (score_N <= 1)).all():
        raise ValueError("scores must be probabilities, in [0, 1]")
    check_scored(label_N, score_N)
    return (label_N == 1).astype(np.float64), score_N.astype(np.float64)


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
