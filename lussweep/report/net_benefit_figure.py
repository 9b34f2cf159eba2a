"""Draws the net benefit of a grid against the threshold probability."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

import pyarrow as pa

from lussweep.report.panels import GREY, finish, new_figure, style_of
from lussweep.report.roc_figure import shown_counts

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def build_net_benefit_figure(net_benefit: pa.Table) -> Figure | None:
    """Draws a panel for up to three patient counts, and a line for each variant.

    Lines are means over replicates, of scores that are recalibrated on validation. None without a
    net benefit.
    """
    every = [r for r in net_benefit.to_pylist() if r["net_benefit"] is not None]
    rows = [row for row in every if row["recalibrated"]]
    if not rows:
        return None
    counts = shown_counts([row["n_patients"] for row in rows])
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    last = {v: max(r["gan_epoch"] or 0 for r in rows if r["variant"] == v) for v in variants}
    rows = [row for row in rows if (row["gan_epoch"] or 0) == last[row["variant"]]]
    figure, (axes,) = new_figure(1.0 + 3.1 * len(counts), 3.8, 1, len(counts))
    thresholds = sorted({row["threshold"] for row in rows})
    for ax, n in zip(axes, counts, strict=True):
        here = [row for row in rows if row["n_patients"] == n]
        treat_all = {row["threshold"]: row["treat_all"] for row in here}
        ax.axhline(0, color=GREY, linewidth=0.9)
        ax.plot(list(treat_all), list(treat_all.values()), color=GREY, linewidth=1.2,
                linestyle="--", label="all called positive")  # fmt: skip
        for i, variant in enumerate(variants):
            means = {
                t: fmean(values)
                for t in thresholds
                if (values := [r["net_benefit"] for r in here
                               if (r["variant"], r["threshold"]) == (variant, t)])
            }  # fmt: skip
            ax.plot(list(means), list(means.values()), markersize=4, label=variant, **style_of(i))
        # All may be below 0 where few frames are positive: the axis must not turn over.
        top = max(0.01, *treat_all.values(), *(row["net_benefit"] for row in here))
        ax.set_ylim(-0.25 * top, 1.1 * top)
        ax.set_title(f"{n} patients per class", fontsize=10)
        ax.set_xlabel("threshold probability")
    axes[0].set_ylabel("net benefit (true positives a frame)")
    finish(
        figure,
        "Holdout frames, scores recalibrated on validation. Lines: means over replicates. Grey "
        "line at 0: no frame called positive. A model is useful where its line is above both.",
    )
    return figure
