"""Draws the planned contrasts of a grid as a forest plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lussweep.report.cells import Row
from lussweep.report.panels import GREY, PALETTE, finish, new_figure
from lussweep.report.values import OVER_BOTH, OVER_PATIENTS, say, with_intervals
from lussweep.study.coordinates import curve_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE_HEIGHT = 0.24
"""Inches between two rows."""
NAME_WIDTH = 44
"""Longest name in characters that stands in one line beside the axis."""


def build_forest_figure(contrasts: pa.Table) -> Figure | None:
    """Draws a row for each contrast and patient count: the difference with both intervals.

    None if no contrast has a difference.
    """
    rows = [row for row in contrasts.to_pylist() if row["difference"] is not None]
    if not rows:
        return None
    lines = _lines(rows)
    n_lines = len(rows) + len(lines)
    figure, ((ax,),) = new_figure(8.0, 1.5 + LINE_HEIGHT * n_lines)
    ax.grid(visible=False)
    ax.axvline(0, color=GREY, linewidth=0.9)
    margins = {row["margin"] for row in rows if row["margin"] is not None}
    if len(margins) == 1:
        margin = margins.pop()
        ax.axvline(-margin, color=GREY, linewidth=0.9, linestyle=":")
    y, ticks, labels = 0, [], []
    for name, of_line in lines:
        ticks.append(y)
        labels.append(shortened(name, NAME_WIDTH))
        y += 1
        for row in of_line:
            _draw(ax, row, y, name)
            ticks.append(y)
            labels.append(f"n = {row['n_patients']}")
            y += 1
    ax.set_ylim(y - 0.4, -0.6)
    ax.set_yticks(ticks, labels)
    heads = {i for i, label in enumerate(labels) if not label.startswith("n = ")}
    for i, text in enumerate(ax.get_yticklabels()):
        text.set_fontweight("bold" if i in heads else "normal")
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("difference of AUC-ROC (variant - reference)")
    names = ("difference", "low", "high", "conditional_low", "conditional_high")
    ends = [row[name] for row in rows for name in names if row[name] is not None]
    reach = max(max(map(abs, ends)), 0.01) * 1.08
    ax.set_xlim(-reach if min(ends) < 0 else -0.2 * reach, reach if max(ends) > 0 else 0.2 * reach)
    finish(figure, _caption(rows))
    return figure


def _lines(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    lines: dict[str, list[Row]] = {}
    for row in rows:
        name = f"{curve_name(row['variant'], row['gan_epoch'])} - {row['reference']}"
        lines.setdefault(name, []).append(row)
    return [
        (name, sorted(of_line, key=lambda row: row["n_patients"]))
        for name, of_line in lines.items()
    ]


def shortened(name: str, width: int) -> str:
    """The name, or its two ends around an ellipsis if it is longer than `width` characters."""
    if len(name) <= width:
        return name
    half = (width - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


def _draw(ax: Axes, row: Row, y: int, name: str) -> None:
    has_interval = row["low"] is not None
    if has_interval:
        ends = [row["low"], row["high"]]
        ax.plot(ends, [y, y], color=PALETTE[0], linewidth=1.4, solid_capstyle="butt", zorder=2)
    if row["conditional_low"] is not None:
        ends = [row["conditional_low"], row["conditional_high"]]
        ax.plot(ends, [y, y], color=PALETTE[0], linewidth=4.5, alpha=0.35, zorder=1)
    face = PALETTE[0] if has_interval else "white"
    style: dict[str, Any] = {
        "markerfacecolor": face,
        "markeredgecolor": PALETTE[0],
        "markersize": 5.5,
        "label": f"_{name}",  # not in the legend, but the page shows it
    }
    (mark,) = ax.plot([row["difference"]], [y], marker="s", linestyle="none", zorder=3, **style)
    intervals = {
        words: None if row[low] is None else (row[low], row[high])
        for words, low, high in (
            (OVER_BOTH, "low", "high"),
            (OVER_PATIENTS, "conditional_low", "conditional_high"),
        )
    }
    say(mark, [with_intervals(row["difference"], intervals)])


def _caption(rows: Sequence[Row]) -> str:
    parts = ["Squares: mean differences over replicates, on the same holdout patients."]
    if any(row["low"] is not None for row in rows):
        parts.append("Thin lines: 95 % for other trainings and other holdout patients.")
    if any(row["conditional_low"] is not None for row in rows):
        parts.append("Thick lines: 95 % for other holdout patients, for these trained models.")
    if any(row["low"] is None for row in rows):
        parts.append("Hollow: no interval over trainings.")
    margins = {row["margin"] for row in rows} - {None}
    if len(margins) == 1:
        parts.append(f"Dotted: minus the margin of {margins.pop():g}.")
    return " ".join(parts)
