"""Draws the trials of all searches as parallel coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lussweep.report.cells import Row
from lussweep.report.panels import PALETTE, finish, new_figure
from lussweep.report.values import number_text, say
from lussweep.store.tables import hyperparameters_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RASTERIZED_FROM = 300
"""From this many lines on, they are drawn as a picture, so that the file stays small."""
RESULT = "val_accuracy"
SPREAD, GOLDEN = 0.09, 0.618034
"""Lines with the same value are spread over this share of an axis, by the golden ratio."""


@dataclass
class Tried:
    """A trial of a cell."""

    name: str
    values: Row
    """Its hyperparameters, and the accuracy of its best epoch."""
    is_selected: bool = False


def trials_of(trials: pa.Table) -> list[Tried]:
    """The trials of all cells that have ended an epoch."""
    best: dict[tuple[Any, ...], Tried] = {}
    for row in trials.to_pylist():
        if row["n_patients"] is None or row["val_accuracy"] is None:
            continue
        place = tuple(row[k] for k in ("n_patients", "replicate", "variant", "gan_epoch", "trial"))
        tried = best.setdefault(place, Tried(_name(row), {}))
        if not tried.values or row[RESULT] > tried.values[RESULT]:
            tried.values = hyperparameters_of(row) | {RESULT: row[RESULT]}
        tried.is_selected |= bool(row["selected"])
    return list(best.values())


def _name(row: Row) -> str:
    epoch = "" if row["gan_epoch"] is None else f", GAN epoch {row['gan_epoch']}"
    cell = f"n = {row['n_patients']}, replicate {row['replicate']}, {row['variant']}{epoch}"
    return f"trial {row['trial']} of {cell}"


def build_search_figure(trials: pa.Table) -> Figure | None:
    """Draws a line for each trial over its hyperparameters to its validation accuracy.

    Selected trials are drawn stronger. None if no trial has ended an epoch.
    """
    every = trials_of(trials)
    if not every:
        return None
    rows = [tried.values for tried in every]
    found = dict.fromkeys(name for row in rows for name in row)
    names = [*(n for n in found if n != RESULT), RESULT]
    if len(names) < 2:
        return None
    figure, ((ax,),) = new_figure(1.6 + 1.7 * len(names), 4.0)
    levels = {name: sorted({row[name] for row in rows if name in row}, key=_key) for name in names}
    ax.grid(visible=False)
    low, high = levels[RESULT][0], levels[RESULT][-1]
    for i, tried in enumerate(sorted(every, key=lambda tried: tried.is_selected)):
        row = tried.values
        aside = SPREAD * (i * GOLDEN % 1 - 0.5)
        y = [
            (row[RESULT] - low) / ((high - low) or 1)
            if name == RESULT
            else _height(levels[name], row.get(name)) + aside
            for name in names
        ]
        style: dict[str, Any] = (
            {"color": PALETTE[1], "alpha": 0.8, "linewidth": 1.3, "zorder": 3}
            if tried.is_selected
            else {"color": PALETTE[0], "alpha": 0.25, "linewidth": 0.8}
        )
        is_one_of_many = len(rows) >= RASTERIZED_FROM
        ax.plot(range(len(names)), y, rasterized=is_one_of_many, **style)
        if not is_one_of_many:
            (dot,) = ax.plot(
                [len(names) - 1], y[-1:], marker=".", markersize=4, color=style["color"],
                label="_selected trial" if tried.is_selected else "_other trial",
            )  # fmt: skip
            say(dot, [_said(tried)])
    for x, name in enumerate(names):
        ax.axvline(x, color="#666666", linewidth=0.9)
        shown = [low, high] if name == RESULT else levels[name]
        shown = [shown[0], shown[-1]] if len(shown) > 8 else shown
        for value in shown:
            at = (
                (value - low) / ((high - low) or 1)
                if name == RESULT
                else _height(levels[name], value)
            )
            text = ax.annotate(_text(value), (x, at), textcoords="offset points", xytext=(0, 11))
            text.set(fontsize=8, ha="center")
            text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})
    ax.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names])
    ax.set_yticks([])
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.set_xlim(-0.15, len(names) - 0.6)
    ax.set_ylim(-0.05, 1.12)
    finish(
        figure,
        f"{len(rows)} trials of all cells. Orange: the trial of a cell that validation selected. "
        "The last axis is the accuracy on validation at the trial's best epoch. Equal values are "
        "spread a little.",
    )
    return figure


def _said(tried: Tried) -> str:
    """The accuracy of a trial, with its cell and its hyperparameters."""
    values = dict(tried.values)
    accuracy = number_text(values.pop(RESULT))
    chosen = ", ".join(f"{n.replace('_', ' ')} {_text(v)}" for n, v in values.items())
    return f"{accuracy} ({tried.name}: {chosen})"


def _key(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value


def _height(levels: list[Any], value: Any) -> float:
    """The place of a value on its axis: values are spread evenly, in their order."""
    if value is None:
        return -0.04
    return levels.index(value) / max(len(levels) - 1, 1)


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
