"""Inverse power law of a learning curve, a - b n^-c, fitted to the means of K patient counts.

Figueroa et al. 2012 (BMC Medical Informatics and Decision Making 12:8) fit it to learning curves
of classifiers; Viering and Loog 2022 (IEEE TPAMI, The shape of learning curves) review where it
holds and where it does not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from lussweep.metrics.auroc import Float64s

EXPONENT_G = np.geomspace(0.02, 6.0, 60)
"""Exponents c that are tried. The best one is refined between its neighbours."""
N_REFINEMENTS = 24
N_PARAMETERS = 3


class PowerLaw(NamedTuple):
    """R fitted curves: a_R - b_R n^-c_R."""

    a_R: Float64s
    b_R: Float64s
    c_R: Float64s

    @property
    def is_step(self) -> bool:
        """Whether the exponent of row 0 runs to the end of those tried.

        The curve then rises once and stays level: nothing tells the exponent from a larger one.
        """
        return bool(self.c_R[0] > 0.99 * EXPONENT_G[-1])

    def at(self, count_G: NDArray[Any]) -> Float64s:
        """The curves at G patient counts, shape (R, G)."""
        powers_RG = np.exp(-self.c_R[:, None] * np.log(count_G))
        return np.asarray(self.a_R[:, None] - self.b_R[:, None] * powers_RG)


def fit_power_law(count_K: NDArray[Any], mean_RK: Float64s, weight_K: Float64s) -> PowerLaw:
    """Weighted least-squares fit of each of R rows.

    Given c, a and b are linear. c is searched on EXPONENT_G, then by golden section.
    """
    share_K, log_K = weight_K / weight_K.sum(), np.log(count_K / count_K[0])
    average_R = mean_RK @ share_K
    apart_RK = mean_RK - average_R[:, None]

    def solve(c_R: Float64s) -> tuple[Float64s, Float64s, Float64s]:
        """b, the average of n^-c and the weighted squares; n is in units of the first count."""
        power_RK = np.exp(-c_R[:, None] * log_K)
        power_R = power_RK @ share_K
        power_RK -= power_R[:, None]
        b_R = -((power_RK * apart_RK) @ share_K) / (power_RK**2 @ share_K)
        return b_R, power_R, (apart_RK + b_R[:, None] * power_RK) ** 2 @ share_K

    n_rows = len(mean_RK)
    best_R = np.stack([solve(np.full(n_rows, c))[2] for c in EXPONENT_G]).argmin(axis=0)
    low_R = np.log(EXPONENT_G[(best_R - 1).clip(0)])
    high_R = np.log(EXPONENT_G[(best_R + 1).clip(max=len(EXPONENT_G) - 1)])
    golden = (5**0.5 - 1) / 2
    for _ in range(N_REFINEMENTS):
        left_R, right_R = high_R - golden * (high_R - low_R), low_R + golden * (high_R - low_R)
        is_left_R = solve(np.exp(left_R))[2] < solve(np.exp(right_R))[2]
        low_R, high_R = np.where(is_left_R, low_R, left_R), np.where(is_left_R, right_R, high_R)
    c_R = np.exp((low_R + high_R) / 2)
    b_R, power_R, _ = solve(c_R)
    return PowerLaw(average_R + b_R * power_R, b_R * np.exp(c_R * np.log(count_K[0])), c_R)


def lack_of_fit(
    count_K: NDArray[Any],
    mean_K: Float64s,
    weight_K: Float64s,
    covariance_KK: Float64s,
    law: PowerLaw,
    free: float,
) -> float:
    """p-value of the law in row 0 against any curve through the K means, K > 3.

    The residuals of a weighted fit have the covariance M C M'. C is the covariance of the means,
    M = 1 - J (J' W J)^-1 J' W, W the weights, and J the derivatives of the law. The quadratic form
    of the residuals with its pseudo-inverse has K - 3 degrees of freedom (Seber and Wild 1989,
    Nonlinear Regression, ch. 5). C holds an estimated training variance with `free` degrees of
    freedom, so that the form over K - 3 is F instead of chi-squared.
    """
    power_K = count_K ** -law.c_R[0]
    slope_KJ = np.stack([np.ones(len(count_K)), -power_K, power_K * np.log(count_K)], axis=1)
    # the scale of a column does not matter, but its rank does
    slope_KJ = np.linalg.qr(slope_KJ / np.abs(slope_KJ).max(axis=0))[0]
    weighted_KJ = slope_KJ * weight_K[:, None]
    hat_KK = slope_KJ @ np.linalg.pinv(weighted_KJ.T @ slope_KJ) @ weighted_KJ.T
    left_KK = np.eye(len(count_K)) - hat_KK
    residual_K = left_KK @ (mean_K - law.at(count_K)[0])
    n_free = len(count_K) - N_PARAMETERS
    spread_KK = left_KK @ (covariance_KK + 1e-14 * np.eye(len(count_K))) @ left_KK.T
    value_K, vector_KK = np.linalg.eigh(spread_KK)
    along_K = (vector_KK.T @ residual_K)[-n_free:] ** 2 / value_K[-n_free:]
    return float(fdtrc(n_free, free, along_K.sum() / n_free))
