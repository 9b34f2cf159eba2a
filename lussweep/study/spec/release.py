"""Specs of external images, memorisation cards and the release gate."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

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


class Verdict(NamedTuple):
    """What a release gate says of a memorisation card, and why unless it passed."""

    word: Literal["passed", "refused", "unjudged"]
    reasons: tuple[str, ...] = ()


class ReleaseGateSpec(Spec):
    """The limits that a memorisation card must keep before its frames may be exported.

    null sets no limit.
    """

    max_copy_share: Fraction | None = 0.1
    """The share of the set that may be copies of training frames."""
    max_frame_share: Fraction | None = 0.05
    """The share of the set that may be copies of one training frame. One copy is always allowed."""
    max_recognisable_share: Fraction | None = 0.2
    """The share of training patients of whom the set may hold a copy."""
    min_caught_share: Fraction | None = 0.8
    """The share of disguised training frames that the card must catch. If it catches fewer, the
    set cannot be judged: with few holdout patients the threshold of a copy is uncertain."""
    max_nearer_train_share: Annotated[float, Field(ge=0, le=1)] | None = None
    """null by default, because frames made from a few patients lie nearer to those than to other
    patients, even if no frame is a copy."""
    min_authenticity: Annotated[float, Field(ge=0, le=1)] | None = None
    """The least authenticity of the set."""

    def verdict(self, card: Mapping[str, Any]) -> Verdict:
        """Passed, refused, or unjudged: no limit is broken, but copies might not be seen.

        A missing number counts as a broken limit.
        """
        if broken := self._broken_limits(card):
            return Verdict("refused", tuple(broken))
        copy_limits = (self.max_copy_share, self.max_frame_share, self.max_recognisable_share)
        if self.min_caught_share is None or all(limit is None for limit in copy_limits):
            return Verdict("passed")
        caught, n_patients = card.get("caught_share"), card.get("n_holdout_patients")
        if caught is not None and caught >= self.min_caught_share:
            return Verdict("passed")
        patients = "1 holdout patient" if n_patients == 1 else f"{n_patients} holdout patients"
        return Verdict(
            "unjudged",
            (
                f"cannot be judged with {patients}: caught_share is {_shown(caught)}, needed is "
                f"at least {self.min_caught_share:g}",
            ),
        )

    def _broken_limits(self, card: Mapping[str, Any]) -> list[str]:
        """One line for each limit that the card breaks."""
        limits = (
            ("copy_share", self.max_copy_share, "at most", operator.le),
            ("frame_share", self._frame_limit(card), "at most", operator.le),
            ("recognisable_share", self.max_recognisable_share, "at most", operator.le),
            ("nearer_train_share", self.max_nearer_train_share, "at most", operator.le),
            ("authenticity", self.min_authenticity, "at least", operator.ge),
        )
        broken = []
        for name, limit, words, keeps in limits:
            value = card.get(name)
            if limit is None or (value is not None and keeps(value, limit)):
                continue
            broken.append(f"{name} is {_shown(value)}, allowed is {words} {limit:.3g}")
        return broken

    def _frame_limit(self, card: Mapping[str, Any]) -> float | None:
        limit, n = self.max_frame_share, card.get("n_synthetic")
        return max(limit, 1 / n) if limit is not None and n else limit


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"


class MemorisationSpec(Spec):
    """The memorisation card: how near a synthetic set lies to the frames that its generator saw."""

    version: ClassVar[int] = 2
    circumstance: ClassVar[frozenset[str]] = frozenset({"release_gate"})
    n_images: Annotated[int, Field(ge=2)] = 2000
    """Most synthetic frames that are compared, and most holdout frames that say what a copy is.
    Training frames are all compared."""
    side: PositiveInt = 64
    """Frames are shrunk to this many pixels per side before their grey levels are compared. The
    search for copies has a size of its own."""
    release_gate: ReleaseGateSpec | None = ReleaseGateSpec()
    """The limits for `export-synthetic`. null exports everything. Changes no result."""

    def verdict(self, card: Mapping[str, Any]) -> Verdict:
        """What the release gate says of a card. Without a gate, every card passes."""
        return self.release_gate.verdict(card) if self.release_gate else Verdict("passed")
