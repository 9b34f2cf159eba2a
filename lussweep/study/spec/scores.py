"""Scores of generators by name: what each should be, where it is computed, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

from lussweep.study.plugins import Registry
from lussweep.study.spec.base import CLASSES
from lussweep.study.spec.embedders import DETECTOR, NO_EMBEDDER, PIXEL, WIDE_SPACES
from lussweep.study.spec.imports import imported

Compute = Callable[[Any], float]
"""Computes a score of a `Pair` (metrics/pair.py): real and synthetic features in one space."""


@dataclass(frozen=True)
class Goal:
    """What a score should be: as small as possible, as large as possible, or near a value."""

    rule: Literal["minimise", "maximise", "reach"]
    value: float | None = None
    """The score of a perfect generator, if it is known. Figures draw it."""

    def __post_init__(self) -> None:
        if self.rule == "reach" and self.value is None:
            raise ValueError("a goal with the rule reach needs its value")

    def shortfall(self, score: float) -> float:
        """How far a score is from the goal. The score with the smallest shortfall is the best."""
        if self.value is not None and self.rule == "reach":
            return abs(score - self.value)
        return score if self.rule == "minimise" else -score

    def __str__(self) -> str:
        if self.value is not None:
            return f"goal {self.value:g}"
        return "smaller is better" if self.rule == "minimise" else "larger is better"


@dataclass(frozen=True, kw_only=True)
class Score:
    """One score. Its name is its key in SCORES, and the column `metric` of tables."""

    goal: Goal | None
    """None: the score describes another one, and nothing is chosen or judged by it."""
    function: Compute
    spaces: tuple[str, ...] = ()
    """The spaces that it is computed in. Empty: every space."""
    embedders: tuple[str, ...] = ()
    """The embedders that it is defined for. Empty: every embedder that the experiment scores in."""
    classes: tuple[str, ...] = CLASSES
    """The classes whose generators it is defined for."""
    title: str = ""
    """Its title in figures. Empty: its name."""

    def is_in(self, embedder: str, space: str, scored_in: tuple[str, ...]) -> bool:
        """Whether it is computed in a space, if the experiment scores in some embedders."""
        embedders = self.embedders or (NO_EMBEDDER, *scored_in)
        return embedder in embedders and (not self.spaces or space in self.spaces)

    def places(self) -> str:
        """The spaces and embedders that it is computed in, in words."""
        spaces = " or ".join(self.spaces) or "every space"
        return f"{spaces} of {' or '.join(self.embedders) or 'every embedder'}"


SPECTRAL_GAP = "spectral_gap"
"""The score that says whether a snapshot has learned."""
_NEIGHBOUR = Goal("reach", 0.5)
"""The goal of 1-NN accuracy is chance, 0.5: at 1 the sets are separable, at 0 the real set is
memorised."""

_BUILT_IN: dict[str, Score] = {
    "kmmd": Score(goal=Goal("minimise", 0.0), function=attrgetter("comparison.kmmd"), title="kMMD"),
    "one_nn": Score(
        goal=_NEIGHBOUR, function=attrgetter("comparison.one_nn"), title="1-NN accuracy"
    ),
    "one_nn_real": Score(goal=_NEIGHBOUR, function=attrgetter("comparison.one_nn_real")),
    "one_nn_fake": Score(goal=_NEIGHBOUR, function=attrgetter("comparison.one_nn_fake")),
    # Density is 1 for one distribution. It is larger if synthetic frames crowd where real ones do.
    "density": Score(goal=Goal("reach", 1.0), function=attrgetter("comparison.density")),
    "coverage": Score(goal=Goal("maximise"), function=attrgetter("comparison.coverage")),
    "fid": Score(goal=Goal("minimise", 0.0), function=attrgetter("fid"), spaces=WIDE_SPACES),
    # KID and the squared discrepancy are unbiased, so noise can take them below 0. The smallest
    # value is therefore taken as the best, not the value nearest to 0.
    "kid": Score(goal=Goal("minimise"), function=attrgetter("kid.mean"), spaces=WIDE_SPACES),
    "kid_low": Score(goal=None, function=attrgetter("kid.low"), spaces=WIDE_SPACES),
    "kid_high": Score(goal=None, function=attrgetter("kid.high"), spaces=WIDE_SPACES),
    "mmd2_unbiased": Score(
        goal=Goal("minimise"),
        function=attrgetter("kernel_test.mmd2_unbiased"),
        spaces=WIDE_SPACES,
    ),
    "mmd2_p_value": Score(
        goal=Goal("maximise"), function=attrgetter("kernel_test.p_value"), spaces=WIDE_SPACES
    ),
    "confidence": Score(
        goal=Goal("maximise", 1.0),
        function=imported("lussweep.metrics.confidence:confidence"),
        spaces=("softmax",),
        embedders=(DETECTOR,),
        classes=("pos",),
        title="detector confidence",
    ),
    SPECTRAL_GAP: Score(
        goal=Goal("minimise", 0.0),
        function=attrgetter("spectral_gap"),
        spaces=(PIXEL,),
        title="spectral gap",
    ),
}
SCORES: Registry[Score] = Registry("score", _BUILT_IN)
"""Every score by the name that `select.best` and `score.extra_metrics` give it."""
BUILT_IN_SCORES = tuple(_BUILT_IN)
"""The scores that are always computed, in the order of their rows."""
