"""Seconds of a whole `lussweep status` on a run of 10,000 finished steps.

    PYTHONPATH=.:tests python tests/benchmarks/bench_status.py [n_steps]

The run folder is a synthetic one: a real plan of about so many steps, an artifact folder with a
record for each, and the state that a driver has written. Printed beside it: the same process
without a run (`lussweep --help`), looking at every artifact instead, and what the driver pays for
one write.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lussweep.backend.driver import Progress
from lussweep.backend.progress import time_left
from lussweep.data.phantom import phantom_manifest
from lussweep.run.folder import Run, claim, open_run
from lussweep.run.heartbeat import Heartbeat
from lussweep.run.mirror import WorkFolder
from lussweep.study.spec import load_study
from support.commands import command, environment

N_REPEATS = 3


def big_run(folder: Path, n_steps: int) -> Run:
    """The quickstart with as many replicates as make so many steps."""
    text = (Path(__file__).parents[2] / "experiments" / "quickstart.yaml").read_text()

    def of(replicates: int) -> Run:
        study = load_study(text, overrides=[f"grid.replicates={replicates}"])
        assert study.data.phantom is not None
        manifest = phantom_manifest(study.data.phantom, study.seed)
        return open_run(WorkFolder(folder), study, manifest, phantom=True)

    one, two = (len(of(n).requested.steps) for n in (1, 2))
    return of(1 + round((n_steps - one) / (two - one)))


def finish(run: Run) -> None:
    """An artifact with a record for every step, without what it would hold."""
    for ref, step in run.requested.steps.items():
        folder = run.store.root / ref
        folder.mkdir(parents=True)
        record = {"spec": step.spec, "summary": {}, "circumstances": {"host": "h", "seconds": 1.0}}
        (folder / "record.json").write_text(json.dumps(record))


def cpu_and_wall(arguments: list[str]) -> tuple[float, float]:
    """The least of some repeats, user and system time of the child together."""
    found = []
    for _ in range(N_REPEATS):
        before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(arguments, check=True, capture_output=True, env=environment())
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found.append((used, time.perf_counter() - clock))
    return min(found)


def main() -> None:
    n_steps = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as scratch:
        run = big_run(Path(scratch) / "run", n_steps)
        finish(run)
        claim(run)
        heartbeat = Heartbeat(
            run.study.name, run.folder, run.store, run.plan, run.requested, run.conceal, time_left
        )
        progress = Progress(run.requested, done=set(run.requested.steps))
        with heartbeat:
            started = time.perf_counter()
            heartbeat.take(progress)
            taken = time.perf_counter() - started
            started = time.perf_counter()
            heartbeat._write(None)
            written = time.perf_counter() - started
        started = time.perf_counter()
        for ref in run.requested.steps:
            run.store.record(ref)
        looked = time.perf_counter() - started
        size = (run.folder.path / "state.json").stat().st_size
        cpu, wall = cpu_and_wall(command("status", run.folder.path))
        cpu_help, wall_help = cpu_and_wall(command("--help"))
        cell = "variant=baseline,n_patients=6,replicate=1"
        cpu_logs, wall_logs = cpu_and_wall(command("logs", run.folder.path, cell))
    print(
        f"{len(run.requested.steps)} steps, {len(run.requested.cells)} cells, state of {size} bytes"
    )
    print(f"lussweep status   {cpu:.2f} s of CPU, {wall:.2f} s")
    print(f"lussweep logs     {cpu_logs:.2f} s of CPU, {wall_logs:.2f} s")
    print(f"lussweep --help   {cpu_help:.2f} s of CPU, {wall_help:.2f} s")
    print(f"every record read {looked:.2f} s, in a process that is there")
    print(f"driver: {1000 * taken:.1f} ms a change, {1000 * written:.0f} ms a write (one in 5 s)")


if __name__ == "__main__":
    main()
