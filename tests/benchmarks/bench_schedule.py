"""How long a grid takes on k GPUs, and how early its cells have an AUC-ROC.

Run `python tests/benchmarks/bench_schedule.py`.

A discrete-event simulation (`lussweep/backend/simulated.py`): the driver's own loop and rule of
admission on a simulated clock and simulated GPUs, held against the two simple bounds, the work over
k and the longest chain of steps, and against the best bound that is known, `no less`
(`lussweep/study/costs/bounds.py`).

The paper's grid comes with ASSUMED times (GPU_SECONDS, below), twice over: all steps of a stage
alike, and each in proportion to the images that it processes, with the paper's numbers of frames;
and twice again, with trials that cannot use more than their quarter of a GPU and with trials that
alone would fill one. `--run FOLDER` takes a finished run instead: its own plan, with the seconds
that each step's record has, and the paper's grid at that run's seconds per image. If those were of
a CPU, a worker on one core stands for a GPU.

`at half` is the share of cells that have an AUC-ROC after half of the makespan, and `at most` the
share of those whose longest chain of steps fits into that time: no schedule of this makespan has
more. The quickstart on two cores comes last, with the mean seconds by stage of a measured run.
`--noise SD` multiplies the seconds of each step by a log-normal factor that the driver does not
know.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lussweep.backend.admission import Resources
from lussweep.backend.order import step_costs
from lussweep.backend.simulated import SimulatedExecutor, simulate
from lussweep.data.phantom import phantom_manifest
from lussweep.run.measuring import measured_run
from lussweep.study.costs import (
    Bounds,
    Frames,
    Task,
    bounds,
    chains,
    plan_tasks,
    step_seconds,
    work,
)
from lussweep.study.plan import Plan, make_plan
from lussweep.study.spec import load_study
from support.shares import SHARES, sharing

GPU_SECONDS = {
    "gan": 3600.0, "score": 120.0, "floor": 120.0, "features": 60.0, "synth": 20.0,
    "memorisation": 30.0, "trial": 300.0, "evaluate": 20.0,
}  # fmt: skip
"""Assumed means, of a whole GPU."""
CPU_SECONDS = {"shard": 2.0, "ingest": 5.0, "cohort": 2.0, "search": 1.0, "external": 5.0}
"""Assumed, of one CPU."""
CPUS_A_GPU = 8
QUICKSTART_SECONDS = {
    "cohort": 0.6, "features": 0.5, "evaluate": 0.7, "shard": 0.02, "ingest": 1.0, "gan": 12.4,
    "trial": 4.6, "score": 1.0, "synth": 0.5, "memorisation": 3.2, "floor": 0.8, "search": 0.5,
}  # fmt: skip
"""Measured means, of one CPU core; of `ingest` without a fault that is mended (RESULTS.md)."""
EXPERIMENTS = Path(__file__).parents[2] / "experiments"
PAPER, QUICKSTART = EXPERIMENTS / "paper.yaml", EXPERIMENTS / "quickstart.yaml"
PHANTOM = "{train_patients: 120, val_patients: 40, holdout_patients: 40, frames_per_video: 4}"
PAPER_FRAMES = Frames(
    {None: 120 * 67_950 / 58, **{n: n * 67_950 / 58 for n in (6, 15, 29, 44, 58)}},
    val=222_285,
    holdout=182_346,
)
"""As published: frames a class of 58 patients, in proportion for the other counts."""


@dataclass(frozen=True)
class Case:
    """A plan, what its steps take, and what the driver believes that they take."""

    told: str
    plan: Plan
    tasks: Mapping[str, Task]
    costs: Mapping[str, float]

    def believing(self, told: str, costs: Mapping[str, float]) -> Case:
        return replace(self, told=f"{self.told}; {told}", costs=costs)

    def disturbed(self, sd: float, seed: int = 0) -> Case:
        """Seconds that the driver cannot foresee: each times a log-normal factor of mean 1."""
        rng = random.Random(seed)
        tasks = {
            ref: replace(task, seconds=task.seconds * rng.lognormvariate(-sd * sd / 2, sd))
            for ref, task in self.tasks.items()
        }
        return replace(self, told=f"{self.told}; noise {sd:g}", tasks=tasks)


@dataclass(frozen=True)
class Simulated:
    """A grid on k GPUs, or on k cores, in seconds."""

    case: Case
    n_gpus: int
    makespan_s: float
    least: Bounds
    executor: SimulatedExecutor

    @property
    def started(self) -> Mapping[str, float]:
        """When each step began, by ref."""
        return self.executor.started_s

    @property
    def ratio(self) -> float:
        """To the larger of the two simple bounds."""
        return self.makespan_s / max(self.least.work_s, self.least.chain_s)

    @property
    def ratio_to_no_less(self) -> float:
        return self.makespan_s / self.least.no_less_s

    def early(self, part: float = 0.5) -> float:
        """The share of cells that have an AUC-ROC after this part of the makespan."""
        ends = self.executor.ended_s
        return self._share(lambda ref: ends[ref] <= part * self.makespan_s)

    def early_at_most(self, part: float = 0.5) -> float:
        """The share of cells whose longest chain of steps fits into this part of the makespan."""
        head, _ = chains(self.case.tasks)
        ends = {ref: head[ref] + task.seconds for ref, task in self.case.tasks.items()}
        return self._share(lambda ref: ends[ref] <= part * self.makespan_s)

    def _share(self, has_auroc: Callable[[str], bool]) -> float:
        cells = self.case.plan.cells
        return sum(has_auroc(cell.refs["evaluate"]) for cell in cells) / max(1, len(cells))


def simulated(case: Case, n_gpus: int) -> Simulated:
    total = Resources(CPUS_A_GPU * n_gpus, n_gpus)
    executor = simulate(case.plan, case.tasks, total, costs=case.costs)
    work_s = sum(task.work_s for task in case.tasks.values())
    assert abs(executor.gpu_busy_s - work_s) < 1e-6 * work_s, "work was done twice or not at all"
    return Simulated(case, n_gpus, executor.now_s, bounds(case.tasks, n_gpus), executor)


def simulated_on_cores(case: Case, n_cores: int) -> Simulated:
    """A grid without a GPU: each step takes one core."""
    on_core = {ref: replace(task, gpu_share=0.0) for ref, task in case.tasks.items()}
    executor = simulate(case.plan, on_core, Resources(n_cores), costs=case.costs)
    # For the bounds, a core is what a GPU is to a step that needs all of it.
    whole = {ref: replace(task, gpu_share=1.0) for ref, task in case.tasks.items()}
    return Simulated(case, n_cores, executor.now_s, bounds(whole, n_cores), executor)


def paper_plan(**grid: object) -> Plan:
    """The grid of the paper on phantom patients, with the GANs scored as without ImageNet."""
    changes = [f"data.phantom={PHANTOM}", "score.embedders=[detector]"]
    changes += [f"grid.{name}={value}" for name, value in grid.items()]
    study = load_study(PAPER.read_text(), overrides=changes)
    assert study.data.phantom is not None
    return make_plan(study, phantom_manifest(study.data.phantom, study.seed), phantom=True)


def quickstart() -> Case:
    """The quickstart with the mean seconds by stage of a measured run."""
    study = load_study(QUICKSTART.read_text())
    assert study.data.phantom is not None
    plan = make_plan(study, phantom_manifest(study.data.phantom, study.seed), phantom=True)
    seconds = {ref: QUICKSTART_SECONDS[step.stage] for ref, step in plan.steps.items()}
    return Case("the quickstart", plan, plan_tasks(plan, seconds), step_costs(plan))


def assumed(plan: Plan, *, by_size: bool = False, fills_gpu: bool = False) -> Case:
    """`by_size`: in proportion to a step's work within its stage. `fills_gpu`: every step alone on
    a GPU makes use of all of it, else of no more than its share."""
    held = {step.stage: step.workers.gpus for step in plan.steps.values() if step.workers.gpus}
    on_gpu = {s: GPU_SECONDS[s] / (1.0 if fills_gpu else share) for s, share in held.items()}
    mean_s = {**CPU_SECONDS, **on_gpu}
    works = {ref: work(s, plan.steps, PAPER_FRAMES) for ref, s in plan.steps.items()}
    by_stage: dict[str, list[float]] = defaultdict(list)
    for ref, amount in works.items():
        by_stage[plan.steps[ref].stage].append(amount)
    mean = {stage: sum(amounts) / len(amounts) for stage, amounts in by_stage.items()}
    seconds = {
        ref: mean_s[step.stage] * (works[ref] / mean[step.stage] if by_size else 1.0)
        for ref, step in plan.steps.items()
    }
    told = ", ".join((
        "in proportion to images" if by_size else "all steps of a stage alike",
        "a step alone fills a GPU" if fills_gpu else "a step fills its share of a GPU",
    ))  # fmt: skip
    costs = step_costs(plan, PAPER_FRAMES if by_size else None)
    return Case(told, plan, plan_tasks(plan, seconds, 1.0 if fills_gpu else None), costs)


def of_run(folder: Path, **shares: float) -> list[Case]:
    """A finished run as it was, and the paper's grid at its seconds per image."""
    measured = measured_run(folder)
    plans = (_in_order(Plan(dict(measured.steps))), paper_plan())
    own, paper = (sharing(plan, **shares) for plan in plans)
    if not measured.on_gpu:  # what took the seconds was a worker, whatever its step
        own, paper = own.on_whole_gpus(), paper.on_whole_gpus()
    scaled = step_seconds(paper, replace(measured, target=PAPER_FRAMES))
    cases = []
    for told, plan, seconds, frames in (
        (f"as in {measured.source}", own, measured.seconds, measured.frames),
        ("the paper's grid at its seconds per image", paper, scaled, PAPER_FRAMES),
    ):
        case = Case(told, plan, plan_tasks(plan, seconds), {})
        cases += [
            case.believing("typical costs, all steps of a stage alike", step_costs(plan)),
            case.believing("typical costs by size", step_costs(plan, frames)),
            case.believing("true seconds", seconds),
        ]
    return cases


