"""Paired contrasts of two variants on the same holdout patients and the same replicates.

The effect is the mean over replicates of AUC-ROC(variant) - AUC-ROC(reference). Its promised
interval is the expanded percentile interval of a bootstrap over holdout patients, conditional on
the trained models. Every resample gives the patients the same weights for both variants and all
replicates. The interval says how far other patients would move the effect. It says nothing about
other trainings; the spread over replicates does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from scipy.special import stdtr  # type: ignore[import-untyped]

from lussweep.analysis.bootstrap import (
    Interval,
    expanded_confidence,
    percentile_interval,
    point_auroc,
    summarise,
    valid_resamples,
)
from lussweep.analysis.paired import PairedWins
from lussweep.analysis.replicates import rank_test, t_interval, two_level_interval
from lussweep.metrics.auroc import Float64s, WinMatrix

FEW_PATIENTS = "one class lives in a single patient: patients cannot be resampled"


class Contrast(NamedTuple):
    """Mean over replicates of AUC-ROC(variant) - AUC-ROC(reference), with its uncertainty.

    A statistic that cannot be computed is None, and `withheld` has the reason under its name.
    """

    variant: str
    reference: str
    replicates: tuple[int, ...]
    """Replicates that both variants have. No others enter."""
    auroc: float
    reference_auroc: float
    difference: float
    difference_by_replicate: tuple[float, ...]
    percentile_expanded: Interval
    """The promised interval: over patients, conditional on the trained models. It is the percentile
    interval at `bootstrap.expanded_confidence` for the scarcer class of patients."""
    percentile: Interval
    bca: Interval | None
    p_value: float
    """Two-sided, by inversion of the promised interval; see `bootstrap_p_value`."""
    p_holm: float | None
    """p-value adjusted for the planned contrasts; None if the contrast stands alone."""
    standard_error: float
    """Standard error of the difference, over patients, conditional on the trained models."""
    replicate_interval: Interval | None
    """t interval of the mean over other trainings (and cohorts), on the same holdout patients."""
    two_level_interval: Interval | None
    """Percentile interval over both patients and replicates."""
    rank_p_value: float | None
    """Wilcoxon's signed-rank test over replicates, exact, two-sided."""
    withheld: Mapping[str, str]
    confidence: float
    n_resamples: int
    """Resamples drawn, including those with a single class."""
    n_one_class: int
    """Resamples with a single class. They are left out."""
    n_all_patients: int
    n_pos_patients: int
    n_neg_patients: int


class Effect(NamedTuple):
    """The estimate alone, for a contrast without an interval; fields as in `Contrast`."""

    replicates: tuple[int, ...]
    auroc: float
    reference_auroc: float
    difference: float
    difference_by_replicate: tuple[float, ...]


class NonInferiority(NamedTuple):
    """Whether a variant is at most `margin` worse than its reference."""

    margin: float
    alpha: float
    """One-sided error rate: half of the probability outside the contrast's promised interval."""
    lower_bound: float
    non_inferior: bool


def contrast(
    paired: PairedWins,
    variant: str,
    reference: str,
    *,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int,
) -> Contrast:
    """Compute the contrast of two variants over the replicates that both have.

    The same seed draws the same patients, so the contrasts of one study are comparable. Raises
    ValueError if the variants share no replicate or are the same, or if a class has fewer than
    two patients.
    """
    effect = mean_effect(paired, variant, reference)
    if paired.n_scarcer < 2:
        raise ValueError(FEW_PATIENTS)
    n = len(effect.replicates)
    difference_K = _differences(paired, variant, reference, effect.replicates)
    # Sums over replicates are exact, so the division by their number comes last: `_differences`.
    total = paired.matrix(np.sum([difference.wins_PP for difference in difference_K], axis=0))
    valid_R = valid_resamples(total, n_resamples, seed=seed)
    summary = summarise(total, valid_R, n_resamples=n_resamples, confidence=confidence)
    wider = expanded_confidence(confidence, paired.n_scarcer)
    expanded = percentile_interval(valid_R, wider)
    by_replicate_K = np.array(effect.difference_by_replicate)
    across = t_interval(by_replicate_K, confidence)
    both = two_level_interval(
        difference_K, n_resamples=n_resamples, confidence=confidence, seed=seed
    )
    ranks = rank_test(by_replicate_K)
    reasons = {
        "bca": summary.bca_withheld,
        "replicate_interval": across.withheld,
        "two_level_interval": both.withheld,
        "rank_p_value": ranks.withheld,
    }
    return Contrast(
        variant=variant,
        reference=reference,
        **effect._asdict(),
        percentile_expanded=_divided(expanded, n),
        percentile=_divided(summary.percentile, n),
        bca=None if summary.bca is None else _divided(summary.bca, n),
        p_value=bootstrap_p_value(valid_R, paired.n_scarcer),
        p_holm=None,
        standard_error=summary.standard_error / n,
        replicate_interval=across.interval,
        two_level_interval=both.interval,
        rank_p_value=ranks.p_value,
        withheld={name: reason for name, reason in reasons.items() if reason is not None},
        confidence=confidence,
        n_resamples=n_resamples,
        n_one_class=summary.n_one_class,
        n_all_patients=summary.n_all_patients,
        n_pos_patients=summary.n_pos_patients,
        n_neg_patients=summary.n_neg_patients,
    )


