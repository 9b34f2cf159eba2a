"""Parts of every figure: light panels, one legend, a caption, and files without a date."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lussweep.store.files import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

GREY = "#666666"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours of Okabe and Ito, which colour-blind readers can tell apart. Markers differ too."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
LINES = ("-", "--", "-.", ":")
"""Line styles: the next one begins where markers begin again."""


LEGEND_LINE = 0.19
"""Inches of one line of a legend. A figure grows by the lines after the first, its panels do not
shrink."""


METADATA: dict[str, dict[str, None]] = {
    "png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None},
}  # fmt: skip
"""What keeps the date out of a file, by its kind."""


def save(figure: Figure, stem: Path, kinds: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Writes `stem`.png at 150 dots per inch, `stem`.svg or `stem`.pdf, and returns the paths.

    The files hold no date.
    """
    from matplotlib import rc_context

    paths = []
    for kind in kinds:
        path = stem.with_name(f"{stem.name}.{kind}")
        with whole_file(path) as scratch, rc_context({"svg.hashsalt": "lussweep"}):
            figure.savefig(scratch, format=kind, dpi=150, metadata=METADATA[kind])
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


def style_of(index: int) -> dict[str, Any]:
    """Colour, marker and line style of the `index`-th variant.

    Marker and line style alone tell 32 variants apart, so that a grey print can be read.
    """
    return {
        "color": PALETTE[index % len(PALETTE)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINES[index // len(MARKERS) % len(LINES)],
    }


def wrapped(name: str, width: int) -> str:
    """The name in lines of at most `width` characters, broken behind underscores and spaces.

    A part that is longer than a line is broken anywhere.
    """
    parts = [
        piece[i : i + width]
        for piece in re.findall(r"[^_\s]+[_\s]*|[_\s]+", name)
        for i in range(0, len(piece), width)
    ]
    lines = [""]
    for part in parts:
        if len(lines[-1]) + len(part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip(" ") for line in lines)


def count_ticks(axis: Axis, counts: Sequence[int], inches: float) -> None:
    """Sets ticks at the patient counts of a logarithmic axis, and labels where they have room.

    The last label stays, then the first, then as many as fit from the right. `inches` is the length
    of the axis.
    """
    from matplotlib.ticker import NullFormatter, NullLocator

    span = math.log(counts[-1] / counts[0]) or 1.0
    place_of = {n: math.log(n / counts[0]) / span * inches * 0.9 for n in counts}
    room = 0.09 * max(len(str(n)) for n in counts) + 0.08
    kept: list[int] = []
    for n in (counts[-1], *counts[:1], *reversed(counts[1:-1])):
        if all(abs(place_of[n] - place_of[other]) >= room for other in kept):
            kept.append(n)
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axis.set_ticks(list(counts), [str(n) if n in kept else "" for n in counts])


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
        n_columns = len(handle_of) if one_line else int(figure.get_figwidth() / max(inches)) or 1
        n_lines = math.ceil(len(handle_of) / n_columns)
        figure.set_figheight(figure.get_figheight() + LEGEND_LINE * (n_lines - 1))
        figure.legend(
            list(handle_of.values()),
            list(handle_of),
            loc="outside upper center",
            ncols=n_columns,
            title=legend_title,
            title_fontsize=8.5,
            fontsize=8.5,
            frameon=False,
        )
    wrapped = textwrap.fill(caption, width=int(figure.get_figwidth() * 16))
    figure.supxlabel(wrapped, x=0.02, ha="left", fontsize=7.5, color=GREY)
