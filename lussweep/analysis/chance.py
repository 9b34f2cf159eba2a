"""A check for leakage: classifiers trained on shuffled labels must score as chance does."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from lussweep.analysis.bootstrap import Interval
from lussweep.analysis.replicates import t_interval
from lussweep.metrics.auroc import Float64s

MIN_PERMUTATIONS = 20
"""With fewer permutations there is no verdict: one alone may lie far from 0.5 on either side."""


class Chance(NamedTuple):
    """Mean AUC-ROC over permutations of the training labels, and whether it agrees with chance."""

    mean: float
    interval: Interval | None
    """t interval of the mean over permutations; None for a single permutation."""
    n_permutations: int
    verdict: Literal["chance", "not chance"] | None
    """`chance` if the interval contains 0.5; None if there is no verdict."""
    withheld: str | None
    """Why there is no verdict; None if there is one."""


def judge_chance(auroc_K: Float64s, *, confidence: float = 0.95) -> Chance:
    """Judge K permutations. Each is one replicate of a variant with shuffled labels.

    Half of the patients are called positive, so a permutation and its mirror image are equally
    likely. The expected AUC-ROC is therefore 0.5 on any holdout, although single permutations
    vary. So the mean is judged, by Student's t over permutations.

    "not chance" means leakage: true labels have reached training or selection in spite of the
    shuffling. Patients on both sides of a split go unseen, because they carry shuffled labels
    too. A leak that is too small for the interval also goes unseen. Without a leak the verdict is
    "not chance" with a probability of 1 - `confidence`.

    Raises ValueError if there is no AUC-ROC, or one outside [0, 1].
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
