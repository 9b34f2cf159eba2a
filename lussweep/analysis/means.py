"""The mean AUC-ROC of a variant over its replicates, for other trainings and other patients.

The variance over patients is that of `auroc_interval`. The variance over trainings is that of
`two_way`. The interval is that of the independent units that the sum of both variances is worth
(`effective`), so it holds near 1 and stays within 0 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lussweep.analysis.auroc_interval import PatientAuroc, auroc_interval, won_by_patient
from lussweep.analysis.bootstrap import Interval, point_auroc
from lussweep.analysis.contrasts import CONFIDENCE, ONE_REPLICATE
from lussweep.analysis.effective import few_patients, unit_interval
from lussweep.analysis.paired import PairedWins
from lussweep.analysis.pooling import pool_variances
from lussweep.analysis.two_way import PatientCovariance, TwoWay, patient_covariance, two_way
from lussweep.metrics.auroc import WinMatrix


class MeanAuroc(NamedTuple):
    """A mean over replicates; `withheld` says why there is no interval."""

    aurocs: tuple[float, ...]
    """One value for each replicate, in their order."""
    auroc: float
    over_both: TwoWay | None
    interval: Interval | None
    """95 % over trainings and holdout patients."""
    conditional: Interval | None
    """95 % over holdout patients, for these trained models."""
    withheld: str | None


PERFECT = "the AUC-ROC is 0 or 1: such a holdout cannot say how far from it others lie"


def mean_aurocs(
    paired_by_count: Mapping[int, PairedWins], variant: str, *, nested: bool = False
) -> dict[int, MeanAuroc]:
    """The mean AUC-ROC at every patient count, with the training variance pooled over counts.

    Raises ValueError for a count at which the variant has no replicate.
    """
    matrices = {
        n: [paired.matrix(paired.wins[variant, k]) for k in sorted(paired.replicates(variant))]
        for n, paired in paired_by_count.items()
    }
    if not all(matrices.values()):
        raise ValueError(f"{variant} has no replicate at some patient count")
    auroc_of = {n: np.array([point_auroc(m) for m in mean_of]) for n, mean_of in matrices.items()}
    spread = {n: float(a.var(ddof=1)) for n, a in auroc_of.items() if len(a) > 1}
    df_of = {n: len(auroc_of[n]) - 1 for n in spread}
    pooled = pool_variances(spread, df_of, nested=nested) if spread else {}
    mean_of = {}
    for n, paired in paired_by_count.items():
        aurocs, mean = tuple(auroc_of[n].tolist()), float(auroc_of[n].mean())
        patients = None if paired.n_scarcer < 2 else patient_covariance(matrices[n])
        withheld = few_patients(paired.n_scarcer) or _withheld(mean, n in pooled, patients)
        if withheld or patients is None:
            mean_of[n] = MeanAuroc(aurocs, mean, None, None, None, withheld)
            continue
        variance, training_df, _ = pooled[n]
        both = two_way(
            mean, len(aurocs), max(variance, patients.own), training_df,
            patients.between, patients.between_df,
        )  # fmt: skip
        over_patients = _over_patients(matrices[n])
        interval = _interval(both, patients, over_patients)
        mean_of[n] = MeanAuroc(aurocs, mean, both, interval, over_patients.interval, None)
    return mean_of


def _withheld(mean: float, has_spread: bool, patients: PatientCovariance | None) -> str | None:
    """Why the mean of enough patients has no interval, or None if it has."""
    if not has_spread:
        return ONE_REPLICATE
    if not 0 < mean < 1:
        return PERFECT
    if patients is not None and patients.conditional <= 0:
        return "no variance: all replicates rank every pair of patients alike"
    return None


def _over_patients(matrix_K: Sequence[WinMatrix]) -> PatientAuroc:
    """The mean over replicates with its interval over holdout patients alone."""
    wins_PP = np.mean([matrix.wins_PP for matrix in matrix_K], axis=0)
    return auroc_interval(won_by_patient(matrix_K[0]._replace(wins_PP=wins_PP)))


def _interval(both: TwoWay, patients: PatientCovariance, over_patients: PatientAuroc) -> Interval:
    """The interval of the independent units that both variances are worth together.

    The jackknife gives the variance that trainings add to the variance over patients. The variance
    over patients is the moderated one of `auroc_interval`, for the mean over replicates.
    """
    assert over_patients.standard_error is not None, "neither 0 nor 1, and patients enough"
    of_patients = over_patients.standard_error**2
    of_trainings = max(0.0, both.standard_error**2 - patients.conditional)
    total, mean = of_patients + of_trainings, both.difference
    squares = of_trainings**2 / both.training_df + of_patients**2 / patients.conditional_df
    n_effective = min(over_patients.n_effective_pos, over_patients.n_effective_neg)
    return unit_interval(
        mean,
        mean * (1 - mean) / total,
        n_least=(n_effective - 1) * of_patients / total,
        df=total**2 / squares,
        confidence=CONFIDENCE,
    )
