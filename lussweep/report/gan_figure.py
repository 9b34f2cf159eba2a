"""Draws what generators report in each epoch of their training, such as losses."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING

import pyarrow as pa

from lussweep.report.cells import Row
from lussweep.report.gan_marks import mark_events, of_generator, of_last_attempts
from lussweep.report.panels import MARKERS, finish, new_figure, sequential, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NAMES = 4
CLASS_TITLES = {"pos": "positive frames", "neg": "negative frames", "both": "both classes"}


def build_losses_figure(losses: pa.Table, events: pa.Table) -> Figure | None:
    """Draws a column for each loss, a row for each class and a colour for each patient count.

    Lines are means over replicates of the last attempts of the study's own generators. Events of
    these attempts have marks. None without losses.
    """
    from matplotlib.ticker import MaxNLocator

    rows = [r for r in losses.to_pylist() if r["gan"] == "base" and r["name"].startswith("loss")]
    names = list(dict.fromkeys(row["name"] for row in rows))[:MOST_NAMES]
    if not names:
        return None
    rows = of_last_attempts(rows, rows)
    classes = [label for label in CLASS_TITLES if any(r["class"] == label for r in rows)]
    counts = sorted({row["n_patients"] for row in rows})
    size = (1.2 + 2.6 * max(len(names), 2), 1.3 + 2.1 * len(classes))
    figure, axes = new_figure(*size, len(classes), len(names))
    noted = of_last_attempts(events.to_pylist(), rows)
    for line, label in zip(axes, classes, strict=True):
        for ax, name in zip(line, names, strict=True):
            mine = [r for r in rows if (r["class"], r["name"]) == (label, name)]
            own = of_generator(noted, "base", label)
            curves = {n: _means([r for r in mine if r["n_patients"] == n]) for n in counts}
            for i, (n, curve) in enumerate(curves.items()):
                ax.plot(
                    *curve, color=sequential(n, counts), linewidth=1.3, label=str(n), markersize=4,
                    marker=MARKERS[i % len(MARKERS)], markevery=max(1, len(curve[0]) // 8),
                )  # fmt: skip
            for n, curve in curves.items():  # below all lines in the legend
                mark_events(ax, [row for row in own if row["n_patients"] == n], curve)
        line[0].set_ylabel(f"loss, {CLASS_TITLES[label]}", fontsize=9)
    for ax, name in zip(axes[0], names, strict=True):
        ax.set_title(wrapped(name, 24), fontsize=9.5)
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    text = "Losses of the generators' training, means over replicates."
    finish(figure, text, legend_title="patients per class")
    return figure


def _means(rows: Sequence[Row]) -> tuple[list[int], list[float]]:
    values: dict[int, list[float]] = {}
    for row in rows:
        values.setdefault(row["epoch"], []).append(row["value"])
    epochs = sorted(values)
    return epochs, [fmean(values[epoch]) for epoch in epochs]
