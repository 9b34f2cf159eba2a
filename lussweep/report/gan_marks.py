"""Marks on the curves of generators: events of a training, and the snapshots that were chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lussweep.report.cells import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EVENTS = {
    "low_diversity": ("X", "collapsed"),
    "not_finite": ("P", "diverged"),
    "discriminator_won": ("v", "discriminator won"),
    "not_learned": ("s", "not learned"),
}
"""Marker and word of each kind of event. Another kind has the marker of OTHER and its own name."""
OTHER = "d"
Curve = tuple[Sequence[int], Sequence[float]]
"""Epochs, and the mean value at each."""


def of_last_attempts(rows: Sequence[Row], losses: Sequence[Row]) -> list[Row]:
    """The rows of each generator's last attempt, of GAN_EVENTS or GAN_LOSSES.

    A generator that the policy `retry` has trained again gives the frames of its last attempt, so
    an event of an earlier one says nothing of them. `losses` has rows of every attempt. A generator
    without losses keeps the events of its last attempt with one.
    """
    last: dict[tuple[object, ...], int] = {}
    for row in (*losses, *rows):
        generator = generator_of(row)
        last[generator] = max(last.get(generator, 1), row["attempt"] or 1)
    return [row for row in rows if (row["attempt"] or 1) == last[generator_of(row)]]


def generator_of(row: Row) -> tuple[object, ...]:
    """What tells the generator of a row from the others of a run."""
    return tuple(row[name] for name in ("n_patients", "replicate", "class", "gan"))


def mark_events(ax: Axes, events: Sequence[Row], curve: Curve) -> None:
    """Marks each event on a curve, at its epoch. An event outside the curve stands at its end.

    Events are of one generator, class and patient count. A curve without a finite value has none.
    """
    known = [(epoch, value) for epoch, value in zip(*curve, strict=True) if math.isfinite(value)]
    if not known:
        return
    epochs, values = zip(*known, strict=True)
    for event in events:
        marker, word = EVENTS.get(event["kind"], (OTHER, event["kind"].replace("_", " ")))
        at = min(max(event["epoch"], epochs[0]), epochs[-1])
        ax.plot(
            [at], [np.interp(at, epochs, values)], linestyle="none", marker=marker, markersize=6.5,
            markerfacecolor="white", markeredgecolor="black", label=word, zorder=5,
        )  # fmt: skip


def mark_chosen(ax: Axes, epochs: Sequence[int], curve: Curve) -> None:
    """Draws a ring on a curve at each epoch whose snapshot made frames."""
    value_of = dict(zip(*curve, strict=True))
    known = [(epoch, value_of[epoch]) for epoch in epochs if epoch in value_of]
    if known:
        ax.plot(
            *zip(*known, strict=True), linestyle="none", marker="o", markersize=9,
            markerfacecolor="none", markeredgecolor="black", markeredgewidth=1.1,
            label="chosen snapshot", zorder=4,
        )  # fmt: skip


def of_generator(rows: Sequence[Row], gan: str, label: str) -> list[Row]:
    """The rows of a generator and class. A generator of both classes belongs to either."""
    return [row for row in rows if row["gan"] == gan and row["class"] in (label, "both")]
