"""Estimates the time left of a run from its progress."""

from __future__ import annotations

from collections import defaultdict

from lussweep.backend.driver import Progress
from lussweep.backend.order import OTHER_COST, TYPICAL_COST

SMALLEST_COST = 1e-6


def time_left(progress: Progress, elapsed_s: float) -> float | None:
    """Seconds left: the expected costs of the steps left, at the pace of this run so far.

    Each stage has its own pace. A stage without a finished step takes the pace of all others.
    Returns None until a step of a stage in TYPICAL_COST is done.
    """
    steps = progress.plan.steps

    def cost(ref: str) -> float:
        typical = TYPICAL_COST.get(steps[ref].stage, OTHER_COST)
        return progress.costs.get(ref, typical)

    took: defaultdict[str, float] = defaultdict(float)
    expected: defaultdict[str, float] = defaultdict(float)
    for ref, seconds in progress.seconds.items():
        if steps[ref].stage in TYPICAL_COST:
            took[steps[ref].stage] += seconds
            expected[steps[ref].stage] += max(cost(ref), SMALLEST_COST)
    if not took:
        return None
    took_s = sum(took.values())
    pace = took_s / sum(expected.values())
    paces = {stage: took[stage] / expected[stage] for stage in took}
    out_of_reach = {*progress.done, *progress.failed, *progress.blocked}
    steps_left = steps.keys() - out_of_reach
    to_do = sum(cost(ref) * paces.get(steps[ref].stage, pace) for ref in steps_left)
    return elapsed_s * to_do / took_s if to_do else None
