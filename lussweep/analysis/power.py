"""The smallest difference of AUC-ROC that a holdout and its replicates can detect."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

ASSUMPTION = (
    "The estimated difference is normal with the measured standard error, whatever the true "
    "difference; the standard error is over holdout patients, for these trained models, and "
    "does not count what other trainings would add."
)


class DetectableDifference(NamedTuple):
    """The true difference of AUC-ROC that a two-sided test detects with probability `power`."""

    difference: float
    standard_error: float
    alpha: float
    power: float
    assumption: str


def detectable_difference(
    standard_error: float, *, alpha: float = 0.05, power: float = 0.8
) -> DetectableDifference:
    """(z of 1 - alpha/2 plus z of power) times the standard error: 2.80 times it by default.

    standard_error: of the mean difference over replicates, from the paired bootstrap
    (`contrasts.Contrast.standard_error`). The far tail of the test is left out, as is usual. The
    promised interval is wider than a normal one, by 8 % with 24 patients of a class; that is left
    out too. The result is a property of the design, not a verdict on an observed effect. Raises
    ValueError for a standard error that is negative or not finite, for alpha outside (0, 1), or
    for power outside (alpha/2, 1).
    """
    if not (math.isfinite(standard_error) and standard_error >= 0):
        raise ValueError(f"standard_error is {standard_error}, it must be finite and 0 or more")
    if not (0 < alpha < 1 and alpha / 2 < power < 1):
        raise ValueError(f"alpha is {alpha}, power {power}")
    normal = NormalDist()
    reach = normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)
    return DetectableDifference(reach * standard_error, standard_error, alpha, power, ASSUMPTION)
