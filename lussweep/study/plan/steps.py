"""What a plan is made of: steps with their keys, cells, and their order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from lussweep.study.coordinates import Coordinates, Draw
from lussweep.study.keys import Section, digest
from lussweep.study.spec import CLASSES, ExternalSpec, Recipe

STAGES = (
    "shard", "ingest", "cohort", "external", "gan", "trial", "search", "features", "score",
    "synth", "memorisation", "evaluate",
)  # fmt: skip
"""In the order of the data; the order in which a summary lists them."""
DATA_STAGES = ("shard", "ingest")
"""The same for every cell, and many."""

BOTH_CLASSES = "both"
"""The class of a conditional GAN."""
SYNTHETIC_ROLES = {label: f"synth_{label}" for label in CLASSES}


@dataclass(frozen=True, slots=True)
class Step:
    """One unit of work with one artifact. `name` is for people and enters no key."""

    stage: str
    version: int
    spec: dict[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    ref: str = field(init=False, compare=False)
    """Where the artifact lies in a store: `stage/key`."""

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


@lru_cache(maxsize=256)  # the trials of a search have the same
def _keys_of(inputs: tuple[tuple[str, str], ...]) -> Section:
    return Section({role: ref.partition("/")[2] for role, ref in inputs})


class PlannedImages(Protocol):
    """What the plan needs to know of images that were made elsewhere."""

    @property
    def sha256(self) -> str: ...

    @property
    def n_images(self) -> int: ...

    @property
    def patients(self) -> tuple[str, ...]:
        """Everybody whose frames their generator saw, by id or by its hash."""
        ...


ExternalKey = tuple[ExternalSpec, Draw, str]
"""Where external images stand in a grid: their section, draw of patients and class."""


@dataclass(frozen=True)
class Cell:
    """What the user asks for: one classifier, judged on holdout. `refs` are its steps by role."""

    coordinates: Coordinates
    recipe: Recipe
    refs: Mapping[str, str]


@dataclass
class Plan:
    """Steps by ref, inputs always before the steps that use them, and the cells."""

    steps: dict[str, Step] = field(default_factory=dict)
    cells: list[Cell] = field(default_factory=list)

    def add(self, step: Step) -> str:
        for role, ref in step.inputs.items():
            assert ref in self.steps, f"{step.name}: input {role} ({ref}) is not planned yet"
        self.steps.setdefault(step.ref, step)
        return step.ref

    def ancestors(self, *refs: str) -> set[str]:
        """Refs of every step that one of `refs` depends on: of these, only what others need."""
        found: set[str] = set()
        waiting = list(refs)
        while waiting:
            for parent in self.steps[waiting.pop()].inputs.values():
                if parent not in found:
                    found.add(parent)
                    waiting.append(parent)
        return found

    def cells_by_step(self, *roles: str) -> Iterator[tuple[str, set[int]]]:
        """Each step with the positions of the cells that need it, users before their inputs.

        `roles` names the refs of a cell that count; all of them by default.
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
        """Steps of each stage."""
        return Counter(step.stage for step in self.steps.values())

    def only(self, stages: Iterable[str]) -> Plan:
        """The steps of some stages, without cells."""
        wanted = set(stages)
        return Plan({ref: step for ref, step in self.steps.items() if step.stage in wanted})
