"""Steps that are shorter than the start of a worker still get all workers that fit."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lussweep.backend.admission import LOOK_AHEAD, Resources
from lussweep.stages import Context
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import Plan, Step

if TYPE_CHECKING:
    from lussweep.backend.cluster.tuning import TuneService

N_CPUS, N_STEPS, STEP_S = 2, 60, 0.25


class SlowStore(ArtifactStore):
    """Takes STEP_S seconds to look whether a step is done, and notes which process looks."""

    def has(self, ref: str) -> bool:
        time.sleep(STEP_S)
        (self.root / f"{os.getpid()}-{time.monotonic_ns()}").touch()
        return super().has(ref)


def feed(service: TuneService, steps: Sequence[Step]) -> None:
    """Run the steps as the driver does: a few more in flight than workers."""
    n_submitted = 0
    for n_ended in range(len(steps)):
        while n_submitted < min(len(steps), n_ended + N_CPUS + LOOK_AHEAD):
            service.submit(steps[n_submitted], Resources(1.0))
            n_submitted += 1
        assert service.searcher.ended.get(timeout=100).error is None


def test_short_steps_do_not_end_the_workers_that_start(local_ray: None, tmp_path: Path) -> None:
    from ray import cloudpickle

    from lussweep.backend.cluster.tuning import TuneService

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    plan, store = Plan(), ArtifactStore(tmp_path / "artifacts")
    steps = [plan.steps[plan.add(Step("trial", 1, {"i": i}))] for i in range(N_STEPS)]
    for step in steps:  # each is done, so that its worker only looks
        with store.commit(step.ref, {"summary": {}}):
            pass
    slow = SlowStore(tmp_path / "artifacts")
    service = TuneService(plan.steps, Context(slow, "cpu"), tmp_path / "ray")
    feed(service, steps[:N_CPUS])
    # Tune keeps one idle worker only, so that the others have to start again.
    feed(service, steps[N_CPUS:])
    service.close()
    by_worker = Counter(path.name.split("-")[0] for path in store.root.glob("*-*"))
    assert sum(by_worker.values()) == N_STEPS
    assert sum(n >= N_STEPS / 5 for n in by_worker.values()) == N_CPUS
