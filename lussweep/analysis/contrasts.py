"""Paired contrasts of two variants on the same holdout patients and the same replicates.

The effect is the mean over replicates of AUC-ROC(variant) - AUC-ROC(reference). Its primary
interval is the expanded percentile interval of a bootstrap over holdout patients, conditional on
the trained models: every resample weighs the patients alike for both variants and all
replicates. It says how far other patients would move the effect, and nothing about other
trainings; those are judged apart, by the spread over replicates.
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

    A statistic that cannot be given is None, and `withheld` has the reason under its name.
    """

    variant: str
    reference: str
    replicates: tuple[int, ...]
    """Those that both variants have; no others enter."""
    auroc: float
    reference_auroc: float
    difference: float
    difference_by_replicate: tuple[float, ...]
    percentile_expanded: Interval
    """The promised interval: over patients, conditional on the trained models. The percentile
    interval at `bootstrap.expanded_confidence` for the scarcer class of patients."""
    percentile: Interval
    bca: Interval | None
    p_value: float
    """Two-sided, by inversion of the promised interval; see `bootstrap_p_value`."""
    p_holm: float | None
    """Adjusted for the planned contrasts; None where the contrast stands alone."""
    standard_error: float
    """Of the difference, over patients, conditional on the trained models."""
    replicate_interval: Interval | None
    """t interval of the mean over other trainings (and cohorts), on these same patients."""
    two_level_interval: Interval | None
    """Percentile interval over patients and replicates both."""
    rank_p_value: float | None
    """Wilcoxon's signed-rank test over replicates, exact, two-sided."""
    withheld: Mapping[str, str]
    confidence: float
    n_resamples: int
    """Drawn, those of one class included."""
    n_one_class: int
    """Resamples with a single class, left out."""
    n_all_patients: int
    n_pos_patients: int
    n_neg_patients: int


class Effect(NamedTuple):
    """The estimate alone, for what has no interval; the fields are those of `Contrast`."""

    replicates: tuple[int, ...]
    auroc: float
    reference_auroc: float
    difference: float
    difference_by_replicate: tuple[float, ...]


class NonInferiority(NamedTuple):
    """Whether a variant is at most `margin` worse than its reference."""

    margin: float
    alpha: float
    """One-sided error rate: half of what the contrast's promised interval leaves out."""
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
    """The contrast of two variants over the replicates that both have.

    The same seed draws the same patients, so contrasts of one study are comparable with one
    another. Raises ValueError if the variants share no replicate or are one and the same, or if
    a class has fewer than two patients.
    """
    effect = mean_effect(paired, variant, reference)
    if paired.n_scarcer < 2:
        raise ValueError(FEW_PATIENTS)
    n = len(effect.replicates)
    difference_K = _differences(paired, variant, reference, effect.replicates)
    # The sum over replicates is resampled, and divided by their number last: see `_differences`.
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
    """The effect without its uncertainty, which a class in a single patient does not have.

    Raises ValueError if the variants share no replicate or are one and the same.
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

    With R resamples of the difference the percentile interval gives
    p = 2 min(1 + #{<= 0}, 1 + #{>= 0}) / (R + 1), at most 1 (the added ones: Davison & Hinkley
    1997). Expanded, with z the normal quantile of 1 - p/2 and n patients of the scarcer class,
    2 or more, that is the two-sided tail of Student's t(n - 1) beyond z sqrt((n - 1) / n). The
    expanded interval of confidence 1 - p is about the widest that leaves 0 out. The smallest
    p-value of 2,000 resamples is 0.004 with 24 patients; with four or fewer it exceeds 0.05.
    """
    n_low, n_high = int((valid_R <= 0).sum()), int((valid_R >= 0).sum())
    tail = min(0.5, (1 + min(n_low, n_high)) / (len(valid_R) + 1))
    quantile = NormalDist().inv_cdf(tail) * ((n_scarcer - 1) / n_scarcer) ** 0.5
    return 2 * float(stdtr(n_scarcer - 1, quantile))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's (1979) step-down adjusted p-values, in the order given.

    Raises ValueError for a value outside [0, 1].
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"p-values lie between 0 and 1, found {list(p_values)}")
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return tuple(adjusted)


def non_inferiority(found: Contrast, margin: float) -> NonInferiority:
    """Non-inferior if the lower end of the promised 95 % interval lies above -margin.

    That is a one-sided test at alpha 0.025 on AUC-ROC, conditional on the trained models. The
    margin is to be fixed before the scores are seen. Raises ValueError for a margin that is
    not positive, or a contrast of another confidence than 0.95.
    """
    if not margin > 0:
        raise ValueError(f"margin is {margin}, it must be positive")
    if found.confidence != 0.95:
        raise ValueError(f"alpha is 0.025: 95 % confidence is needed, not {found.confidence}")
    low = found.percentile_expanded.low
    return NonInferiority(margin, 0.025, low, low > -margin)


def _differences(
    paired: PairedWins, variant: str, reference: str, replicates: Sequence[int]
) -> list[WinMatrix]:
    """Wins of the variant less those of its reference, by replicate.

    Wins are halves of whole numbers: sums of them are exact, so that no difference is 0, not
    1e-17.
    """
    return [paired.matrix(paired.wins[variant, k] - paired.wins[reference, k]) for k in replicates]


def _mean_auroc(paired: PairedWins, variant: str, replicates: Sequence[int]) -> float:
    total_PP = np.sum([paired.wins[variant, k] for k in replicates], axis=0)
    return point_auroc(paired.matrix(total_PP)) / len(replicates)


def _divided(interval: Interval, n: int) -> Interval:
    return Interval(interval.low / n, interval.high / n)
