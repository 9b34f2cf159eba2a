"""The estimate of a plan: GPU-hours by stage, savings by shared steps, wall time and price."""

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
    """GPU-hours if cells shared no steps."""
    left_gpu_hours: float


@dataclass(frozen=True)
class CostEstimate:
    """The cost of a plan. Wall time and bounds count only the steps that are not done."""

    stages: list[StageCost]
    wall_s: float
    bounds: Bounds
    n_gpus: int

    @property
    def n_steps(self) -> int:
        return sum(stage.n_steps for stage in self.stages)

    def total(self, name: str) -> float:
        """Sum of a field of `StageCost` over all stages."""
        return float(sum(getattr(stage, name) for stage in self.stages))

    def price(self, per_gpu_hour: float) -> float:
        """Price of all GPUs until the last step ends, whether they are busy or not."""
        return self.n_gpus * self.wall_s / HOUR_S * per_gpu_hour


def estimate(
    plan: Plan,
    seconds: Mapping[str, float],
    done: Iterable[str],
    n_gpus: int,
    wall_s: float,
) -> CostEstimate:
    """Estimate the cost of a plan.

    `seconds`: expected seconds by step. `done`: refs of the steps that are done. `wall_s`:
    expected wall time in seconds.
    """
    done = set(done)
    tasks = plan_tasks(plan, seconds)
    unshared: dict[str, float] = defaultdict(float)
    for ref, cells in plan.cells_by_step():
        unshared[plan.steps[ref].stage] += len(cells) * tasks[ref].work_s
    stages = []
    for stage, n in plan.counts().items():
        refs = [ref for ref, step in plan.steps.items() if step.stage == stage]
        gpu_s = sum(tasks[ref].work_s for ref in refs)
        left_s = sum(tasks[ref].work_s for ref in refs if ref not in done)
        mean_s = sum(seconds[ref] for ref in refs) / n
        # Steps that no cell uses are run once even without sharing.
        alone_s = max(gpu_s, unshared[stage])
        hours = (gpu_s / HOUR_S, alone_s / HOUR_S, left_s / HOUR_S)
        stages.append(StageCost(stage, n, mean_s, *hours))
    stages.sort(key=lambda cost: STAGES.index(cost.stage))
    missing = {ref: task for ref, task in tasks.items() if ref not in done}
    return CostEstimate(stages, wall_s, bounds(missing, n_gpus), n_gpus)


def plan_tasks(
    plan: Plan, seconds: Mapping[str, float], fills: float | None = None
) -> dict[str, Task]:
    """The steps as a scheduler sees them.

    `fills`: share of a GPU that one step can use. None: the share that it holds.
    """
    return {ref: _task(step, seconds[ref], fills) for ref, step in plan.steps.items()}


def _task(step: Step, seconds: float, fills: float | None) -> Task:
    inputs, workers = tuple(step.inputs.values()), step.workers
    if workers.n > 1:  # the workers of one training never share a GPU
        return Task(seconds, 1.0, workers.n, inputs)
    return Task(seconds, workers.gpus, 1, inputs, fills if workers.gpus else None)
