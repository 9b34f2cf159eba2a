"""What every figure shares: light panels, one legend, a caption, and files without a date."""

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
"""Okabe and Ito, told apart by colour-blind readers; markers differ as well."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write `stem`.png at 150 dots per inch and `stem`.svg, both without a date."""
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
    """A figure of panels (inches) with light axes."""
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
    """Darker for fewer patients, evenly spaced by rank."""
    from matplotlib import colormaps

    return colormaps["viridis"](0.85 * counts.index(n_patients) / max(len(counts) - 1, 1))


def finish(figure: Figure, caption: str, *, legend_title: str | None = None) -> None:
    """One legend of all panels above, in as many columns as fit, and a wrapped caption below."""
    found: dict[str, Any] = {}
    for ax in figure.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if found:
        inches = [0.55 + 0.07 * len(label) for label in found]
        one_line = sum(inches) < figure.get_figwidth()
        figure.legend(
            list(found.values()),
            list(found),
            loc="outside upper center",
            ncols=len(found) if one_line else int(figure.get_figwidth() / max(inches)) or 1,
            title=legend_title,
            title_fontsize=8.5,
            fontsize=8.5,
            frameon=False,
        )
    wrapped = textwrap.fill(caption, width=int(figure.get_figwidth() * 16))
    figure.supxlabel(wrapped, x=0.02, ha="left", fontsize=7.5, color=GREY)
