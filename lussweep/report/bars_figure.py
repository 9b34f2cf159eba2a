"""Draws AUC-ROC on holdout as bars, grouped by patient count, as in Figure 5 of Yu et al. 2023."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lussweep.report.auroc_marks import (
    Marks,
    bar_remarks,
    epoch_text,
    last_epochs,
    learning_remark,
    marks_by_frame,
    shows_spread,
)
from lussweep.report.panels import GREY, PALETTE, finish, new_figure
from lussweep.report.summary import Group, group_cells, holdout_text, variants_of
from lussweep.report.values import say

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHANCE = 0.5
MOST_BARS = 48
"""Bars of a line of panels."""
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "+++", "ooo", "---", "|||", "**", "OO", "//..")
"""Patterns that tell variants apart in grey."""


def build_bars_figure(results: pa.Table, means: pa.Table | None = None) -> Figure:
    """Draws a bar from chance to the mean over replicates for each patient count and variant.

    Error bars are 95 % for other trainings and other holdout patients, and dots are replicates. The
    error bar of a lone replicate is over patients alone. If the GAN epoch is an axis, each variant
    is shown at its last epoch.
    """
    groups, variants = last_epochs(group_cells(results, means)), variants_of(results)
    counts = sorted({group.n_patients for group in groups})
    per_line = max(1, MOST_BARS // len(variants))
    n_lines = math.ceil(len(counts) / per_line)
    per_line = math.ceil(len(counts) / n_lines)
    width = 1.5 + 0.165 * max(per_line * (len(variants) + 1), 26)
    figure, axes = new_figure(width, 1.5 + 2.2 * n_lines, n_lines, 1)
    with_spread = shows_spread(groups)
    marks_of = {
        (g.n_patients, g.variant): marks_by_frame(g, with_spread=with_spread) for g in groups
    }
    for i, (ax,) in enumerate(axes):
        of_line = counts[i * per_line : (i + 1) * per_line]
        _draw_bars(ax, marks_of, of_line, variants)
        ax.set_xlim(-0.5, per_line - 0.5)
        ax.set_ylabel("AUC-ROC on holdout")
        ax.axhline(CHANCE, color=GREY, linewidth=0.9, zorder=3)
    drawn = [m for m in marks_of.values() if m.mean is not None]
    values = [v for m in drawn for v in (m.mean or 0.0, *m.dots, *(m.bar or ()))]
    low, high = min([*values, CHANCE]), max([*values, CHANCE + 0.1])
    for (ax,) in axes:
        ax.set_ylim(low - (0.03 if low < CHANCE else 0), min(high + 0.03, 1.02))
    axes[-1][0].set_xlabel("patients per class")
    finish(figure, _caption(results, groups) + epoch_text(results, groups))
    return figure


def bar_style(index: int) -> dict[str, Any]:
    """Colour and pattern of the `index`-th variant. The pattern alone tells 12 variants apart."""
    return {
        # Black would hide a pattern, and so would a dark colour.
        "facecolor": (PALETTE[index % (len(PALETTE) - 1)], 0.6),
        "hatch": HATCHES[index % len(HATCHES)],
    }


def _draw_bars(
    ax: Axes, marks_of: Mapping[tuple[int, str], Marks], counts: Sequence[int],
    variants: Sequence[str],
) -> None:  # fmt: skip
    share = 1 / (len(variants) + 1)
    for i, variant in enumerate(variants):
        line = {
            counts.index(n) + (i - (len(variants) - 1) / 2) * share: marks
            for n in counts
            if (marks := marks_of.get((n, variant))) and marks.mean is not None
        }
        tops = [marks.mean or 0.0 for marks in line.values()]
        bars = ax.bar(
            list(line) or [math.nan], [top - CHANCE for top in tops] or [math.nan], share,
            bottom=CHANCE, edgecolor="black", linewidth=0.5, label=variant, zorder=2,
            **bar_style(i),
        )  # fmt: skip
        for (x, marks), top, bar in zip(line.items(), tops, bars, strict=False):
            say(bar, [marks.said])
            if marks.bar is not None:
                ax.plot([x, x], marks.bar, color="black", linewidth=1.0, marker="_", markersize=4)
            if not marks.has_learned:
                ax.plot([x], [top], "x", color="black", markersize=7, zorder=5)
            if marks.dots:
                ax.scatter(
                    [x] * len(marks.dots), marks.dots, s=7, color="white",
                    edgecolors="black", linewidths=0.5, zorder=4,
                    label=f"_{variant}, one replicate",
                )  # fmt: skip
    ax.set_xticks(range(len(counts)), [str(n) for n in counts])


def _caption(results: pa.Table, groups: Sequence[Group]) -> str:
    parts = [holdout_text(results), "Bars begin at chance, 0.5, and end at the mean by frame."]
    parts += bar_remarks(groups, "Error bars")
    if any(len(group.cells) > 1 for group in groups):
        parts.append("Dots: single replicates.")
    return " ".join([*parts, *learning_remark(groups)])
