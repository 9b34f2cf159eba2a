"""The mean AUC-ROC of a variant over its replicates, for other trainings and other patients.

The two variances are those of `two_way`, for the AUC-ROC itself in place of a difference of two.
The interval is made on the logit scale, so that it stays within 0 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit, stdtrit  # type: ignore[import-untyped]

from lussweep.analysis.bootstrap import Interval, point_auroc
from lussweep.analysis.contrasts import CONFIDENCE, MIN_PATIENTS, ONE_REPLICATE, few_patients
from lussweep.analysis.paired import PairedWins
from lussweep.analysis.pooling import pool_variances
from lussweep.analysis.two_way import TwoWay, patient_covariance, two_way


class MeanAuroc(NamedTuple):
    """A mean over replicates; `withheld` says why there is no interval."""

    aurocs: tuple[float, ...]
    """Of the replicates, in their order."""
    auroc: float
    over_both: TwoWay | None
    interval: Interval | None
    """95 % over trainings and holdout patients."""
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
    auroc_of = {n: np.array([point_auroc(m) for m in found]) for n, found in matrices.items()}
    spread = {n: float(a.var(ddof=1)) for n, a in auroc_of.items() if len(a) > 1}
    df_of = {n: len(auroc_of[n]) - 1 for n in spread}
    pooled = pool_variances(spread, df_of, nested=nested) if spread else {}
    found = {}
    for n, paired in paired_by_count.items():
        aurocs, mean = tuple(auroc_of[n].tolist()), float(auroc_of[n].mean())
        both, withheld = None, None
        if paired.n_scarcer < MIN_PATIENTS:
            withheld = few_patients(paired.n_scarcer)
        elif n not in pooled:
            withheld = ONE_REPLICATE
        elif not 0 < mean < 1:
            withheld = PERFECT
        else:
            patients = patient_covariance(matrices[n])
            variance, df, _ = pooled[n]
            if patients.conditional > 0:
                variance = max(variance, patients.own)
                both = two_way(
                    mean, len(aurocs), variance, df, patients.between, patients.between_df
                )
            else:
                withheld = "no variance: all replicates rank every pair of patients alike"
        interval = None if both is None else _on_logit(both)
        found[n] = MeanAuroc(aurocs, mean, both, interval, withheld)
    return found


def _on_logit(found: TwoWay) -> Interval:
    mean = found.difference
    reach = found.standard_error / (mean * (1 - mean))
    reach *= float(stdtrit(found.df, (1 + CONFIDENCE) / 2))
    return Interval(float(expit(logit(mean) - reach)), float(expit(logit(mean) + reach)))
