"""What a plan costs, from how long steps of its kinds have taken. Pure: reads and runs nothing.

A step's seconds are a line, fixed + slope x work, through the steps of its kind that were measured.
Its work is counted in what drives it:

- a GAN: images that a worker sees, epochs x images an epoch / workers;
- a trial: images seen, and a third of every validation frame judged (a forward without a backward);
- scores: frames of all snapshots; features, synthetic sets, memorisation cards, judgement: frames;
- a shard: videos; what is left is too small to matter and counts as one.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lussweep.errors import InputError
from lussweep.keys import canonical
from lussweep.plan import BOTH_CLASSES, STAGES, SYNTHETIC_ROLES, Plan, Step
from lussweep.spec import CLASSES, GanSpec, MemorisationSpec, SynthSpec

VAL_SHARE = 1 / 3
"""Cost of judging a validation frame over that of training on an image."""
GAN_BUDGETS = ("n_epochs", "images_per_epoch", "snapshot_every", "n_workers", "sync_batchnorm")
"""What does not change the cost of one image."""
HELD_GPUS = {
    "gan": 1.0, "trial": 0.25, "features": 0.25, "score": 0.25, "synth": 0.25,
    "memorisation": 0.25, "evaluate": 0.25,
}  # fmt: skip
"""GPUs that one step of a stage holds; the other stages need none."""
SMALLEST = 1e-9
HOUR_S = 3600.0

Steps = Mapping[str, Step]


@dataclass(frozen=True)
class Frames:
    """How many frames there are, as far as work depends on it."""

    by_cohort: Mapping[int | None, float]
    """F, frames a class, by patient count; None: every training patient, for the detector."""
    val: float
    holdout: float

    def of_cohort(self, n_patients: int | None) -> float:
        """F of a count that was not measured goes in proportion to its patients."""
        if n_patients in self.by_cohort:
            return self.by_cohort[n_patients]
        known = {n: f for n, f in self.by_cohort.items() if n is not None}
        if n_patients is None or not known:
            return max(self.by_cohort.values())
        return n_patients * sum(known.values()) / sum(known)


@dataclass(frozen=True)
class Measured:
    """Steps that were run somewhere, their seconds, and the frames that they worked on."""

    steps: Steps
    seconds: Mapping[str, float]
    frames: Frames
    """Of the measured steps."""
    target: Frames
    """Of the study that is to be estimated."""
    source: str
    """Where from, for the reader."""
    on_gpu: bool = True


@dataclass(frozen=True)
class Line:
    """Seconds of a step against its work."""

    fixed_s: float
    slope_s: float

    def seconds(self, work: float) -> float:
        return self.fixed_s + self.slope_s * work


# --- how long a step takes ----------------------------------------------------------------


def work(step: Step, steps: Steps, frames: Frames) -> float:
    """What the seconds of a step are in proportion to; see the module's text."""
    found = _WORK.get(step.stage)
    return found(step, steps, frames) if found else 1.0


def kind(step: Step) -> str:
    """Steps of one kind cost the same for the same work: GANs of one architecture, else a stage."""
    if step.stage != "gan":
        return step.stage
    gan = {name: value for name, value in step.spec["gan"].items() if name not in GAN_BUDGETS}
    return f"gan {canonical(gan)}"


def fit_line(points: Iterable[tuple[float, float]]) -> Line:
    """The least-squares line through (work, seconds) with neither part negative.

    With one amount of work there is nothing to tell the parts apart: all is slope.
    """
    found = list(points)
    n = len(found)
    mean_w = sum(w for w, _ in found) / n
    mean_s = sum(s for _, s in found) / n
    spread = sum((w - mean_w) ** 2 for w, _ in found)
    proportional = sum(w * s for w, s in found) / (sum(w * w for w, _ in found) or 1.0)
    if spread <= 1e-9 * max(1.0, mean_w**2) * n:
        return Line(0.0, mean_s / mean_w if mean_w else 0.0)
    slope = sum((w - mean_w) * (s - mean_s) for w, s in found) / spread
    fixed = mean_s - slope * mean_w
    if fixed < 0:
        return Line(0.0, proportional)
    return Line(fixed, slope) if slope >= 0 else Line(mean_s, 0.0)


def step_seconds(plan: Plan, measured: Measured) -> dict[str, float]:
    """Expected seconds of every step of a plan. InputError for stages that were not measured."""
    by_kind: dict[str, list[tuple[float, float]]] = defaultdict(list)
    by_stage: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for ref, seconds in measured.seconds.items():
        step = measured.steps[ref]
        point = (work(step, measured.steps, measured.frames), seconds)
        by_kind[kind(step)].append(point)
        by_stage[step.stage].append(point)
    missing = [stage for stage in STAGES if stage in plan.counts() and stage not in by_stage]
    missing = [stage for stage in missing if stage in HELD_GPUS]
    if missing:
        raise InputError(
            f"{measured.source} has no step of {', '.join(missing)}: give a run that has, or "
            "--calibrate"
        )
    lines = {name: fit_line(points) for name, points in {**by_stage, **by_kind}.items()}
    lines |= {stage: Line(0.0, 0.0) for stage in STAGES if stage not in lines}
    return {
        ref: lines.get(kind(step), lines[step.stage]).seconds(
            work(step, plan.steps, measured.target)
        )
        for ref, step in plan.steps.items()
    }


