"""The variance between trainings, pooled over patient counts.

Two or three replicates tell little about a variance: the 97.5 % quantile of Student's t is 4.3 with
3 replicates, and 2.0 where the variance is known. The spread at other patient counts tells more.
It usually falls as cohorts grow, so the logarithm of the variance is taken as linear in the
logarithm of the count. A variance common to all counts is not used: where the training SD falls
from 0.028 at 6 patients to 0.007 at 58, it rejects a true hypothesis at 6 patients far more often
than it says (`tests/analysis/test_pooling.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import chdtrc

from lussweep.metrics.auroc import Float64s

ALPHA = 0.25
"""Level of the test of the trend. It is high, because a wrong trend makes intervals wrong."""
STEEPEST = 4.0
"""The variance falls or grows with at most this power of the patient count."""

Model = Literal["trend", "own"]


class Pooled(NamedTuple):
    """The variance at one patient count, with its degrees of freedom."""

    variance: float
    df: float
    model: Model
    """`trend`, or `own` where the test rejects the trend."""


def pool_variances(
    variance_of: Mapping[int, float], df_of: Mapping[int, int], *, nested: bool = False
) -> dict[int, Pooled]:
    """The pooled variance at every patient count.

    variance_of: sample variance over replicates by patient count, 0 or more. df_of: its degrees of
    freedom, the number of replicates less 1, 1 or more. Leave out counts with one replicate,
    because they have no variance. The counts keep their own variances in three cases: there are one
    or two of them, which show no trend; cohorts are `nested`, so the variances are not independent;
    or a likelihood-ratio test at `ALPHA` rejects the trend (with Bartlett's correction, 1937).
    Raises ValueError for keys that differ or bad values.
    """
    counts = sorted(variance_of)
    if counts != sorted(df_of) or not counts:
        raise ValueError(f"variances at {counts}, degrees of freedom at {sorted(df_of)}")
    variance_K = np.array([variance_of[n] for n in counts], dtype=np.float64)
    df_K = np.array([df_of[n] for n in counts], dtype=np.float64)
    if not (np.isfinite(variance_K).all() and (variance_K >= 0).all() and (df_K >= 1).all()):
        raise ValueError("a variance is negative or not finite, or has no degree of freedom")
    model: Model = "own"
    if len(counts) > 2 and variance_K.any() and not nested:
        x_K = np.log(np.array(counts, dtype=np.float64))
        fit_K, fit_df_K, p_value = fit_trend(x_K, variance_K, df_K)
        if p_value > ALPHA:
            variance_K, df_K, model = fit_K, fit_df_K, "trend"
    rows = zip(counts, variance_K, df_K, strict=True)
    return {n: Pooled(float(variance), float(df), model) for n, variance, df in rows}


def fit_trend(
    x_K: Float64s, variance_K: Float64s, df_K: Float64s
) -> tuple[Float64s, Float64s, float]:
    """Fit log variance = level + slope x to K sample variances by maximum likelihood.

    Returns the fit, its degrees of freedom, and the p-value of the trend against a variance of
    each count's own. The degrees of freedom are 2 over the variance of the fit's logarithm: those
    of a chi-square with that coefficient of variation. Without spread at some count (a variance of
    0) there is no test, and the p-value is 1.
    """

    def level(slope: float) -> float:
        return float(np.log(df_K @ (variance_K * np.exp(-slope * x_K)) / df_K.sum()))

    def loss(slope: float) -> float:
        return float(df_K.sum() * level(slope) + slope * (df_K @ x_K))

    slope = float(minimize_scalar(loss, bounds=(-STEEPEST, STEEPEST), method="bounded").x)
    fit_K = np.exp(level(slope) + slope * x_K)
    from_mean_K = x_K - df_K @ x_K / df_K.sum()
    leverage_K = 1 / df_K.sum() + from_mean_K**2 / (df_K @ from_mean_K**2)
    if not variance_K.all():
        return fit_K, 1 / leverage_K, 1.0
    deviance = max(0.0, loss(slope) - float(df_K @ np.log(variance_K)))
    n = len(x_K)
    # Chi-square is too small for the deviance at few degrees of freedom.
    correction = 1 + ((1 / df_K).sum() - 1 / df_K.sum()) / (3 * (n - 1))
    return fit_K, 1 / leverage_K, float(chdtrc(n - 2, deviance / correction))
