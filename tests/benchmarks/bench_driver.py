"""What planning and driving cost at scale: `python tests/benchmarks/bench_driver.py`.

Each measurement is a fresh process, which prints its own peak memory. On a grid of 10,000 cells (12
trials each, as the paper): the plan alone; the whole of `lussweep plan`; what `lussweep grid` does
before its first step, in a folder where nothing is done, where everything is, and where everything
is and one variant alone is asked for. Then 10,000 steps that do nothing through the driver's loop,
with the display, once from nothing and once beside 10,000 that are done. Times are of this
process's CPU, so that a busy machine does not blur them; the folder's disk counts in wall time.
`--against FOLDER` measures another checkout in turn and gives ratios; `--cells` is for a smaller
grid; `--profile` says where the time goes.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

N_STEPS, N_AT_ONCE = 10_000, 64
MEASURED = (
    "plan",
    "plan_command",
    "start_nothing_done",
    "start_all_done",
    "start_one_variant",
    "steps",
    "steps_beside_done",
)
Result = tuple[float, str]
"""Seconds of CPU, and what they were for."""


def large(n_cells: int) -> str:
    counts = ", ".join(str(2 * i + 2) for i in range(25))
    return (
        "name: large\nscore: {embedders: [detector]}\n"
        "gan: {n_epochs: 1, snapshot_every: 1, ngf: 2, ndf: 2}\n"  # so that a disk has the room
        "data: {phantom: {train_patients: 60, val_patients: 10, holdout_patients: 10}}\n"
        f"grid: {{n_patients: [{counts}], replicates: {n_cells // 100}}}\n"
    )


def study_of(n_cells: int):  # type: ignore[no-untyped-def]
    from lussweep.data.phantom import phantom_manifest
    from lussweep.study.spec import load_study

    study = load_study(large(n_cells)).with_embedders(False)
    assert study.data.phantom is not None
    return study, phantom_manifest(study.data.phantom, study.seed)


def plan(n_cells: int) -> Result:
    from lussweep.study.plan import make_plan

    study, manifest = study_of(n_cells)
    started = time.process_time()
    found = make_plan(study, manifest, phantom=True)
    took = time.process_time() - started
    return took, f"{len(found.cells)} cells, {len(found.steps)} steps planned in {took:.1f} s"


def plan_command(n_cells: int) -> Result:
    from lussweep.cli.app import app

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.yaml"
        path.write_text(large(n_cells))
        app(["plan", str(path), "--out", f"{folder}/run"], standalone_mode=False)
    took = time.process_time()  # since the process began: imports are a part of it
    return took, f"`lussweep plan` of {n_cells} cells: {took:.1f} s, imports included"


def start_nothing_done(n_cells: int) -> Result:
    return start(n_cells, is_finished=False)


def start_all_done(n_cells: int) -> Result:
    return start(n_cells, is_finished=True)


def start_one_variant(n_cells: int) -> Result:
    return start(n_cells, is_finished=True, only={"variant": ["baseline"]})


def start(n_cells: int, is_finished: bool, only: Mapping[str, list[str]] | None = None) -> Result:
    """What `lussweep grid` does from its arguments to its first step or its report."""
    from lussweep.backend.progress import time_left
    from lussweep.run.execute import is_done
    from lussweep.run.folder import check_room, claim, open_run
    from lussweep.run.heartbeat import Heartbeat
    from lussweep.run.mirror import WorkFolder

    study, manifest = study_of(n_cells)
    with tempfile.TemporaryDirectory() as folder:
        run_folder = WorkFolder(Path(folder) / "run")
        if is_finished:
            earlier = open_run(run_folder, study, manifest, phantom=True)
            for ref in earlier.requested.steps:
                artifact = earlier.store.root / ref
                artifact.mkdir(parents=True)
                (artifact / "record.json").write_text("{}")
            claim(earlier)
            del earlier
        started, wall = time.process_time(), time.perf_counter()
        run = open_run(run_folder, study, manifest, phantom=True, only=only)
        check_room(run)
        Heartbeat(
            run.study.name, run.folder, run.store, run.plan, run.requested, run.conceal, time_left
        )
        assert is_done(run.requested, run.store) == is_finished
        assert len(run.plan.cells) == n_cells
        took, wall = time.process_time() - started, time.perf_counter() - wall
    done = "everything" if is_finished else "nothing"
    asked = ", one variant asked for" if only else ""
    told = f"start of `lussweep grid`, {n_cells} cells, {done} done{asked}: {took:.1f} s"
    return took, f"{told} ({wall:.1f} s of clock)"


def steps(n_cells: int) -> Result:
    return run_idle(n_done=0)


def steps_beside_done(n_cells: int) -> Result:
    return run_idle(n_done=N_STEPS)


def run_idle(n_done: int) -> Result:
    from lussweep.backend.driver import run_plan
    from lussweep.cli.live import live_progress
    from lussweep.store.artifacts import ArtifactStore
    from lussweep.study.plan import Plan, Step

    plan = Plan()
    stages = ("gan", "score", "synth", "trial", "evaluate")
    with tempfile.TemporaryDirectory() as folder:
        store = ArtifactStore(Path(folder))
        for chain in range((N_STEPS + n_done) // len(stages)):
            before: dict[str, str] = {}
            for stage in stages:
                ref = plan.add(Step(stage, 1, {"chain": chain}, before))
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
    return clock, f"{N_STEPS} steps that do nothing, {n_done} done before: {each}"


def idle_executor(store):  # type: ignore[no-untyped-def]
    """Ends the oldest step at once; its own time, which writes the artifacts, is left out."""
    from collections import deque

    from lussweep.backend.admission import Admission, Resources
    from lussweep.backend.driver import Outcome

    class Idle:
        def __init__(self) -> None:
            self.admission = Admission([], Resources(N_AT_ONCE))
            self.kind, self.accepts = self.admission.kind, self.admission.accepts
            self.forget = self.admission.forget
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


def measured(name: str, arguments: argparse.Namespace, checkout: Path | None = None) -> Any:
    """The last line of a process of its own, on another checkout if there is one."""
    extra = ["--profile"] if arguments.profile else []
    own = [sys.executable, __file__, "--row", name, "--cells", str(arguments.cells), *extra]
    environment = {**os.environ, "PYTHONPATH": str(checkout)} if checkout else None
    found = subprocess.run(own, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    *before, last = found.stdout.splitlines()
    if arguments.profile:
        print("\n".join(before))
    return json.loads(last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=MEASURED, nargs="+", default=MEASURED)
    parser.add_argument("--cells", type=int, default=10_000, help="a multiple of 100")
    parser.add_argument("--against", type=Path, help="another checkout, measured in turn")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--row", choices=MEASURED, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row is None:
        for name in arguments.only:
            other = arguments.against and measured(name, arguments, arguments.against.absolute())
            found = measured(name, arguments)
            told = f"{found['told']}; peak memory {found['peak_mib']:.0f} MiB"
            if other:
                told += f" (there {other['seconds']:.1f} s, {other['peak_mib']:.0f} MiB: "
                told += f"{other['seconds'] / found['seconds']:.1f} times as long)"
            print(told, flush=True)
        return
    with cProfile.Profile() if arguments.profile else nullcontext() as profile:
        seconds, told = globals()[arguments.row](arguments.cells)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if profile is not None:
        pstats.Stats(profile).sort_stats("tottime").print_stats(12)
    print(json.dumps({"seconds": seconds, "told": told, "peak_mib": peak}))


if __name__ == "__main__":
    main()
