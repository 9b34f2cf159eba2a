"""What a trial costs beyond its training: `python tests/benchmarks/bench_search.py`.

The grid of the paper has 60 searches of 12 trials. Here all 720 go through the service that a run
uses, one Tuner for the whole grid, on a local Ray; each finds its artifact made already and does
nothing. Seconds of the whole, and what share of the quickstart's trials that would be.
`--run FOLDER` takes a finished run folder instead and says how its workers' time was spent.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from datetime import datetime
from pathlib import Path

LEARNING = ("gan", "features", "score", "floor", "synth", "memorisation", "trial", "evaluate")
"""Stages that train, sample, score or judge."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--run", type=Path, help="a finished run folder, made on --cpus cores")
    arguments = parser.parse_args()
    if arguments.run:
        print_shares(arguments.run, arguments.cpus)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            time_idle_trials(Path(scratch), arguments.cpus)


def time_idle_trials(scratch: Path, n_cpus: int) -> None:
    from lussweep.backend.admission import Resources
    from lussweep.backend.cluster.session import ray_session
    from lussweep.backend.cluster.tuning import TuneService
    from lussweep.data.phantom import phantom_manifest
    from lussweep.stages import Context
    from lussweep.store.artifacts import ArtifactStore
    from lussweep.study.plan import make_plan
    from lussweep.study.spec import StudySpec

    study = StudySpec(name="paper").with_embedders(weights_at_hand=False)
    assert study.data.phantom is not None
    manifest = phantom_manifest(study.data.phantom, study.seed)
    plan = make_plan(study, manifest, phantom=True)
    searches = {cell.refs["search"] for cell in plan.cells}
    trials = [plan.steps[ref] for search in searches for ref in plan.steps[search].inputs.values()]
    store = ArtifactStore(scratch / "artifacts")
    for step in trials:
        with store.commit(step.ref, {"summary": {}}):
            pass
    context = Context(store, "cpu")
    started = time.perf_counter()
    with ray_session("local", n_cpus=n_cpus, dashboard=False):
        up = time.perf_counter()
        service = TuneService(plan.steps, context, scratch / "ray")
        for step in trials:
            service.submit(step, Resources(1))
        outcomes = [service.searcher.ended.get(timeout=300) for _ in trials]
        done = time.perf_counter()
        service.close()
    assert not [outcome for outcome in outcomes if outcome.error], "a trial failed"
    print(f"Ray started in {up - started:.1f} s")
    print(
        f"{len(trials)} trials that do nothing on {n_cpus} cores: {done - up:.1f} s, "
        f"{(done - up) / len(trials) * 1e3:.0f} ms each"
    )


def print_shares(folder: Path, n_cpus: int) -> None:
    seconds: dict[str, float] = defaultdict(float)
    begun, ended = [], []
    for path in (folder / "artifacts").glob("*/*/record.json"):
        record = json.loads(path.read_text())
        circumstances = record["circumstances"]
        begun.append(datetime.fromisoformat(circumstances["started"]).timestamp())
        ended.append(path.stat().st_mtime)
        seconds[record["stage"]] += circumstances["seconds"]
    wall = max(ended) - min(begun)
    learning = sum(seconds[stage] for stage in LEARNING)
    for stage, total in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"{stage:14} {total:8.1f} s   {total / (n_cpus * wall):6.1%}")
    print(f"first to last artifact: {wall:.0f} s of {n_cpus} cores")
    print(f"outside training, sampling and scoring: {1 - learning / (n_cpus * wall):.1%}")


if __name__ == "__main__":
    main()
