"""Defines a sentence of the answer, and the facts that sentences are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lussweep.report.cells import Row
from lussweep.study.spec import Recipe

Weight = Literal["plain", "strong", "warning"]


@dataclass(frozen=True)
class Sentence:
    """One sentence of the answer."""

    text: str
    about: str
    """What it says: an outcome of KINDS, or progress, data, headline, multiplier, control, gan,
    copies."""
    weight: Weight = "plain"


@dataclass(frozen=True)
class Facts:
    """The rows of a run's tables that the answer is made from. A table that is missing is empty."""

    results: Sequence[Row]
    contrasts: Sequence[Row] = ()
    """In the order in which the experiment plans them, by patient count."""
    multiplier: Sequence[Row] = ()
    controls: Sequence[Row] = ()
    memorisation: Sequence[Row] = ()
    gan_events: Sequence[Row] = ()
    gans: int = 0
    """Generators that were trained."""
    failures: Sequence[Row] = ()
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    is_phantom: bool = False
    """Whether the frames are those of the simulator."""
