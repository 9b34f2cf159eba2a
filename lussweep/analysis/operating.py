"""What a classifier does at a threshold chosen beforehand, and what its scores mean.

The threshold comes from validation patients, everything else is said of holdout patients.
Intervals are percentiles of a bootstrap that draws whole patients, as for AUC-ROC; the threshold
stays as it is in every resample.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lussweep.metrics.auroc import Labels, Scores, check_scored, patient_weights
from lussweep.metrics.classification import Confusion, at_threshold

Float64s = NDArray[np.float64]
Weights = NDArray[np.integer[Any]] | NDArray[np.floating[Any]]

CLIP = 1e-6
"""Scores are moved into [CLIP, 1 - CLIP] before their logit, hence to 13.8 at most."""
N_BINS = 10
_MAX_STEPS = 100


class IntervalEstimate(NamedTuple):
    """A value with its interval; NaN where it does not exist.

    n_undefined resamples, in which it does not exist, were left out of the interval.
    """

    value: float
    low: float
    high: float
    n_undefined: int


class Threshold(NamedTuple):
    """A score from which on a frame is called positive, and what it does on validation."""

    threshold: float
    sensitivity: float
    specificity: float


class OperatingPoint(NamedTuple):
    """Shares of holdout frames at one threshold; `counts` are the estimate's."""

    threshold: float
    sensitivity: IntervalEstimate
    specificity: IntervalEstimate
    accuracy: IntervalEstimate
    f1: IntervalEstimate
    counts: Confusion


class CalibrationLine(NamedTuple):
    """logit P(positive) = intercept + slope x logit(score); 1 and 0 where calibrated."""

    slope: float
    intercept: float


