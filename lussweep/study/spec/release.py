"""Images of other generators, and what a synthetic set must show before it may leave."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveInt, model_validator

from lussweep.study.spec.base import Fraction, Spec


class ExternalSpec(Spec):
    """Images of another generator, in the place of our GAN's.

    Paths may hold {n_patients}, {replicate} and {class} (pos or neg), and count from the
    experiment file's folder.
    """

    images: str
    """A folder of images, or a Parquet file."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$")] = "external"
    """How tables call it."""
    patients: str
    """A table with a column patient_id, or a text file: everybody whose frames it saw."""

    @model_validator(mode="after")
    def _name_is_free(self) -> ExternalSpec:
        if self.name == "base":
            raise ValueError("base is the study's own GAN: give these images another name")
        return self


class ReleaseGateSpec(Spec):
    """What a memorisation card must show before its frames may leave; null asks nothing."""

    max_copy_share: Fraction | None = 0.1
    """Ten times the default `copy_quantile`: frames of unseen patients stay below it."""
    max_nearer_train_share: Annotated[float, Field(ge=0, le=1)] | None = None
    """Off by default: frames made of a few patients lie nearer to them than to strangers, even
    where none is repeated."""
    min_authenticity: Annotated[float, Field(ge=0, le=1)] | None = None

    def failures(self, card: Mapping[str, Any]) -> list[str]:
        """What the card fails, in words; a number that it lacks counts as failed."""
        limits = (
            ("copy_share", self.max_copy_share, "at most", operator.le),
            ("nearer_train_share", self.max_nearer_train_share, "at most", operator.le),
            ("authenticity", self.min_authenticity, "at least", operator.ge),
        )
        found = []
        for name, limit, words, passes in limits:
            value = card.get(name)
            if limit is None or (value is not None and passes(value, limit)):
                continue
            shown = "unknown" if value is None else f"{value:.3g}"
            found.append(f"{name} is {shown}, allowed is {words} {limit:g}")
        return found


class MemorisationSpec(Spec):
    """How far synthetic frames stay from the frames that their generator saw."""

    version: ClassVar[int] = 1
    circumstance: ClassVar[frozenset[str]] = frozenset({"release_gate"})
    n_images: Annotated[int, Field(ge=2)] = 2000
    """The most synthetic frames that are looked at; of training and holdout frames, all are."""
    side: PositiveInt = 64
    """Frames are shrunk to so many pixels a side before their pixels are compared."""
    copy_quantile: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Frames as near to a training frame as this share of holdout frames, patients weighing the
    same, count as copies of it."""
    release_gate: ReleaseGateSpec | None = ReleaseGateSpec()
    """What `export-synthetic` demands; null lets everything out. Changes no result."""
