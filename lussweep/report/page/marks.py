"""Reads the values of a figure's marks from its axes, for a page that shows them on hover."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lussweep.report.values import number_text, said

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

MOST_POINTS = 25
"""Points of one line that have a value. Those of a longer line are thinned evenly."""
Point = tuple[float, float]


@dataclass(frozen=True)
class Mark:
    """One mark of a figure."""

    x: float
    """Value on the horizontal axis."""
    y: float
    text: str
    """The series, and both values with the names of their axes. What the figure says of a mark,
    such as a mean with its interval, stands in place of its height."""
    place: Point
    """Its place as shares of the figure's width and height, from the lower left corner."""


@dataclass(frozen=True)
class _Series:
    """Points of one colour."""

    name: str
    points: Sequence[Point]
    said: Sequence[str] = ()
    """What the figure says of each point; empty if the places are the values."""


def marks_of(figure: Figure) -> list[Mark]:
    """The marks of every panel of a figure that was drawn once, in the order of its panels.

    Markers, dots, bars and points of labelled lines are marks. Lines across a whole panel are not.
    A line without a label takes the name of the labelled one of its colour. A line between two
    points across or along, such as an interval, is no mark.
    """
    marks: dict[Point, Mark] = {}  # a hollow marker or a cross may lie on another one
    for ax in figure.axes:
        for series, i in _points(ax) if ax.axison else ():
            mark = _mark(ax, series, i, figure)
            marks.setdefault((round(mark.place[0], 4), round(mark.place[1], 4)), mark)
    return list(marks.values())


def _points(ax: Axes) -> Iterator[tuple[_Series, int]]:
    """Each series with the index of each of its points that have a place."""
    for series in _series(ax):
        for i, (x, y) in enumerate(series.points):
            if math.isfinite(x) and math.isfinite(y):
                yield series, i


def _series(ax: Axes) -> Iterator[_Series]:
    """The bars, lines and dots of a panel. A cross on a bar is not told apart from it."""
    for container in ax.containers:
        for bar in getattr(container, "patches", []):
            point = bar.get_x() + bar.get_width() / 2, bar.get_y() + bar.get_height()
            name = _own_label(container) or _name_of_colour(ax, _colour(bar))
            yield _Series(name, [point], said(bar))
    for line in ax.lines:
        if line.get_transform() != ax.transData or _is_bar(line):
            continue
        points = _points_of(line)
        has_markers = line.get_marker() not in (None, "None", "none", "", " ")
        if has_markers or (_own_label(line) and len(points) > 2):
            step = max(1, math.ceil(len(points) / MOST_POINTS))
            yield _Series(_name(ax, line), points[::step], said(line)[::step])
    for dots in ax.collections:
        offsets: Any = dots.get_offsets()
        if len(offsets) and dots.get_offset_transform() == ax.transData:
            yield _Series(_name(ax, dots), [(float(x), float(y)) for x, y in offsets], said(dots))


def _points_of(line: Any) -> list[Point]:
    points = zip(line.get_xdata(), line.get_ydata(), strict=True)
    return [(float(x), float(y)) for x, y in points]


def _is_bar(line: Any) -> bool:
    """Whether a line joins two points across or along, as intervals do."""
    points = _points_of(line)
    if len(points) != 2 or _own_label(line):
        return False
    (x0, y0), (x1, y1) = points
    return x0 == x1 or y0 == y1


def _name(ax: Axes, artist: Any) -> str:
    return _own_label(artist) or _name_of_colour(ax, _colour(artist))


def _own_label(artist: Any) -> str:
    """The label of an artist. One that begins with `_` is not in the legend, but is a name."""
    label = str(artist.get_label() or "")
    return "" if re.match(r"_(child\d+|nolegend_|$)", label) else label.removeprefix("_")


def _name_of_colour(ax: Axes, colour: str) -> str:
    """The label of the lines of this colour; empty if none, or several names, have it."""
    artists = (*ax.lines, *ax.collections)
    names = {_own_label(a) for a in artists if _own_label(a) and _colour(a) == colour}
    return names.pop() if len(names) == 1 else ""


