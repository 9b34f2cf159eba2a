"""How long steps take, by stage: only the order of submission depends on it, no result does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from lussweep.plan import Plan
from lussweep.store import ArtifactStore

TYPICAL_COST = {
    "gan": 20.0, "trial": 5.0, "score": 3.0, "evaluate": 1.0, "features": 1.0, "memorisation": 1.0,
    "synth": 0.5,
}  # fmt: skip
"""Rough relative durations, for stages that nothing is known of."""
OTHER_COST = 0.1
N_READ = 20
"""Records read of each stage: their mean need not be exact."""


def costs_from(seconds: Mapping[str, float]) -> dict[str, float]:
    """Mean seconds by stage, those of other stages guessed by their typical cost beside them."""
    seen = seconds.keys() & TYPICAL_COST.keys()
    scale = (
        sum(seconds[stage] for stage in seen) / sum(TYPICAL_COST[stage] for stage in seen)
        if seen
        else 1.0
    )
    return {stage: scale * cost for stage, cost in TYPICAL_COST.items()} | dict(seconds)


def recorded_seconds(plan: Plan, store: ArtifactStore, done: Iterable[str]) -> dict[str, float]:
    """Mean seconds by stage, of a few of the steps that are done, from their records."""
    found: dict[str, list[float]] = defaultdict(list)
    for ref in done:
        known = found[plan.steps[ref].stage]
        if len(known) < N_READ:
            circumstances = store.record(ref).get("circumstances", {})
            if "seconds" in circumstances:
                known.append(circumstances["seconds"])
    return {stage: sum(known) / len(known) for stage, known in found.items() if known}
