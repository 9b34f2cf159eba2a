"""Draws AUC-ROC on holdout against the epoch of the generator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from lussweep.report.auroc_figure import DODGE
from lussweep.report.auroc_marks import (
    auroc_caption,
    draw_line,
    limit_auroc,
    marks_by_frame,
    shows_spread,
)
from lussweep.report.cells import epoch_is_axis
from lussweep.report.panels import finish, new_figure, save, sequential, wrapped
from lussweep.report.summary import group_cells, variants_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def epoch_figure(results: pa.Table, stem: Path) -> list[Path]:
    """Writes AUC-ROC against the epoch of the generator. Writes nothing if that is not an axis."""
    return save(build_epoch_figure(results), stem) if epoch_is_axis(results) else []


def build_epoch_figure(results: pa.Table) -> Figure:
    """Draws a panel for each variant with synthetic frames, and a colour for each patient count.

    Variants without a GAN epoch do not change along the axis. The first is a dashed line.
    """
    groups = group_cells(results)
    flat = [group for group in groups if group.gan_epoch is None]
    level = {
        group.n_patients: group.mean
        for group in flat
        if group.mean is not None and group.variant == flat[0].variant
    }
    curves = [group for group in groups if group.gan_epoch is not None]
    panels = [v for v in variants_of(results) if any(g.variant == v for g in curves)]
    counts = sorted({group.n_patients for group in groups})
    epochs = sorted({group.gan_epoch or 0 for group in curves})
    figure, axes = new_figure(2.2 + 2.6 * len(panels), 3.9, 1, len(panels))
    marks_of = partial(marks_by_frame, with_spread=shows_spread(groups))
    for ax, variant in zip(axes[0], panels, strict=True):
        for i, n_patients in enumerate(counts):
            color = sequential(n_patients, counts)
            line = {
                (group.gan_epoch or 0) + _dodge(i, len(counts), epochs): marks_of(group)
                for group in curves
                if (group.variant, group.n_patients) == (variant, n_patients)
            }
            draw_line(ax, line, str(n_patients), color=color, marker="o")
            if n_patients in level:
                ax.axhline(level[n_patients], color=color, linestyle="--", linewidth=1, alpha=0.7)
        ax.set_title(wrapped(f"{variant}, by frame", 26), fontsize=10)
        ax.set_xticks(epochs)
        ax.set_xlabel("GAN epoch")
        limit_auroc(ax, map(marks_of, groups))
    axes[0][0].set_ylabel("AUC-ROC on holdout")
    dashed = f" Dashed: {flat[0].variant}." if level else ""
    finish(figure, auroc_caption(results, groups) + dashed, legend_title="patients per class")
    return figure


def _dodge(index: int, n: int, ticks: Sequence[int]) -> float:
    """Sideways shift of the `index`-th of `n` lines, so that their bars do not overlap."""
    return (index - (n - 1) / 2) * _step(ticks)


def _step(ticks: Sequence[int]) -> float:
    return DODGE * (max(ticks) - min(ticks) or 1)
