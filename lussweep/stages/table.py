"""Every stage by name, and `execute`, which runs a step and commits its artifact whole."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import cv2
import torch
from threadpoolctl import threadpool_limits

from lussweep.stages.classification import run_evaluate, run_search, run_trial
from lussweep.stages.context import Context, Stage
from lussweep.stages.data import run_cohort, run_external, run_ingest, run_shard
from lussweep.stages.floor import run_floor
from lussweep.stages.memorisation import run_memorisation
from lussweep.stages.provenance import circumstances, peak_memory_bytes
from lussweep.stages.scoring import run_features, run_score
from lussweep.stages.synthesis import run_synth
from lussweep.stages.training import run_gan
from lussweep.store.disk import room_named
from lussweep.study.plan import Step
from lussweep.study.plugins import require_plugins

STAGES: dict[str, Stage] = {
    "shard": run_shard,
    "ingest": run_ingest,
    "cohort": run_cohort,
    "external": run_external,
    "gan": run_gan,
    "features": run_features,
    "score": run_score,
    "synth": run_synth,
    "floor": run_floor,
    "memorisation": run_memorisation,
    "trial": run_trial,
    "search": run_search,
    "evaluate": run_evaluate,
}


def execute(step: Step, context: Context, stage: Stage | None = None) -> None:
    """Runs one step and commits its artifact. Does nothing if the artifact exists."""
    if context.store.has(step.ref):
        return
    require_plugins(context.plugins)
    n_threads = step.spec.get("n_threads", 1)
    torch.set_num_threads(n_threads)
    cv2.setNumThreads(n_threads)
    started, clock = datetime.now(UTC), time.perf_counter()
    record: dict[str, Any] = {
        "stage": step.stage,
        "version": step.version,
        "key": step.key,
        "name": step.name,
        "spec": step.spec,
        "inputs": dict(step.inputs),
        "circumstances": circumstances(),
    }
    limits = threadpool_limits(n_threads)  # for numpy's BLAS; torch has a setting of its own
    store = context.store
    with limits, room_named(store.root), store.in_use(), store.commit(step.ref, record) as out:
        record["summary"] = (stage or STAGES[step.stage])(step, context, out)
        record["circumstances"] = {
            **record["circumstances"],
            "device": str(context.torch_device()),
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - clock, 3),
            "peak_memory_bytes": peak_memory_bytes(),
        }
