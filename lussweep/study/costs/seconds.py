"""Expected seconds of a step: fixed + slope x work, fitted to the measured steps of its kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lussweep.errors import InputError
from lussweep.study.costs.work import Frames, Steps, kind, work
from lussweep.study.plan import STAGES, Plan
from lussweep.study.plan.words import stage_words


@dataclass(frozen=True)
class Measured:
    """Measured steps, their seconds, and the frames that they worked on."""

    steps: Steps
    seconds: Mapping[str, float]
    frames: Frames
    """Frames of the measured steps."""
    target: Frames
    """Frames of the study that is estimated."""
    source: str
    """The source of the measurements, in words."""
    on_gpu: bool = True
    alone: bool = False
    """Whether each step had its device to itself."""
    starts: frozenset[str] = frozenset()
    """Steps whose seconds include the start of a process. The cost lines leave them out."""


@dataclass(frozen=True)
class CostLine:
    """Seconds of a step as a linear function of its work."""

    fixed_s: float
    slope_s: float

    def seconds(self, work: float) -> float:
        """Expected seconds of a step with this much work."""
        return self.fixed_s + self.slope_s * work


def fit_line(points: Iterable[tuple[float, float]]) -> CostLine:
    """Fit a least-squares line to (work, seconds), with neither part negative.

    If all points have the same work, the two parts cannot be told apart, and all is slope.
    """
    points = list(points)
    n = len(points)
    mean_w = sum(w for w, _ in points) / n
    mean_s = sum(s for _, s in points) / n
    spread = sum((w - mean_w) ** 2 for w, _ in points)
    proportional = sum(w * s for w, s in points) / (sum(w * w for w, _ in points) or 1.0)
    if spread <= 1e-9 * max(1.0, mean_w**2) * n:
        return CostLine(0.0, mean_s / mean_w if mean_w else 0.0)
    slope = sum((w - mean_w) * (s - mean_s) for w, s in points) / spread
    fixed = mean_s - slope * mean_w
    if fixed < 0:
        return CostLine(0.0, proportional)
    return CostLine(fixed, slope) if slope >= 0 else CostLine(mean_s, 0.0)


def step_seconds(plan: Plan, measured: Measured) -> dict[str, float]:
    """Expected seconds of every step of a plan, by ref.

    Raises InputError for GPU stages that were not measured.
    """
    by_kind: dict[str, list[tuple[float, float]]] = defaultdict(list)
    by_stage: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for ref, seconds in measured.seconds.items():
        if ref in measured.starts:
            continue
        step = measured.steps[ref]
        point = (work(step, measured.steps, measured.frames), seconds)
        by_kind[kind(step)].append(point)
        by_stage[step.stage].append(point)
    on_gpu = {step.stage for step in plan.steps.values() if step.workers.gpus}
    missing = [stage for stage in STAGES if stage in on_gpu and stage not in by_stage]
    if missing:
        words = ", no ".join(map(stage_words, missing))
        raise InputError(f"{measured.source} has no {words}: give a run that has, or --calibrate")
    lines = {name: fit_line(points) for name, points in {**by_stage, **by_kind}.items()}
    lines |= {stage: CostLine(0.0, 0.0) for stage in STAGES if stage not in lines}
    return {
        ref: lines.get(kind(step), lines[step.stage]).seconds(
            work(step, plan.steps, measured.target)
        )
        for ref, step in plan.steps.items()
    }


def unknown_gans(plan: Plan, measured: Measured) -> int:
    """Number of GANs whose architecture was not measured. They are estimated from other GANs."""
    measured_kinds = {kind(step) for step in measured.steps.values()}
    return sum(s.stage == "gan" and kind(s) not in measured_kinds for s in plan.steps.values())
