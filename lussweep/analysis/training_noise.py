"""Training noise of mean AUC-ROCs, estimated from the spread over replicates.

A replicate is one draw of cohorts and trainings. The variance over replicates holds two parts: the
training noise, and the error by which the holdout patients rank one trained model differently
from another. A bootstrap over patients holds the second part already, so it is subtracted.

With few replicates a variance at one patient count is hardly known. All counts are therefore
pooled: the variance of a variant at n patients is v n^t, with one t for all variants. Its
uncertainty enters every draw, which makes the noise t-like instead of normal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lussweep.metrics.auroc import Float64s

TREND_G = np.linspace(-2.0, 1.0, 301)
"""Exponents t that are considered: a variance that falls with n^-2, to one that rises with n."""
MIN_FREE_PAIRED = 3.0
"""Degrees of freedom from which the noise of two variants is drawn as correlated."""

Replicates = tuple[Float64s, Float64s]
"""AUC-ROCs of M replicates, shape (M,), and their deviations in R resamples, shape (R, M)."""


@dataclass(frozen=True)
class Spread:
    """Spread over replicates at K patient counts, of one variant or of two together.

    scatter_K: the sum over replicates of products of deviations from the mean. free_K: its degrees
    of freedom, the number of replicates less one, or 0. patients_K: the part of
    scatter_K / free_K that the holdout patients make; 0 where there is none.
    """

    scatter_K: Float64s
    free_K: Float64s
    patients_K: Float64s

    @property
    def free(self) -> float:
        """Degrees of freedom over all counts."""
        return float(self.free_K.sum())


class PairNoise(NamedTuple):
    """R draws of the training covariance of a baseline's and a variant's replicate, at K counts."""

    baseline_RK: Float64s
    variant_RK: Float64s
    covariance_RK: Float64s


def spread(one_K: Sequence[Replicates], other_K: Sequence[Replicates]) -> Spread:
    """Spread of two variants over the replicates that they share, in the same order at each count.

    The same variant twice gives its variances. The patients' part is the mean over resamples of
    the same products: for one variant, the conditional variance of a cell minus the covariance of
    two replicates.
    """
    rows = []
    for (one_M, one_RM), (other_M, other_RM) in zip(one_K, other_K, strict=True):
        n_free = len(one_M) - 1
        if n_free < 1:
            rows.append((0.0, 0.0, 0.0))
            continue
        scatter = float((one_M - one_M.mean()) @ (other_M - other_M.mean()))
        left_RM = one_RM - one_RM.mean(axis=1, keepdims=True)
        patients = (left_RM * other_RM).sum(axis=1).mean() / n_free if len(one_RM) else 0.0
        rows.append((scatter, float(n_free), float(patients)))
    scatter_K, free_K, patients_K = np.array(rows, dtype=np.float64).T
    return Spread(scatter_K, free_K, patients_K)


def trend_weights(spreads: Sequence[Spread], log_n_K: Float64s, thin: float = 1.0) -> Float64s:
    """Posterior weights of the exponents TREND_G, from the spreads of all variants.

    scatter / (v n^t) of a variant is chi-squared with its degrees of freedom. With flat priors on
    every log v and on t, the levels v integrate out in closed form and leave the profile
    likelihood of t, that of a gamma regression with a log link (McCullagh and Nelder 1989,
    Generalized Linear Models, ch. 8). log_n_K: logs of the patient counts, with any origin. thin:
    the share of the degrees of freedom that counts.
    """
    log_G = np.zeros(len(TREND_G))
    for one in spreads:
        if one.scatter_K.sum() > 0:
            scaled_G = np.exp(-np.outer(TREND_G, log_n_K)) @ one.scatter_K
            log_G -= thin * (one.free * np.log(scaled_G) + TREND_G * (one.free_K @ log_n_K)) / 2
    weight_G = np.exp(log_G - log_G.max())
    return np.asarray(weight_G / weight_G.sum())


def nested_correlation(residual_VKM: Sequence[Sequence[Float64s]]) -> float:
    """Mean correlation between patient counts of one replicate's noise, between 0 and 0.95.

    residual_VKM: for each variant and count the deviations from the mean, shape (M,), in the order
    of the replicates, divided by the trend of the standard deviation. Counts with another number of
    replicates than the first count of a variant are left out.
    """
    cross = total = 0.0
    for residual_KM in residual_VKM:
        alike_KM = np.stack([x for x in residual_KM if len(x) == len(residual_KM[0])])
        squares = float((alike_KM**2).sum())
        cross += float((alike_KM.sum(axis=0) ** 2).sum()) - squares
        total += (len(alike_KM) - 1) * squares
    return min(max(cross / total, 0.0), 0.95) if total else 0.0


def draw_pair(
    baseline: Spread,
    variant: Spread,
    shared: tuple[Spread, Spread, Spread],
    log_n_K: Float64s,
    trend_R: Float64s,
    rng: np.random.Generator,
    thin: float = 1.0,
) -> PairNoise:
    """Draw training variances and covariances, one for each of R exponents trend_R.

    shared: spreads over the shared replicates, of the baseline, of the variant, and of both. The
    baseline's level is a scaled inverse chi-square. The variant's comes from its regression on
    the baseline, which gives the posterior of a covariance matrix under Jeffreys' prior (Gelman
    et al. 2013, Bayesian Data Analysis, sections 3.2 and 14.2). With fewer than MIN_FREE_PAIRED
    shared degrees of freedom the two are drawn as uncorrelated, which is cautious: replicates
    share their cohort. The patients' part is subtracted from every draw, down to 0.
    """
    n_draws = len(trend_R)
    scale_RK = np.exp(-trend_R[:, None] * log_n_K)
    level_R = scale_RK @ baseline.scatter_K / rng.chisquare(baseline.free * thin, n_draws)
    shared_baseline, shared_variant, both = shared
    free = both.free * thin
    if free >= MIN_FREE_PAIRED and shared_baseline.scatter_K.sum() > 0:
        common_R = scale_RK @ shared_baseline.scatter_K
        slope_R = scale_RK @ both.scatter_K / common_R
        rest_R = (scale_RK @ shared_variant.scatter_K - slope_R**2 * common_R).clip(0)
        rest_R /= rng.chisquare(free - 1, n_draws)
        slope_R = slope_R + np.sqrt(rest_R / common_R) * rng.normal(size=n_draws)
        cross_R, other_R = slope_R * level_R, slope_R**2 * level_R + rest_R
    else:
        cross_R = np.zeros(n_draws)
        other_R = scale_RK @ variant.scatter_K / rng.chisquare(variant.free * thin, n_draws)
    baseline_RK = (level_R[:, None] / scale_RK - baseline.patients_K).clip(0)
    variant_RK = (other_R[:, None] / scale_RK - variant.patients_K).clip(0)
    most_RK = np.sqrt(baseline_RK * variant_RK)
    cross_RK = (cross_R[:, None] / scale_RK - both.patients_K).clip(-most_RK, most_RK)
    return PairNoise(baseline_RK, variant_RK, cross_RK)
