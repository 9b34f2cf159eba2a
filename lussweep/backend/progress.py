"""Estimates the time left of a run from its progress, as a range."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from lussweep.backend.driver import Progress
from lussweep.backend.order import OTHER_COST, TYPICAL_COST
from lussweep.backend.time_range import TimeRange

SMALLEST_COST = 1e-6
FIRST_S = 60.0
"""Seconds without a time left. The first steps wait until workers start, so their paces are not
those of the run."""
MARGIN = 0.05
"""Part of the time left that both ends of the range leave for what no earlier pace has shown."""
WINDOW = 0.25
"""Length of the windows whose paces are compared, as a part of what is done. Windows are shorter
when less than that is left."""
N_WINDOWS = 100


def time_left(progress: Progress, elapsed_s: float) -> TimeRange | None:
    """The time left: the expected seconds of the steps left, at the paces that the run has shown.

    Each stage has its own pace. A stage without a finished step takes the pace of all others. The
    range covers how sure these paces are, and how they have changed: another load on the machine
    may come and go. Returns None in the first FIRST_S seconds, until a step of a stage in
    TYPICAL_COST is done, and when nothing is left.
    """
    if elapsed_s < FIRST_S:
        return None
    steps = progress.plan.steps

    def cost(ref: str) -> float:
        typical = TYPICAL_COST.get(steps[ref].stage, OTHER_COST)
        return max(progress.costs.get(ref, typical), SMALLEST_COST)

    timed = [ref for ref in progress.seconds if steps[ref].stage in TYPICAL_COST]
    if not timed:
        return None
    n_done = Counter(steps[ref].stage for ref in timed)
    took: defaultdict[str, float] = defaultdict(float)
    expected: defaultdict[str, float] = defaultdict(float)
    for ref in timed:
        took[steps[ref].stage] += progress.seconds[ref]
        expected[steps[ref].stage] += cost(ref)
    pace = sum(took.values()) / sum(expected.values())
    paces = {stage: took[stage] / expected[stage] for stage in took}

    def expected_s(ref: str) -> float:
        return cost(ref) * paces.get(steps[ref].stage, pace)

    left: defaultdict[str, float] = defaultdict(float)
    half_s = 0.0  # on average half of each running step is done
    for ref in steps.keys() - {*progress.done, *progress.failed, *progress.blocked}:
        part = 0.5 if ref in progress.running else 1.0
        left[steps[ref].stage] += part * expected_s(ref)
        half_s += (1.0 - part) * expected_s(ref)
    left_s = sum(left.values())
    if not left_s:
        return None
    busy_s = sum(took.values()) + half_s
    fast, slow = _spread([(expected_s(ref), progress.seconds[ref]) for ref in timed], left_s)
    low = sum(seconds / _doubt(n_done[stage]) for stage, seconds in left.items())
    high = sum(seconds * _doubt(n_done[stage]) for stage, seconds in left.items())
    return TimeRange(
        (1 - MARGIN) * elapsed_s / busy_s * fast * low,
        (1 + MARGIN) * elapsed_s / busy_s * slow * high,
    )


def _doubt(n_done: int) -> float:
    """The factor by which the mean of a stage may be wrong: 2 before its first step is done."""
    return 1 + 1 / (1 + 2 * math.sqrt(n_done))


def _spread(timed: Sequence[tuple[float, float]], left_s: float) -> tuple[float, float]:
    """The least and the greatest pace of the run, relative to its mean pace.

    `timed`: the expected and the true seconds of each finished step, in the order of their ends.
    A pace is the mean over a window of expected seconds. The shorter the time left, the shorter the
    windows, because a short time may be all fast or all slow.
    """
    expected, true = np.cumsum([(0.0, 0.0), *timed], axis=0).T
    length = min(left_s, WINDOW * expected[-1])
    begins = np.linspace(0.0, expected[-1] - length, N_WINDOWS)
    seconds = np.interp(begins + length, expected, true) - np.interp(begins, expected, true)
    paces = seconds / length * (expected[-1] / true[-1])
    return float(paces.min()), float(paces.max())
