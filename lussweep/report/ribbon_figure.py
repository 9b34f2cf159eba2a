"""Draws AUC-ROC against patients: a panel for each variant, with ribbons of intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lussweep.report.auroc_marks import (
    Marks,
    draw_line,
    epoch_text,
    last_epochs,
    limit_auroc,
    marks_by_frame,
    remarks,
)
from lussweep.report.cells import BASELINE
from lussweep.report.panels import PALETTE, count_ticks, finish, new_figure, wrapped
from lussweep.report.summary import Group, group_cells, holdout_text, variants_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS = 4
COLOR = PALETTE[0]
DOTS = {"color": "#222222", "label": "_one replicate"}
"""Not black: SVG does not write the default colour down, so the dark page could not change it."""
Ends = tuple[float, float]
OVER_BOTH = "95 %: other trainings and other patients"
OVER_PATIENTS = "95 %: other patients, these models"
RIBBONS: Mapping[str, tuple[Callable[[Group], Ends | None], dict[str, Any]]] = {
    OVER_BOTH: (
        lambda group: group.interval,
        {"alpha": 0.2, "linestyle": "--", "width": 1.2},
    ),
    OVER_PATIENTS: (
        lambda group: group.conditional_interval,
        {"alpha": 0.45, "linestyle": "-", "width": 4.0},
    ),
}
"""The intervals by their words in the legend: how to get one, and how it looks. The darker one is
over patients alone. The width is that of a bar, where there is no ribbon."""


def build_ribbon_figure(results: pa.Table, means: pa.Table | None = None) -> Figure:
    """Draws means over replicates by frame, two intervals as ribbons, and replicates as dots.

    The baseline is a dashed line in the panels of the other variants. If the GAN epoch is an axis,
    each variant is shown at its last epoch. A patient count without neighbours has bars in the
    place of ribbons.
    """
    groups, variants = last_epochs(group_cells(results, means)), variants_of(results)
    counts = sorted({group.n_patients for group in groups})
    n_lines = math.ceil(len(variants) / MOST_COLUMNS)
    n_columns = math.ceil(len(variants) / n_lines)
    height = 1.9 + 2.1 * n_lines
    figure, axes = new_figure(1.0 + 2.15 * max(n_columns, 2), height, n_lines, n_columns)
    panels = [ax for line in axes for ax in line]
    baseline = {g.n_patients: g.mean for g in groups if g.variant == BASELINE}
    with_spread = not any(_has_interval(group) for group in groups)
    every = [marks for group in groups for marks in _extremes(group, with_spread)]
    edge = (counts[-1] / counts[0]) ** 0.06 if len(counts) > 1 else 1.5
    for ax, variant in zip(panels, variants, strict=False):
        own = {group.n_patients: group for group in groups if group.variant == variant}
        _draw_variant(ax, [own.get(n) for n in counts], counts, with_spread)
        if variant != BASELINE and any(mean is not None for mean in baseline.values()):
            means_ = [baseline.get(n) for n in counts]
            ax.plot(
                counts, [math.nan if m is None else m for m in means_], color="black",
                linewidth=1.1, linestyle=(0, (4, 2)), label=f"mean of {BASELINE}", zorder=2.5,
            )  # fmt: skip
        ax.set_title(wrapped(variant, 24), fontsize=9)
        ax.set_xscale("log")
        ax.set_xlim(counts[0] / edge, counts[-1] * edge)
        count_ticks(ax.xaxis, counts, 1.7)
        limit_auroc(ax, every)
    for ax in panels[len(variants) :]:
        ax.set_axis_off()
    for ax in panels[max(0, len(variants) - n_columns) : len(variants)]:
        ax.set_xlabel("patients per class (log)", fontsize=9)
    for line in axes:
        line[0].set_ylabel("AUC-ROC on holdout", fontsize=9)
    finish(figure, _caption(results, groups) + epoch_text(results, groups))
    return figure


def _has_interval(group: Group) -> bool:
    return any(ends(group) for ends, _ in RIBBONS.values())


def _marks(group: Group, with_spread: bool) -> Marks:
    """The marks by frame. A bar is the spread over replicates; intervals have ribbons."""
    marks = marks_by_frame(group, with_spread=with_spread)
    return marks if with_spread else replace(marks, bar=None)


def _extremes(group: Group, with_spread: bool) -> Iterator[Marks]:
    """Marks that hold everything that is drawn of a group."""
    marks = _marks(group, with_spread)
    yield marks
    for ends, _ in RIBBONS.values():
        yield replace(marks, bar=ends(group))


def _draw_variant(
    ax: Axes, groups: Sequence[Group | None], counts: Sequence[int], with_spread: bool
) -> None:
    for label, (ends, look) in RIBBONS.items():
        _draw_ribbon(
            ax, [ends(group) if group else None for group in groups], counts, label, **look
        )
    line = {
        float(n): _marks(group, with_spread)
        for n, group in zip(counts, groups, strict=True)
        if group is not None
    }
    draw_line(ax, line, "mean over replicates", color=COLOR, marker="o", dots=DOTS)


def _draw_ribbon(
    ax: Axes, ends: Sequence[Ends | None], counts: Sequence[int], label: str, *, alpha: float,
    linestyle: str, width: float,
) -> None:  # fmt: skip
    """Draws a ribbon between neighbours that have an interval, and a bar where there is one."""
    pairs = list(zip(counts, ends, strict=True))
    for has_interval, run in groupby(pairs, key=lambda pair: pair[1] is not None):
        stretch = list(run)
        if not has_interval:
            continue
        at = [n for n, _ in stretch]
        low, high = ([pair[i] for _, pair in stretch if pair] for i in (0, 1))
        if len(at) > 1:
            ax.fill_between(at, low, high, color=COLOR, alpha=alpha, linewidth=0, label=label)
            for side in (low, high):
                ax.plot(at, side, color=COLOR, linewidth=0.8, linestyle=linestyle, zorder=2)
        else:
            ax.plot(
                at * 2, [*low, *high], marker="_", label=label, zorder=2, color=COLOR,
                alpha=min(1.0, 2 * alpha), linewidth=width,
            )  # fmt: skip


def _caption(results: pa.Table, groups: Sequence[Group]) -> str:
    parts = [holdout_text(results)]
    if any(group.interval for group in groups):
        parts.append(
            "Outer ribbon with dashed edges, or thin bar: 95 % for other trainings and other "
            "holdout patients. Inner ribbon, or thick bar: 95 % for other holdout patients alone, "
            "with these trained models."
        )
    elif any(group.lone_interval for group in groups):
        parts.append("Ribbons: 95 % for other holdout patients alone, with these trained models.")
    elif any(len(group.done) > 1 for group in groups):
        parts.append("Bars: the sample standard deviation over replicates.")
    if any(len(group.cells) > 1 for group in groups):
        parts.append("Dots: single replicates.")
    return " ".join([*parts, *remarks(groups)])
