"""Specs of external images, memorisation cards and the release gate."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveInt, model_validator

from lussweep.study.spec.base import KNOWN, Fraction, Spec


class ExternalSpec(Spec):
    """Images of another generator, in place of those of the study's GAN.

    Paths may contain {n_patients}, {replicate} and {class} (pos or neg). They are relative to the
    experiment file's folder.
    """

    images: str
    """A folder of images, or a Parquet file."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$")] = "external"
    """The generator's name in tables."""
    patients: str
    """A table with a column patient_id, or a text file: every patient whose frames the generator
    saw."""

    @model_validator(mode="after")
    def _name_is_free(self) -> ExternalSpec:
        if self.name == "base":
            raise ValueError("base is the study's own GAN: give these images another name")
        if self.name in KNOWN:
            raise ValueError(f"{self.name} is a source of its own: give these images another name")
        return self


class ReleaseGateSpec(Spec):
    """The limits that a memorisation card must keep before its frames may be exported.

    null sets no limit.
    """

    max_copy_share: Fraction | None = 0.1
    """Ten times the default `copy_quantile`, so frames of unseen patients would pass."""
    max_nearer_train_share: Annotated[float, Field(ge=0, le=1)] | None = None
    """null by default, because frames made from a few patients lie nearer to those than to other
    patients, even if no frame is a copy."""
    min_authenticity: Annotated[float, Field(ge=0, le=1)] | None = None

    def failures(self, card: Mapping[str, Any]) -> list[str]:
        """One line for each limit that the card fails. A missing number counts as failed."""
        limits = (
            ("copy_share", self.max_copy_share, "at most", operator.le),
            ("nearer_train_share", self.max_nearer_train_share, "at most", operator.le),
            ("authenticity", self.min_authenticity, "at least", operator.ge),
        )
        failures = []
        for name, limit, words, passes in limits:
            value = card.get(name)
            if limit is None or (value is not None and passes(value, limit)):
                continue
            shown = "unknown" if value is None else f"{value:.3g}"
            failures.append(f"{name} is {shown}, allowed is {words} {limit:g}")
        return failures


class MemorisationSpec(Spec):
    """The memorisation card: how near a synthetic set lies to the frames that its generator saw."""

    version: ClassVar[int] = 1
    circumstance: ClassVar[frozenset[str]] = frozenset({"release_gate"})
    n_images: Annotated[int, Field(ge=2)] = 2000
    """Most synthetic frames that are compared. Training and holdout frames are all compared."""
    side: PositiveInt = 64
    """Frames are shrunk to this many pixels per side before their pixels are compared."""
    copy_quantile: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """A frame is a copy if it lies as near to a training frame as the nearest holdout frames do.
    This is the share of holdout frames that sets the distance; patients weigh the same."""
    release_gate: ReleaseGateSpec | None = ReleaseGateSpec()
    """The limits for `export-synthetic`. null exports everything. Changes no result."""
