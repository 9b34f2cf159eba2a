"""Draws the trials of all searches as parallel coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lussweep.report.cells import Row
from lussweep.report.panels import PALETTE, finish, new_figure
from lussweep.store.tables import hyperparameters_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RASTERIZED_FROM = 300
"""From this many lines on, they are drawn as a picture, so that the file stays small."""
RESULT = "val_accuracy"
SPREAD, GOLDEN = 0.09, 0.618034
"""Lines with the same value are spread over this share of an axis, by the golden ratio."""


def trials_of(trials: pa.Table) -> list[Row]:
    """One row for each trial of a cell: its hyperparameters, and the best epoch's accuracy."""
    best: dict[tuple[Any, ...], Row] = {}
    for row in trials.to_pylist():
        if row["n_patients"] is None or row["val_accuracy"] is None:
            continue
        place = tuple(row[k] for k in ("n_patients", "replicate", "variant", "gan_epoch", "trial"))
        known = best.get(place)
        is_selected = row["selected"] or bool(known and known["is_selected"])
        if known is None or row[RESULT] > known[RESULT]:
            best[place] = hyperparameters_of(row) | {RESULT: row[RESULT]}
        best[place]["is_selected"] = is_selected
    return list(best.values())


def build_search_figure(trials: pa.Table) -> Figure | None:
    """Draws a line for each trial over its hyperparameters to its validation accuracy.

    Selected trials are drawn stronger. None if no trial has ended an epoch.
    """
    rows = trials_of(trials)
    if not rows:
        return None
    names = [n for n in dict.fromkeys(k for row in rows for k in row) if n != "is_selected"]
    names = [*(n for n in names if n != RESULT), RESULT]
    if len(names) < 2:
        return None
    figure, ((ax,),) = new_figure(1.6 + 1.7 * len(names), 4.0)
    levels = {name: sorted({row[name] for row in rows if name in row}, key=_key) for name in names}
    ax.grid(visible=False)
    low, high = levels[RESULT][0], levels[RESULT][-1]
    for i, row in enumerate(sorted(rows, key=lambda row: row["is_selected"])):
        aside = SPREAD * (i * GOLDEN % 1 - 0.5)
        y = [
            (row[RESULT] - low) / ((high - low) or 1)
            if name == RESULT
            else _height(levels[name], row.get(name)) + aside
            for name in names
        ]
        style: dict[str, Any] = (
            {"color": PALETTE[1], "alpha": 0.8, "linewidth": 1.3, "zorder": 3}
            if row["is_selected"]
            else {"color": PALETTE[0], "alpha": 0.25, "linewidth": 0.8}
        )
        ax.plot(range(len(names)), y, rasterized=len(rows) >= RASTERIZED_FROM, **style)
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


def _key(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value


def _height(levels: list[Any], value: Any) -> float:
    """The place of a value on its axis: values are spread evenly, in their order."""
    if value is None:
        return -0.04
    return levels.index(value) / max(len(levels) - 1, 1)


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
