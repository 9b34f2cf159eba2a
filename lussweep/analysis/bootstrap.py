"""AUC-ROC at any level, with intervals from a bootstrap that draws whole patients.

The promised interval is the **expanded BCa interval for the AUC-ROC of one model, and the
expanded percentile interval for a difference of two** (`contrasts`). The distribution of an
AUC-ROC near 1 is skewed, and BCa corrects that. A difference is nearly symmetric, so BCa's
estimated corrections only add noise. Both are expanded, because every plain bootstrap interval
is too narrow if the holdout has few patients of one class.

`tests/analysis/test_simulation.py` checks by simulation that the promised intervals cover the truth
as often as they say.

Patients are the unit at every level. A bootstrap over frames would treat the frames of one
patient as independent patients.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit

from lussweep.analysis.levels import Scored, check_units
from lussweep.metrics.auroc import (
    Float64s,
    WinMatrix,
    patient_weights,
    resampled_auroc,
    win_matrix,
)


class Interval(NamedTuple):
    """The two ends of a confidence interval."""

    low: float
    high: float


class Bootstrap(NamedTuple):
    """An estimate with its patient-clustered intervals."""

    estimate: float
    percentile: Interval
    bca: Interval | None
    bca_expanded: Interval | None
    """The promised interval for an AUC-ROC: BCa at `expanded_confidence` for the scarcer class."""
    bca_withheld: str | None
    """Why there is no BCa interval, expanded or not; None if there is one."""
    standard_error: float
    """Sample standard deviation over the resamples that have both classes."""
    confidence: float
    n_resamples: int
    """Resamples drawn, including those with a single class."""
    n_one_class: int
    """Resamples with a single class. They have no AUC-ROC and are left out."""
    n_all_patients: int
    n_pos_patients: int
    """Patients with a positive unit. Some may have negative units too."""
    n_neg_patients: int
    """Patients with a negative unit. The scarcer class limits the precision."""


def bootstrap_auroc(
    units: Scored, *, n_resamples: int = 2000, confidence: float = 0.95, seed: int
) -> Bootstrap:
    """AUC-ROC of frames, videos or patients, with percentile and BCa intervals over patients.

    Each resample draws P patients with replacement and takes all units of each. Single units are
    not drawn, because units of one patient are alike. A resample with a single class has no
    AUC-ROC; it is counted and left out. Raises ValueError for bad input, a single class, or fewer
    than two resamples with both classes.
    """
    check_units(units)
    matrix = win_matrix(units.label_U, units.score_U, units.patient_U)
    valid_R = valid_resamples(matrix, n_resamples, seed=seed)
    return summarise(matrix, valid_R, n_resamples=n_resamples, confidence=confidence)


def valid_resamples(matrix: WinMatrix, n_resamples: int, *, seed: int) -> Float64s:
    """AUC-ROC of the resamples of patients that have both classes; at most `n_resamples` values.

    `matrix` may hold a difference or a sum of win matrices of the same units, because the formula
    is linear in the wins. Raises ValueError if fewer than two resamples have both classes.
    """
    n_all_patients = len(matrix.n_pos_P)
    if n_resamples < 2:
        raise ValueError(f"n_resamples is {n_resamples}, it must be 2 or more")
    auroc_R = resampled_auroc(matrix, patient_weights(n_all_patients, n_resamples, seed=seed))
    valid_R = auroc_R[~np.isnan(auroc_R)]
    if len(valid_R) < 2:
        raise ValueError(
            f"{len(valid_R)} of {n_resamples} resamples of {n_all_patients} patients has 2 classes"
        )
    return valid_R


def summarise(
    matrix: WinMatrix, valid_R: Float64s, *, n_resamples: int, confidence: float
) -> Bootstrap:
    """Compute estimate, intervals and standard error from a matrix and its valid resamples.

    Raises ValueError for a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, it must lie between 0 and 1")
    estimate, jackknife_P = point_auroc(matrix), jackknife_auroc(matrix)
    n_pos_patients = int((matrix.n_pos_P > 0).sum())
    n_neg_patients = int((matrix.n_neg_P > 0).sum())
    withheld = bca_undefined(estimate, valid_R, jackknife_P)
    bca = bca_expanded = None
    if withheld is None:
        wider = expanded_confidence(confidence, min(n_pos_patients, n_neg_patients))
        bca = bca_interval(estimate, valid_R, jackknife_P, confidence)
        bca_expanded = bca_interval(estimate, valid_R, jackknife_P, wider)
    return Bootstrap(
        estimate=estimate,
        percentile=percentile_interval(valid_R, confidence),
        bca=bca,
        bca_expanded=bca_expanded,
        bca_withheld=withheld,
        standard_error=float(valid_R.std(ddof=1)),
        confidence=confidence,
        n_resamples=n_resamples,
        n_one_class=n_resamples - len(valid_R),
        n_all_patients=len(matrix.n_pos_P),
        n_pos_patients=n_pos_patients,
        n_neg_patients=n_neg_patients,
    )


