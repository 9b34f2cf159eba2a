"""The true difference that a number of replicates and holdout patients can detect."""

from __future__ import annotations

from typing import NamedTuple

from scipy.special import nctdtrinc, ndtri, stdtrit

from lussweep.analysis.two_way import two_way

ALPHA, POWER = 0.05, 0.8
MOST_REPLICATES = 100
NORMAL_DF = 1e4
"""Degrees of freedom from which Student's t is taken as normal."""


class Components(NamedTuple):
    """The variances of a difference of AUC-ROC that a finished run has measured; see `two_way`."""

    training_variance: float
    """S^2 of one replicate's difference."""
    training_df: float
    n_replicates: int
    """The replicates of the run. A planned run with more has degrees of freedom in proportion."""
    patient_covariance: float
    """c of the run's holdout. It falls as holdout patients grow, in proportion."""
    patient_df: float
    own_variance: float = 0.0
    """The part of S^2 that patients cause in one training alone. It falls as c does."""


def detectable_difference(
    standard_error: float, df: float, *, alpha: float = ALPHA, power: float = POWER
) -> float:
    """The true difference that a two-sided t test detects with probability `power`.

    It is a property of the design, not a verdict on an observed effect. The far tail of the test
    is left out, as is usual. Raises ValueError for a standard error or degrees of freedom that are
    not positive, or rates out of range.
    """
    if not (standard_error > 0 and df > 0):
        raise ValueError(f"standard_error is {standard_error}, df {df}: both must be positive")
    if not (0 < alpha < 1 and alpha / 2 < power < 1):
        raise ValueError(f"alpha is {alpha}, power {power}")
    critical = float(stdtrit(df, 1 - alpha / 2))
    if df > NORMAL_DF:
        return float(ndtri(1 - alpha / 2) + ndtri(power)) * standard_error
    return float(nctdtrinc(df, 1 - power, critical)) * standard_error


def detectable_with(
    components: Components, n_replicates: int, holdout_factor: float = 1.0
) -> float:
    """The difference that `n_replicates`, 2 or more, detect.

    The design has `holdout_factor` times the run's holdout patients.
    """
    patient_part = min(components.own_variance, components.training_variance)
    combined = two_way(
        0.0,
        n_replicates,
        components.training_variance - patient_part + patient_part / holdout_factor,
        components.training_df * (n_replicates - 1) / (components.n_replicates - 1),
        components.patient_covariance / holdout_factor,
        max(1.0, (components.patient_df + 1) * holdout_factor - 1),
    )
    return detectable_difference(combined.standard_error, combined.df)


def replicates_needed(
    components: Components, difference: float, holdout_factor: float = 1.0
) -> int | None:
    """The fewest replicates, 2 to 100, that detect a difference; None if none do."""
    for n_replicates in range(2, MOST_REPLICATES + 1):
        if detectable_with(components, n_replicates, holdout_factor) <= difference:
            return n_replicates
    return None
