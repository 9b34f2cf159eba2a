"""Uncertainty of a contrast from its spread over replicates, where there are enough of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit  # type: ignore[import-untyped]

from lussweep.analysis.bootstrap import Interval, percentile_interval
from lussweep.metrics.auroc import Float64s, WinMatrix, patient_weights, resampled_auroc
from lussweep.study.keys import derive_seed

MIN_REPLICATES_TWO_LEVEL = 10
MIN_REPLICATES_RANKS = 6


class ReplicateInterval(NamedTuple):
    """An interval, or None and the reason why there is none."""

    interval: Interval | None
    withheld: str | None


class RankTest(NamedTuple):
    """Sum of the ranks of positive differences, and its p-value; or None and the reason."""

    rank_sum: float | None
    p_value: float | None
    withheld: str | None


def t_interval(difference_K: Float64s, confidence: float) -> ReplicateInterval:
    """Student's t interval of the mean difference over K replicates, 2 or more.

    It assumes that replicates are independent, roughly normal draws of a cohort and its
    trainings. It says nothing about other holdout patients. With few replicates it is wide: the
    97.5 % quantile of t is 12.7 for two replicates and 4.3 for three.
    """
    n = len(difference_K)
    if n < 2:
        return ReplicateInterval(None, "1 replicate: its spread cannot be known, 2 are needed")
    mean, error = float(difference_K.mean()), float(difference_K.std(ddof=1)) / n**0.5
    reach = float(stdtrit(n - 1, (1 + confidence) / 2)) * error
    return ReplicateInterval(Interval(mean - reach, mean + reach), None)


def two_level_interval(
    difference_K: Sequence[WinMatrix], *, n_resamples: int, confidence: float, seed: int
) -> ReplicateInterval:
    """Percentile interval of the mean difference when both replicates and patients are drawn.

    Replicates and patients are crossed, so each resample draws both, independently. The patients'
    share of the interval is then too wide rather than too narrow (Owen 2007). The replicates'
    share is too narrow, by the factor sqrt((K - 1) / K) and because it lacks t's quantiles: a
    nominal 95 % interval covers the mean of normal differences in 75 % of cases with 3 replicates
    and in 90 % with 10. So there is no interval below 10 replicates. difference_K: K differences
    of win matrices of the same units.
    """
    n = len(difference_K)
    if n < MIN_REPLICATES_TWO_LEVEL:
        reason = f"{n} replicates: a bootstrap over fewer than {MIN_REPLICATES_TWO_LEVEL} "
        return ReplicateInterval(None, reason + "is too narrow (over 3, 95 % cover under 80 %)")
    weight_RP = patient_weights(len(difference_K[0].n_pos_P), n_resamples, seed=seed)
    drawn_RK = patient_weights(n, n_resamples, seed=derive_seed(seed, "replicates"))
    by_replicate_RK = np.stack([resampled_auroc(d, weight_RP) for d in difference_K], axis=1)
    mean_R = (drawn_RK * by_replicate_RK).sum(axis=1) / n
    return ReplicateInterval(percentile_interval(mean_R[~np.isnan(mean_R)], confidence), None)


def rank_test(difference_K: Float64s) -> RankTest:
    """Wilcoxon's signed-rank test of no difference over replicates: exact, two-sided.

    Zeros are dropped, ties have mean ranks, and all 2**K signs are counted. Below 6 non-zero
    differences it cannot reach 0.05, so there is none.
    """
    nonzero = difference_K[difference_K != 0]
    n = len(nonzero)
    if n < MIN_REPLICATES_RANKS:
        smallest = f"the smallest possible p-value is {min(1.0, 2 / 2**n):.3g}"
        reason = f"{n} replicates differ: {smallest}, {MIN_REPLICATES_RANKS} are needed"
        return RankTest(None, None, reason)
    # scipy's exact test takes no account of ties (0.073 for a case of 0.070), and its permutations
    # with ties take seconds for 20 replicates; counting the sums of ranks takes none.
    size = np.abs(nonzero)
    below = (size[:, None] > size).sum(axis=1)
    doubled_rank = 2 * below + (size[:, None] == size).sum(axis=1) + 1
    observed = int(doubled_rank[nonzero > 0].sum())
    share = np.ones(1)
    for rank in doubled_rank:
        taken = np.concatenate([np.zeros(rank), share])
        share = (np.concatenate([share, np.zeros(rank)]) + taken) / 2
    tails = (float(share[: observed + 1].sum()), float(share[observed:].sum()))
    return RankTest(observed / 2, min(1.0, 2 * min(tails)), None)