def point_auroc(matrix: WinMatrix) -> float:
    """The AUC-ROC of the patients as they are."""
    return float(resampled_auroc(matrix, np.ones((1, len(matrix.n_pos_P)), dtype=np.int64))[0])


def jackknife_auroc(matrix: WinMatrix) -> Float64s:
    """The AUC-ROC without each patient in turn, shape (P,); NaN where a class would be lost."""
    n_all_patients = len(matrix.n_pos_P)
    return resampled_auroc(matrix, 1 - np.eye(n_all_patients, dtype=np.int64))


def percentile_interval(valid_R: Float64s, confidence: float) -> Interval:
    """The interval that holds the central share `confidence` of the resamples."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(valid_R, [tail, 1 - tail])
    return Interval(float(low), float(high))


def bca_interval(
    estimate: float, valid_R: Float64s, jackknife_P: Float64s, confidence: float
) -> Interval:
    """Bias-corrected and accelerated interval (Efron 1987; Efron & Tibshirani 1993, ch. 14).

    The bias correction counts resamples that equal the estimate half. The acceleration comes from
    the jackknife over patients. It is 0 if no patient changes the estimate.
    """
    assert bca_undefined(estimate, valid_R, jackknife_P) is None
    normal = NormalDist()
    bias = normal.inv_cdf(_share_below(estimate, valid_R))
    lead_P = jackknife_P.mean() - jackknife_P
    scale = float((lead_P**2).sum()) ** 1.5
    acceleration = float((lead_P**3).sum()) / (6 * scale) if scale > 0 else 0.0
    tail = (1 - confidence) / 2
    shares = []
    for z in (normal.inv_cdf(tail), normal.inv_cdf(1 - tail)):
        shares.append(normal.cdf(bias + (bias + z) / (1 - acceleration * (bias + z))))
    low, high = np.quantile(valid_R, shares)
    return Interval(float(low), float(high))


def expanded_confidence(confidence: float, n_scarcer: int) -> float:
    """A higher confidence, which keeps a bootstrap over few patients from being too narrow.

    A resample varies less than a sample, by sqrt((n - 1) / n), and a bootstrap has normal
    quantiles where quantiles of t belong. Both are corrected by the level that
    sqrt(n / (n - 1)) t(n - 1) has on the normal scale (Hesterberg 2015, the expanded percentile
    interval). n_scarcer: patients of the scarcer class, 2 or more; this is the cautious choice.
    With 24 patients 0.95 becomes 0.965. With fewer than about five it nears 1, and the interval
    spans all of 2,000 resamples.
    """
    quantile = float(stdtrit(n_scarcer - 1, (1 + confidence) / 2))
    wider = 2 * NormalDist().cdf((n_scarcer / (n_scarcer - 1)) ** 0.5 * quantile) - 1
    return min(wider, 1 - 1e-9)


def bca_undefined(estimate: float, valid_R: Float64s, jackknife_P: Float64s) -> str | None:
    """Return why there is no BCa interval, or None if there is one."""
    if np.isnan(jackknife_P).any():
        return "one class lives in a single patient: without that patient there is no AUC-ROC"
    if not 0 < _share_below(estimate, valid_R) < 1:
        return "all resamples lie on one side of the estimate: its bias correction is infinite"
    return None


def _share_below(estimate: float, valid_R: Float64s) -> float:
    """Share of resamples below the estimate; equal ones count half."""
    return float((np.mean(valid_R < estimate) + np.mean(valid_R <= estimate)) / 2)
