"""How long a grid takes on k GPUs: `python tests/benchmarks/bench_schedule.py`.

A discrete-event simulation: the driver's own loop (`run_plan`) and its own rule of admission
(`backend/admission.py`) on a simulated clock and simulated GPUs, for the grid of the paper. Its
steps start as on Ray: in the order in which they were handed over, whatever has room, on the
fullest GPU that has it, so that a GAN which needs a whole GPU waits while trials keep a corner of
each. No step is faster on a larger share: one of 300 GPU-seconds takes 1,200 s on a quarter.

No schedule is shorter than the work divided by k, than the longest chain of steps, or than
`no_less`, which knows besides that no trial on synthetic frames begins before a GAN has ended.

The times are ASSUMED (GPU_SECONDS, below), not measured, unless `--run FOLDER` takes the means of a
finished run from its records.
"""

from __future__ import annotations

import argparse
import heapq
import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lussweep.backend.admission import SMALLEST, Admission, GpuShares, Resources
from lussweep.backend.costs import TYPICAL_COST, costs_from
from lussweep.backend.driver import Outcome, run_plan
from lussweep.data.phantom import phantom_manifest
from lussweep.plan import Plan, Step, make_plan
from lussweep.spec import load_study

GPU_SECONDS = {
    "gan": 3600.0, "score": 120.0, "features": 60.0, "synth": 20.0, "memorisation": 30.0,
    "trial": 300.0, "evaluate": 20.0,
}  # fmt: skip
"""Assumed, of a whole GPU."""
CPU_SECONDS = {"shard": 2.0, "ingest": 5.0, "cohort": 2.0, "search": 1.0, "external": 5.0}
"""Assumed, of one CPU."""
CPUS_A_GPU = 8
PAPER = Path(__file__).parents[2] / "experiments" / "paper.yaml"
PHANTOM = "{train_patients: 120, val_patients: 40, holdout_patients: 40, frames_per_video: 4}"


@dataclass(frozen=True)
class Times:
    """GPU-seconds and CPU-seconds by stage, and what share of a GPU a step has."""

    gpu: Mapping[str, float]
    cpu: Mapping[str, float]
    shares: GpuShares

    def seconds(self, step: Step) -> float:
        """From start to end, on the step's share."""
        share = self.shares.of(step.stage)
        return self.gpu[step.stage] / share if share else self.cpu[step.stage]

    def work(self, step: Step) -> float:
        """GPU-seconds."""
        return self.gpu[step.stage] if self.shares.of(step.stage) else 0.0


class SimulatedStore:
    """What is done."""

    def __init__(self) -> None:
        self.done: set[str] = set()

    def has(self, ref: str) -> bool:
        return ref in self.done


class SimulatedExecutor:
    """GPUs and CPUs that take as long as `times` says; the clock jumps from end to end."""

    def __init__(self, plan: Plan, n_gpus: int, times: Times, store: SimulatedStore) -> None:
        self.times, self.store = times, store
        total = Resources(CPUS_A_GPU * n_gpus, n_gpus)
        self.admission = Admission(plan.steps.values(), total, times.shares)
        self.free_gpus, self.free_cpus = [1.0] * n_gpus, total.cpus
        self.queue: list[Step] = []
        self.running: list[tuple[float, str, int | None]] = []
        """Heap of end, ref and GPU."""
        self.now_s = self.gpu_busy_s = 0.0
        self.started_s: dict[str, float] = {}

    def kind(self, step: Step) -> object:
        return self.admission.kind(step)

    def accepts(self, step: Step) -> bool:
        return self.admission.accepts(step)

    def submit(self, step: Step) -> None:
        assert all(map(self.store.has, step.inputs.values())), "begun before its inputs were there"
        self.admission.begin(step)
        self.queue.append(step)

    def wait(self) -> list[Outcome]:
        self.queue = [step for step in self.queue if not self._start(step)]
        self.now_s = self.running[0][0]
        outcomes = []
        while self.running and self.running[0][0] == self.now_s:
            _, ref, gpu = heapq.heappop(self.running)
            need = self.admission.needs(self.admission.in_flight[ref])
            self.free_cpus += need.cpus
            if gpu is not None:
                self.free_gpus[gpu] += need.gpus
            self.admission.end(ref)
            self.store.done.add(ref)
            outcomes.append(Outcome(ref))
        return outcomes

    def _start(self, step: Step) -> bool:
        need, gpu = self.admission.needs(step), None
        if need.cpus > self.free_cpus:
            return False
        if need.gpus:
            room = [i for i, free in enumerate(self.free_gpus) if free >= need.gpus - SMALLEST]
            if not room:
                return False
            gpu = min(room, key=self.free_gpus.__getitem__)
            self.free_gpus[gpu] -= need.gpus
        self.free_cpus -= need.cpus
        seconds = self.times.seconds(step)
        self.gpu_busy_s += seconds * need.gpus
        self.started_s[step.ref] = self.now_s
        heapq.heappush(self.running, (self.now_s + seconds, step.ref, gpu))
        return True


