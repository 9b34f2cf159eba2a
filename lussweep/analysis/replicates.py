"""Student's t interval over replicates."""

from __future__ import annotations

from typing import NamedTuple

from scipy.special import stdtrit

from lussweep.analysis.bootstrap import Interval
from lussweep.metrics.auroc import Float64s


class ReplicateInterval(NamedTuple):
    """An interval, or None and the reason why there is none."""

    interval: Interval | None
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
