"""The recipe of a variant: where its training frames come from, and what else it changes."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import NonNegativeInt, model_validator

from lussweep.study.spec.base import CLASSES, GENERATED, KNOWN, MADE, SourceName, Spec
from lussweep.study.spec.classification import AugmentSpec
from lussweep.study.spec.data import ValSpec
from lussweep.study.spec.generators import GeneratorOfKind
from lussweep.study.spec.release import ExternalSpec


class Recipe(Spec):
    """The sources of each class's training frames. A source that is named twice is used twice."""

    added: ClassVar[frozenset[str]] = frozenset({"frames", "seed_offset", "val"})
    pos: tuple[SourceName, ...]
    """Sources of the positive training frames."""
    neg: tuple[SourceName, ...]
    """Sources of the negative training frames."""
    gan: GeneratorOfKind | None = None
    """The variant's own generator. A file gives only the values that differ from the study's
    `gan`. A generator of another kind takes from `gan` the fields that all kinds have."""
    external: ExternalSpec | None = None
    """The images of the source `external`."""
    augment: AugmentSpec | None = None
    """The variant's own augmentation. A file gives only the values that differ from
    `classifier.augment`."""
    labels: Literal["true", "shuffled"] = "true"
    """shuffled: a random half of the training and validation patients is called positive. A mean
    AUC-ROC on the holdout that differs from chance then means leakage."""
    frames: Literal["whole", "mask"] = "whole"
    """mask: every frame of training, validation and holdout is replaced by its sector mask. An
    AUC-ROC above chance then means that the outline of the sector tells the class."""
    seed_offset: NonNegativeInt = 0
    """Another value gives the search and its classifiers other seeds. The patients and the
    generators stay the same."""
    val: ValSpec | None = None
    """The variant's own validation. A file gives only the values that differ from the study's
    `val`."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Recipe:
        if not self.pos or not self.neg:
            raise ValueError("a variant needs at least one source for pos and one for neg")
        named = {*self.pos, *self.neg}
        if ("external" in named) != (self.external is not None):
            raise ValueError(
                "the source external and the section external belong together: give both"
            )
        both = all(self.generator(label) == "external" for label in CLASSES)
        if both and self.external and "{class}" not in self.external.images:
            raise ValueError("external.images needs {class} where both classes take from it")
        if self.gan is not None and "synthetic" not in named:
            raise ValueError("gan is set, but no class has the source synthetic: remove gan")
        if self.labels == "shuffled" and named != {"real"}:
            raise ValueError("labels: shuffled is for real frames alone: use no other source")
        if self.frames == "mask" and named != {"real"}:
            raise ValueError("frames: mask is for real frames alone: use no other source")
        for label in CLASSES:
            made = [name for name in MADE if name in getattr(self, label)]
            if len(made) > 1:
                raise ValueError(f"{label} has both {made[0]} and {made[1]} frames: use one")
        return self

    def sources(self) -> dict[str, list[str]]:
        """The sources by class, as plain values."""
        return {label: list(getattr(self, label)) for label in CLASSES}

    def generator(self, label: str) -> str | None:
        """The generated source of a class, `synthetic` or `external`; None if it has none."""
        return next((name for name in getattr(self, label) if name in GENERATED), None)

    def generated_classes(self) -> tuple[str, ...]:
        """The classes for which this recipe needs a generator."""
        return tuple(label for label in CLASSES if self.generator(label))

    def known_source(self, label: str) -> str | None:
        """The source of known worth of a class, `simulated` or `copies`; None if it has none."""
        return next((name for name in getattr(self, label) if name in KNOWN), None)


PAPER_VARIANTS = {
    "baseline": Recipe(pos=("real",), neg=("real",)),
    "combined": Recipe(pos=("real", "synthetic"), neg=("real",)),
    "positive_synthetic": Recipe(pos=("synthetic",), neg=("real",)),
    "pure_synthetic": Recipe(pos=("synthetic",), neg=("synthetic",)),
}
