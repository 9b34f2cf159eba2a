"""The base of every spec: frozen, validated, aware of the fields that results depend on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

SPLITS = ("train", "val", "holdout")
CLASSES = ("neg", "pos")
CLASS_WORDS = {"pos": "positive", "neg": "negative"}
SourceName = Literal["real", "synthetic", "external", "simulated", "copies", "noise"]
GENERATED = ("synthetic", "external")
"""Sources that a generator makes: the study's GAN, or another generator."""
KNOWN = ("simulated", "copies")
"""Sources of known worth: frames of new patients of the phantom, and the cohort's frames again."""
MADE = (*GENERATED, *KNOWN)
"""Sources whose frames are an artifact of their own. A class has at most one of them."""
SplitName = Literal["train", "val", "holdout"]
ImageSize = Literal[64, 128, 256]
Count = Annotated[int, Field(gt=0, le=1_000_000)]
"""A number of things. The plan lists each of them before anything runs, so it has a limit."""
AXIS = Field(json_schema_extra={"minItems": 1, "uniqueItems": True})
"""Tells editors that a list needs one or more different values. Validators of the spec check it."""
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Spec(BaseModel):
    """Base of every spec: immutable, no unknown keys, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    circumstance: ClassVar[frozenset[str]] = frozenset()
    """Fields that change no result. They enter no key."""
    added: ClassVar[frozenset[str]] = frozenset()
    """Fields that came after the first release. They enter a key only where they differ from their
    default, so that a new field changes no key of an earlier artifact."""

    section_names: ClassVar[tuple[str, ...]] = ()
    """Texts that a file may write in place of the whole section."""
    other_keys: ClassVar[Mapping[str, str]] = {}
    """Keys of a file that stand for a field of another name, with that name."""

    def key_fields(self) -> dict[str, Any]:
        """All fields that results depend on, as plain values, with nested specs."""
        return {
            name: key_value(getattr(self, name))
            for name, field in type(self).model_fields.items()
            if name not in self.circumstance
            and not (
                name in self.added
                and getattr(self, name) == field.get_default(call_default_factory=True)
            )
        }


def key_value(value: Any) -> Any:
    """The value of a field as it enters a key."""
    if isinstance(value, Spec):
        return value.key_fields()
    if isinstance(value, dict):
        return {name: key_value(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [key_value(item) for item in value]
    return value
