"""Draws how many patients of the baseline each variant is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lussweep.report.cells import BASELINE, Row
from lussweep.report.panels import GREY, count_ticks, finish, new_figure, style_of
from lussweep.report.values import OVER_BOTH, say

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DODGE = 0.035
"""Sideways step between variants, as a share of the logarithm of the range of counts."""


def build_worth_figure(worth: pa.Table) -> Figure | None:
    """Draws patients of the baseline that are as good against the patients that were used.

    None if no variant but the baseline has a worth.
    """
    rows = [r for r in worth.to_pylist() if r["worth"] is not None and r["variant"] != BASELINE]
    if not rows:
        return None
    counts = sorted({row["n_patients"] for row in worth.to_pylist()})
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    figure, ((ax,),) = new_figure(6.4, 4.6)
    ax.set_xscale("log")
    ax.set_yscale("log")
    edges = (counts[0] / 1.25, counts[-1] * 1.25)
    ax.plot(edges, edges, color=GREY, linewidth=0.9, linestyle="--", label="worth what was used")
    span = math.log(counts[-1] / counts[0]) or 1.0
    for i, variant in enumerate(variants):
        shift = math.exp((i - (len(variants) - 1) / 2) * DODGE * span)
        for j, row in enumerate(r for r in rows if r["variant"] == variant):
            label = variant if j == 0 else None
            _draw(ax, row, row["n_patients"] * shift, edges, label, style_of(i))
    count_ticks(ax.xaxis, counts, 5.4)
    count_ticks(ax.yaxis, counts, 3.4)
    ax.set_xlim(edges[0] / 1.1, edges[1] * 1.1)
    ax.set_ylim(edges[0] / 1.1, edges[1] * 1.1)
    ax.set_xlabel("patients per class, with the variant")
    ax.set_ylabel("patients per class of the baseline")
    finish(figure, _caption(rows))
    return figure


def _draw(
    ax: Axes, row: Row, x: float, edges: tuple[float, float], label: str | None, style: Any
) -> None:
    """Draws the worth of one mean as a marker or a range, and its interval as a thin line."""
    low, high = (_inside(row[name], edges) for name in ("k_low", "k_high"))
    if row["interval_low"] is not None:
        ends = [_inside(row[name], edges) for name in ("interval_low", "interval_high")]
        ax.plot([x, x], ends, color=style["color"], linewidth=1.2, alpha=0.6, zorder=2)
    ax.plot([x, x], [low, high], color=style["color"], linewidth=4, alpha=0.5, zorder=3)
    middle = math.sqrt(low * high)
    is_outside = math.isinf(row["k_low"]) or math.isinf(row["k_high"])
    face = "white" if is_outside else style["color"]
    marker = {"markerfacecolor": face, "markeredgecolor": style["color"], "markersize": 6}
    (mark,) = ax.plot([x], [middle], linestyle="none", marker=style["marker"], zorder=4,
                      label=label or f"_{row['variant']}", **marker)  # fmt: skip
    interval = f" ({OVER_BOTH}: {row['interval']})" if row["interval"] is not None else ""
    say(mark, [f"{row['worth']}{interval}"])  # a place may be an edge, or the middle of a range


def _inside(value: float, edges: tuple[float, float]) -> float:
    return min(max(value, edges[0]), edges[1])


def _caption(rows: Sequence[Row]) -> str:
    parts = ["Markers: patients of the baseline with the same mean AUC-ROC."]
    if any(r["k_low"] != r["k_high"] for r in rows):
        parts.append("Thick lines: a range, where the baseline's curve is flat.")
    if any(r["interval_low"] is not None for r in rows):
        parts.append("Thin lines: 95 % for other trainings and other holdout patients.")
    if any(math.isinf(r["k_low"]) or math.isinf(r["k_high"]) for r in rows):
        parts.append("Hollow, or at an edge: outside the counts that were run.")
    return " ".join(parts)
