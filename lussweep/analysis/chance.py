"""Do classifiers of shuffled labels know nothing of the true ones?"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from lussweep.analysis.bootstrap import Interval
from lussweep.analysis.replicates import t_interval
from lussweep.metrics.auroc import Float64s

MIN_PERMUTATIONS = 20
"""AUC-ROCs of single permutations lie far from 0.5 either way; below this nothing is judged."""


class Chance(NamedTuple):
    """Mean AUC-ROC over permutations of the training labels, and whether it is that of chance."""

    mean: float
    interval: Interval | None
    """t interval of the mean over permutations; None for a single one."""
    n_permutations: int
    verdict: Literal["chance", "not chance"] | None
    """chance: the interval contains 0.5. None where `withheld` says why."""
    withheld: str | None


def judge_chance(auroc_K: Float64s, *, confidence: float = 0.95) -> Chance:
    """The verdict on K permutations, each one replicate of a variant with shuffled labels.

    Half of the patients are called positive, so a permutation and its mirror image are as likely
    and the expected AUC-ROC is 0.5 on any holdout, whatever single permutations give; hence the
    mean is judged, by Student's t over permutations. "not chance" says that true labels have
    reached training or selection past the shuffling. It does not see patients on both sides of a
    split: they would carry shuffled labels too, and pull single permutations either way. A
    pipeline without a leak is called "not chance" about once in 20 verdicts, and a leak too small
    for the interval goes unseen.

    Raises ValueError for no AUC-ROC, or one that is not in [0, 1].
    """
    n = len(auroc_K)
    if not n or not ((auroc_K >= 0) & (auroc_K <= 1)).all():
        raise ValueError(f"AUC-ROCs lie between 0 and 1, found {auroc_K.tolist() or 'none'}")
    mean, interval = float(np.mean(auroc_K)), t_interval(auroc_K, confidence).interval
    if interval is None or n < MIN_PERMUTATIONS:
        return Chance(mean, interval, n, None, f"{n} of {MIN_PERMUTATIONS} permutations")
    verdict: Literal["chance", "not chance"] = (
        "chance" if interval.low <= 0.5 <= interval.high else "not chance"
    )
    return Chance(mean, interval, n, verdict, None)
