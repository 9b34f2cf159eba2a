"""The kinds of generators by name: what an experiment sets, and the functions that run them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BeforeValidator,
    Field,
    PositiveInt,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from lussweep.study.plugins import Registry
from lussweep.study.spec.base import Count, Spec

DCGAN = "dcgan"
SPECTRAL_GAP_CEILING = 0.5
"""A generator whose spectral gap is above this has not learned (metrics/spectral_gap.py)."""


class GeneratorSpec(Spec):
    """What every kind of generator has. A kind adds fields of its own, with defaults."""

    version: ClassVar[int] = 1
    """Raise it when the results of this kind change."""
    added: ClassVar[frozenset[str]] = frozenset({"kind"})
    circumstance: ClassVar[frozenset[str]] = frozenset(
        {"gpus", "checkpoint_minutes", "keep_checkpoints"}
    )
    budgets: ClassVar[frozenset[str]] = frozenset({"n_epochs", "snapshot_every"})
    """Fields that do not change the cost of one image."""
    kind: str = DCGAN
    """The generator: a name in GENERATORS."""
    n_epochs: Count = 100
    """Epochs of one training."""
    snapshot_every: PositiveInt = 5
    """Epochs between two snapshots of the generator."""
    conditional: bool = False
    """One generator for both classes, with the label as input."""
    gpus: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of a GPU per worker: 0.5 trains two generators on one GPU. None: a whole GPU. Changes
    no result."""
    checkpoint_minutes: Annotated[float, Field(ge=0)] = 10.0
    """Minutes between checkpoints, the most work that a killed training loses. Changes no
    result."""
    keep_checkpoints: PositiveInt = 2
    """Number of latest checkpoints that stay while a training runs. Changes no result."""

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, kind: str) -> str:
        return GENERATORS.known(kind)

    @model_validator(mode="after")
    def _is_of_its_kind(self) -> Self:
        wanted = GENERATORS[self.kind].spec
        if not isinstance(self, wanted):
            raise ValueError(
                f"a {type(self).__name__}, but gan.kind is {self.kind}, which needs a "
                f"{wanted.__name__}"
            )
        return self

    def snapshot_epochs(self) -> tuple[int, ...]:
        """The epochs (from 1) after which a snapshot is kept, always including the last one."""
        every = range(self.snapshot_every, self.n_epochs + 1, self.snapshot_every)
        return tuple(sorted({*every, self.n_epochs}))

    def gap_ceiling(self) -> float:
        """The spectral gap above which a snapshot has not learned."""
        return SPECTRAL_GAP_CEILING

    def workers(self) -> int:
        """The number of processes that train one generator together."""
        return 1

    def work(self, n_frames: float) -> float:
        """The images that a worker sees in a training on `n_frames` frames.

        The seconds of a training are estimated in proportion to it.
        """
        return self.n_epochs * n_frames

    def shortened(self, n_epochs: int, n_batches: int) -> Self:
        """The same generator with a small budget, to measure what an epoch costs.

        An epoch has at most `n_batches` batches where the kind can limit it.
        """
        return self.model_copy(update={"n_epochs": n_epochs, "snapshot_every": n_epochs})

    def snapshot_bytes(self, image_size: int) -> int:
        """Bytes of one snapshot on disk; 0 where a kind does not say."""
        return 0

    def checkpoint_bytes(self, image_size: int) -> int:
        """Bytes of one checkpoint of a training; 0 for a kind without checkpoints."""
        return 0


@dataclass(frozen=True)
class GeneratorKind:
    """One kind of generator. models/generators/seam.py says what its functions take and return."""

    spec: type[GeneratorSpec]
    train: Callable[..., None]
    load: Callable[..., Any]
    sample: Callable[..., Any]
    check: Callable[..., None] = lambda spec, device: None
    """Raises InputError, before any training, if the device cannot do what the spec asks for."""
    stops: bool = False
    """Whether `train` obeys a request to stop, with a checkpoint. Other trainings are broken off,
    and begin anew when the run goes on."""

    def __post_init__(self) -> None:
        # A key leaves out the default, so a step would not say that it is of another kind.
        if self.spec.model_fields["kind"].default != DCGAN:
            raise ValueError(f"{self.spec.__name__}.kind has a default: remove it")


GENERATORS: Registry[GeneratorKind] = Registry("generator", {})
"""Every kind of generator by the name that `gan.kind` gives it."""


def generator_kind(gan: Any) -> Any:
    """The kind of generator that a section `gan` asks for, before it is validated."""
    if isinstance(gan, Mapping):
        return gan.get("kind", DCGAN)
    return getattr(gan, "kind", DCGAN)


def _of_its_kind(section: Any) -> Any:
    """A section as the spec of the kind that it names."""
    if not isinstance(section, Mapping):
        return section
    kind = generator_kind(section)
    if not isinstance(kind, str) or kind not in GENERATORS:
        return GeneratorSpec.model_validate({"kind": kind})  # raises the error about the name alone
    return GENERATORS[kind].spec.model_validate(section)


GeneratorOfKind = Annotated[SerializeAsAny[GeneratorSpec], BeforeValidator(_of_its_kind)]
"""The spec of a generator, whose fields are those of the kind that it names."""


def generator_spec(fields: Mapping[str, Any]) -> GeneratorSpec:
    """The spec of the generator with these fields, as they stand in a step."""
    spec = _of_its_kind(fields)
    assert isinstance(spec, GeneratorSpec)
    return spec
