"""Draws the calibration curves of a grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lussweep.report.cells import Row
from lussweep.report.panels import GREY, finish, new_figure, save, sequential, wrapped
from lussweep.report.values import OVER_PATIENTS, say, with_intervals

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_COLUMNS = 4


def calibration_figure(calibration: pa.Table, stem: Path) -> list[Path]:
    """Writes the share of positive frames against the score as PNG and SVG.

    Returns the paths. The list is empty if no cell has a curve.
    """
    figure = build_calibration_figure(calibration)
    return save(figure, stem) if figure else []


def build_calibration_figure(calibration: pa.Table) -> Figure | None:
    """Draws a panel for each variant, and a colour for each patient count.

    If the GAN epoch is an axis, each variant is shown at its last epoch. None without a curve.
    """
    rows = _last_epochs([row for row in calibration.to_pylist() if row["share"] is not None])
    if not rows:
        return None
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    counts = sorted({row["n_patients"] for row in rows})
    n_columns = min(len(variants), MOST_COLUMNS)
    n_lines = math.ceil(len(variants) / n_columns)
    figure, axes = new_figure(1.2 + 2.7 * n_columns, 1.5 + 2.7 * n_lines, n_lines, n_columns)
    panels = [ax for line in axes for ax in line]
    for ax, variant in zip(panels, variants, strict=False):
        ax.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1, zorder=1)
        for n_patients in counts:
            mine = [r for r in rows if (r["variant"], r["n_patients"]) == (variant, n_patients)]
            color = sequential(n_patients, counts)
            _draw_curve(ax, mine, str(n_patients), color, bars=n_patients == counts[-1])
        ax.set_title(wrapped(variant, 26), fontsize=10)
        ax.set_xlim(-0.03, 1.03)
        ax.set_ylim(-0.03, 1.03)
        ax.set_aspect("equal")
    for ax in panels[len(variants) :]:
        ax.set_axis_off()
    for ax in panels[max(0, len(variants) - n_columns) : len(variants)]:
        ax.set_xlabel("score")
    for line in axes:
        line[0].set_ylabel("share of positive frames")
    finish(figure, _caption(rows, counts[-1]), legend_title="patients per class")
    return figure


def _last_epochs(rows: Sequence[Row]) -> list[Row]:
    last: dict[tuple[str, int], int] = {}
    for row in rows:
        key = (row["variant"], row["n_patients"])
        last[key] = max(last.get(key, 0), row["gan_epoch"] or 0)
    return [r for r in rows if (r["gan_epoch"] or 0) == last[r["variant"], r["n_patients"]]]


def _draw_curve(ax: Axes, rows: Sequence[Row], label: str, color: Any, *, bars: bool) -> None:
    """Draws the means over replicates of each bin, and bars for their intervals."""
    bins = [[row for row in rows if row["bin"] == b] for b in sorted({r["bin"] for r in rows})]
    score_B = [fmean(row["mean_score"] for row in of_bin) for of_bin in bins]
    share_B = [fmean(row["share"] for row in of_bin) for of_bin in bins]
    (line,) = ax.plot(
        score_B, share_B, color=color, marker="o", markersize=3.5, linewidth=1.2, label=label
    )
    values = []
    for score, share, of_bin in zip(score_B, share_B, bins, strict=True):
        interval = None
        ends = [(row["low"], row["high"]) for row in of_bin if row["low"] is not None]
        if bars and ends:
            low, high = (fmean(end) for end in zip(*ends, strict=True))
            ax.plot([score, score], [low, high], color=color, alpha=0.45, marker="_", zorder=2)
            interval = (low, high)
        values.append(with_intervals(share, {OVER_PATIENTS: interval}))
    say(line, values)


def _caption(rows: Sequence[Row], largest: int) -> str:
    parts = [
        "Holdout frames in bins of equal mass, by score.",
        "Dotted: calibrated; above it, more frames are positive than the scores say.",
        "Lines: means over replicates.",
    ]
    if any(row["low"] is not None for row in rows if row["n_patients"] == largest):
        parts.append(
            f"Bars, at n = {largest}: 95 % over holdout patients, for these trained models; "
            "means over replicates."
        )
    epochs = sorted({row["gan_epoch"] for row in rows if row["gan_epoch"] is not None})
    if epochs:
        parts.append(f"Synthetic frames of GAN epoch {' or '.join(map(str, epochs))}.")
    return " ".join(parts)
