"""Defines a sentence on a run, and the facts that sentences are made from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from lussweep.report.cells import Row
from lussweep.study.spec import Recipe

Weight = Literal["plain", "warning"]


@dataclass(frozen=True)
class Sentence:
    """One sentence on a run."""

    text: str
    about: str
    """What it says: an outcome of KINDS, or progress, data, multiplier, control, known_truth, gan,
    copies, distrust."""
    weight: Weight = "plain"
    verdict: str = ""
    """The words of the text that stand out."""

    @property
    def parts(self) -> tuple[str, str, str]:
        """The text before its verdict, the verdict, and the text behind it."""
        return self.text.partition(self.verdict) if self.verdict else (self.text, "", "")


def text_of(sentences: Iterable[Sentence]) -> str:
    """Sentences as one paragraph."""
    return " ".join(sentence.text for sentence in sentences)


@dataclass(frozen=True)
class Facts:
    """The rows of a run's tables that sentences are made from. A table that is missing is empty."""

    results: Sequence[Row]
    contrasts: Sequence[Row] = ()
    """In the order in which the experiment plans them, by patient count."""
    has_contrasts_ahead: bool = False
    """Whether contrasts are planned in the grid, and their table is not written yet."""
    multiplier: Sequence[Row] = ()
    controls: Sequence[Row] = ()
    known_truth: Sequence[Row] = ()
    memorisation: Sequence[Row] = ()
    gan_events: Sequence[Row] = ()
    """Events of each generator's last attempt, whose frames the cells have."""
    gans: int = 0
    """Generators that were trained."""
    failures: Sequence[Row] = ()
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    is_phantom: bool = False
    """Whether the frames are those of the simulator."""
