"""The kinds of classifiers by name: what is searched, and how a network is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, PositiveInt, SerializeAsAny

from lussweep.study.plugins import Registry
from lussweep.study.spec.base import AXIS, Fraction
from lussweep.study.spec.imports import imported
from lussweep.study.spec.search import LEARNING_RATE, SearchSpec

Build = Callable[[Mapping[str, Any], int], Any]
"""Makes a `Network` (models/classifiers/network.py) of hyperparameters by name and the side of an
image in pixels."""


@dataclass(frozen=True)
class ClassifierKind:
    """One kind of classifier. Learning rate, batch size and epochs belong to its training."""

    search: type[SearchSpec]
    """The fields that it adds list the values of its hyperparameters, and have defaults."""
    build: Build

    def __post_init__(self) -> None:
        if LEARNING_RATE in self.search.own_fields():
            raise ValueError(f"{LEARNING_RATE} belongs to training: use learning_rates")


class VggSearchSpec(SearchSpec):
    """The search of the paper's reduced VGG (section 2.4)."""

    channels: Annotated[tuple[PositiveInt, ...], AXIS] = (3, 5, 8)
    """Channel multipliers c."""
    dropouts: Annotated[tuple[Fraction, ...], AXIS] = (0.25, 0.35, 0.45)
    """Dropout rates."""

    def hyperparameters(self) -> dict[str, tuple[Any, ...]]:
        """The values of each hyperparameter of the network, by its name."""
        return {"channels": self.channels, "dropout": self.dropouts}


VGG = "vgg"
CLASSIFIERS: Registry[ClassifierKind] = Registry(
    "classifier",
    {VGG: ClassifierKind(VggSearchSpec, imported("lussweep.models.classifiers.vgg:build"))},
)
"""Every kind of classifier by the name that `classifier.kind` gives it."""


def kind_of(classifier: Any) -> Any:
    """The kind of classifier that a section `classifier` asks for, before it is validated."""
    if isinstance(classifier, Mapping):
        return classifier.get("kind", VGG)
    return getattr(classifier, "kind", VGG)


class OfKind(NamedTuple):
    """The values of a search before validation, and the kind of classifier that they are for."""

    kind: Any
    values: Any


def _of_its_kind(search: Any) -> Any:
    if not isinstance(search, OfKind):
        return search
    if not isinstance(search.kind, str) or search.kind not in CLASSIFIERS:
        return VggSearchSpec()  # classifier.kind is refused already; a second error would confuse
    wanted = CLASSIFIERS[search.kind].search
    if isinstance(search.values, SearchSpec) and type(search.values) is not wanted:
        raise ValueError(
            f"a {type(search.values).__name__}, but classifier.kind is {search.kind}, "
            f"which needs a {wanted.__name__}"
        )
    return wanted.model_validate(search.values)


SearchOfKind = Annotated[SerializeAsAny[SearchSpec], BeforeValidator(_of_its_kind)]
"""A search whose fields are those of a kind of classifier. The study says which by `OfKind`."""
