"""Parts of every figure: light panels, one legend, a caption, and files without a date."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lussweep.store.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GREY = "#666666"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours of Okabe and Ito, which colour-blind readers can tell apart. Markers differ too."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")


def save(figure: Figure, stem: Path) -> list[Path]:
    """Writes `stem`.png at 150 dots per inch and `stem`.svg, and returns the paths.

    The files hold no date.
    """
    from matplotlib import rc_context

    paths = []
    for kind, metadata in (("png", {}), ("svg", {"Date": None})):
        path = stem.with_name(f"{stem.name}.{kind}")
        with whole_file(path) as scratch, rc_context({"svg.hashsalt": "lussweep"}):
            figure.savefig(scratch, format=kind, dpi=150, metadata=metadata)
        paths.append(path)
    return paths


def new_figure(
    width: float, height: float, n_rows: int = 1, n_columns: int = 1
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of `width` x `height` inches, and its panels with light axes, row by row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False)
    for ax in panels.flat:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", color="#dddddd", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.tick_params(labelsize=8.5)
    return figure, [list(line) for line in panels]


def sequential(n_patients: int, counts: Sequence[int]) -> Any:
    """The colour of a patient count: darker for fewer patients, evenly spaced by rank."""
    from matplotlib import colormaps

    return colormaps["viridis"](0.85 * counts.index(n_patients) / max(len(counts) - 1, 1))


def finish(figure: Figure, caption: str, *, legend_title: str | None = None) -> None:
    """Adds one legend of all panels at the top, in as many columns as fit, and a caption below."""
    handle_of: dict[str, Any] = {}
    for ax in figure.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handle_of.setdefault(label, handle)
    if handle_of:
        inches = [0.55 + 0.07 * len(label) for label in handle_of]
        one_line = sum(inches) < figure.get_figwidth()
        figure.legend(
            list(handle_of.values()),
            list(handle_of),
            loc="outside upper center",
            ncols=len(handle_of) if one_line else int(figure.get_figwidth() / max(inches)) or 1,
            title=legend_title,
            title_fontsize=8.5,
            fontsize=8.5,
            frameon=False,
        )
    wrapped = textwrap.fill(caption, width=int(figure.get_figwidth() * 16))
    figure.supxlabel(wrapped, x=0.02, ha="left", fontsize=7.5, color=GREY)