def _in_order(plan: Plan) -> Plan:
    """Inputs before the steps that use them."""
    found = Plan()

    def add(ref: str) -> None:
        if ref not in found.steps:
            for parent in plan.steps[ref].inputs.values():
                add(parent)
            found.add(plan.steps[ref])

    for ref in plan.steps:
        add(ref)
    return found


def print_case(case: Case, places: Iterable[Simulated]) -> None:
    print(f"\n{case.told}:")
    print("   k   makespan    work/k     chain   ratio   no less   ratio  at half  at most")
    for s in places:
        print(
            f"{s.n_gpus:4} {s.makespan_s:8.0f} s {s.least.work_s:7.0f} s {s.least.chain_s:7.0f} s "
            f"{s.ratio:7.3f} {s.least.no_less_s:7.0f} s {s.ratio_to_no_less:7.3f} "
            f"{s.early():8.2f} {s.early_at_most():8.2f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gpus", type=int, nargs="*", default=[1, 4, 16, 64])
    parser.add_argument("--run", type=Path, help="this finished run, with the times of its records")
    parser.add_argument("--noise", type=float, default=0.0, help="standard deviation")
    parser.add_argument("--gpus-per-trial", type=float, default=SHARES["trial"])
    arguments = parser.parse_args()
    if arguments.run:
        cases = of_run(arguments.run, trial=arguments.gpus_per_trial)
    else:
        plan = sharing(paper_plan(), trial=arguments.gpus_per_trial)
        print(f"{len(plan.cells)} cells, {len(plan.steps)} steps; times assumed, see GPU_SECONDS")
        cases = []
        for fills_gpu in (False, True):
            cases.append(assumed(plan, fills_gpu=fills_gpu))
            sized = assumed(plan, by_size=True, fills_gpu=fills_gpu)
            cases += [sized.believing("ranked by stage alone", step_costs(plan)),
                      sized.believing("ranked by size", sized.costs)]  # fmt: skip
    for case in cases:
        disturbed = case.disturbed(arguments.noise)
        print_case(disturbed, (simulated(disturbed, n_gpus) for n_gpus in arguments.gpus))
    if not arguments.run:
        case = quickstart().disturbed(arguments.noise)
        print_case(case, [simulated_on_cores(case, 2)])


if __name__ == "__main__":
    main()