def unknown_gans(plan: Plan, measured: Measured) -> int:
    """GANs of an architecture that was not measured: estimated from the other ones."""
    known = {kind(step) for step in measured.steps.values()}
    return sum(s.stage == "gan" and kind(s) not in known for s in plan.steps.values())


def _cohort_frames(step: Step, steps: Steps, frames: Frames) -> float:
    return frames.of_cohort(steps[step.inputs["cohort"]].spec["n_patients"])


def _gan_work(step: Step, steps: Steps, frames: Frames) -> float:
    spec = step.spec["gan"]
    n_classes = len(CLASSES) if step.spec["class"] == BOTH_CLASSES else 1
    images = spec["images_per_epoch"] or n_classes * _cohort_frames(step, steps, frames)
    return float(spec["n_epochs"] * images / spec["n_workers"])


def _trial_work(step: Step, steps: Steps, frames: Frames) -> float:
    spec, n_real = step.spec["classifier"], _cohort_frames(step, steps, frames)

    def size(label: str) -> float:
        made = [
            _synth_work(steps[step.inputs[role]], steps, frames)
            for role in [SYNTHETIC_ROLES[label]]
            if role in step.inputs
        ]
        generated = made[0] if made else n_real
        sources = step.spec["recipe"][label]
        return sum(n_real if source in ("real", "noise") else generated for source in sources)

    budget = spec["images_per_epoch"]
    if budget == "parity":
        images = 2 * max(map(size, CLASSES))
    else:
        images = 2 * n_real if budget == "equal" else budget
    return float(spec["n_epochs"] * (images + VAL_SHARE * frames.val))


def _features_work(step: Step, steps: Steps, frames: Frames) -> float:
    return min(float(step.spec["n_images"]), _cohort_frames(step, steps, frames))


def _score_work(step: Step, steps: Steps, frames: Frames) -> float:
    n_images = min(float(step.spec["score"]["n_images"]), _cohort_frames(step, steps, frames))
    if "gan" not in step.inputs:
        return n_images
    gan = GanSpec.model_validate(steps[step.inputs["gan"]].spec["gan"])
    return len(gan.snapshot_epochs()) * n_images


def _synth_work(step: Step, steps: Steps, frames: Frames) -> float:
    n_real = round(_cohort_frames(step, steps, frames))
    return SynthSpec.model_validate(step.spec["synth"]).n_frames(n_real)


def _memorisation_work(step: Step, steps: Steps, frames: Frames) -> float:
    limit = MemorisationSpec.model_validate(step.spec["memorisation"]).n_images
    made = _synth_work(steps[step.inputs["synth"]], steps, frames)
    return min(limit, made) + _cohort_frames(step, steps, frames) + frames.holdout


_WORK: dict[str, Callable[[Step, Steps, Frames], float]] = {
    "shard": lambda step, steps, frames: len(step.spec["videos"]),
    "gan": _gan_work,
    "trial": _trial_work,
    "features": _features_work,
    "score": _score_work,
    "synth": _synth_work,
    "memorisation": _memorisation_work,
    "evaluate": lambda step, steps, frames: frames.holdout,
}


# --- how long all of them take ------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """A step as the scheduler sees it: on `n_workers` GPUs, a share of each."""

    seconds: float
    gpu_share: float = 0.0
    n_workers: int = 1
    inputs: Sequence[str] = ()

    @property
    def gpu_s(self) -> float:
        return self.seconds * self.gpu_share * self.n_workers


@dataclass(frozen=True)
class Schedule:
    """Wall time of tasks on so many GPUs, and the two times that none can undercut."""

    wall_s: float
    work_s: float
    """GPU-seconds over GPUs."""
    chain_s: float
    """The longest chain of tasks that wait for each other."""


