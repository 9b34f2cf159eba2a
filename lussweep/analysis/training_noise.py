"""Training noise of mean AUC-ROCs, estimated from the spread over replicates.

A replicate is one draw of cohort and trainings. The variance over replicates holds two parts: the
training noise, and the error by which the holdout patients rank one trained model differently
from another. A bootstrap over patients carries the second part already, so it is subtracted.

With few replicates a variance at one patient count is hardly known. All counts are therefore
pooled: the variance of a variant is v n^t, with one t for all variants. Its uncertainty enters
every resample, which makes the noise t-like instead of normal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lussweep.metrics.auroc import Float64s

TREND_G = np.linspace(-2.0, 1.0, 301)
"""Exponents t that are considered: a variance that falls with n^-2, to one that rises with n."""


@dataclass(frozen=True)
class Spread:
    """Spread over replicates of one variant, or of two together, at K patient counts.

    scatter_K: sum over replicates of the product of deviations from the mean. free_K: degrees of
    freedom of each, the replicates less one. patients_K: what the holdout patients add to
    scatter_K / free_K; 0 where free_K is 0.
    """

    scatter_K: Float64s
    free_K: Float64s
    patients_K: Float64s

    @property
    def free(self) -> float:
        return float(self.free_K.sum())


def spread(one_KC: list[tuple[Float64s, Float64s]], other_KC: list[tuple[Float64s, Float64s]]) -> Spread:
    """Spread of two variants over the replicates that they share, at each of K counts.

    one_KC: for each count the AUC-ROCs of the M shared replicates, shape (M,), and their deviations
    in R resamples of patients, shape (R, M). The same variant twice gives its variances.
    """
    scatter, free, patients = [], [], []
    for (one_M, one_RM), (other_M, other_RM) in zip(one_KC, other_KC, strict=True):
        n_free = max(len(one_M) - 1, 0)
        free.append(n_free)
        if not n_free:
            scatter.append(0.0)
            patients.append(0.0)
            continue
        scatter.append(float((one_M - one_M.mean()) @ (other_M - other_M.mean())))
        left_RM = one_RM - one_RM.mean(axis=1, keepdims=True)
        right_RM = other_RM - other_RM.mean(axis=1, keepdims=True)
        patients.append(float((left_RM * right_RM).sum(axis=1).mean() / n_free))
    return Spread(np.array(scatter), np.array(free, dtype=np.float64), np.array(patients))


def trend_weights(spreads: list[Spread], log_n_VK: list[Float64s]) -> Float64s:
    """Posterior weights of TREND_G, from the spreads of V variants.

    scatter / (v n^t) of a variant is chi-squared with its degrees of freedom. With flat priors on
    log v and t the levels v integrate out in closed form; what is left is the profile likelihood
    of t (a gamma regression with a log link, McCullagh and Nelder 1989, ch. 8).
    """
    log_G = np.zeros(len(TREND_G))
    for one, log_n_K in zip(spreads, log_n_VK, strict=True):
        if one.scatter_K.sum() > 0:
            scaled_G = np.exp(-np.outer(TREND_G, log_n_K)) @ one.scatter_K
            log_G -= one.free / 2 * np.log(scaled_G) + TREND_G * (one.free_K @ log_n_K) / 2
    weight_G = np.exp(log_G - log_G.max())
    return weight_G / weight_G.sum()


@dataclass(frozen=True)
class PairNoise:
    """Training variance and covariance of one cell of the baseline and of a variant, R draws.

    Each has shape (R, K): baseline's variance, variant's variance, covariance.
    """

    baseline_RK: Float64s
    variant_RK: Float64s
    covariance_RK: Float64s


def draw_pair(
    baseline: Spread,
    variant: Spread,
    shared_baseline: Spread,
    shared_variant: Spread,
    shared: Spread,
    log_n_K: Float64s,
    trend_R: Float64s,
    rng: np.random.Generator,
    thin: float = 1.0,
) -> PairNoise:
    """Draw the training covariance of baseline and variant at K counts."""
    n_R = len(trend_R)
    scale_RK = np.exp(-trend_R[:, None] * log_n_K)
    level_R = scale_RK @ baseline.scatter_K / rng.chisquare(baseline.free * thin, n_R)
    if shared.free * thin > 1.0 and shared_baseline.scatter_K.sum() > 0:
        common_R = scale_RK @ shared_baseline.scatter_K
        slope_R = scale_RK @ shared.scatter_K / common_R
        rest_R = (scale_RK @ shared_variant.scatter_K - slope_R**2 * common_R).clip(0)
        rest_R = rest_R / rng.chisquare(shared.free * thin - 1, n_R)
        slope_R = slope_R + np.sqrt(rest_R / common_R) * rng.normal(size=n_R)
        cross_R, other_R = slope_R * level_R, slope_R**2 * level_R + rest_R
    else:
        cross_R = np.zeros(n_R)
        other_R = scale_RK @ variant.scatter_K / rng.chisquare(variant.free * thin, n_R)
    base_RK = (level_R[:, None] / scale_RK - baseline.patients_K).clip(0)
    other_RK = (other_R[:, None] / scale_RK - variant.patients_K).clip(0)
    most_RK = np.sqrt(base_RK * other_RK)
    cross_RK = (cross_R[:, None] / scale_RK - shared.patients_K).clip(-most_RK, most_RK)
    return PairNoise(base_RK, other_RK, cross_RK)
