"""The work of a step: the quantity that its seconds are proportional to.

- gan: images that a worker sees, as the spec of the generator says;
- trial: images of all epochs, plus a third of the validation frames of all epochs, because a
  validation frame needs a forward pass only;
- score: frames of all snapshots;
- floor: frames of all draws;
- features, synth, memorisation, evaluate: frames;
- shard: videos;
- other stages: 1, because they are too short to matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lussweep.study.keys import canonical
from lussweep.study.plan import BOTH_CLASSES, SYNTHETIC_ROLES, Step
from lussweep.study.plan.step_specs import (
    FeaturesStep,
    FloorStep,
    GanStep,
    MemorisationStep,
    ScoreStep,
    SynthStep,
)
from lussweep.study.spec import CLASSES

VAL_SHARE = 1 / 3
"""Cost of judging a validation frame, divided by that of training on an image."""

Steps = Mapping[str, Step]


@dataclass(frozen=True)
class Frames:
    """The numbers of frames that work depends on."""

    by_cohort: Mapping[int | None, float]
    """F, frames per class, by patient count. None stands for every training patient."""
    val: float
    holdout: float

    def of_cohort(self, n_patients: int | None) -> float:
        """F of a patient count. For one that was not measured, F is proportional to patients."""
        if n_patients in self.by_cohort:
            return self.by_cohort[n_patients]
        measured = {n: f for n, f in self.by_cohort.items() if n is not None}
        if n_patients is None or not measured:
            return max(self.by_cohort.values())
        return n_patients * sum(measured.values()) / sum(measured)


def work(step: Step, steps: Steps, frames: Frames) -> float:
    """The quantity that the seconds of a step are proportional to; see the module's docstring."""
    stage_work = _WORK.get(step.stage)
    return stage_work(step, steps, frames) if stage_work else 1.0


def kind(step: Step) -> str:
    """The kind of a step: generators of one architecture, or a stage.

    Steps of one kind cost the same for the same work.
    """
    if step.stage != "gan":
        return step.stage
    gan = GanStep.of(step).gan
    lasting = {name: value for name, value in step.spec["gan"].items() if name not in gan.budgets}
    return f"gan {canonical(lasting)}"


def _cohort_frames(step: Step, steps: Steps, frames: Frames) -> float:
    return frames.of_cohort(steps[step.inputs["cohort"]].spec["n_patients"])


def _gan_work(step: Step, steps: Steps, frames: Frames) -> float:
    gan_step = GanStep.of(step)
    n_classes = len(CLASSES) if gan_step.label == BOTH_CLASSES else 1
    return float(gan_step.gan.work(n_classes * _cohort_frames(step, steps, frames)))


def _trial_work(step: Step, steps: Steps, frames: Frames) -> float:
    spec, n_real = step.spec["classifier"], _cohort_frames(step, steps, frames)

    def size(label: str) -> float:
        n_synthetic = [
            _synth_work(steps[step.inputs[role]], steps, frames)
            for role in [SYNTHETIC_ROLES[label]]
            if role in step.inputs
        ]
        generated = n_synthetic[0] if n_synthetic else n_real
        sources = step.spec["recipe"][label]
        return sum(n_real if source in ("real", "noise") else generated for source in sources)

    budget = spec["images_per_epoch"]
    if budget == "parity":
        images = 2 * max(map(size, CLASSES))
    else:
        images = 2 * n_real if budget == "equal" else budget
    return float(spec["n_epochs"] * (images + VAL_SHARE * frames.val))


def _features_work(step: Step, steps: Steps, frames: Frames) -> float:
    return min(float(FeaturesStep.of(step).n_images), _cohort_frames(step, steps, frames))


def _score_work(step: Step, steps: Steps, frames: Frames) -> float:
    n_wanted = float(ScoreStep.of(step).score.n_images)
    n_images = min(n_wanted, _cohort_frames(step, steps, frames))
    if "gan" not in step.inputs:
        return n_images
    gan = GanStep.of(steps[step.inputs["gan"]]).gan
    return len(gan.snapshot_epochs()) * n_images


def _floor_work(step: Step, steps: Steps, frames: Frames) -> float:
    floor = FloorStep.of(step)
    return floor.n_draws * min(float(floor.score.n_images), _cohort_frames(step, steps, frames))


def _synth_work(step: Step, steps: Steps, frames: Frames) -> float:
    n_real = round(_cohort_frames(step, steps, frames))
    return SynthStep.of(step).synth.n_frames(n_real)


def _memorisation_work(step: Step, steps: Steps, frames: Frames) -> float:
    limit = MemorisationStep.of(step).memorisation.n_images
    n_synthetic = _synth_work(steps[step.inputs["synth"]], steps, frames)
    return min(limit, n_synthetic) + _cohort_frames(step, steps, frames) + frames.holdout


_WORK: dict[str, Callable[[Step, Steps, Frames], float]] = {
    "shard": lambda step, steps, frames: len(step.spec["videos"]),
    "gan": _gan_work,
    "trial": _trial_work,
    "features": _features_work,
    "score": _score_work,
    "floor": _floor_work,
    "synth": _synth_work,
    "memorisation": _memorisation_work,
    "evaluate": lambda step, steps, frames: frames.holdout,
}