def _colour(artist: Any) -> str:
    """The colour of an artist as hex digits, without its transparency."""
    from matplotlib.colors import to_hex

    if hasattr(artist, "get_markeredgecolor"):
        colour = artist.get_color() if artist.get_linestyle() != "None" else None
        return to_hex(colour or artist.get_markeredgecolor())
    faces = artist.get_facecolor()
    return to_hex(faces[0] if getattr(faces, "ndim", 1) == 2 and len(faces) else faces)


# --- texts ----------------------------------------------------------------------------------


def _mark(ax: Axes, series: _Series, index: int, figure: Figure) -> Mark:
    x, y = series.points[index]
    is_forest = _has_set_ticks(ax.yaxis) and not _has_set_ticks(ax.xaxis)
    value = series.said[index] if series.said else number_text(x if is_forest else y)
    across = value if is_forest else _across(ax.xaxis, series, x)
    up = _at(ax.yaxis, y) if is_forest else value
    title = figure.legends[0].get_title().get_text() if figure.legends else ""
    parts = [
        f"{title} {series.name}".strip() if series.name else "",
        f"{_label(ax, 'x')} {across}".strip(),
        f"{_label(ax, 'y')} {up}".strip(),
    ]
    parts = [part for part in parts if part]
    where = _title(ax)
    text = ", ".join(parts) + (f" ({where})" if where else "")
    inches = ax.transData.transform((x, y)) / figure.dpi
    return Mark(x, y, text, (inches[0] / figure.get_figwidth(), inches[1] / figure.get_figheight()))


def _has_set_ticks(axis: Axis) -> bool:
    from matplotlib.ticker import FixedLocator

    return isinstance(axis.get_major_locator(), FixedLocator)


def _across(axis: Axis, series: _Series, value: float) -> str:
    """A value of the horizontal axis, without decimals where all of its series are whole."""
    if not _has_set_ticks(axis) and all(float(x).is_integer() for x, _ in series.points):
        return f"{value:.0f}"
    return _at(axis, value)


def _at(axis: Axis, value: float) -> str:
    """The nearest tick of an axis whose ticks are set, because marks stand a little beside them.

    On other axes it is the value itself.
    """
    if not _has_set_ticks(axis) or not len(axis.get_majorticklocs()):
        return number_text(value)
    ticks = [float(tick) for tick in axis.get_majorticklocs()]
    scaled = math.log if axis.get_scale() == "log" else float
    i = min(range(len(ticks)), key=lambda i: abs(scaled(ticks[i]) - scaled(value)))
    labels = [text.get_text() for text in axis.get_majorticklabels()]
    label = labels[i] if i < len(labels) else ""
    return " ".join(label.split()) or f"{ticks[i]:g}"


def _label(ax: Axes, axis: str) -> str:
    """The name of an axis, without remarks; if it has none, that of its row or column.

    A row of panels shares the name of its vertical axis, and a column that of its horizontal one.
    """
    beside = _beside(ax, "row" if axis == "y" else "column")
    text = next((t for one in (ax, *beside) if (t := getattr(one, f"get_{axis}label")())), "")
    return " ".join(re.sub(r"\([^)]*\)", "", text).split())


def _title(ax: Axes) -> str:
    """The title of a panel, or that of its column."""
    titles = (one.get_title() for one in (ax, *_beside(ax, "column")))
    return " ".join(next((title for title in titles if title), "").split())


def _beside(ax: Axes, line: str) -> list[Axes]:
    """The panels of the row or the column of a panel, from the top left."""
    own = ax.get_subplotspec()
    figure = ax.get_figure()
    if own is None or figure is None:
        return []
    name = "rowspan" if line == "row" else "colspan"
    return [
        one
        for one in figure.axes
        if (spec := one.get_subplotspec()) and getattr(spec, name) == getattr(own, name)
    ]
