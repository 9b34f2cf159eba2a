"""Percentile intervals of a bootstrap, and types that other intervals share."""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from lussweep.metrics.auroc import Float64s, WinMatrix, resampled_auroc


class Interval(NamedTuple):
    """The two ends of a confidence interval."""

    low: float
    high: float


class IntervalEstimate(NamedTuple):
    """A value with its interval; NaN where it does not exist.

    n_undefined: resamples in which the value does not exist. The interval leaves them out.
    """

    value: float
    low: float
    high: float
    n_undefined: int


def point_auroc(matrix: WinMatrix) -> float:
    """The AUC-ROC of the patients as they are."""
    return float(resampled_auroc(matrix, np.ones((1, len(matrix.n_pos_P)), dtype=np.int64))[0])


def percentile_estimate(value: float, resampled_R: Float64s, confidence: float) -> IntervalEstimate:
    """The value with a percentile interval of its R resamples; NaN resamples are left out."""
    valid_R = resampled_R[~np.isnan(resampled_R)]
    n_undefined = len(resampled_R) - len(valid_R)
    if np.isnan(value) or not len(valid_R):
        return IntervalEstimate(float(value), np.nan, np.nan, n_undefined)
    low, high = np.quantile(valid_R, [(1 - confidence) / 2, (1 + confidence) / 2])
    return IntervalEstimate(float(value), float(low), float(high), n_undefined)


def expanded_confidence(confidence: float, n_scarcer: int) -> float:
    """A higher confidence, which keeps a bootstrap over few patients from being too narrow.

    A resample varies less than a sample, by sqrt((n - 1) / n), and a bootstrap has normal quantiles
    where quantiles of t belong. Both are corrected by the level that sqrt(n / (n - 1)) t(n - 1) has
    on the normal scale (Hesterberg 2015, the expanded percentile interval). n_scarcer: patients of
    the scarcer class, 2 or more. The smaller class is the cautious choice. With 24 patients 0.95
    becomes 0.965. With fewer than about five it nears 1, and the interval spans all of 2,000
    resamples.
    """
    quantile = float(stdtrit(n_scarcer - 1, (1 + confidence) / 2))
    wider = 2 * NormalDist().cdf((n_scarcer / (n_scarcer - 1)) ** 0.5 * quantile) - 1
    return min(wider, 1 - 1e-9)
