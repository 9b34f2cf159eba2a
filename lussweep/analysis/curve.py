"""The baseline's learning curve: a monotone cubic in the logarithm of the patient count."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator, make_interp_spline
from scipy.optimize import brentq

from lussweep.metrics.auroc import Float64s

TIE = 1e-12
"""AUC-ROCs that differ by at most this are equal: means of equal values may round differently."""


class Range(NamedTuple):
    """Patient counts from low to high. -inf: below the smallest count; inf: above the largest."""

    low: float
    high: float


def isotonic(mean_K: Float64s, weight_K: NDArray[Any]) -> Float64s:
    """Weighted least-squares fit that never falls, of K ordered points.

    fit[k] = max over i <= k of min over j >= i of the weighted mean of i..j (the max-min formulas
    of Barlow et al. 1972, Statistical Inference under Order Restrictions). A point that needs no
    pooling keeps its value exactly. Values that differ by `TIE` or less come out equal.

    mean_K: finite floats; weight_K: positive. Raises ValueError for other input.
    """
    if weight_K.shape != mean_K.shape or not (weight_K > 0).all():
        raise ValueError(f"{len(mean_K)} points need as many positive weights, got {weight_K}")
    if not np.isfinite(mean_K).all():
        raise ValueError("the points of an isotonic fit must be finite")
    # scipy and scikit-learn keep values apart that differ by rounding.
    fit_K = np.empty(len(mean_K))
    before = -np.inf
    for k in range(len(mean_K)):
        block_J = np.cumsum((mean_K * weight_K)[k:]) / np.cumsum(weight_K[k:])
        block_J[0] = mean_K[k]
        least = float(block_J.min())
        before = fit_K[k] = before if least - before <= TIE else least
    return fit_K


def cubic(count_K: NDArray[Any], mean_RK: Float64s, at_G: NDArray[Any]) -> Float64s:
    """The monotone cubics of R rows at G patient counts within the knots, shape (G, R).

    Between two knots the cubic rises or falls as the knots do (PCHIP; Fritsch and Butland 1984).
    Learning curves bend far less in log n than in n: where a line between counts reads 10.3 to
    11.0 patients of a concave curve, the truth is 9.
    """
    curve = PchipInterpolator(np.log(count_K), mean_RK.T)
    return np.asarray(curve(np.log(at_G)), dtype=np.float64)


def straight(count_K: NDArray[Any], mean_RK: Float64s, at_G: NDArray[Any]) -> Float64s:
    """Lines between the knots, as `cubic`. No curve that is concave in n lies lower."""
    return np.asarray(make_interp_spline(count_K, mean_RK.T, k=1)(at_G), dtype=np.float64)


def steepest(count_K: NDArray[Any], mean_RK: Float64s, at_G: NDArray[Any]) -> Float64s:
    """A curve that goes on after each knot as steeply as before it, then stays level, as `cubic`.

    No curve that is concave in n and never falls lies higher between two knots. Between the first
    two knots this does not hold, because the slope before the first knot is unknown: the curve is a
    monotone cubic in 1 / n there. Where knots fall the curve is straight.
    """
    cubic_GR = PchipInterpolator(-1 / count_K, mean_RK.T)(-1 / at_G)
    slope_RK = np.diff(mean_RK, axis=1) / np.diff(count_K)
    for k in range(1, len(count_K) - 1):
        is_here_G = (at_G > count_K[k]) & (at_G < count_K[k + 1])
        beyond_G1 = (at_G[is_here_G] - count_K[k])[:, None]
        along_R = np.maximum(slope_RK[:, k - 1], slope_RK[:, k])
        rising_GR = np.minimum(mean_RK[:, k] + beyond_G1 * along_R, mean_RK[:, k + 1])
        falling_GR = mean_RK[:, k] + beyond_G1 * slope_RK[:, k]
        cubic_GR[is_here_G] = np.where(slope_RK[:, k] > 0, rising_GR, falling_GR)
    return np.asarray(cubic_GR, dtype=np.float64)


def invert(count_K: NDArray[Any], mean_K: Float64s, fit_K: Float64s, auroc: float) -> Range:
    """Find the patient counts at which the curve with knots (count_K, fit_K) has an AUC-ROC.

    A flat stretch gives a range of counts. A flat stretch averages points that were in the wrong
    order. An AUC-ROC within the span of those points cannot be placed more exactly than the
    stretch, so its range is widened to the stretch. The range for the baseline's AUC-ROC at n
    therefore always contains n.

    count_K: rising patient counts. mean_K: the points before the fit. fit_K: their `isotonic` fit.
    """
    nearest = float(fit_K[np.abs(fit_K - auroc).argmin()])
    wanted = nearest if abs(nearest - auroc) <= TIE else auroc
    low, high = _read(count_K, fit_K, wanted)
    for value in np.unique(fit_K):
        block_K = fit_K == value
        pooled = mean_K[block_K]
        if pooled.min() - TIE <= auroc <= pooled.max() + TIE:
            low = min(low, float(count_K[block_K].min()))
            high = max(high, float(count_K[block_K].max()))
    return Range(low, high)


def _read(count_K: NDArray[Any], fit_K: Float64s, auroc: float) -> Range:
    if auroc < fit_K[0]:
        return Range(-np.inf, -np.inf)
    if auroc > fit_K[-1]:
        return Range(np.inf, np.inf)
    at_knot = count_K[fit_K == auroc]
    if len(at_knot):
        return Range(float(at_knot.min()), float(at_knot.max()))
    log_K = np.log(count_K)
    curve = PchipInterpolator(log_K, fit_K)
    left = int((fit_K < auroc).sum()) - 1
    log_n = brentq(lambda x: curve(x) - auroc, log_K[left], log_K[left + 1], xtol=1e-12)
    return Range(float(np.exp(log_n)), float(np.exp(log_n)))


def accepted(at_G: NDArray[Any], difference_GR: Float64s, confidence: float) -> Range:
    """The points of a rising grid at which a falling difference may be 0.

    A point is accepted if neither tail of its R resampled differences is smaller than
    (1 - confidence) / 2: a test at every point, turned into an interval. Ranks are rounded
    outwards. Ends between two points are interpolated. -inf: the difference may be negative before
    the first point. inf: it may be positive after the last.
    """
    n_rows = difference_GR.shape[1]
    first = int(np.floor((1 - confidence) / 2 * (n_rows - 1) + 1e-9))
    ordered_GR = np.partition(difference_GR, [first, n_rows - 1 - first], axis=1)
    least_G, most_G = ordered_GR[:, first], ordered_GR[:, n_rows - 1 - first]
    low = -np.inf if least_G[0] < -TIE else _crossing(at_G, least_G)
    high = np.inf if most_G[-1] > TIE else -_crossing(-at_G[::-1], -most_G[::-1])
    return Range(low, high)


def _crossing(at_G: NDArray[Any], value_G: Float64s) -> float:
    """The first point at which a value is no longer positive; inf if there is none."""
    reached_G = np.flatnonzero(value_G <= TIE)
    if not len(reached_G):
        return float(np.inf)
    at = reached_G[0]
    if at == 0 or value_G[at] >= -TIE:
        return float(at_G[at])
    share = value_G[at - 1] / (value_G[at - 1] - value_G[at])
    return float(at_G[at - 1] + share * (at_G[at] - at_G[at - 1]))
