"""What `lussweep plan` foretells against what came: `python tests/benchmarks/bench_plan.py`.

Calibrates, runs the quickstart's grid with one replicate in this process, and compares, by stage,
the seconds that were foretold by `--calibrate`, and by `--from` a run of the smallest patient count
alone, with those of the records. All seconds are the process's CPU time, which for steps of one
thread is the time of an idle machine, so that other jobs weigh little.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from lussweep.backend.driver import run_plan
from lussweep.backend.inline import InlineExecutor
from lussweep.run.arguments import make_context, open_arguments
from lussweep.run.calibration import calibrate
from lussweep.run.folder import claim
from lussweep.run.measuring import measured_run
from lussweep.run.request import RunRequest
from lussweep.stages import table
from lussweep.study.costs import step_seconds
from lussweep.study.plan import STAGES, Plan


def by_stage(plan: Plan, seconds: Mapping[str, float]) -> dict[str, float]:
    found: dict[str, float] = defaultdict(float)
    for ref, s in seconds.items():
        found[plan.steps[ref].stage] += s
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", nargs="?", default="quickstart")
    parser.add_argument("--set", action="append", default=[], dest="changes")
    arguments = parser.parse_args()
    table.time = SimpleNamespace(perf_counter=time.process_time)  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "run"
        run, found = open_arguments(
            RunRequest(
                arguments.experiment, out=str(out), replicates=1, overrides=arguments.changes
            )
        )
        context = make_context(run, found, "cpu", None)
        began = time.process_time()
        calibrated = calibrate(run.study, run.manifest, run.requested, context)
        took = time.process_time() - began
        progress = run_plan(run.requested, run.store, InlineExecutor(run.requested, context))
        assert not progress.failed, progress.failed
        claim(run)
        whole = measured_run(out)
        plan = run.requested
        least = f"n={min(run.study.grid.n_patients)} "
        few = {r: s for r, s in whole.seconds.items() if "n=" not in f"{plan.steps[r].name} "
               or least in f"{plan.steps[r].name} "}  # fmt: skip
        actual = by_stage(plan, whole.seconds)
        told = {
            "--calibrate": by_stage(plan, step_seconds(plan, calibrated)),
            f"--from {least}": by_stage(plan, step_seconds(plan, replace(whole, seconds=few))),
        }
    print(f"{len(plan.steps)} steps; calibration took {took:.0f} s")
    print(f"{'stage':14}{'actual':>9} " + "".join(f"{name:>24}" for name in told))
    for stage in [*(s for s in STAGES if s in actual), "all"]:
        came = sum(actual.values()) if stage == "all" else actual[stage]
        foretold = [sum(t.values()) if stage == "all" else t[stage] for t in told.values()]
        print(
            f"{stage:14}{came:7.1f} s " + "".join(f"{f:12.1f} s, {f / came:6.2f}" for f in foretold)
        )


if __name__ == "__main__":
    main()
