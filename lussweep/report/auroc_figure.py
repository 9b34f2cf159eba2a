"""Draws AUC-ROC on holdout against patients, all variants in one panel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from lussweep.report.auroc_marks import (
    Marks,
    auroc_caption,
    draw_line,
    epoch_text,
    last_epochs,
    limit_auroc,
    marks_by_frame,
    marks_by_patient,
    shows_spread,
)
from lussweep.report.panels import count_ticks, finish, new_figure, save, style_of
from lussweep.report.summary import Group, group_cells, variants_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DODGE = 0.012
"""Sideways step between lines, as a share of the range of the axis."""
TITLES = ("by frame", "by patient (mean frame score)")


def auroc_figure(results: pa.Table, stem: Path, means: pa.Table | None = None) -> list[Path]:
    """Writes AUC-ROC on holdout against patients per class as PNG and SVG.

    Each variant has a line. Returns the paths.
    """
    return save(build_auroc_figure(results, means), stem)


def build_auroc_figure(results: pa.Table, means: pa.Table | None = None) -> Figure:
    """Draws means over replicates with their intervals, and replicates as dots.

    Where `means` has AUC-ROCs by patient, a second panel shows them. If the GAN epoch is an axis,
    each variant is shown at its last epoch.
    """
    groups, variants = last_epochs(group_cells(results, means)), variants_of(results)
    counts = sorted({group.n_patients for group in groups})
    n_panels = 2 if any(group.by_patient for group in groups) else 1
    figure, (axes,) = new_figure(6.4 if n_panels == 1 else 9.6, 4.4, 1, n_panels)
    step = _ratio(counts, len(variants))
    edge = step ** (5 + len(variants) / 2)
    by_frame: Callable[[Group], Marks] = partial(marks_by_frame, with_spread=shows_spread(groups))
    every = [
        marks_of(group) for marks_of in (by_frame, marks_by_patient)[:n_panels] for group in groups
    ]
    for ax, marks_of, title in zip(axes, (by_frame, marks_by_patient), TITLES, strict=False):
        marks = {(group.n_patients, group.variant): marks_of(group) for group in groups}
        for i, variant in enumerate(variants):
            aside = step ** (i - (len(variants) - 1) / 2)
            line = {
                n_patients * aside: marks[n_patients, variant]
                for n_patients in counts
                if (n_patients, variant) in marks
            }
            draw_line(ax, line, variant, **style_of(i))
        ax.set_title(title, fontsize=10)
        ax.set_xscale("log")
        ax.set_xlim(counts[0] / edge, counts[-1] * edge)
        count_ticks(ax.xaxis, counts, 4.2)
        ax.set_xlabel("patients per class (logarithmic)")
        limit_auroc(ax, every)
    axes[0].set_ylabel("AUC-ROC on holdout")
    finish(figure, auroc_caption(results, groups) + epoch_text(results, groups))
    return figure


def _ratio(counts: Sequence[int], n_lines: int) -> float:
    """The ratio of x between two lines, such that those of two patient counts do not mix."""
    if len(counts) < 2:
        return 1 + DODGE
    nearest = min(b / a for a, b in pairwise(counts))
    return float(min((counts[-1] / counts[0]) ** DODGE, nearest ** (0.7 / n_lines)))
