"""What a plan costs, from how long steps of its kinds have taken. Pure: reads and runs nothing."""

from lussweep.costs.bounds import Bounds, Task, bounds, chains
from lussweep.costs.estimate import HOUR_S, Estimate, StageCost, estimate, plan_tasks
from lussweep.costs.seconds import (
    HELD_GPUS,
    Line,
    Measured,
    fit_line,
    step_seconds,
    unknown_gans,
)
from lussweep.costs.work import VAL_SHARE, Frames, Steps, kind, work

__all__ = [
    "HELD_GPUS", "HOUR_S", "VAL_SHARE", "Bounds", "Estimate", "Frames", "Line", "Measured",
    "StageCost", "Steps", "Task", "bounds", "chains", "estimate", "fit_line", "kind",
    "plan_tasks", "step_seconds", "unknown_gans", "work",
]  # fmt: skip
