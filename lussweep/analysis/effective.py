"""Intervals of means between 0 and 1, over few patients who have many frames each.

An AUC-ROC, a sensitivity and a share of positive frames are means, over patients, of values
between 0 and 1. An estimate A with variance V is worth n = A (1 - A) / V independent units that
are 0 or 1, and the interval is that of n such units (Korn and Graubard 1998, Survey Methodology
24, 193-201). Five things make it hold with few patients and near 0 and 1:

- Near 0 and 1, V is hardly known: as long as no patient fails it is 0. It is drawn towards the
  variance of patients whose frames are all alike, A (1 - A) / k. Here k is (sum of m)^2 / sum of
  m^2 for patients with m frames (Kish 1965). That variance weighs `PRIOR_DF` degrees of freedom.
  The estimate weighs df (4 A (1 - A))^2, which is df at 0.5 and nearly nothing near 0 and 1.
- n is multiplied by (z / t)^2, where t has the degrees of freedom of V, about as many as there are
  patients. n stays k - 1 or more, because no variance is larger than that of alike frames.
- The limits are those of mid-P (Lancaster 1961; Berry and Armitage 1995). They solve
  P(X > x) + P(X = x) / 2 = tail for x = n A hits of n. Their width is never zero, and
  they hold where one patient of few fails. Wilson's limits cover only 90 % for a share of 0.99 and
  10 patients.
- Where patients have different numbers of frames, V is the mean of two estimates
  (`variance_of_mean`).

`PRIOR_DF` and the square come from simulations on other seeds than those of the tests, which say
how often the intervals cover the truth (`tests/analysis/test_auroc_coverage.py`, `test_shares.py`).
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import betainc, stdtrit

from lussweep.analysis.bootstrap import Interval

MIN_PATIENTS = 5
"""Patients of a class below which there is no interval."""
PRIOR_DF = 0.15
"""Degrees of freedom of the variance of patients whose frames are all alike."""


def too_few(n_pos_patients: int, n_neg_patients: int) -> str | None:
    """Why there is no interval over so few patients, or None if there is one."""
    named = {"positive": n_pos_patients, "negative": n_neg_patients}
    few = [
        f"{n} patient{'s' * (n != 1)} with {word} frames"
        for word, n in named.items()
        if n < MIN_PATIENTS
    ]
    return f"{' and '.join(few)}: an interval needs {MIN_PATIENTS}" if few else None


def few_patients(n_scarcer: int) -> str | None:
    """Why a statistic of several cells has no interval, or None if it has.

    n_scarcer: patients of the scarcer class.
    """
    if n_scarcer >= MIN_PATIENTS:
        return None
    counted = f"{n_scarcer} patient{'s' * (n_scarcer != 1)} of the scarcer class"
    return f"{counted}: an interval over patients needs {MIN_PATIENTS}"


def effective_patients(n_frames_P: NDArray[Any]) -> float:
    """(sum of m)^2 / sum of m^2 of patients with m frames (Kish 1965); at least one has a frame.

    It is the number of patients if all have as many frames, and 1 if one has them all.
    """
    n_frames_P = n_frames_P.astype(np.float64)
    return float(n_frames_P.sum() ** 2 / (n_frames_P**2).sum())


def dominance(weight_P: NDArray[np.float64]) -> float:
    """The factor by which squared residuals around a weighted mean understate its variance.

    weight_P: shares of the frames, of two patients or more, with sum 1. Equal weights give
    P / (P - 1). A patient with half of the frames draws the mean to itself: the factor is larger.
    """
    squares, cubes = float((weight_P**2).sum()), float((weight_P**3).sum())
    return squares / (squares - 2 * cubes + squares**2)


def variance_of_mean(share_P: NDArray[np.float64], weight_P: NDArray[np.float64]) -> float:
    """The variance over patients of sum(weight_P share_P); 0 for a single patient.

    weight_P: each patient's share of the frames, positive, with sum 1. The variance is the mean of
    two estimates, which are equal if the weights are. One is the sum of squared weighted residuals,
    corrected by `dominance`; a patient with half of the frames decides it almost alone. The other
    is the patients' unweighted variance divided by k; such a patient hardly changes it.
    """
    if len(share_P) < 2:
        return 0.0
    residual_P = weight_P * (share_P - float(weight_P @ share_P))
    weighted = dominance(weight_P) * float(residual_P @ residual_P)
    plain = float(share_P.var(ddof=1)) * float(weight_P @ weight_P)
    return (weighted + plain) / 2


def independent_units(estimate: float, variance: float, n_effective: float, df: float) -> float:
    """How many independent units that are 0 or 1 the estimate is worth; see the module.

    n_effective: k of the module. df: degrees of freedom of the variance; 0 if it is not known.
    """
    spread = estimate * (1 - estimate)
    trust = df * (4 * spread) ** 2
    if trust <= 0:
        return n_effective
    return (trust + PRIOR_DF) / (trust * variance / spread + PRIOR_DF / n_effective)


def unit_interval(
    estimate: float, n_units: float, *, n_least: float, df: float, confidence: float
) -> Interval:
    """The mid-P interval of `n_units` independent units, which need not be whole.

    df: those of t, which takes units away, but leaves `n_least`. Raises ValueError for a confidence
    outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, it must lie between 0 and 1")
    tail = (1 - confidence) / 2
    normal, student = NormalDist().inv_cdf(1 - tail), float(stdtrit(max(df, 1.0), 1 - tail))
    n = max(n_units * (normal / student) ** 2, n_least)
    return Interval(
        0.0 if estimate <= 0 else _lower(estimate, n, tail),
        1.0 if estimate >= 1 else 1 - _lower(1 - estimate, n, tail),
    )


def _lower(estimate: float, n: float, tail: float) -> float:
    """The share that gives n x estimate hits of n or more, by mid-P, with probability `tail`."""
    if estimate >= 1:
        return float((2 * tail) ** (1 / n))
    hits = n * estimate

    def excess(share: float) -> float:
        or_more, more = betainc(hits, n - hits + 1, share), betainc(hits + 1, n - hits, share)
        return float((or_more + more) / 2 - tail)

    return float(brentq(excess, 0.0, estimate, xtol=1e-12))
