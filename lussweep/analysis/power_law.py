"""Inverse power law of a learning curve, a - b n^-c, fitted to the means of K patient counts.

Figueroa et al. 2012 (BMC Medical Informatics and Decision Making 12:8) fit it to learning curves
of classifiers; Viering and Loog 2022 (IEEE TPAMI, The shape of learning curves) review where it
holds and where it does not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lussweep.metrics.auroc import Float64s

EXPONENT_G = np.geomspace(0.02, 6.0, 60)
"""Exponents c that are tried. The best one is refined between its neighbours."""
N_REFINEMENTS = 24


class PowerLaw(NamedTuple):
    """R fitted curves: a_R - b_R n^-c_R, and the weighted sum of squared residuals of each."""

    a_R: Float64s
    b_R: Float64s
    c_R: Float64s
    residual_R: Float64s

    def at(self, count_G: NDArray[Any]) -> Float64s:
        """The curves at G patient counts, shape (R, G)."""
        powers_RG = np.exp(-self.c_R[:, None] * np.log(count_G))
        return np.asarray(self.a_R[:, None] - self.b_R[:, None] * powers_RG)


def fit_power_law(count_K: NDArray[Any], mean_RK: Float64s, precision_KK: Float64s) -> PowerLaw:
    """Least-squares fit of each of R rows, weighted by a precision matrix (inverse covariance).

    Given c, a and b are linear. c is searched on EXPONENT_G, then by golden section.
    """
    root_KK = np.linalg.cholesky(precision_KK).T  # root' root = precision
    y_RK, one_K, log_K = mean_RK @ root_KK.T, root_KK.sum(axis=1), np.log(count_K / count_K[0])

    def solve(c_R: Float64s) -> tuple[Float64s, Float64s, Float64s]:
        x_RK = np.exp(-c_R[:, None] * log_K) @ root_KK.T
        # x is made orthogonal to the constant, so that b and the residual need no 2 x 2 system
        x_RK = x_RK - np.outer(x_RK @ one_K / (one_K @ one_K), one_K)
        b_R = -(x_RK * yo_RK).sum(axis=1) / (x_RK**2).sum(axis=1)
        return x_RK, b_R, ((yo_RK + b_R[:, None] * x_RK) ** 2).sum(axis=1)

    yo_RK = y_RK - np.outer(y_RK @ one_K / (one_K @ one_K), one_K)
    n_rows = len(mean_RK)
    tried_GR = np.stack([solve(np.full(n_rows, c))[2] for c in EXPONENT_G])
    best_R = tried_GR.argmin(axis=0)
    low_R = np.log(EXPONENT_G[(best_R - 1).clip(0)])
    high_R = np.log(EXPONENT_G[(best_R + 1).clip(max=len(EXPONENT_G) - 1)])
    golden = (5**0.5 - 1) / 2
    for _ in range(N_REFINEMENTS):
        left_R, right_R = high_R - golden * (high_R - low_R), low_R + golden * (high_R - low_R)
        is_left_R = solve(np.exp(left_R))[2] < solve(np.exp(right_R))[2]
        low_R, high_R = np.where(is_left_R, low_R, left_R), np.where(is_left_R, right_R, high_R)
    c_R = np.exp((low_R + high_R) / 2)
    _, b_R, residual_R = solve(c_R)
    x_RK = np.exp(-c_R[:, None] * log_K) @ root_KK.T
    a_R = ((y_RK + b_R[:, None] * x_RK) @ one_K) / (one_K @ one_K)
    return PowerLaw(a_R, b_R * np.exp(c_R * np.log(count_K[0])), c_R, residual_R)
