"""Calibration of scores: the logistic line and the expected calibration error."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lussweep.metrics.auroc import Labels, Scores, check_scored

Float64s = NDArray[np.float64]

CLIP = 1e-6
"""Scores are clipped to [CLIP, 1 - CLIP] before their logit, which is then at most 13.8."""
N_BINS = 10
_MAX_STEPS = 100


class CalibrationLine(NamedTuple):
    """logit P(positive) = intercept + slope x logit(score).

    Calibrated scores have slope 1 and intercept 0.
    """

    slope: float
    intercept: float


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
