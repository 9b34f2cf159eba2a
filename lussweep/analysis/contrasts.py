"""Paired contrasts of two variants on the same holdout patients and the same replicates.

The effect is the mean over replicates of AUC-ROC(variant) - AUC-ROC(reference). Its interval and
p-value are about other trainings and other holdout patients (`two_way`). A second interval, under
the name `conditional`, is about other holdout patients alone, for these trained models.

The primary interval is of score type, because a lucky holdout has both a higher AUC-ROC and a
smaller variance. At each end the variance is that of the AUC-ROCs implied there. It grows by
[h(A') + h(B)] / [h(A) + h(B)] with h(A) = A (1 - A). A' is the value to which the better AUC-ROC A
would have to fall. The p-value is the level at which an end of the interval is 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from lussweep.analysis.bootstrap import Interval, point_auroc
from lussweep.analysis.effective import few_patients
from lussweep.analysis.paired import PairedWins
from lussweep.analysis.pooling import Model, pool_variances
from lussweep.analysis.two_way import PatientCovariance, TwoWay, patient_covariance, two_way
from lussweep.metrics.auroc import WinMatrix

CONFIDENCE = 0.95
HIGHEST = 0.95
"""AUC-ROC above which non-inferiority is not judged."""


class Effect(NamedTuple):
    """The mean difference over replicates, without its uncertainty."""

    replicates: tuple[int, ...]
    """Replicates that both variants have. Only these are used."""
    auroc: float
    reference_auroc: float
    difference: float
    difference_by_replicate: tuple[float, ...]


class Contrast(NamedTuple):
    """An effect with its uncertainty; `withheld` says why a part of it is None."""

    effect: Effect
    patients: PatientCovariance | None
    conditional: Interval | None
    """95 % over holdout patients, for these trained models."""
    over_both: TwoWay | None
    """Over trainings and holdout patients: the primary analysis."""
    model: Model | None
    """The source of the training variance: the trend over patient counts, or this count alone."""
    withheld: str | None

    @property
    def interval(self) -> Interval | None:
        """The primary interval: 95 % over trainings and holdout patients."""
        both, effect = self.over_both, self.effect
        if both is None:
            return None
        reach = both.standard_error * float(stdtrit(both.df, (1 + CONFIDENCE) / 2))
        variant, reference = effect.auroc, effect.reference_auroc
        return Interval(
            both.difference - _score_reach(reach, variant, reference, both.difference),
            both.difference + _score_reach(reach, reference, variant, -both.difference),
        )

    @property
    def p_value(self) -> float | None:
        """Two-sided, of "no difference", for other trainings and other holdout patients."""
        both, effect = self.over_both, self.effect
        if both is None:
            return None
        higher, lower = effect.auroc, effect.reference_auroc
        if both.difference < 0:
            higher, lower = lower, higher
        error = both.standard_error * _growth(lower, higher, lower) ** 0.5
        return 2 * float(stdtr(both.df, -abs(both.difference) / error))

    def non_inferior(self, margin: float) -> bool | None:
        """Whether the primary interval lies above -margin: one-sided, alpha 0.025.

        Fix the margin before you see the scores. With an AUC-ROC above `HIGHEST` the answer is
        None, because such a holdout shows too few errors: in simulated studies up to 7 % of
        variants at the margin would have been called non-inferior, in place of 2.5 %. Raises
        ValueError unless the margin is positive.
        """
        if not margin > 0:
            raise ValueError(f"margin is {margin}, it must be positive")
        if self.interval is None:
            return None
        if self.interval.low <= -margin:
            return False
        return None if max(self.effect.auroc, self.effect.reference_auroc) > HIGHEST else True


def _growth(implied: float, actual: float, other: float) -> float:
    """The growth of the variance if an AUC-ROC is `implied` instead of `actual`."""
    now = actual * (1 - actual) + other * (1 - other)
    return (implied * (1 - implied) + other * (1 - other)) / now if now > 0 else 1.0


def _score_reach(reach: float, falling: float, other: float, difference: float) -> float:
    """How far an end lies from the difference, if `falling` is the AUC-ROC that falls there.

    It is the only distance at which the implied variance reaches as far. Iteration would swing
    around it where the interval is wide and the AUC-ROCs are near 1.
    """

    def beyond(distance: float) -> float:
        implied = min(1.0, max(0.0, other + difference - distance))
        return float(reach * _growth(implied, falling, other) ** 0.5 - distance)

    furthest = reach * max(1.0, _growth(0.5, falling, other) ** 0.5)
    return float(brentq(beyond, 0.0, furthest, xtol=1e-15)) if furthest > 0 else 0.0


def contrasts(
    paired_by_count: Mapping[int, PairedWins], variant: str, reference: str, *, nested: bool = False
) -> dict[int, Contrast]:
    """The contrast of two variants at every patient count, with the training variance pooled.

    Nothing is pooled with `nested` cohorts: their training variances are not independent. Raises
    ValueError if they share no replicate at some count, or are the same.
    """
    effects = {n: mean_effect(paired, variant, reference) for n, paired in paired_by_count.items()}
    spread = {
        n: float(np.var(effect.difference_by_replicate, ddof=1))
        for n, effect in effects.items()
        if len(effect.replicates) > 1
    }
    df = {n: len(effects[n].replicates) - 1 for n in spread}
    pooled = pool_variances(spread, df, nested=nested) if spread else {}
    contrast_of = {}
    for n, paired in paired_by_count.items():
        effect = effects[n]
        if few := few_patients(paired.n_scarcer):
            contrast_of[n] = Contrast(effect, None, None, None, None, few)
            continue
        patients = patient_covariance(differences(paired, variant, reference, effect.replicates))
        if patients.conditional <= 0:  # a trend over patient counts may still have a variance
            contrast_of[n] = Contrast(effect, patients, None, None, None, NO_VARIANCE)
            continue
        conditional = _conditional(effect.difference, patients)
        if n not in pooled:
            contrast_of[n] = Contrast(effect, patients, conditional, None, None, ONE_REPLICATE)
            continue
        variance, training_df, model = pooled[n]
        k, variance = len(effect.replicates), max(variance, patients.own)
        both = two_way(
            effect.difference, k, variance, training_df, patients.between, patients.between_df
        )
        contrast_of[n] = Contrast(effect, patients, conditional, both, model, None)
    return contrast_of


ONE_REPLICATE = "1 replicate: what other trainings would change is not known, 2 or more are needed"
NO_VARIANCE = "no variance: both variants rank every pair of patients alike in every replicate"


def _conditional(difference: float, patients: PatientCovariance) -> Interval:
    reach = float(stdtrit(patients.conditional_df, (1 + CONFIDENCE) / 2))
    reach *= patients.conditional**0.5
    return Interval(difference - reach, difference + reach)


def mean_effect(paired: PairedWins, variant: str, reference: str) -> Effect:
    """Compute the effect. Raises ValueError if the variants share no replicate or are the same."""
    if variant == reference:
        raise ValueError(f"{variant} cannot be its own reference")
    replicates = sorted(paired.replicates(variant) & paired.replicates(reference))
    if not replicates:
        raise ValueError(f"{variant} and {reference} share no replicate")
    difference_K = differences(paired, variant, reference, replicates)
    # Sums over replicates are exact, so the division by their number comes last: `differences`.
    total = paired.matrix(np.sum([difference.wins_PP for difference in difference_K], axis=0))
    return Effect(
        replicates=tuple(replicates),
        auroc=_mean_auroc(paired, variant, replicates),
        reference_auroc=_mean_auroc(paired, reference, replicates),
        difference=point_auroc(total) / len(replicates),
        difference_by_replicate=tuple(point_auroc(difference) for difference in difference_K),
    )


def holm(p_values: Sequence[float], n_planned: int | None = None) -> tuple[float, ...]:
    """Step-down adjusted p-values (Holm 1979), in the order given.

    n_planned: the size of the family, if some of its p-values could not be computed. Those count
    as 1. Raises ValueError for a value outside [0, 1], or more values than were planned.
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"p-values lie between 0 and 1, found {list(p_values)}")
    n = len(p_values) if n_planned is None else n_planned
    if n < len(p_values):
        raise ValueError(f"{len(p_values)} p-values of {n} that were planned")
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (n - rank) * p_values[i]))
        adjusted[i] = highest
    return tuple(adjusted)


def differences(
    paired: PairedWins, variant: str, reference: str, replicates: Sequence[int]
) -> list[WinMatrix]:
    """Wins of the variant less wins of its reference, by replicate.

    Wins of frames and of patient means are multiples of one half, so their sums are exact. Equal
    variants differ by exactly 0 at every level, not by 1e-17.
    """
    return [paired.matrix(paired.wins[variant, k] - paired.wins[reference, k]) for k in replicates]


def _mean_auroc(paired: PairedWins, variant: str, replicates: Sequence[int]) -> float:
    total_PP = np.sum([paired.wins[variant, k] for k in replicates], axis=0)
    return point_auroc(paired.matrix(total_PP)) / len(replicates)
