"""Usefulness of a GAN metric: does it predict the gain in AUC-ROC from synthetic frames?

It is the rank correlation between a generator's metric and the gain in AUC-ROC of the cell that
was trained with the generator's frames. It is an association over few cells, not a cause. Cells
of one cohort share patients, so cohorts are resampled.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lussweep.analysis.bootstrap import (
    IntervalEstimate,
    expanded_confidence,
    percentile_estimate,
)
from lussweep.analysis.rank_correlation import Float64s, Weights, kendall, signs, spearman
from lussweep.metrics.auroc import patient_weights
from lussweep.study.spec import SCORES

Integers = NDArray[np.integer[Any]]

MIN_CELLS = 6
"""Least cells for a correlation: with five, a perfect order comes by chance once in 120."""
MIN_UNITS = 6
"""Least cohorts (or replicates, where cohorts are nested) for an interval."""
N_PERMUTATIONS = 1999


class PairedGains(NamedTuple):
    """Gains of the G cells that have a baseline.

    cell_G: index of the cell. gain_G: its AUC-ROC less that of the baseline.
    """

    cell_G: NDArray[np.intp]
    gain_G: Float64s


@dataclass(frozen=True, kw_only=True)
class Usefulness:
    """Rank correlations of one metric with the gain. Positive: the better metric, the larger gain.

    The `within` correlations compare only cells of the same patient count. More patients may both
    improve a GAN and lower the gain, and so correlate the two over all counts even if the metric
    predicts nothing. A correlation that cannot be computed is None, and an interval is NaN;
    `reason` says why. `n_undefined` of an estimate counts resamples in which all metrics or all
    gains are equal. n_missing: cells without a metric, which are left out.
    """

    metric: str
    n_cells: int
    n_units: int
    """Cohorts, or replicates where cohorts are nested: what is resampled."""
    n_missing: int
    spearman: IntervalEstimate | None
    kendall: IntervalEstimate | None
    spearman_within: IntervalEstimate | None
    kendall_within: IntervalEstimate | None
    p_value: float | None
    """The p-value of "within a patient count the metric does not predict the gain"; see
    `permutation_p_value`."""
    reason: str


def oriented(metric: str, value_C: Float64s) -> Float64s:
    """Turn a metric's C values so that larger is better.

    The result is the value, its negative, or minus its distance to the metric's goal in SCORES.
    Raises ValueError for a metric that is not there, or has no goal.
    """
    if metric not in SCORES:
        raise ValueError(f"{metric!r}: {SCORES.unknown(metric)}")
    goal = SCORES[metric].goal
    if goal is None:
        raise ValueError(
            f"the score {metric} has no goal, so no value of it is better than another"
        )
    return np.array([-goal.shortfall(value) for value in value_C], dtype=np.float64)


def paired_gains(
    variant_C: Sequence[str] | NDArray[np.str_],
    n_patients_C: Integers,
    replicate_C: Integers,
    auroc_C: Float64s,
    *,
    baseline: str = "baseline",
) -> PairedGains:
    """AUC-ROC of each cell of another variant, less that of the baseline of the same cohort.

    A cohort is an (n_patients, replicate). Cells whose cohort has no baseline are left out.
    Raises ValueError for a cohort with two baselines, or AUC-ROCs that are not finite.
    """
    if not np.isfinite(auroc_C).all():
        raise ValueError("an AUC-ROC is not finite: leave out the cells that have none")
    rows = list(zip(variant_C, n_patients_C.tolist(), replicate_C.tolist(), auroc_C, strict=True))
    reference: dict[tuple[int, int], float] = {}
    for variant, n, replicate, value in rows:
        if variant == baseline:
            if (n, replicate) in reference:
                raise ValueError(f"two {baseline!r} cells at {n} patients, replicate {replicate}")
            reference[n, replicate] = float(value)
    pairs = [
        (i, float(value) - reference[n, replicate])
        for i, (variant, n, replicate, value) in enumerate(rows)
        if variant != baseline and (n, replicate) in reference
    ]
    return PairedGains(
        np.array([i for i, _ in pairs], dtype=np.intp),
        np.array([gain for _, gain in pairs], dtype=np.float64),
    )


def usefulness(
    metric: str,
    value_C: Float64s,
    gain_C: Float64s,
    n_patients_C: Integers,
    replicate_C: Integers,
    *,
    nested: bool = False,
    n_resamples: int = 2000,
    confidence: float = 0.95,
    seed: int,
) -> Usefulness:
    """Spearman's rho and Kendall's tau-b between a metric and the gain, over C cells.

    The interval draws cohorts (n_patients, replicate) with replacement, each with all of its
    cells; with `nested` it draws replicates, each with its cohorts of all patient counts. It is
    expanded for their number. It holds for other cohorts of the same pool, judged on the same
    holdout patients.
    value_C: the metric as reported, NaN for a cell without it; it is oriented here. gain_C: see
    `paired_gains`.

    There is no correlation with fewer than 6 cells, or if the metric or the gain is the same in
    all cells. There is no interval with fewer than 6 cohorts, or replicates. Raises ValueError for
    an unknown metric, shapes that differ, an infinite metric, a gain that is not finite,
    n_resamples < 1, or a confidence outside (0, 1).
    """
    shapes = {x.shape for x in (value_C, gain_C, n_patients_C, replicate_C)}
    if shapes != {(len(value_C),)}:
        raise ValueError(f"metric, gain, patient count and replicate have shapes {sorted(shapes)}")
    if np.isinf(value_C).any() or not np.isfinite(gain_C).all():
        raise ValueError("a metric is infinite or a gain is not finite")
    if n_resamples < 1 or not 0 < confidence < 1:
        raise ValueError(f"n_resamples is {n_resamples}, confidence {confidence}")
    kept_C = ~np.isnan(value_C)
    x_C, y_C = oriented(metric, value_C)[kept_C], gain_C[kept_C]
    count_C, kept_replicate_C = n_patients_C[kept_C], replicate_C[kept_C]
    apart_C = np.zeros_like(count_C) if nested else count_C
    units, unit_C = np.unique(
        np.stack([apart_C, kept_replicate_C], axis=1), axis=0, return_inverse=True
    )
    why_none, why_no_interval = _why_none(x_C, y_C), _why_no_interval(len(units), nested)
    reason, p_value = why_none or why_no_interval, None
    estimates: list[IntervalEstimate | None] = [None] * 4
    if not why_none:
        drawn_RU = patient_weights(len(units), n_resamples, seed=seed)
        wider = None if why_no_interval else expanded_confidence(confidence, len(units))
        estimates = _correlations(x_C, y_C, count_C, drawn_RU[:, unit_C.ravel()], wider)
        if estimates[2] is None:
            reason = "; ".join(filter(None, [reason, "within patient counts nothing differs"]))
        else:
            p_value = permutation_p_value(
                x_C, y_C, count_C, kept_replicate_C, nested=nested, seed=seed
            )
    return Usefulness(
        metric=metric,
        n_cells=len(x_C),
        n_units=len(units),
        n_missing=int((~kept_C).sum()),
        spearman=estimates[0],
        kendall=estimates[1],
        spearman_within=estimates[2],
        kendall_within=estimates[3],
        p_value=p_value,
        reason=reason,
    )


def _correlations(
    x_C: Float64s, y_C: Float64s, count_C: Integers, drawn_RC: Weights, confidence: float | None
) -> list[IntervalEstimate | None]:
    """Spearman and Kendall over all cells, then within patient counts.

    confidence: None for estimates without intervals.
    """
    # Row 0 holds the estimate, the other rows the resamples.
    weight_RC = np.concatenate([np.ones((1, len(x_C))), drawn_RC])
    same_CC = count_C[:, None] == count_C[None, :]
    return [
        _correlation(statistic(x_C, y_C, weight_RC, pairs_CC), confidence)
        for pairs_CC in (np.ones_like(same_CC), same_CC)
        for statistic in (spearman, kendall)
    ]


def permutation_p_value(
    x_C: Float64s,
    y_C: Float64s,
    n_patients_C: Integers,
    replicate_C: Integers,
    *,
    nested: bool,
    seed: int,
) -> float | None:
    """Two-sided p-value of Spearman's rho within patient counts, by 1,999 permutations.

    Gains are permuted between replicates of a patient count. With `nested` the same permutation is
    used at all counts, because the cohorts of one replicate belong together. That needs every
    replicate at every count. The smallest p-value is then 1 over the number of orders of the
    replicates: 0.17 for three. None if gains cannot be permuted, or a cohort has several cells.
    """
    if len(set(zip(n_patients_C.tolist(), replicate_C.tolist(), strict=True))) < len(x_C):
        return None
    same_CC = n_patients_C[:, None] == n_patients_C[None, :]
    rank_x_C, rank_y_C = (_signs_within(values, same_CC) for values in (x_C, y_C))
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(n_patients_C == n) for n in np.unique(n_patients_C)]
    groups = [group[np.argsort(replicate_C[group])] for group in groups]
    orders = np.tile(np.arange(len(x_C)), (N_PERMUTATIONS + 1, 1))
    if nested:
        first = replicate_C[groups[0]]
        if any(not np.array_equal(replicate_C[group], first) for group in groups):
            return None
        moved_RK = rng.permuted(np.tile(np.arange(len(first)), (N_PERMUTATIONS, 1)), axis=1)
        for group in groups:
            orders[1:, group] = group[moved_RK]
    else:
        for group in groups:
            orders[1:, group] = rng.permuted(np.tile(group, (N_PERMUTATIONS, 1)), axis=1)
    product_R = np.abs(rank_y_C[orders] @ rank_x_C)
    n_as_large = int((product_R[1:] >= product_R[0] - 1e-9).sum())
    return (1 + n_as_large) / (1 + N_PERMUTATIONS)


def _signs_within(value_C: Float64s, same_CC: NDArray[np.bool_]) -> Float64s:
    """Cells of the same count below less those above: twice the centred rank."""
    return np.asarray((signs(value_C) * same_CC).sum(axis=0), dtype=np.float64)


def benjamini_hochberg(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values that bound the false discovery rate (1995), in the order given.

    Raises ValueError for a value outside [0, 1].
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"p-values lie between 0 and 1, found {list(p_values)}")
    n = len(p_values)
    adjusted, lowest = [0.0] * n, 1.0
    for rank, i in enumerate(sorted(range(n), key=lambda i: -p_values[i])):
        lowest = min(lowest, p_values[i] * n / (n - rank))
        adjusted[i] = lowest
    return tuple(adjusted)


def _correlation(value_R: Float64s, confidence: float | None) -> IntervalEstimate | None:
    """The estimate in row 0, with an interval from the other rows; None if it does not exist."""
    if np.isnan(value_R[0]):
        return None
    if confidence is None:
        return IntervalEstimate(float(value_R[0]), np.nan, np.nan, 0)
    return percentile_estimate(float(value_R[0]), value_R[1:], confidence)


def _why_none(x_C: Float64s, y_C: Float64s) -> str:
    if len(x_C) < MIN_CELLS:
        return f"{len(x_C)} cells with this metric: {MIN_CELLS} are needed for a correlation"
    for name, values in (("metric", x_C), ("gain", y_C)):
        if (values == values[0]).all():
            return f"the {name} is the same in all {len(values)} cells"
    return ""


def _why_no_interval(n_units: int, nested: bool) -> str:
    if n_units >= MIN_UNITS:
        return ""
    drawn = "replicates of nested cohorts" if nested else "cohorts"
    return f"{n_units} {drawn}: {MIN_UNITS} are needed for an interval"
