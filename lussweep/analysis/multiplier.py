"""The multiplier m: with the variant, one patient counts as m patients of the baseline.

One number for the whole grid: A_variant(n) = A(m n), where A(n) = a - b n^-c is fitted to the
baseline's means. It uses the patient counts n with m n inside the grid, so that nothing is
extrapolated.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lussweep.analysis.curve import Range, accepted, cubic
from lussweep.analysis.power_law import N_PARAMETERS, PowerLaw, lack_of_fit
from lussweep.analysis.resampled_means import PairMeans
from lussweep.metrics.auroc import Float64s

MIN_COUNTS = 3
"""Least patient counts with m n inside the grid. Fewer cannot show one m for the whole grid."""
MAX_LACK_OF_FIT = 0.05
N_GRID = 201


class Multiplier(NamedTuple):
    """m with its interval, the fitted law, and the test of its fit; `withheld` says why not.

    interval: about other holdout patients and other trainings. Its low end is -inf, or its high
    end inf, where m may lie so far from 1 that fewer than `MIN_COUNTS` counts stay inside the
    grid. n_counts: the counts inside the grid at m.
    """

    variant: str
    m: float | None
    interval: Range | None
    n_counts: int | None
    a: float | None
    b: float | None
    c: float | None
    lack_of_fit_p: float | None
    withheld: str | None


def multiplier(pair: PairMeans, law: PowerLaw | None, *, confidence: float = 0.95) -> Multiplier:
    """The multiplier of a variant over its patient counts.

    law: `fit_power_law` of the baseline's means, row by row as in `pair`.

    m is the root of the score of weighted least squares: the sum over counts n of
    w_n A'(log m n) (A_variant(n) - A(m n)), where w_n is the inverse variance over resamples of
    A_variant(n) - A(n). The interval holds each m at which the resampled score may be 0.
    The counts inside the grid depend on m alone, so every m is tested on a fixed set. Every other
    resample reads the monotone cubic in the place of the law, because a test of fit over a few
    counts seldom detects a wrong law.

    It is withheld if fewer than `MIN_COUNTS` counts have m n inside the grid, if there are no
    resamples, if an AUC-ROC is 1, if the interval of b holds 0 (the curve may be flat: any m would
    do), if the law's lack of fit has p < `MAX_LACK_OF_FIT`, or if the law is a step.
    """
    nothing = Multiplier(pair.variant, None, None, None, None, None, None, None, None)
    if law is None or len(pair.count_K) <= N_PARAMETERS:
        reason = f"{len(pair.count_K)} patient counts of the baseline: a power law needs 4"
        return nothing._replace(withheld=reason)
    fitted = nothing._replace(a=float(law.a_R[0]), b=float(law.b_R[0]), c=float(law.c_R[0]))
    if len(pair.at_M) < MIN_COUNTS:
        reason = f"{len(pair.at_M)} patient counts of the variant: {MIN_COUNTS} are needed"
        return fitted._replace(withheld=reason)
    if pair.withheld:
        return fitted._replace(withheld=pair.withheld)
    if max(pair.baseline_RK[0].max(), pair.variant_RM[0].max()) >= 1:
        return fitted._replace(withheld="an AUC-ROC is 1, which no power law reaches")
    p_value = lack_of_fit(
        pair.count_K, pair.baseline_RK[0], pair.weight_K, pair.covariance_KK, law, pair.free
    )
    fitted = fitted._replace(lack_of_fit_p=p_value)
    if p_value < MAX_LACK_OF_FIT:
        reason = f"the baseline's curve is no power law: lack of fit p = {p_value:.2g}"
        return fitted._replace(withheld=reason)
    not_rising = float((law.b_R[1:] <= 0).mean())
    if law.b_R[0] <= 0 or not_rising > (1 - confidence) / 2:
        return fitted._replace(withheld="the baseline's curve may be flat: b's interval holds 0")
    if law.is_step:
        reason = "the baseline's curve rises once and stays level, its exponent is not known"
        return fitted._replace(withheld=reason)
    return _solve(pair, law, fitted, confidence)


def _solve(pair: PairMeans, law: PowerLaw, fitted: Multiplier, confidence: float) -> Multiplier:
    grid_G = _grid(pair.count_K, pair.at_M)
    score_GR = _scores(grid_G, pair, law)
    m = _root(grid_G, score_GR[:, 0])
    if not np.isfinite(m):
        bound = f"above {grid_G[-1]:.3g}" if m > 0 else f"below {grid_G[0]:.3g}"
        reason = f"m is {bound}, where fewer than {MIN_COUNTS} patient counts stay inside the grid"
        return fitted._replace(withheld=reason)
    accepted_range = accepted(grid_G, score_GR[:, 1:], confidence)
    interval = Range(min(accepted_range.low, m), max(accepted_range.high, m))
    n_counts = int(_inside(m, pair.count_K, pair.at_M).sum())
    return fitted._replace(m=m, interval=interval, n_counts=n_counts)


def _grid(count_K: NDArray[Any], at_M: NDArray[Any]) -> Float64s:
    """The multipliers that leave MIN_COUNTS counts or more inside the grid."""
    first, last = count_K[0] / at_M[-MIN_COUNTS], count_K[-1] / at_M[MIN_COUNTS - 1]
    grid_G = np.union1d(np.geomspace(first, last, N_GRID), 1.0)
    is_enough_G = _inside(grid_G[:, None], count_K, at_M).sum(axis=1) >= MIN_COUNTS
    return np.asarray(grid_G[is_enough_G])


def _inside(m: Any, count_K: NDArray[Any], at_M: NDArray[Any]) -> NDArray[np.bool_]:
    scaled, rounding = m * at_M, 1e-9
    return np.asarray(
        (scaled >= count_K[0] * (1 - rounding)) & (scaled <= count_K[-1] * (1 + rounding))
    )


def _scores(grid_G: Float64s, pair: PairMeans, law: PowerLaw) -> Float64s:
    """The score at G multipliers in every row, positive where the variant is better than A(m n).

    Row 0 and every other resample read the law, the rest the monotone cubic. Shape (G, 1 + R).
    """
    scaled_GM = (grid_G[:, None] * pair.at_M).clip(pair.count_K[0], pair.count_K[-1])
    curve_NR = law.at(scaled_GM.ravel()).T
    curve_NR[:, 1::2] = cubic(pair.count_K, pair.baseline_RK[1::2], scaled_GM.ravel())
    # Quartiles, because the variance of t-like draws may not exist. The floor is far below any
    # noise; without noise all weights are equal.
    apart_RM = pair.variant_RM[1:] - law.at(pair.at_M)[1:]
    low_M, high_M = np.quantile(apart_RM, [0.25, 0.75], axis=0)
    weight_GM = scaled_GM ** -law.c_R[0] / ((high_M - low_M) ** 2 + 1e-14)
    weight_GM *= _inside(grid_G[:, None], pair.count_K, pair.at_M)
    weight_GM /= weight_GM.sum(axis=1, keepdims=True)
    curve_GMR = curve_NR.reshape(*scaled_GM.shape, -1)
    weighted_GR = np.einsum("gm,gmr->gr", weight_GM, curve_GMR)
    return np.asarray(weight_GM @ pair.variant_RM.T - weighted_GR)


def _root(grid_G: Float64s, score_G: Float64s) -> float:
    """The multiplier at which a falling score is 0; inf or -inf if there is none on the grid.

    The set of counts changes along the grid, so the score may jump over 0 more than once; the
    root nearest to 1 counts.
    """
    if (score_G > 0).all():
        return float(np.inf)
    if (score_G < 0).all():
        return float(-np.inf)
    exact_G = grid_G[score_G == 0]
    at = np.flatnonzero((score_G[:-1] > 0) & (score_G[1:] < 0))
    share = score_G[at] / (score_G[at] - score_G[at + 1])
    roots = np.concatenate([exact_G, grid_G[at] + share * (grid_G[at + 1] - grid_G[at])])
    if not len(roots):  # it crosses 0 only upwards, where the set of counts changes
        return float(grid_G[np.abs(score_G).argmin()])
    return float(roots[np.abs(np.log(roots)).argmin()])
