"""Draws the gain of each cell against a score of its generator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pyarrow as pa

from lussweep.report.cells import BASELINE, DONE
from lussweep.report.panels import GREY, MARKERS, finish, new_figure, sequential, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_COLUMNS = 3


def build_usefulness_figure(
    results: pa.Table, generator_of: Mapping[str, str] | None = None
) -> Figure | None:
    """Draws a panel for each variant with synthetic positives, and a mark for each cell.

    All panels have the same vertical axis, so that gains of variants can be compared.
    The gain is the cell's AUC-ROC less that of the baseline of the same draw. `generator_of` names
    the generator of each variant's positives. It stands in the titles if there are several. None if
    no cell has both a gain and a score.
    """
    rows = [row for row in results.to_pylist() if row["status"] == DONE]
    base = {
        (row["n_patients"], row["replicate"]): row["auroc"]
        for row in rows
        if row["variant"] == BASELINE
    }
    marks = [
        (row, row["auroc"] - base[row["n_patients"], row["replicate"]])
        for row in rows
        if row["kmmd_pos"] is not None
        and math.isfinite(row["kmmd_pos"])
        and (row["n_patients"], row["replicate"]) in base
    ]
    if not marks:
        return None
    variants = list(dict.fromkeys(row["variant"] for row, _ in marks))
    counts = sorted({row["n_patients"] for row, _ in marks})
    named = {v: name for v, name in (generator_of or {}).items() if v in variants}
    generators = set(named.values())
    n_columns = min(len(variants), MOST_COLUMNS)
    n_lines = math.ceil(len(variants) / n_columns)
    size = (1.4 + 2.9 * n_columns, 1.5 + 2.5 * n_lines)
    figure, axes = new_figure(*size, n_lines, n_columns)
    panels = [ax for line in axes for ax in line]
    gains = [0.0, *(gain for _, gain in marks)]
    slack = 0.06 * (max(gains) - min(gains)) or 0.01
    for ax, variant in zip(panels, variants, strict=False):
        ax.axhline(0, color=GREY, linewidth=0.9)
        ax.set_ylim(min(gains) - slack, max(gains) + slack)
        for i, n in enumerate(counts):
            here = [
                (r, gain) for r, gain in marks if (r["variant"], r["n_patients"]) == (variant, n)
            ]
            ax.scatter(
                [row["kmmd_pos"] for row, _ in here], [gain for _, gain in here], s=26,
                color=[sequential(n, counts)] * len(here), marker=MARKERS[i % len(MARKERS)],
                label=str(n),
            )  # fmt: skip
        title = wrapped(variant, 26)
        if len(generators) > 1 and variant in named:
            title += f"\n{wrapped(f'GAN: {named[variant]}', 34)}"
        ax.set_title(title, fontsize=9)
    for ax in panels[len(variants) :]:
        ax.set_axis_off()
    for ax in panels[max(0, len(variants) - n_columns) : len(variants)]:
        ax.set_xlabel("kMMD of the positives' generator")
    for line in axes:
        line[0].set_ylabel("gain in AUC-ROC")
    finish(
        figure,
        "Each mark is a cell: its AUC-ROC less that of the baseline with the same patients, "
        "against kMMD of its synthetic positives (a smaller kMMD is better).",
        legend_title="patients per class",
    )
    return figure
