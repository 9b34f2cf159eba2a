"""The AUC-ROC of one cell with its interval over patients: this trained model, other patients.

A positive patient's frames win a share of their pairs with all negative frames, and a negative
patient's frames lose a share of theirs. The AUC-ROC is the mean of either share over patients,
weighted by frames. Its variance is the sum of the variances of both means (DeLong 1988, with
patients in the place of frames), plus twice their covariance over patients with frames of both
classes (Obuchowski 1997, Nonparametric analysis of clustered ROC curve data, Biometrics 53). The
interval is that of `effective`. Its effective patients k are the harmonic mean of those of both
classes, which takes errors to be as frequent in one class as in the other. A bootstrap does not
hold with few patients or near 1, because it never draws a patient of a kind that the holdout lacks.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from lussweep.analysis.bootstrap import Interval
from lussweep.analysis.effective import (
    dominance,
    effective_patients,
    independent_units,
    too_few,
    unit_interval,
    variance_of_mean,
)
from lussweep.metrics.auroc import Float64s, Int64s, WinMatrix


class Won(NamedTuple):
    """Pairs won by patient: the sums of a win matrix over columns and over rows, shape (P,)."""

    by_pos_P: Float64s
    by_neg_P: Float64s
    """Pairs of the patient's negative frames that positive frames won."""
    n_pos_P: Int64s
    n_neg_P: Int64s


class PatientAuroc(NamedTuple):
    """An AUC-ROC, its interval over patients, and what the interval rests on."""

    estimate: float
    interval: Interval | None
    withheld: str | None
    """Why there is no interval; None if there is one."""
    standard_error: float | None
    """Over patients, moderated as in `effective`. None without an interval, and at 0 and 1."""
    n_pos_patients: int
    """Patients with a positive unit. Some may have negative units too."""
    n_neg_patients: int
    n_effective_pos: float
    n_effective_neg: float


def won_by_patient(matrix: WinMatrix) -> Won:
    """The sums of a win matrix; these are all that an interval needs."""
    wins_PP = matrix.wins_PP
    return Won(wins_PP.sum(axis=1), wins_PP.sum(axis=0), matrix.n_pos_P, matrix.n_neg_P)


def auroc_interval(won: Won, *, confidence: float = 0.95) -> PatientAuroc:
    """The AUC-ROC with its interval over patients, withheld under 5 patients of a class.

    Raises ValueError for a class without frames, or a confidence outside (0, 1).
    """
    n_pos, n_neg = float(won.n_pos_P.sum()), float(won.n_neg_P.sum())
    if not n_pos or not n_neg:
        raise ValueError("both classes are needed")
    estimate = float(won.by_pos_P.sum() / (n_pos * n_neg))
    has_pos_P, has_neg_P = won.n_pos_P > 0, won.n_neg_P > 0
    n_patients = int(has_pos_P.sum()), int(has_neg_P.sum())
    n_effective = effective_patients(won.n_pos_P), effective_patients(won.n_neg_P)
    if withheld := too_few(*n_patients):
        return PatientAuroc(estimate, None, withheld, None, *n_patients, *n_effective)
    variances = (
        _variance(won.by_pos_P[has_pos_P], won.n_pos_P[has_pos_P], n_neg),
        _variance(won.by_neg_P[has_neg_P], won.n_neg_P[has_neg_P], n_pos),
    )
    df = _degrees_of_freedom(variances, n_patients)
    total = sum(variances)
    variance = max(total + 2 * _covariance(won, estimate), total / 20)  # stays above 0
    of_both = 2 / (1 / n_effective[0] + 1 / n_effective[1])
    n_units = independent_units(estimate, variance, of_both, df)
    error = (estimate * (1 - estimate) / n_units) ** 0.5 if 0 < estimate < 1 else None
    interval = unit_interval(
        estimate, n_units, n_least=min(n_effective) - 1, df=df, confidence=confidence
    )
    return PatientAuroc(estimate, interval, None, error, *n_patients, *n_effective)


def _variance(won_P: Float64s, n_frames_P: Int64s, n_others: float) -> float:
    """Variance of the AUC-ROC over the patients of one class."""
    return variance_of_mean(won_P / (n_frames_P * n_others), n_frames_P / n_frames_P.sum())


def _covariance(won: Won, estimate: float) -> float:
    """Covariance of the two classes' means, over the patients who have frames of both."""
    both_P = (won.n_pos_P > 0) & (won.n_neg_P > 0)
    if not both_P.any():
        return 0.0
    n_pairs = float(won.n_pos_P.sum()) * float(won.n_neg_P.sum())
    weight_pos_P, weight_neg_P = (n_P / n_P.sum() for n_P in (won.n_pos_P, won.n_neg_P))
    lead_pos_P = won.by_pos_P / n_pairs - weight_pos_P * estimate
    lead_neg_P = won.by_neg_P / n_pairs - weight_neg_P * estimate
    factor = math.sqrt(dominance(weight_pos_P) * dominance(weight_neg_P))
    return factor * float(lead_pos_P[both_P] @ lead_neg_P[both_P])


def _degrees_of_freedom(variances: tuple[float, float], n_patients: tuple[int, int]) -> float:
    """Degrees of freedom of a sum of two variances (Satterthwaite 1946).

    If both are 0, they are those of the smaller class.
    """
    df_of_class = [n - 1 for n in n_patients]
    if not sum(variances):
        return float(min(df_of_class))
    shares = [variance / sum(variances) for variance in variances]
    return 1 / sum(share**2 / n for share, n in zip(shares, df_of_class, strict=True))
