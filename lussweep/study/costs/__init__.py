"""The cost of a plan, estimated from measured steps of the same kinds. Pure: it runs nothing."""

from lussweep.study.costs.bounds import Bounds, Task, bounds, chains
from lussweep.study.costs.estimate import HOUR_S, CostEstimate, StageCost, estimate, plan_tasks
from lussweep.study.costs.seconds import (
    CostLine,
    Measured,
    fit_line,
    step_seconds,
    unknown_gans,
)
from lussweep.study.costs.work import VAL_SHARE, Frames, Steps, kind, work

__all__ = [
    "HOUR_S",
    "VAL_SHARE",
    "Bounds",
    "CostEstimate",
    "CostLine",
    "Frames",
    "Measured",
    "StageCost",
    "Steps",
    "Task",
    "bounds",
    "chains",
    "estimate",
    "fit_line",
    "kind",
    "plan_tasks",
    "step_seconds",
    "unknown_gans",
    "work",
]  # fmt: skip
