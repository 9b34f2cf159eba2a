"""Draws AUC-ROC on holdout as bars, grouped by patient count, as in Figure 5 of Yu et al. 2023."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lussweep.report.auroc_marks import epoch_text, last_epochs, learning_remark, marks_by_frame
from lussweep.report.panels import GREY, PALETTE, finish, new_figure
from lussweep.report.summary import Group, group_cells, holdout_text, variants_of

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

    Error bars are 95 % for other trainings and other holdout patients, and dots are replicates. If
    the GAN epoch is an axis, each variant is shown at its last epoch.
    """
    groups, variants = last_epochs(group_cells(results, means)), variants_of(results)
    counts = sorted({group.n_patients for group in groups})
    per_line = max(1, MOST_BARS // len(variants))
    n_lines = math.ceil(len(counts) / per_line)
    per_line = math.ceil(len(counts) / n_lines)
    width = 1.5 + 0.165 * max(per_line * (len(variants) + 1), 26)
    figure, axes = new_figure(width, 1.5 + 2.2 * n_lines, n_lines, 1)
    for i, (ax,) in enumerate(axes):
        of_line = counts[i * per_line : (i + 1) * per_line]
        _draw_bars(ax, [g for g in groups if g.n_patients in of_line], of_line, variants)
        ax.set_xlim(-0.5, per_line - 0.5)
        ax.set_ylabel("AUC-ROC on holdout")
        ax.axhline(CHANCE, color=GREY, linewidth=0.9, zorder=3)
    marks = [v for group in groups for v in (*group.aurocs, *(group.interval or ()))]
    low, high = min([*marks, CHANCE]), max([*marks, CHANCE + 0.1])
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
    ax: Axes, groups: Sequence[Group], counts: Sequence[int], variants: Sequence[str]
) -> None:
    share = 1 / (len(variants) + 1)
    for i, variant in enumerate(variants):
        of_variant = [g for g in groups if g.variant == variant and g.done]
        at = [
            counts.index(g.n_patients) + (i - (len(variants) - 1) / 2) * share for g in of_variant
        ]
        tops = [fmean(g.aurocs) for g in of_variant]
        heights = [top - CHANCE for top in tops]
        ax.bar(
            at or [math.nan], heights or [math.nan], share, bottom=CHANCE, edgecolor="black",
            linewidth=0.5, label=variant, zorder=2, **bar_style(i),
        )  # fmt: skip
        for x, top, group in zip(at, tops, of_variant, strict=True):
            bar = marks_by_frame(group).bar
            if bar is not None:
                ax.plot([x, x], bar, color="black", linewidth=1.0, marker="_", markersize=4)
            if group.n_not_learned:
                ax.plot([x], [top], "x", color="black", markersize=7, zorder=5)
            if len(group.cells) > 1:
                ax.scatter(
                    [x] * len(group.aurocs), group.aurocs, s=7, color="white",
                    edgecolors="black", linewidths=0.5, zorder=4,
                    label=f"_{variant}, one replicate",
                )  # fmt: skip
    ax.set_xticks(range(len(counts)), [str(n) for n in counts])


def _caption(results: pa.Table, groups: Sequence[Group]) -> str:
    parts = [holdout_text(results), "Bars begin at chance, 0.5, and end at the mean by frame."]
    if any(group.interval for group in groups):
        parts.append("Error bars: 95 % for other trainings and other holdout patients.")
    elif any(len(group.done) > 1 for group in groups):
        parts.append("Error bars: the sample standard deviation over replicates.")
    if any(len(group.cells) > 1 for group in groups):
        parts.append("Dots: single replicates.")
    return " ".join([*parts, *learning_remark(groups)])
