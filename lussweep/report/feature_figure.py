"""Draws real and synthetic frames in the plane of the principal components of their features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lussweep.report.cells import Row
from lussweep.report.panels import PALETTE, finish, new_figure, wrapped
from lussweep.study.spec import CLASS_WORDS, NO_EMBEDDER

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CLEAR = (0.0, 0.0, 0.0, 0.0)
LOOKS: dict[str, tuple[str, dict[str, Any]]] = {
    "train": (
        "training frames",
        {"marker": "o", "s": 20, "facecolors": [CLEAR], "edgecolors": PALETTE[0]},
    ),
    "holdout": (
        "holdout frames",
        {"marker": "^", "s": 24, "facecolors": [CLEAR], "edgecolors": PALETTE[6]},
    ),
    "synthetic": (
        "synthetic frames",
        {"marker": "s", "s": 14, "color": PALETTE[1], "alpha": 0.75, "linewidths": 0},
    ),
}
"""How each kind of frames is called and looks. Real ones are hollow, synthetic ones filled."""


def build_feature_figure(points: pa.Table) -> Figure | None:
    """Draws a row for each class and a column for each patient count; `points` is a FEATURE_MAP.

    Training and synthetic frames are those of the count, holdout frames are the same in all columns
    of a class. None without points.
    """
    rows = points.to_pylist()
    if not rows:
        return None
    classes = [label for label in CLASS_WORDS if any(r["class"] == label for r in rows)]
    counts = sorted({row["n_patients"] for row in rows} - {None})
    size = (1.2 + 2.15 * max(len(counts), 2), 1.7 + 2.3 * len(classes))
    figure, axes = new_figure(*size, len(classes), len(counts))
    for line, label in zip(axes, classes, strict=True):
        of_class = [row for row in rows if row["class"] == label]
        for ax, n in zip(line, counts, strict=True):
            for kind, (name, look) in LOOKS.items():
                mine = [r for r in of_class if r["kind"] == kind and r["n_patients"] in (n, None)]
                at = [(r["component_1"], r["component_2"]) for r in mine]
                if at:
                    ax.scatter(*zip(*at, strict=True), label=name, **look)
            _limit(ax, of_class)
            ax.set_xlabel(_axis_title(1, of_class[0]), fontsize=8.5)
        title = f"{CLASS_WORDS[label]} frames\n{_axis_title(2, of_class[0])}"
        line[0].set_ylabel(title, fontsize=8.5)
    for ax, n in zip(axes[0], counts, strict=True):
        ax.set_title(f"{n} patients per class", fontsize=9)
    finish(figure, _caption(rows))
    return figure


def _axis_title(component: int, row: Row) -> str:
    return f"component {component}, SD ({100 * row[f'share_{component}']:.0f} %)"


def _limit(ax: Any, rows: Sequence[Row]) -> None:
    """Sets the same limits in all panels of a class."""
    for name, set_limits in (("component_1", ax.set_xlim), ("component_2", ax.set_ylim)):
        values = [row[name] for row in rows]
        slack = 0.06 * (max(values) - min(values)) or 1.0
        set_limits(min(values) - slack, max(values) + slack)


def _caption(rows: Sequence[Row]) -> str:
    first = rows[0]
    of = "grey levels of small frames"
    if first["embedder"] != NO_EMBEDDER:
        of = f"{first['space']} space of {first['embedder']}"
        if first["saw_all_train_patients"]:
            of += ", which has seen all training patients"
    gans = list(dict.fromkeys(row["gan"] for row in rows if row["gan"]))
    return (
        f"Features: {of}. Axes: the first two principal components of training frames of all these "
        "counts, every patient weighing the same, in standard deviations (SD) of these frames "
        "along component 1, and in brackets the share of the variance. Each class has axes of its "
        f"own. A sample of frames of one replicate. Generator: {wrapped(', '.join(gans), 80)}."
    )
