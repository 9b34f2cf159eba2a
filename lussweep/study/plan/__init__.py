"""Makes a Plan from a StudySpec: every step with its key, and the cells. It reads no file.

A step's key is a digest of what determines its result: stage, version, spec, and the keys of its
inputs by role. Two cells that need the same result therefore share the step.
"""

from lussweep.study.plan.checks import grid_cells
from lussweep.study.plan.planner import make_data_plan, make_plan
from lussweep.study.plan.steps import (
    BOTH_CLASSES,
    DATA_STAGES,
    STAGES,
    SYNTHETIC_ROLES,
    Cell,
    ExternalKey,
    Plan,
    Step,
    Workers,
    is_phantom,
)

__all__ = [
    "BOTH_CLASSES", "DATA_STAGES", "STAGES", "SYNTHETIC_ROLES", "Cell", "ExternalKey", "Plan",
    "Step", "Workers", "grid_cells", "is_phantom", "make_data_plan", "make_plan",
]  # fmt: skip
