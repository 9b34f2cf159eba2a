"""What single kinds of steps hold, as types. `Step.spec` holds the same as plain values."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from lussweep.study.plan.steps import Step
from lussweep.study.spec import MemorisationSpec, ScoreSpec, SelectSpec, SynthSpec
from lussweep.study.spec.generators import GeneratorOfKind


class StepSpec(BaseModel):
    """Base of the specs of steps. What a class does not name stays in `Step.spec`."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    n_threads: int = 1

    @classmethod
    def of(cls, step: Step) -> Self:
        """The spec of a step."""
        return cls.model_validate(step.spec)


class DrawnStep(StepSpec):
    """Any step that draws random numbers for one class of a cohort."""

    label: str = Field(alias="class")
    """pos, neg, or both for the frames of a conditional generator."""
    seed: int


class GanStep(DrawnStep):
    """The training of a generator."""

    gan: GeneratorOfKind


class FeaturesStep(DrawnStep):
    """The features of real frames."""

    embedder: str
    n_images: int
    batch_size: int
    weights: str | None = None
    """The digest of the embedder's weights, if they are a file."""


class ScoreStep(DrawnStep):
    """The scores of the snapshots of a generator."""

    score: ScoreSpec
    weights: str | None = None


class SynthStep(DrawnStep):
    """The synthetic frames of a generator, or a choice of external images."""

    synth: SynthSpec
    select: SelectSpec | None = None
    """The choice of the snapshot. External images have none."""


class MemorisationStep(DrawnStep):
    """The memorisation card of a synthetic set."""

    memorisation: MemorisationSpec