def schedule(tasks: Mapping[str, Task], n_gpus: int) -> Schedule:
    """Greedy list scheduling: whatever is ready and fits starts, the longest chain behind it first.

    Inputs that are not among the tasks are done. Tasks without a GPU start as soon as they can:
    CPUs are taken to be enough. Never worse than work_s + chain_s where each task takes a whole GPU
    (Graham 1969). Raises InputError for a task that needs more GPUs than there are.
    """
    largest = max((task.n_workers for task in tasks.values() if task.gpu_share), default=0)
    if largest > n_gpus:
        raise InputError(f"a GAN has {largest} workers with a GPU each, --gpus {n_gpus} has fewer")
    chain = _chains(tasks)
    users: dict[str, list[str]] = defaultdict(list)
    waiting_for: dict[str, int] = {}
    for name, task in tasks.items():
        inputs = {i for i in task.inputs if i in tasks}
        waiting_for[name] = len(inputs)
        for parent in inputs:
            users[parent].append(name)
    number = {name: i for i, name in enumerate(tasks)}
    ready: dict[tuple[float, int], list[tuple[float, int, str]]] = defaultdict(list)

    def unlock(name: str) -> None:
        need = (tasks[name].gpu_share, tasks[name].n_workers)
        heapq.heappush(ready[need], (-chain[name], number[name], name))

    for name, n in waiting_for.items():
        if not n:
            unlock(name)
    free = [1.0] * n_gpus
    running: list[tuple[float, int, str, list[int]]] = []
    now = 0.0
    while running or any(ready.values()):
        open_needs = {need for need, queue in ready.items() if queue}
        while open_needs:
            need = min(open_needs, key=lambda need: ready[need][0])
            places = _places(free, *need)
            if places is None:
                open_needs.discard(need)
                continue
            _, i, name = heapq.heappop(ready[need])
            for gpu in places:
                free[gpu] -= need[0]
            heapq.heappush(running, (now + tasks[name].seconds, i, name, places))
            if not ready[need]:
                open_needs.discard(need)
        now, _, name, places = heapq.heappop(running)
        for gpu in places:
            free[gpu] += tasks[name].gpu_share
        for user in users[name]:
            waiting_for[user] -= 1
            if not waiting_for[user]:
                unlock(user)
    total = sum(task.gpu_s for task in tasks.values())
    return Schedule(now, total / n_gpus, max(chain.values(), default=0.0))


def _places(free: Sequence[float], share: float, n_workers: int) -> list[int] | None:
    """GPUs with room, the fullest first, so that whole ones stay free; None if too few have."""
    if not share:
        return []
    fitting = sorted((room, gpu) for gpu, room in enumerate(free) if room >= share - SMALLEST)
    return [gpu for _, gpu in fitting[:n_workers]] if len(fitting) >= n_workers else None


def _chains(tasks: Mapping[str, Task]) -> dict[str, float]:
    """Seconds of the longest chain that begins with each task; inputs stand before their users."""
    chain = {name: task.seconds for name, task in tasks.items()}
    for name in reversed(list(tasks)):
        for parent in tasks[name].inputs:
            if parent in chain:
                chain[parent] = max(chain[parent], tasks[parent].seconds + chain[name])
    return chain


# --- what it comes to ---------------------------------------------------------------------


@dataclass(frozen=True)
class StageCost:
    """GPU-hours of one stage's steps."""

    stage: str
    n_steps: int
    mean_s: float
    gpu_hours: float
    unshared_gpu_hours: float
    """If every cell did all of its steps by itself."""
    left_gpu_hours: float


@dataclass(frozen=True)
class Estimate:
    """What a plan costs; `schedule` is of the steps that are not done."""

    stages: list[StageCost]
    schedule: Schedule
    n_gpus: int
    notes: list[str] = field(default_factory=list)

    def total(self, name: str) -> float:
        return float(sum(getattr(stage, name) for stage in self.stages))

    def price(self, per_gpu_hour: float) -> float:
        """Of the GPUs that are held until the last step ends, busy or not."""
        return self.n_gpus * self.schedule.wall_s / HOUR_S * per_gpu_hour


def estimate(
    plan: Plan,
    seconds: Mapping[str, float],
    done: Iterable[str],
    n_gpus: int,
    shares: Mapping[str, float],
) -> Estimate:
    """What the steps cost together: `shares` are GPUs that one step of a stage holds."""
    found = set(done)
    tasks = {ref: _task(step, seconds[ref], shares) for ref, step in plan.steps.items()}
    unshared: dict[str, float] = defaultdict(float)
    for ref, cells in plan.cells_by_step():
        unshared[plan.steps[ref].stage] += len(cells) * tasks[ref].gpu_s
    stages = []
    for stage, n in plan.counts().items():
        own = [ref for ref, step in plan.steps.items() if step.stage == stage]
        gpu_s = sum(tasks[ref].gpu_s for ref in own)
        left_s = sum(tasks[ref].gpu_s for ref in own if ref not in found)
        mean_s = sum(seconds[ref] for ref in own) / n
        # Data that no cell uses would be made all the same.
        alone_s = max(gpu_s, unshared[stage])
        hours = (gpu_s / HOUR_S, alone_s / HOUR_S, left_s / HOUR_S)
        stages.append(StageCost(stage, n, mean_s, *hours))
    stages.sort(key=lambda cost: STAGES.index(cost.stage))
    left = {ref: task for ref, task in tasks.items() if ref not in found}
    return Estimate(stages, schedule(left, n_gpus), n_gpus)


def _task(step: Step, seconds: float, shares: Mapping[str, float]) -> Task:
    inputs = tuple(step.inputs.values())
    n_workers = step.spec["gan"]["n_workers"] if step.stage == "gan" else 1
    if n_workers > 1:  # a gang's workers do not share a GPU
        return Task(seconds, 1.0, n_workers, inputs)
    return Task(seconds, shares.get(step.stage, 0.0), 1, inputs)
