"""Says the values of a figure's marks in words, for a page that shows them on hover."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from matplotlib.artist import Artist

OVER_BOTH = "95 % for other trainings and other patients"
OVER_PATIENTS = "95 % for other patients alone"
OVER_REPLICATES = "standard deviation over replicates"
Ends = tuple[float, float]
_VALUES: WeakKeyDictionary[Artist, tuple[str, ...]] = WeakKeyDictionary()


def say(artist: Artist, values: Sequence[str]) -> None:
    """Sets what the page says of each point of a line, or of a bar, in place of its height.

    A figure needs it where a height is not the whole value: a mean with an interval, or a range.
    """
    _VALUES[artist] = tuple(values)


def said(artist: Artist) -> tuple[str, ...]:
    """What `say` has set; empty if the heights are the values."""
    return _VALUES.get(artist, ())


def number_text(value: float) -> str:
    """Three decimals up to 1, as shares have. Three significant digits of others."""
    return f"{value:.3f}" if 0.0005 <= abs(value) <= 1 or value == 0 else f"{value:.3g}"


def with_intervals(value: float, intervals: Mapping[str, Ends | None]) -> str:
    """A value, and in brackets the intervals that it has, each behind its words."""
    texts = [
        f"{words}: {number_text(ends[0])} to {number_text(ends[1])}"
        for words, ends in intervals.items()
        if ends is not None
    ]
    return number_text(value) + (f" ({'; '.join(texts)})" if texts else "")
