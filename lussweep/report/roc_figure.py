"""Draws ROC curves of a grid with their operating points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lussweep.analysis.levels import Scored
from lussweep.report.cells import ScoredCells
from lussweep.report.panels import GREY, finish, new_figure, style_of
from lussweep.study.coordinates import Coordinates

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 3
WANTED = 0.9
"""The specificity on validation whose operating points are drawn."""
GRID = np.linspace(0, 1, 101)


def roc_curve(label_N: np.ndarray, score_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates, ascending, of every threshold: each (T,), from (0, 0)."""
    order = np.argsort(-score_N, kind="stable")
    label, score = label_N[order].astype(bool), score_N[order]
    ends = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    true, false = np.cumsum(label)[ends], np.cumsum(~label)[ends]
    return (
        np.append(0.0, false / max(int((~label).sum()), 1)),
        np.append(0.0, true / max(int(label.sum()), 1)),
    )


def shown_counts(counts: Sequence[int]) -> list[int]:
    """The smallest, the middle and the largest of some patient counts."""
    ordered = sorted(set(counts))
    return sorted({ordered[0], ordered[len(ordered) // 2], ordered[-1]}) if ordered else []


def build_roc_figure(cells: ScoredCells, operating: pa.Table) -> Figure | None:
    """Draws a panel for up to MOST_PANELS patient counts, and a line for each variant.

    Lines are mean true positive rates over replicates. If the GAN epoch is an axis, each variant is
    shown at its last epoch. None if no cell has scores.
    """
    places = _last_epochs(list(cells.scored))
    if not places:
        return None
    counts = shown_counts([place.n_patients for place in places])
    variants = list(dict.fromkeys(place.variant for place in places))
    figure, (axes,) = new_figure(1.0 + 3.1 * len(counts), 4.0, 1, len(counts))
    points = _points(operating, places)
    for ax, n in zip(axes, counts, strict=True):
        ax.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1, zorder=1)
        for i, variant in enumerate(variants):
            here = [p for p in places if (p.n_patients, p.variant) == (n, variant)]
            _draw(ax, [cells.scored[p] for p in here], points.get((n, variant)), variant, i)
        ax.set_title(f"{n} patients per class", fontsize=10)
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(-0.02, 1.02)
        ax.set_xlabel("1 - specificity")
    axes[0].set_ylabel("sensitivity")
    finish(figure, _caption(bool(points)))
    return figure


def _last_epochs(places: Sequence[Coordinates]) -> list[Coordinates]:
    last: dict[tuple[int, str], int] = {}
    for place in places:
        key = (place.n_patients, place.variant)
        last[key] = max(last.get(key, 0), place.gan_epoch or 0)
    return [p for p in places if (p.gan_epoch or 0) == last[p.n_patients, p.variant]]


def _points(
    operating: pa.Table, places: Sequence[Coordinates]
) -> Mapping[tuple[int, str], tuple[float, float]]:
    """Mean sensitivity and specificity over replicates at the thresholds of validation."""
    known = {(p.n_patients, p.replicate, p.variant, p.gan_epoch) for p in places}
    values: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for row in operating.to_pylist():
        place = (row["n_patients"], row["replicate"], row["variant"], row["gan_epoch"])
        if row["wanted"] == WANTED and row["sensitivity"] is not None and place in known:
            at = (row["n_patients"], row["variant"])
            values.setdefault(at, []).append((row["sensitivity"], row["specificity"]))
    return {at: tuple(np.mean(pairs, axis=0)) for at, pairs in values.items()}


def _draw(
    ax: Axes, scored: Sequence[Scored], point: tuple[float, float] | None, label: str, index: int
) -> None:
    if not scored:
        return
    style: dict[str, Any] = style_of(index)
    curves = [roc_curve(frames.label_U, frames.score_U) for frames in scored]
    mean = np.mean([np.interp(GRID, false, true) for false, true in curves], axis=0)
    ax.plot(
        np.append(0, GRID), np.append(0, mean), color=style["color"], linewidth=1.4,
        linestyle=style["linestyle"], marker=style["marker"], markevery=20, markersize=4,
        label=label,
    )  # fmt: skip
    if point is not None:
        sensitivity, specificity = point
        face = {"markerfacecolor": "white", "markeredgecolor": style["color"]}
        ax.plot([1 - specificity], [sensitivity], linestyle="none", marker=style["marker"],
                markersize=8, markeredgewidth=1.8, zorder=5, **face)  # fmt: skip


def _caption(has_points: bool) -> str:
    text = (
        "Holdout frames. Lines: mean sensitivity over replicates, at each specificity; small "
        "markers tell the lines apart."
    )
    if has_points:
        text += (
            " Large hollow markers: operating points, at the threshold that reaches a specificity "
            f"of {WANTED:g} on validation; means over replicates."
        )
    return text