def mean_effect(paired: PairedWins, variant: str, reference: str) -> Effect:
    """Compute the effect without its uncertainty, which needs two patients in each class.

    Raises ValueError if the variants share no replicate or are the same.
    """
    if variant == reference:
        raise ValueError(f"{variant} cannot be its own reference")
    replicates = sorted(paired.replicates(variant) & paired.replicates(reference))
    if not replicates:
        raise ValueError(f"{variant} and {reference} share no replicate")
    difference_K = _differences(paired, variant, reference, replicates)
    total = paired.matrix(np.sum([difference.wins_PP for difference in difference_K], axis=0))
    return Effect(
        replicates=tuple(replicates),
        auroc=_mean_auroc(paired, variant, replicates),
        reference_auroc=_mean_auroc(paired, reference, replicates),
        difference=point_auroc(total) / len(replicates),
        difference_by_replicate=tuple(point_auroc(difference) for difference in difference_K),
    )


def bootstrap_p_value(valid_R: Float64s, n_scarcer: int) -> float:
    """Two-sided p-value of "no difference", by inversion of the expanded percentile interval.

    With R resamples of the difference, the plain percentile interval gives
    p = 2 min(1 + #{<= 0}, 1 + #{>= 0}) / (R + 1), at most 1 (the added ones follow Davison &
    Hinkley 1997). Let z be the normal quantile of 1 - p/2, and n the number of patients of the
    scarcer class, 2 or more. The expanded p-value is the two-sided tail of Student's t(n - 1)
    beyond z sqrt((n - 1) / n). The expanded interval at confidence 1 - p is then about the widest
    that excludes 0. The smallest p-value that 2,000 resamples can give is 0.004 with 24 patients.
    With four or fewer it exceeds 0.05.
    """
    n_low, n_high = int((valid_R <= 0).sum()), int((valid_R >= 0).sum())
    tail = min(0.5, (1 + min(n_low, n_high)) / (len(valid_R) + 1))
    quantile = NormalDist().inv_cdf(tail) * ((n_scarcer - 1) / n_scarcer) ** 0.5
    return 2 * float(stdtr(n_scarcer - 1, quantile))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Step-down adjusted p-values (Holm 1979), in the order given.

    Raises ValueError for a value outside [0, 1].
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"p-values lie between 0 and 1, found {list(p_values)}")
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return tuple(adjusted)


def non_inferiority(contrast: Contrast, margin: float) -> NonInferiority:
    """Call a variant non-inferior if the promised 95 % interval lies above -margin.

    This is a one-sided test at alpha 0.025 on AUC-ROC, conditional on the trained models. Fix the
    margin before you see the scores. Raises ValueError for a margin that is not positive, or a
    contrast of another confidence than 0.95.
    """
    if not margin > 0:
        raise ValueError(f"margin is {margin}, it must be positive")
    if contrast.confidence != 0.95:
        raise ValueError(f"alpha is 0.025: 95 % confidence is needed, not {contrast.confidence}")
    low = contrast.percentile_expanded.low
    return NonInferiority(margin, 0.025, low, low > -margin)


def _differences(
    paired: PairedWins, variant: str, reference: str, replicates: Sequence[int]
) -> list[WinMatrix]:
    """Wins of the variant less wins of its reference, by replicate.

    Wins are multiples of one half, so their sums are exact. Equal variants differ by exactly 0,
    not by 1e-17.
    """
    return [paired.matrix(paired.wins[variant, k] - paired.wins[reference, k]) for k in replicates]


def _mean_auroc(paired: PairedWins, variant: str, replicates: Sequence[int]) -> float:
    total_PP = np.sum([paired.wins[variant, k] for k in replicates], axis=0)
    return point_auroc(paired.matrix(total_PP)) / len(replicates)


def _divided(interval: Interval, n: int) -> Interval:
    return Interval(interval.low / n, interval.high / n)