@dataclass(frozen=True)
class Simulated:
    """A grid on k GPUs, in seconds."""

    n_gpus: int
    makespan_s: float
    share_of_work_s: float
    """GPU-seconds over k."""
    longest_chain_s: float
    no_less_s: float

    @property
    def ratio(self) -> float:
        """To the larger of the two simple bounds."""
        return self.makespan_s / max(self.share_of_work_s, self.longest_chain_s)

    @property
    def ratio_to_no_less(self) -> float:
        return self.makespan_s / self.no_less_s


def simulate(plan: Plan, n_gpus: int, times: Times, costs: Mapping[str, float]) -> Simulated:
    """`costs` are what the driver believes: its ranks need not know the true times."""
    store = SimulatedStore()
    executor = SimulatedExecutor(plan, n_gpus, times, store)
    progress = run_plan(plan, store, executor, costs=costs)  # type: ignore[arg-type]
    assert len(progress.done) == len(plan.steps), "not all was done"
    work = sum(map(times.work, plan.steps.values()))
    assert abs(executor.gpu_busy_s - work) < 1e-6 * work, "work was done twice or not at all"
    before, after = chains(plan, times)
    longest = max(before[ref] + after[ref] for ref in plan.steps)
    return Simulated(
        n_gpus,
        executor.now_s,
        work / n_gpus,
        longest,
        max(longest, no_less(plan, times, before, after, n_gpus)),
    )


def chains(plan: Plan, times: Times) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of the longest chain of steps that ends before each step, and that begins with it."""
    before: dict[str, float] = dict.fromkeys(plan.steps, 0.0)
    after: dict[str, float] = dict.fromkeys(plan.steps, 0.0)
    for ref, step in plan.steps.items():
        ends = (before[i] + times.seconds(plan.steps[i]) for i in step.inputs.values())
        before[ref] = max(ends, default=0.0)
    for ref in reversed(plan.steps):
        after[ref] += times.seconds(plan.steps[ref])
        for parent in plan.steps[ref].inputs.values():
            after[parent] = max(after[parent], after[ref])
    return before, after


def no_less(
    plan: Plan, times: Times, before: Mapping[str, float], after: Mapping[str, float], n_gpus: int
) -> float:
    """What cannot begin before t takes its work over k from t on, for every t."""
    steps = sorted(plan.steps, key=before.__getitem__, reverse=True)
    work, least = 0.0, 0.0
    for ref in steps:
        work += times.work(plan.steps[ref])
        least = max(least, before[ref] + work / n_gpus)
    return least


def paper_plan(**grid: object) -> Plan:
    """The grid of the paper on phantom patients, with the GANs scored as without ImageNet."""
    changes = [f"data.phantom={PHANTOM}", "score.embedders=[detector]"]
    changes += [f"grid.{name}={value}" for name, value in grid.items()]
    study = load_study(PAPER.read_text(), overrides=changes)
    assert study.data.phantom is not None
    return make_plan(study, phantom_manifest(study.data.phantom, study.seed), phantom=True)


def assumed(shares: GpuShares | None = None) -> Times:
    return Times(GPU_SECONDS, CPU_SECONDS, shares or GpuShares())


def of_run(folder: Path, shares: GpuShares) -> Times:
    """Means of a finished run's records; on a share s, t seconds are counted as s t GPU-seconds."""
    found: dict[str, list[float]] = defaultdict(list)
    for path in (folder / "artifacts").glob("*/*/record.json"):
        record = json.loads(path.read_text())
        found[record["stage"]].append(record["circumstances"]["seconds"])
    mean = {stage: sum(known) / len(known) for stage, known in found.items()}
    gpu = {s: mean[s] * shares.of(s) if s in mean else GPU_SECONDS[s] for s in GPU_SECONDS}
    return Times(gpu, {**CPU_SECONDS, **{s: mean[s] for s in CPU_SECONDS if s in mean}}, shares)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpus", type=int, nargs="*", default=[1, 4, 16, 64])
    parser.add_argument("--run", type=Path, help="take times from this finished run folder")
    parser.add_argument("--gpus-per-trial", type=float, default=GpuShares.trial)
    arguments = parser.parse_args()
    shares = GpuShares(trial=arguments.gpus_per_trial)
    times = of_run(arguments.run, shares) if arguments.run else assumed(shares)
    plan = paper_plan()
    print(f"{len(plan.cells)} cells, {len(plan.steps)} steps; times:", end=" ")
    print(f"means of {arguments.run}" if arguments.run else "assumed, see GPU_SECONDS")
    known = {stage: times.seconds(Step(stage, 1, {})) for stage in times.gpu}
    for told, costs in (("typical costs", TYPICAL_COST), ("true costs", costs_from(known))):
        print(f"\nranked by {told}:")
        print("GPUs   makespan    work/k     chain   ratio   no less   ratio")
        for n_gpus in arguments.gpus:
            s = simulate(plan, n_gpus, times, costs)
            print(
                f"{n_gpus:4} {s.makespan_s:8.0f} s {s.share_of_work_s:7.0f} s "
                f"{s.longest_chain_s:7.0f} s {s.ratio:7.3f} {s.no_less_s:7.0f} s "
                f"{s.ratio_to_no_less:7.3f}"
            )


if __name__ == "__main__":
    main()
