"""Runs steps. One function per stage turns a planned step and its inputs into files.

The stages connect the pure functions with the disk. Each stage checks again which patients it
was given, writes into the folder `out`, and returns a summary for the step's record.
"""

from lussweep.stages.classification import run_evaluate, run_search, run_trial
from lussweep.stages.context import (
    Context,
    Stage,
    Summary,
    load_classifier,
)
from lussweep.stages.floor import run_floor
from lussweep.stages.memorisation import run_memorisation
from lussweep.stages.scoring import run_features, run_score
from lussweep.stages.synthesis import run_synth
from lussweep.stages.table import STAGES, execute
from lussweep.stages.training import run_gan

__all__ = [
    "STAGES", "Context", "Stage", "Summary", "execute", "load_classifier", "run_evaluate",
    "run_features", "run_floor", "run_gan", "run_memorisation", "run_score", "run_search",
    "run_synth", "run_trial",
]  # fmt: skip
