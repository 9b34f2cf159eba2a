"""What a plan costs, from how long steps of its kinds have taken. Pure: reads and runs nothing."""

from lussweep.costs.estimate import HOUR_S, Estimate, StageCost, estimate
from lussweep.costs.schedule import Schedule, Task, schedule
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
    "HELD_GPUS", "HOUR_S", "VAL_SHARE", "Estimate", "Frames", "Line", "Measured", "Schedule",
    "StageCost", "Steps", "Task", "estimate", "fit_line", "kind", "schedule", "step_seconds",
    "unknown_gans", "work",
]  # fmt: skip
