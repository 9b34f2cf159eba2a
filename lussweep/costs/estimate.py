"""What a plan comes to: GPU-hours by stage, what sharing saves, wall time and price."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lussweep.costs.schedule import Schedule, Task, schedule
from lussweep.plan import STAGES, Plan, Step

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
class Estimate:
    """What a plan costs; `schedule` is of the steps that are not done."""

    stages: list[StageCost]
    schedule: Schedule
    n_gpus: int
    notes: list[str] = field(default_factory=list)

    def total(self, name: str) -> float:
        return float(sum(getattr(stage, name) for stage in self.stages))

    def price(self, per_gpu_hour: float) -> float:
        """Of the GPUs that are held until the last step ends, busy or not."""
        return self.n_gpus * self.schedule.wall_s / HOUR_S * per_gpu_hour


def estimate(
    plan: Plan,
    seconds: Mapping[str, float],
    done: Iterable[str],
    n_gpus: int,
    shares: Mapping[str, float],
) -> Estimate:
    """What the steps cost together: `shares` are GPUs that one step of a stage holds."""
    found = set(done)
    tasks = {ref: _task(step, seconds[ref], shares) for ref, step in plan.steps.items()}
    unshared: dict[str, float] = defaultdict(float)
    for cell in plan.cells:
        for ref in set(cell.refs.values()).union(*map(plan.ancestors, cell.refs.values())):
            unshared[plan.steps[ref].stage] += tasks[ref].gpu_s
    stages = []
    for stage, n in plan.counts().items():
        own = [ref for ref, step in plan.steps.items() if step.stage == stage]
        gpu_s = sum(tasks[ref].gpu_s for ref in own)
        left_s = sum(tasks[ref].gpu_s for ref in own if ref not in found)
        mean_s = sum(seconds[ref] for ref in own) / n
        # Data that no cell uses would be made all the same.
        alone_s = max(gpu_s, unshared[stage])
        hours = (gpu_s / HOUR_S, alone_s / HOUR_S, left_s / HOUR_S)
        stages.append(StageCost(stage, n, mean_s, *hours))
    stages.sort(key=lambda cost: STAGES.index(cost.stage))
    left = {ref: task for ref, task in tasks.items() if ref not in found}
    return Estimate(stages, schedule(left, n_gpus), n_gpus)


def _task(step: Step, seconds: float, shares: Mapping[str, float]) -> Task:
    inputs = tuple(step.inputs.values())
    n_workers = step.spec["gan"]["n_workers"] if step.stage == "gan" else 1
    if n_workers > 1:  # a gang's workers do not share a GPU
        return Task(seconds, 1.0, n_workers, inputs)
    return Task(seconds, shares.get(step.stage, 0.0), 1, inputs)