def threshold_for_specificity(label_N: Labels, score_N: Scores, wanted: float) -> Threshold:
    """The threshold of the highest sensitivity among those with the wanted specificity or more.

    It is one of the scores, frames at or above it being called positive; inf, which calls none,
    where no score reaches the specificity (the highest scores are negatives', or tied with
    theirs). To be given validation scores. Raises ValueError for bad input, a single class, or
    `wanted` outside (0, 1].
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
    """Sensitivity, specificity, accuracy and F1 of N holdout frames, with clustered intervals.

    The estimates are those of `at_threshold`. A resample without positive frames has no
    sensitivity, one without negative frames no specificity. Raises ValueError for bad input or a
    single class.
    """
    counts = at_threshold(label_N, score_N, threshold)
    index_N, weight_RP = _resamples(patient_N, label_N.shape, n_resamples, confidence, seed)
    is_pos_N, called_N = label_N == 1, score_N >= threshold
    kinds = (is_pos_N & called_N, ~is_pos_N & called_N, ~is_pos_N & ~called_N, is_pos_N & ~called_N)
    n_PK = np.stack([np.bincount(index_N, kind, weight_RP.shape[1]) for kind in kinds], axis=1)
    true_pos, false_pos, true_neg, false_neg = (weight_RP @ n_PK).T
    total = true_pos + false_pos + true_neg + false_neg
    shares = {
        "sensitivity": _share(true_pos, true_pos + false_neg),
        "specificity": _share(true_neg, true_neg + false_pos),
        "accuracy": _share(true_pos + true_neg, total),
        "f1": _share(2 * true_pos, 2 * true_pos + false_pos + false_neg),
    }
    made = {
        name: percentile_estimate(getattr(counts, name), share_R, confidence)
        for name, share_R in shares.items()
    }
    return OperatingPoint(threshold, **made, counts=counts)


def average_precision(label_N: Labels, score_N: Scores, weight_N: Weights | None = None) -> float:
    """Sum over thresholds of precision x rise in recall; equal scores are one threshold.

    A weight counts how often a frame is repeated. Raises ValueError for bad input or a single
    class among the frames with weight.
    """
    return _average_precision(*_checked(label_N, score_N, weight_N))


def brier_score(label_N: Labels, score_N: Scores, weight_N: Weights | None = None) -> float:
    """Mean squared difference between score and label (Brier 1950), 0 to 1; see
    `average_precision`."""
    _check_probabilities(score_N)
    return _brier(*_checked(label_N, score_N, weight_N))


def calibration_line(
    label_N: Labels, score_N: Scores, weight_N: Weights | None = None
) -> CalibrationLine:
    """Maximum-likelihood logistic regression of the label on the score's logit, no penalty.

    Cox 1958, Two further applications of a model for binary regression. Slope below 1: scores
    too extreme. The score is clipped by `CLIP`. NaN where a threshold separates the classes, or
    so nearly that Newton's method finds no maximum in 100 steps: it lies at infinity. Weights and
    errors as for `average_precision`.
    """
    _check_probabilities(score_N)
    y_N, p_N, w_N = _checked(label_N, score_N, weight_N)
    return _fit_line(y_N, _logit(p_N), w_N, CalibrationLine(1.0, 0.0))


def expected_calibration_error(
    label_N: Labels, score_N: Scores, weight_N: Weights | None = None, *, n_bins: int = N_BINS
) -> float:
    """Mean over frames of |share of positives - mean score| in the frame's bin, 0 to 1.

    Bins of equal mass (Nguyen and O'Connor 2015, arXiv 1508.05154). Equal scores stay together,
    in the bin of the middle of their mass, so that the order of frames does not matter; bins then
    differ in size and may be empty. Weights and errors as for `average_precision`.
    """
    _check_probabilities(score_N)
    if n_bins < 1:
        raise ValueError(f"n_bins is {n_bins}, not 1 or more")
    y_N, p_N, w_N = _checked(label_N, score_N, weight_N)
    group_N = np.unique(p_N, return_inverse=True)[1]
    mass_G = np.bincount(group_N, w_N)
    bin_G = (n_bins * (np.cumsum(mass_G) - mass_G / 2) / mass_G.sum()).astype(np.int64)
    excess_B = np.bincount(bin_G[group_N], w_N * (y_N - p_N))
    return float(np.abs(excess_B).sum() / w_N.sum())


def percentile_estimate(value: float, resampled_R: Float64s, confidence: float) -> IntervalEstimate:
    """The value with a percentile interval of its resamples, NaN ones counted and left out."""
    valid_R = resampled_R[~np.isnan(resampled_R)]
    n_undefined = len(resampled_R) - len(valid_R)
    if np.isnan(value) or not len(valid_R):
        return IntervalEstimate(float(value), np.nan, np.nan, n_undefined)
    low, high = np.quantile(valid_R, [(1 - confidence) / 2, (1 + confidence) / 2])
    return IntervalEstimate(float(value), float(low), float(high), n_undefined)


def _average_precision(y_N: Float64s, p_N: Float64s, weight_N: Float64s) -> float:
    order_N = np.argsort(p_N, kind="stable")[::-1]
    y_N, p_N, weight_N = y_N[order_N], p_N[order_N], weight_N[order_N]
    is_last_N = np.append(p_N[1:] != p_N[:-1], True)
    true_pos_T = np.cumsum(weight_N * y_N)[is_last_N]
    if not true_pos_T[-1]:
        return np.nan
    precision_T = _share(true_pos_T, np.cumsum(weight_N)[is_last_N])
    rise_T = np.diff(true_pos_T, prepend=0.0) / true_pos_T[-1]
    return float(rise_T[rise_T > 0] @ precision_T[rise_T > 0])


def _brier(y_N: Float64s, p_N: Float64s, weight_N: Float64s) -> float:
    return float(weight_N @ (p_N - y_N) ** 2 / weight_N.sum())


def _fit_line(
    y_N: Float64s, x_N: Float64s, weight_N: Float64s, start: CalibrationLine
) -> CalibrationLine:
    """Newton's method with halved steps; NaN where the likelihood has no maximum."""
    used_N = weight_N > 0
    y_N, x_N, weight_N = y_N[used_N], x_N[used_N], weight_N[used_N]
    pos, neg = x_N[y_N == 1], x_N[y_N == 0]
    nowhere = CalibrationLine(np.nan, np.nan)
    if not len(pos) or not len(neg) or neg.max() <= pos.min() or pos.max() <= neg.min():
        return nowhere

    def loss(slope: float, intercept: float) -> float:
        margin_N = intercept + slope * x_N
        return float(weight_N @ (np.logaddexp(0, margin_N) - y_N * margin_N))

    slope, intercept = start
    before = loss(slope, intercept)
    for _ in range(_MAX_STEPS):
        p_N = 1 / (1 + np.exp(-np.clip(intercept + slope * x_N, -700, 700)))
        left_N, bend_N = weight_N * (y_N - p_N), weight_N * p_N * (1 - p_N)
        h00, h01, h11 = bend_N.sum(), bend_N @ x_N, bend_N @ x_N**2
        g0, g1, determinant = left_N.sum(), left_N @ x_N, h00 * h11 - h01**2
        if determinant <= 0:
            return nowhere
        up, tilt = (h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant
        if g0 * up + g1 * tilt <= 1e-18 * weight_N.sum():
            return CalibrationLine(float(slope + tilt), float(intercept + up))
        share = 1.0
        while (after := loss(slope + share * tilt, intercept + share * up)) > before * (1 + 1e-12):
            share /= 2
        slope, intercept, before = slope + share * tilt, intercept + share * up, after
    return nowhere


def _logit(p_N: Float64s) -> Float64s:
    clipped_N = p_N.clip(CLIP, 1 - CLIP)
    return np.asarray(np.log(clipped_N) - np.log1p(-clipped_N))


def _checked(
    label_N: Labels, score_N: Scores, weight_N: Weights | None
) -> tuple[Float64s, Float64s, Float64s]:
    """Labels, scores and weights as float64, of the frames that have weight."""
    weight = np.ones(len(label_N)) if weight_N is None else weight_N.astype(np.float64)
    if weight.shape != label_N.shape or not (np.isfinite(weight) & (weight >= 0)).all():
        raise ValueError(f"weights must be finite, not negative, and {len(label_N)}")
    used_N = weight > 0
    check_scored(label_N[used_N], score_N[used_N])
    y_N, p_N = (label_N[used_N] == 1).astype(np.float64), score_N[used_N].astype(np.float64)
    return y_N, p_N, weight[used_N]


def _check_probabilities(score_N: Scores) -> None:
    if not ((score_N >= 0) & (score_N <= 1)).all():
        raise ValueError("scores must be probabilities, in [0, 1]")


def _resamples(
    patient_N: NDArray[Any],
    shape: tuple[int, ...],
    n_resamples: int,
    confidence: float,
    seed: int,
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Index of each frame's patient in sorted order of ids, and how often each one is drawn."""
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
