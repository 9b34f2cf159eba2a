"""The specs of steps by stage: the fields that a plan writes into `Step.spec`, with their types.

A stage reads its step as `TrialStep.of(step)`. The plan writes plain values (builder.py), because
a grid of 10,000 cells has 100,000 steps. The tests compare both for every step of a plan.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveInt

from lussweep.study.plan.steps import Step
from lussweep.study.spec import (
    CLASSIFIERS,
    ClassifierSpec,
    CohortSpec,
    MemorisationSpec,
    PreprocessSpec,
    ScoreSpec,
    SearchSpec,
    SelectSpec,
    SynthSpec,
    ValSpec,
    Video,
)
from lussweep.study.spec.base import ImageSize, SourceName, Spec, SplitName
from lussweep.study.spec.generators import GeneratorOfKind

Seed = NonNegativeInt
ClassLabel = Annotated[Literal["pos", "neg"], Field(alias="class")]
"""The class of a step. A spec calls it `class`, which is a word of Python."""


ShownFrames = Literal["whole", "mask"]
"""What a classifier sees of a frame: its pixels, or its sector mask."""


class StepSpec(Spec):
    """Base of the specs of steps."""

    n_threads: PositiveInt = 1
    plugins: dict[str, str] = {}
    """Versions of the plugins that compute the step, by package."""

    @classmethod
    def of(cls, step: Step) -> Self:
        """The typed spec of a step of this stage."""
        return cls.model_validate(step.spec)


class PhantomFrames(Spec):
    """What the simulator needs to draw the frames of a video."""

    n_frames: PositiveInt
    image_size: ImageSize
    seed: Seed


class ShardStep(StepSpec):
    """The frames of one patient: drawn by the simulator, or read from files."""

    patient_id: str
    videos: tuple[dict[str, Any], ...]
    phantom: PhantomFrames | None = None
    preprocess: PreprocessSpec | None = None

    def of_patient(self) -> list[Video]:
        """The patient's videos. Their split is that of the step `ingest`, so it is arbitrary."""
        return [Video(patient_id=self.patient_id, split="train", **video) for video in self.videos]

    @property
    def frame_stride(self) -> int:
        """One frame in this many is read."""
        return self.preprocess.frame_stride if self.preprocess else 1


class IngestStep(StepSpec):
    """The frame index of one split."""

    split: SplitName


class CohortStep(StepSpec):
    """The patients of one draw. `n_patients` is None for every training patient."""

    cohort: CohortSpec
    n_patients: PositiveInt | None
    seed: Seed


class ExternalStep(StepSpec):
    """Images of a generator that lussweep did not train."""

    label: ClassLabel
    sha256: str
    patients: tuple[str, ...]
    """Patients whose frames the generator saw: by hashed id, or as declared if the manifest has no
    such patient."""
    image_size: ImageSize


class GanStep(StepSpec):
    """The training of a generator."""

    gan: GeneratorOfKind
    label: Annotated[Literal["pos", "neg", "both"], Field(alias="class")]
    """`both` for a conditional generator."""
    seed: Seed


class DrawnStep(StepSpec):
    """A step that draws from the frames of one class of a cohort, or of its generator."""

    label: ClassLabel
    seed: Seed


class FeaturesStep(DrawnStep):
    """The features of real frames."""

    embedder: str
    n_images: PositiveInt
    n_patients: PositiveInt | None = None
    """Patients whose frames are taken, unless they have too few. None: all."""
    batch_size: PositiveInt
    weights: str | None
    """The digest of the embedder's weights, if they are a file."""


class ScoreStep(DrawnStep):
    """The scores of the snapshots of a generator, or of external images."""

    score: ScoreSpec
    weights: str | None
    """The digest of ImageNet's weights, if scores use them."""


class FloorStep(DrawnStep):
    """The scores of real frames against those of other patients."""

    score: ScoreSpec
    n_draws: PositiveInt
    n_pool: PositiveInt
    """Most frames that the draws are made of, if a set has `score.n_images` frames."""
    n_patients: PositiveInt | None = None
    """Training patients whose frames these are, unless they have too few. None: all."""


class SimulatedPatients(Spec):
    """What the simulator needs to draw new patients of a class."""

    n_patients: PositiveInt
    replicate: PositiveInt
    version: PositiveInt
    """The version of the phantom."""
    n_videos: PositiveInt
    """Videos of a patient."""
    image_size: ImageSize
    seed: Seed


class SynthStep(DrawnStep):
    """The synthetic frames of a cell, or frames of known worth in their place."""

    synth: SynthSpec = SynthSpec()
    """The number of frames that a generator makes. Frames of known worth are F."""
    select: SelectSpec | None = None
    """The choice of the snapshot. Only a GAN has one."""
    source: Literal["simulated", "copies"] | None = None
    """The source of known worth, if no generator makes the frames."""
    simulated: SimulatedPatients | None = None


class MemorisationStep(DrawnStep):
    """The memorisation card of a synthetic set."""

    memorisation: MemorisationSpec


class TrialStep(StepSpec):
    """The training of one classifier."""

    trial: PositiveInt
    search: dict[str, Any]
    """The search up to this trial, as plain values. `search_spec` gives them their type."""
    search_seed: Seed
    classifier: ClassifierSpec
    recipe: dict[str, tuple[SourceName, ...]]
    """The sources of the training frames, by class."""
    val: ValSpec
    val_seed: Seed
    labels_seed: Seed | None = None
    """Set where the labels are shuffled."""
    frames: ShownFrames = "whole"
    seed: Seed

    def search_spec(self) -> SearchSpec:
        """The search up to this trial, of the classifier's kind."""
        return CLASSIFIERS[self.classifier.kind].search.model_validate(self.search)


class SearchStep(StepSpec):
    """The choice among the trials of a cell."""

    select_by: Literal["accuracy", "auroc"]


class EvaluateStep(StepSpec):
    """The judgement of a cell's classifier on the holdout."""

    batch_size: PositiveInt
    precision: Literal["fp32", "bf16"]
    frames: ShownFrames = "whole"


STEP_SPECS: dict[str, type[StepSpec]] = {
    "shard": ShardStep,
    "ingest": IngestStep,
    "cohort": CohortStep,
    "external": ExternalStep,
    "gan": GanStep,
    "features": FeaturesStep,
    "score": ScoreStep,
    "floor": FloorStep,
    "synth": SynthStep,
    "memorisation": MemorisationStep,
    "trial": TrialStep,
    "search": SearchStep,
    "evaluate": EvaluateStep,
}
"""The type of a step's spec, by stage."""
