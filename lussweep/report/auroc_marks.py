"""Marks that the figures of AUC-ROC share: means, bars, replicates and what they are.

No pyplot state is used and no date is written, so the same tables give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lussweep.report.cells import Row, epoch_is_axis
from lussweep.report.panels import GREY
from lussweep.report.summary import Group, holdout_text
from lussweep.report.values import (
    OVER_BOTH,
    OVER_PATIENTS,
    OVER_REPLICATES,
    Ends,
    say,
    with_intervals,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Marks:
    """The marks of one point of the grid: mean, bar and replicates."""

    mean: float | None
    dots: tuple[float, ...]
    """The replicates, if several are planned."""
    bar: Ends | None
    is_whole: bool
    """Whether no replicate is missing."""
    has_learned: bool = True
    """Whether the generators of all replicates have learned, as far as is known."""
    said: str = ""
    """The mean and its intervals in words."""


def shows_spread(groups: Iterable[Group]) -> bool:
    """Whether bars are the SD over replicates: they are where no mean has an interval."""
    return not any(group.interval or group.lone_interval for group in groups)


def marks_by_frame(group: Group, *, with_spread: bool) -> Marks:
    """Marks by frame. `with_spread`: a bar is the SD over replicates, cut to [0, 1]."""
    bar, spread = group.interval or group.lone_interval, None
    if with_spread and group.mean is not None and group.sd is not None:
        bar = spread = max(0.0, group.mean - group.sd), min(1.0, group.mean + group.sd)
    intervals = {
        OVER_BOTH: group.interval,
        OVER_PATIENTS: group.conditional_interval,
        f"less and plus the {OVER_REPLICATES}": spread,
    }
    return _marks(group, group.mean, group.aurocs, bar, intervals)


def marks_by_patient(group: Group) -> Marks:
    row = group.by_patient
    if row is None:
        return _marks(group, None, (), None, {})
    bar = _ends(row, "low", "high")
    conditional = _ends(row, "conditional_low", "conditional_high")
    intervals = {OVER_BOTH: bar, OVER_PATIENTS: conditional}
    return _marks(group, row["auroc"], row["aurocs"], bar, intervals)


def _marks(
    group: Group, mean: float | None, aurocs: Sequence[float], bar: Ends | None,
    intervals: Mapping[str, Ends | None],
) -> Marks:  # fmt: skip
    return Marks(
        mean=mean,
        dots=tuple(aurocs) if len(group.cells) > 1 else (),
        bar=bar,
        is_whole=len(group.done) == len(group.cells),
        has_learned=not group.n_not_learned,
        said="" if mean is None else with_intervals(mean, intervals),
    )


def _ends(row: Row, low: str, high: str) -> Ends | None:
    return None if row[low] is None or row[high] is None else (row[low], row[high])


def draw_line(
    ax: Axes, line: Mapping[float, Marks], label: str, *, color: Any, marker: str,
    linestyle: str = "-", dots: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Draws one line of means by x, with a bar for each mean and a dot for each replicate.

    The line is broken where no cell is done. A marker is hollow where replicates are missing, and
    crossed where a generator has not learned. `dots` sets another colour and label of dots.
    """
    means = [math.nan if marks.mean is None else marks.mean for marks in line.values()]
    style = {"color": color, "marker": marker, "linestyle": linestyle}
    (drawn,) = ax.plot(list(line), means, markersize=6, label=label, zorder=3, **style)
    say(drawn, [marks.said for marks in line.values()])
    # A label that begins with _ is not in the legend.
    look: dict[str, Any] = {"color": color, "label": f"_{label}, one replicate", **(dots or {})}
    for x, marks in line.items():
        if marks.mean is not None and not marks.is_whole:
            face = {"markerfacecolor": "white", "markeredgecolor": color}
            ax.plot([x], [marks.mean], linestyle="none", marker=marker, zorder=4, **face)
        if marks.mean is not None and not marks.has_learned:
            ax.plot([x], [marks.mean], "x", color="black", markersize=9, zorder=5)
        if marks.bar is not None:
            bar = {"color": color, "alpha": 0.45, "linewidth": 1.3, "marker": "_"}
            ax.plot([x, x], list(marks.bar), zorder=2, **bar)
        if marks.dots:
            ax.scatter([x] * len(marks.dots), marks.dots, s=10, alpha=0.55, linewidths=0, **look)


def limit_auroc(ax: Axes, points: Iterable[Marks]) -> None:
    """Sets limits that hold every mark, at least 0.02 apart. Draws chance if it is in sight."""
    values = [v for point in points for v in (*point.dots, *(point.bar or ()), point.mean)]
    marks = [value for value in values if value is not None]
    if not marks:
        ax.set_ylim(0, 1)
        ax.text(0.5, 0.5, "no cell is done yet", transform=ax.transAxes, ha="center", color=GREY)
        return
    middle, half = (max(marks) + min(marks)) / 2, max(max(marks) - min(marks), 0.02) * 0.54
    ax.set_ylim(middle - half, min(middle + half, 1 + 0.1 * half))
    if middle - half < 0.5 < middle + half:
        ax.axhline(0.5, color=GREY, linewidth=0.8, linestyle=":", label="chance", zorder=1)


def auroc_caption(results: pa.Table, groups: Sequence[Group]) -> str:
    parts = [holdout_text(results)]
    if any(len(group.done) > 1 for group in groups):
        parts.append("Lines: means over replicates; dots: single replicates.")
    return " ".join([*parts, *bar_remarks(groups, "Bars"), *remarks(groups)])


def bar_remarks(groups: Sequence[Group], bars: str) -> list[str]:
    """What the bars of the marks are, one sentence for each kind that is drawn."""
    parts = []
    if any(group.interval for group in groups):
        parts.append(f"{bars}: 95 % for other trainings and other holdout patients.")
    if any(group.lone_interval and not group.interval for group in groups):
        parts.append(f"{bars} of a lone replicate: 95 % for other holdout patients alone.")
    if shows_spread(groups) and any(group.sd is not None for group in groups):
        parts.append(f"{bars}: the sample standard deviation over replicates.")
    return parts


def remarks(groups: Sequence[Group]) -> list[str]:
    """What hollow and crossed marks mean, where there are some."""
    parts = []
    if any(group.done and len(group.done) < len(group.cells) for group in groups):
        parts.append("Hollow: some replicates are missing.")
    return parts + learning_remark(groups)


def learning_remark(groups: Sequence[Group]) -> list[str]:
    """What crossed marks mean, where there are some."""
    crossed = any(group.done and group.n_not_learned for group in groups)
    return ["Crossed: a generator has not learned."] if crossed else []


def last_epochs(groups: Sequence[Group]) -> list[Group]:
    """The groups of the last GAN epoch of each patient count and variant."""
    last: dict[tuple[int, str], Group] = {}
    for group in groups:
        last[group.n_patients, group.variant] = group
    return list(last.values())


def epoch_text(results: pa.Table, groups: Sequence[Group]) -> str:
    """A sentence on the GAN epochs that are shown; empty unless the GAN epoch is an axis."""
    if not epoch_is_axis(results):
        return ""
    last = sorted({group.gan_epoch for group in groups if group.gan_epoch is not None})
    return f" Synthetic frames of GAN epoch {' or '.join(map(str, last))}."
