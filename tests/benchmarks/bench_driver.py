"""What the driver costs at scale: `python tests/benchmarks/bench_driver.py`.

Each measurement is a fresh process, which prints its own peak memory: planning a grid of 10,000
cells (12 trials each, as the paper), and 10,000 steps that do nothing through the driver's loop,
with the display, once from nothing and once beside 10,000 that are done. Times are of this
process's CPU, so that a busy machine does not blur them; the folder's disk counts in wall time.
`--profile` says where the time goes.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

N_CELLS, N_STEPS, N_AT_ONCE = 10_000, 10_000, 64
MEASURED = ("plan", "steps", "steps_beside_done")


def plan() -> str:
    from lussweep.data.phantom import phantom_manifest
    from lussweep.plan import make_plan
    from lussweep.spec import StudySpec, load_study

    counts = ", ".join(str(2 * i + 2) for i in range(25))
    study = load_study(
        "name: large\nscore: {embedders: [detector]}\n"
        "data: {phantom: {train_patients: 60, val_patients: 10, holdout_patients: 10}}\n"
        f"grid: {{n_patients: [{counts}], replicates: {N_CELLS // 100}}}\n"
    )
    assert isinstance(study, StudySpec) and study.data.phantom is not None
    manifest = phantom_manifest(study.data.phantom, study.seed)
    started = time.process_time()
    found = make_plan(study, manifest, phantom=True)
    took = time.process_time() - started
    return f"{len(found.cells)} cells, {len(found.steps)} steps planned in {took:.1f} s"


def steps() -> str:
    return run_idle(n_done=0)


def steps_beside_done() -> str:
    return run_idle(n_done=N_STEPS)


def run_idle(n_done: int) -> str:
    from lussweep.backend.driver import run_plan
    from lussweep.plan import Plan, Step
    from lussweep.store import ArtifactStore
    from lussweep.terminal import live_progress

    plan = Plan()
    stages = ("gan", "score", "synth", "trial", "evaluate")
    gan_spec = {"gan": {"n_workers": 1}}
    with tempfile.TemporaryDirectory() as folder:
        store = ArtifactStore(Path(folder))
        for chain in range((N_STEPS + n_done) // len(stages)):
            before: dict[str, str] = {}
            for stage in stages:
                ref = plan.add(Step(stage, 1, {"chain": chain, **gan_spec}, before))
                before = {"before": ref}
                if chain * len(stages) < n_done:
                    with store.commit(ref, {}):
                        pass
        executor = idle_executor(store)
        clock, wall = time.process_time(), time.perf_counter()
        with live_progress() as on_change:
            progress = run_plan(plan, store, executor, on_change)
        clock, wall = time.process_time() - clock, time.perf_counter() - wall
        assert len(progress.done) == len(plan.steps)
        clock, wall = clock - executor.seconds, wall - executor.wall_seconds
    each = f"{clock / N_STEPS * 1e3:.2f} ms of CPU each ({wall / N_STEPS * 1e3:.2f} ms of clock)"
    return f"{N_STEPS} steps that do nothing, {n_done} done before: {each}"


def idle_executor(store):  # type: ignore[no-untyped-def]
    """Ends the oldest step at once; its own time, which writes the artifacts, is left out."""
    from collections import deque

    from lussweep.backend.admission import Admission, GpuShares, Resources
    from lussweep.backend.driver import Outcome

    class Idle:
        def __init__(self) -> None:
            self.admission = Admission([], Resources(N_AT_ONCE), GpuShares())
            self.kind, self.accepts = self.admission.kind, self.admission.accepts
            self.queue: deque[str] = deque()
            self.seconds = self.wall_seconds = 0.0

        def submit(self, step):  # type: ignore[no-untyped-def]
            self.admission.begin(step)
            self.queue.append(step.ref)

        def wait(self) -> list[Outcome]:
            clock, wall = time.process_time(), time.perf_counter()
            ref = self.queue.popleft()
            with store.commit(ref, {}):
                pass
            self.seconds += time.process_time() - clock
            self.wall_seconds += time.perf_counter() - wall
            self.admission.end(ref)
            return [Outcome(ref)]

    return Idle()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=MEASURED, help="in this process")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    if arguments.only is None:
        for name in MEASURED:
            extra = ["--profile"] if arguments.profile else []
            subprocess.run([sys.executable, __file__, "--only", name, *extra], check=True)
        return
    with cProfile.Profile() if arguments.profile else nullcontext() as profile:
        told = globals()[arguments.only]()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{told}; peak memory {peak:.0f} MiB", flush=True)
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(12)


if __name__ == "__main__":
    main()
