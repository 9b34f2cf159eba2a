"""Intervals over patients by the jackknife: each patient is left out in turn.

A smooth statistic of frames (Brier score, average precision, calibration line, net benefit) is
computed P times, each time without one of the P patients. The spread of these values gives the
standard error over patients (Efron and Stein 1981; Efron and Tibshirani 1993, ch. 11). The interval
takes quantiles of t with as many degrees of freedom as the scarcer class has patients, less one.
This is the cautious choice. Nothing is drawn at random.

Statistics between 0 and 1 get their interval on the logit scale, where they are less skewed. Such
an interval stays between 0 and 1.

`tests/analysis/test_quality_simulation.py` checks by simulation how often the intervals cover the
truth.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy.special import expit, logit, stdtrit  # type: ignore[import-untyped]

from lussweep.analysis.levels import Scored, patients_by_class
from lussweep.metrics.auroc import Float64s, Int64s

MIN_PATIENTS = 5
"""Patients that the scarcer class must have for an interval."""


class Estimate(NamedTuple):
    """A value with its interval over patients. `low` and `high` are NaN if it is withheld."""

    value: float
    low: float
    high: float
    withheld: str | None
    """Why there is no interval; None if there is one."""


def leave_one_out(n_all_patients: int) -> Int64s:
    """The weights of P samples, each without one of the P patients, shape (P, P)."""
    return 1 - np.eye(n_all_patients, dtype=np.int64)


def jackknife_estimate(
    value: float,
    without_P: Float64s,
    units: Scored,
    *,
    scale: Literal["plain", "logit"] = "plain",
    confidence: float = 0.95,
) -> Estimate:
    """The value with its interval. without_P: the value without each patient of `units`.

    The interval is withheld if the scarcer class has fewer than `MIN_PATIENTS` patients, if the
    value does not exist without one of the patients, or if it is the same without any of them.
    Raises ValueError for a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, it must lie between 0 and 1")
    n_scarcer = min(patients_by_class(units))
    error = jackknife_error(without_P)
    if withheld := _withheld(value, error, n_scarcer):
        return Estimate(float(value), np.nan, np.nan, withheld)
    half = float(stdtrit(n_scarcer - 1, (1 + confidence) / 2)) * error
    if scale == "plain":
        return Estimate(float(value), float(value - half), float(value + half), None)
    if not 0 < value < 1:
        return Estimate(float(value), np.nan, np.nan, "the value is 0 or 1")
    middle, half = logit(value), half / (value * (1 - value))  # the delta method
    return Estimate(float(value), float(expit(middle - half)), float(expit(middle + half)), None)


def jackknife_error(without_P: Float64s) -> float:
    """The standard error over patients; NaN if the value does not exist without one of them."""
    n = len(without_P)
    return float(np.sqrt((n - 1) / n * ((without_P - without_P.mean()) ** 2).sum()))


def _withheld(value: float, error: float, n_scarcer: int) -> str | None:
    if n_scarcer < MIN_PATIENTS:
        return f"{n_scarcer} patients of the scarcer class: an interval needs {MIN_PATIENTS}"
    if np.isnan(value):
        return "the value does not exist"
    if np.isnan(error):
        return "without one of the patients the value does not exist"
    if error <= 1e-12 * max(abs(value), 1e-3):
        return "the value is the same without any of the patients: their spread is unknown"
    return None
