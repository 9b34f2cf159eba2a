"""Intervals over patients by the jackknife: each patient is left out in turn.

A smooth statistic of frames (Brier score, average precision, calibration line) is computed P times,
each time without one of the P patients. The spread of these values gives the standard error over
patients, their mean the bias, and their third moment the skewness (Efron and Tibshirani 1993, ch.
10 and 11). Nothing is drawn at random. The interval is

- value -+ q x error, q from t with the scarcer class's patients less 1 as degrees of freedom,
- widened by the bias on the side that it points away from,
- widened by (1 + 2 q^2) / (6 sqrt(P)) x skewness x error on the side of the longer tail (Johnson
  1978, Modified t tests and confidence intervals for asymmetrical populations).

A correction never makes a side narrower, because few patients estimate the correction badly.
Statistics between 0 and 1 get their interval on the logit scale, and it stays between 0 and 1.
Patients are left out whatever their class, so the interval includes the effect of another mix of
classes.

`tests/analysis/test_quality_simulation.py` checks by simulation how often the intervals cover the
truth.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy.special import expit, logit, stdtrit

from lussweep.analysis.effective import too_few
from lussweep.analysis.levels import Scored, patients_by_class
from lussweep.metrics.auroc import Float64s, Int64s

CHUNK = 2**18
"""Values of one array of (samples, frames). They fit a processor's cache and take a few MB."""


class Estimate(NamedTuple):
    """A value with its interval over patients. `low` and `high` are NaN if it is withheld."""

    value: float
    low: float
    high: float
    withheld: str | None
    """Why there is no interval; None if there is one."""


class PatientSpread(NamedTuple):
    """Error, bias and skewness of a statistic, from P values that each leave one patient out."""

    error: float
    """Standard error over patients."""
    bias: float
    skewness: float
    """Skewness of the patients' influence on the statistic."""


def leave_one_out(n_all_patients: int) -> Int64s:
    """The weights of P samples, each without one of the P patients, shape (P, P)."""
    return 1 - np.eye(n_all_patients, dtype=np.int64)


def too_few_patients(units: Scored) -> str | None:
    """Why the patients of `units` allow no interval, or None if they do."""
    return too_few(*patients_by_class(units))


def jackknife_estimate(
    value: float,
    without_P: Float64s,
    units: Scored,
    *,
    scale: Literal["plain", "logit"] = "plain",
    confidence: float = 0.95,
) -> Estimate:
    """The value with its interval. without_P: the value without each patient of `units`.

    The interval is withheld if a class has fewer than `MIN_PATIENTS` patients, if the value does
    not exist without one of the patients, or if it is the same without any of them. Raises
    ValueError for a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, it must lie between 0 and 1")
    if withheld := too_few_patients(units) or _withheld(value, without_P):
        return Estimate(float(value), np.nan, np.nan, withheld)
    error, bias, skewness = spread_of(value, without_P)
    quantile = float(stdtrit(min(patients_by_class(units)) - 1, (1 + confidence) / 2))
    tail = (1 + 2 * quantile**2) / (6 * len(without_P) ** 0.5) * skewness * error
    below = quantile * error + max(bias, 0) - min(tail, 0)
    above = quantile * error - min(bias, 0) + max(tail, 0)
    if scale == "plain":
        return Estimate(float(value), float(value - below), float(value + above), None)
    middle, slope = logit(value), 1 / (value * (1 - value))  # the delta method
    low, high = expit(middle - slope * below), expit(middle + slope * above)
    return Estimate(float(value), float(low), float(high), None)


def spread_of(value: float, without_P: Float64s) -> PatientSpread:
    """Error, bias and skewness of a value, from the values without each of P patients."""
    n = len(without_P)
    lead_P = without_P.mean() - without_P
    error = float(np.sqrt((n - 1) / n * (lead_P**2).sum()))
    skewness = float((lead_P**3).mean() / (lead_P**2).mean() ** 1.5)
    return PatientSpread(error, float((n - 1) * (without_P.mean() - value)), skewness)


def _withheld(value: float, without_P: Float64s) -> str | None:
    if np.isnan(value):
        return "the value does not exist"
    if np.isnan(without_P).any():
        return "without one of the patients the value does not exist"
    if np.abs(without_P - value).max() <= 1e-12 * max(abs(value), 1e-3):
        return "the value is the same without any of the patients: their spread is unknown"
    return None
