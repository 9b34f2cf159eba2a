"""The parts of a plan: steps with their keys, cells, and their order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from lussweep.study.coordinates import Coordinates, Draw
from lussweep.study.keys import Section, digest
from lussweep.study.spec import CLASSES, ExternalSpec, Recipe

STAGES = (
    "shard", "ingest", "cohort", "external", "gan", "trial", "search", "features", "score",
    "floor", "synth", "memorisation", "evaluate",
)  # fmt: skip
"""All stages in the order of the data. Summaries list them in this order."""
DATA_STAGES = ("shard", "ingest")
"""Stages whose steps are many, and the same for every cell."""

BOTH_CLASSES = "both"
"""The class label of a conditional GAN, which makes both classes."""
SYNTHETIC_ROLES = {label: f"synth_{label}" for label in CLASSES}


class Workers(NamedTuple):
    """The processes that run a step, on a cluster."""

    n: int = 1
    """More than one are a gang: they start together."""
    gpus: float = 0.0
    """The least share of a GPU for each, if there are GPUs. 0: the step uses CPUs alone."""


@dataclass(frozen=True, slots=True)
class Step:
    """One unit of work with one artifact. `name` and `workers` enter no key."""

    stage: str
    version: int
    spec: dict[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    workers: Workers = field(default=Workers(), compare=False)
    ref: str = field(init=False, compare=False)
    """The place of the artifact in a store: `stage/key`."""

    def __post_init__(self) -> None:
        inputs = _keys_of(tuple(self.inputs.items()))
        key = digest(
            {"stage": self.stage, "version": self.version, "spec": self.spec, "inputs": inputs}
        )
        object.__setattr__(self, "ref", f"{self.stage}/{key}")

    @property
    def key(self) -> str:
        """16 hex digits over stage, version, canonical spec and input keys by role."""
        return self.ref.partition("/")[2]


@lru_cache(maxsize=256)  # the trials of a search have the same inputs
def _keys_of(inputs: tuple[tuple[str, str], ...]) -> Section:
    return Section({role: ref.partition("/")[2] for role, ref in inputs})


def is_phantom(steps: Mapping[str, Step]) -> bool:
    """Whether the frames of these steps are the phantom's."""
    return any("phantom" in step.spec for step in steps.values() if step.stage == "shard")


class PlannedImages(Protocol):
    """What the plan needs to know about external images."""

    @property
    def sha256(self) -> str: ...

    @property
    def n_images(self) -> int: ...

    @property
    def patients(self) -> tuple[str, ...]:
        """Every patient whose frames their generator saw, by id or by hashed id."""
        ...


ExternalKey = tuple[ExternalSpec, Draw, str]
"""The place of external images in a grid: their section, draw of patients and class."""


@dataclass(frozen=True)
class Cell:
    """One classifier that the user asks for, judged on the holdout. `refs`: its steps by role."""

    coordinates: Coordinates
    recipe: Recipe
    refs: Mapping[str, str]


@dataclass
class Plan:
    """Steps by ref, each after its inputs, and the cells."""

    steps: dict[str, Step] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)

    def add(self, step: Step) -> str:
        """Add a step, unless it is planned already, and return its ref. Inputs come first."""
        for role, ref in step.inputs.items():
            assert ref in self.steps, f"{step.name}: input {role} ({ref}) is not planned yet"
        self.steps.setdefault(step.ref, step)
        return step.ref

    def ancestors(self, *refs: str) -> set[str]:
        """Refs of every step that one of `refs` depends on, directly or through other steps.

        One of `refs` is included only if another one depends on it.
        """
        ancestors: set[str] = set()
        waiting = list(refs)
        while waiting:
            for parent in self.steps[waiting.pop()].inputs.values():
                if parent not in ancestors:
                    ancestors.add(parent)
                    waiting.append(parent)
        return ancestors

    def cells_by_step(self, *roles: str) -> Iterator[tuple[str, set[int]]]:
        """Yield each step with the positions of the cells that need it. Users precede their inputs.

        `roles` names the refs of a cell that count. By default all count.
        """
        cells_of: defaultdict[str, set[int]] = defaultdict(set)
        for i, cell in enumerate(self.cells):
            for ref in map(cell.refs.__getitem__, roles or cell.refs):
                cells_of[ref].add(i)
        for ref in reversed(self.steps):
            cells = cells_of.pop(ref, set())
            for parent in self.steps[ref].inputs.values():
                cells_of[parent] |= cells
            yield ref, cells

    def counts(self) -> Counter[str]:
        """Number of steps of each stage."""
        return Counter(step.stage for step in self.steps.values())

    def on_whole_gpus(self) -> Plan:
        """The same plan, in which no two steps share a GPU."""
        steps = {
            ref: replace(step, workers=Workers(step.workers.n, 1.0)) if step.workers.gpus else step
            for ref, step in self.steps.items()
        }
        return Plan(steps, self.cells)

    def only(self, stages: Iterable[str]) -> Plan:
        """A plan of the steps of some stages, without cells."""
        wanted = set(stages)
        return Plan({ref: step for ref, step in self.steps.items() if step.stage in wanted})
