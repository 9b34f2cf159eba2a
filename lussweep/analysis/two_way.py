"""The difference of two variants, over trainings and patients.

Each replicate trains both variants, and all models score the same holdout patients. This is the
design of a multi-reader study: trainings stand in the readers' place, variants in that of the
modalities. The analysis is Obuchowski and Rockette's (1995, Communications in Statistics,
Simulation 24:285) with the degrees of freedom of Hillis (2007, Statistics in Medicine 26:596).

With K replicates whose differences d_k have the sample variance S^2, and the covariance c that two
differences share because the patients are the same,

    Var(mean d) = S^2 / K + c.

For two modalities S^2 = 2 MS(TR) and c = 2 (Cov2 - Cov3) in their notation. S^2 holds the spread of
trainings and what a patient happens to do in one training. c holds what a patient does in all of
them; more replicates do not reduce it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import stdtr, stdtrit  # type: ignore[import-untyped]

from lussweep.analysis.bootstrap import Interval
from lussweep.metrics.auroc import Float64s, WinMatrix


class PatientCovariance(NamedTuple):
    """How holdout patients move the differences of K replicates."""

    within: float
    """Mean variance of one replicate's difference."""
    between: float
    """Mean covariance of two replicates' differences, 0 or more; 0 for one replicate."""
    df: float
    """Degrees of freedom of `between`, by Satterthwaite's rule over the two classes."""
    conditional: float
    """Variance of the mean difference, for these trained models."""


class TwoWay(NamedTuple):
    """A mean difference with its uncertainty over trainings and patients."""

    difference: float
    standard_error: float
    df: float
    training_variance: float
    """S^2: of one replicate's difference, pooled over patient counts where that was allowed."""
    patient_covariance: float
    """c: what more replicates do not reduce."""

    def interval(self, confidence: float) -> Interval:
        """Student's t interval; NaN where the standard error is 0."""
        reach = self.standard_error * float(stdtrit(self.df, (1 + confidence) / 2))
        return Interval(self.difference - reach, self.difference + reach)

    @property
    def p_value(self) -> float:
        """Two-sided, of "no difference"."""
        return 2 * float(stdtr(self.df, -abs(self.difference) / self.standard_error))


def two_way(
    difference: float,
    n_replicates: int,
    training_variance: float,
    training_df: float,
    patient_covariance: float,
    patient_df: float = np.inf,
) -> TwoWay:
    """Combine both sources. Raises ValueError if both are 0, or for negative ones.

    Hillis's degrees of freedom take the patients' covariance as known (`patient_df` infinite). With
    few patients it is not, so its own degrees of freedom enter Satterthwaite's rule as well.
    """
    from_trainings = training_variance / n_replicates
    variance = from_trainings + patient_covariance
    if min(from_trainings, patient_covariance) < 0 or variance <= 0:
        raise ValueError(f"variances are {training_variance} and {patient_covariance}")
    df = variance**2 / (from_trainings**2 / training_df + patient_covariance**2 / patient_df)
    return TwoWay(difference, variance**0.5, df, training_variance, patient_covariance)


def patient_covariance(difference_K: list[WinMatrix]) -> PatientCovariance:
    """Delete-one-patient jackknife of K differences of win matrices of the same patients.

    Every class needs 2 patients or more. A patient's lead is the change when he is left out. The
    jackknife of two samples weighs the squares of each class by (n - 1) / n (Arvesen 1969); a
    patient with frames of both classes has the factor of the scarcer one.
    """
    n_replicates = len(difference_K)
    lead_KP = np.stack([leads(matrix) for matrix in difference_K])
    n_pos_P, n_neg_P = difference_K[0].n_pos_P, difference_K[0].n_neg_P
    n_pos, n_neg = int((n_pos_P > 0).sum()), int((n_neg_P > 0).sum())
    n_own_P = np.where(n_pos_P > 0, np.where(n_neg_P > 0, min(n_pos, n_neg), n_pos), n_neg)
    square_KP = lead_KP**2 * (1 - 1 / n_own_P)
    mean_P = lead_KP.mean(axis=0) ** 2 * (1 - 1 / n_own_P)
    within_P, conditional = square_KP.mean(axis=0), float(mean_P.sum())
    if n_replicates == 1:
        return PatientCovariance(float(within_P.sum()), 0.0, np.inf, conditional)
    between_P = (n_replicates * mean_P - within_P) / (n_replicates - 1)
    parts = []
    for is_class_P, m_P in ((n_pos_P > 0, n_pos_P), (n_neg_P > 0, n_neg_P)):
        only_P = is_class_P & (n_own_P == is_class_P.sum())
        parts.append((max(0.0, float(between_P[only_P].sum())), effective_patients(m_P) - 1))
    total = max(0.0, float(between_P.sum()))
    squares = sum(part**2 / max(df, 1.0) for part, df in parts)
    df = sum(part for part, _ in parts) ** 2 / squares if squares > 0 else np.inf
    return PatientCovariance(float(within_P.sum()), total, df, conditional)


def leads(matrix: WinMatrix) -> Float64s:
    """The AUC-ROC (or difference) less that without each patient in turn, shape (P,)."""
    wins_PP, n_pos_P, n_neg_P = matrix
    total = wins_PP.sum()
    without_P = total - wins_PP.sum(axis=0) - wins_PP.sum(axis=1) + np.diag(wins_PP)
    pairs_P = (n_pos_P.sum() - n_pos_P) * (n_neg_P.sum() - n_neg_P)
    return np.asarray(total / (n_pos_P.sum() * n_neg_P.sum()) - without_P / pairs_P)


def effective_patients(n_frames_P: Float64s) -> float:
    """Patients of equal size that weigh as much: (sum m)^2 / sum m^2 (Kish 1965)."""
    m_P = np.asarray(n_frames_P, dtype=np.float64)
    return float(m_P.sum() ** 2 / (m_P**2).sum())
