"""What a plan comes to: GPU-hours by stage, what sharing saves, wall time and price."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lussweep.study.costs.bounds import Bounds, Task, bounds
from lussweep.study.plan import STAGES, Plan, Step

HOUR_S = 3600.0


@dataclass(frozen=True)
class StageCost:
    """GPU-hours of one stage's steps."""

    stage: str
    n_steps: int
    mean_s: float
    gpu_hours: float
    unshared_gpu_hours: float
    """If every cell did all of its steps by itself."""
    left_gpu_hours: float


@dataclass(frozen=True)
class CostEstimate:
    """What a plan costs; wall time and bounds are of the steps that are not done."""

    stages: list[StageCost]
    wall_s: float
    bounds: Bounds
    n_gpus: int

    @property
    def n_steps(self) -> int:
        return sum(stage.n_steps for stage in self.stages)

    def total(self, name: str) -> float:
        return float(sum(getattr(stage, name) for stage in self.stages))

    def price(self, per_gpu_hour: float) -> float:
        """Of the GPUs that are held until the last step ends, busy or not."""
        return self.n_gpus * self.wall_s / HOUR_S * per_gpu_hour


def estimate(
    plan: Plan,
    seconds: Mapping[str, float],
    done: Iterable[str],
    n_gpus: int,
    shares: Mapping[str, float],
    wall_s: float,
) -> CostEstimate:
    """What the steps cost together: `shares` are GPUs that one step of a stage holds."""
    found = set(done)
    tasks = plan_tasks(plan, seconds, shares)
    unshared: dict[str, float] = defaultdict(float)
    for ref, cells in plan.cells_by_step():
        unshared[plan.steps[ref].stage] += len(cells) * tasks[ref].work_s
    stages = []
    for stage, n in plan.counts().items():
        own = [ref for ref, step in plan.steps.items() if step.stage == stage]
        gpu_s = sum(tasks[ref].work_s for ref in own)
        left_s = sum(tasks[ref].work_s for ref in own if ref not in found)
        mean_s = sum(seconds[ref] for ref in own) / n
        # Data that no cell uses would be made all the same.
        alone_s = max(gpu_s, unshared[stage])
        hours = (gpu_s / HOUR_S, alone_s / HOUR_S, left_s / HOUR_S)
        stages.append(StageCost(stage, n, mean_s, *hours))
    stages.sort(key=lambda cost: STAGES.index(cost.stage))
    left = {ref: task for ref, task in tasks.items() if ref not in found}
    return CostEstimate(stages, wall_s, bounds(left, n_gpus), n_gpus)


def plan_tasks(
    plan: Plan,
    seconds: Mapping[str, float],
    shares: Mapping[str, float],
    fills: Mapping[str, float] | None = None,
) -> dict[str, Task]:
    """The steps as a scheduler sees them; `shares` and what they can use are by stage."""
    return {
        ref: _task(step, seconds[ref], shares, fills or shares) for ref, step in plan.steps.items()
    }


def _task(
    step: Step, seconds: float, shares: Mapping[str, float], fills: Mapping[str, float]
) -> Task:
    inputs = tuple(step.inputs.values())
    n_workers = step.spec["gan"]["n_workers"] if step.stage == "gan" else 1
    if n_workers > 1:  # a gang's workers do not share a GPU
        return Task(seconds, 1.0, n_workers, inputs)
    return Task(seconds, shares.get(step.stage, 0.0), 1, inputs, fills.get(step.stage, 0.0))
