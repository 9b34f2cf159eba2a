"""Reads the values of a figure's marks from its axes, for a page that shows them on hover."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    """The series, and both values with the names of their axes."""
    place: Point
    """Its place as shares of the figure's width and height, from the lower left corner."""


@dataclass(frozen=True)
class _Series:
    """Points of one colour."""

    name: str
    colour: str
    points: Sequence[Point]


def marks_of(figure: Figure) -> list[Mark]:
    """The marks of every panel of a figure that was drawn once, in the order of its panels.

    Markers, dots, bars and points of labelled lines are marks. Lines across a whole panel are not.
    A line without a label takes the name of the labelled one of its colour. A line between two
    points, such as an interval, belongs to the marks on it.
    """
    marks: dict[Point, Mark] = {}  # a hollow marker or a cross may lie on another one
    for ax in figure.axes:
        for series, point in _points(ax) if ax.axison else ():
            mark = _mark(ax, series, point, figure)
            marks.setdefault((round(mark.place[0], 4), round(mark.place[1], 4)), mark)
    return list(marks.values())


def _points(ax: Axes) -> Iterator[tuple[_Series, Point]]:
    for series in _series(ax):
        for x, y in series.points:
            if math.isfinite(x) and math.isfinite(y):
                yield series, (x, y)


def _series(ax: Axes) -> Iterator[_Series]:
    """The lines, dots and bars of a panel."""
    for line in ax.lines:
        if line.get_transform() != ax.transData or _is_bar(line):
            continue
        points = _points_of(line)
        has_markers = line.get_marker() not in (None, "None", "none", "", " ")
        if has_markers or (_own_label(line) and len(points) > 2):
            yield _named(ax, line, _thinned(points))
    for dots in ax.collections:
        offsets: Any = dots.get_offsets()
        if len(offsets) and dots.get_offset_transform() == ax.transData:
            yield _named(ax, dots, [(float(x), float(y)) for x, y in offsets])
    for container in ax.containers:
        bars = getattr(container, "patches", [])
        for bar in bars:
            point = bar.get_x() + bar.get_width() / 2, bar.get_y() + bar.get_height()
            name = _own_label(container) or _name_of_colour(ax, _colour(bar))
            yield _Series(name, _colour(bar), [point])


def _points_of(line: Any) -> list[Point]:
    points = zip(line.get_xdata(), line.get_ydata(), strict=True)
    return [(float(x), float(y)) for x, y in points]


def _thinned(points: Sequence[Point]) -> list[Point]:
    step = max(1, math.ceil(len(points) / MOST_POINTS))
    return list(points[::step])


def _is_bar(line: Any) -> bool:
    """Whether a line joins two points across or along, as intervals do."""
    points = _points_of(line)
    if len(points) != 2 or _own_label(line):
        return False
    (x0, y0), (x1, y1) = points
    return x0 == x1 or y0 == y1


def _named(ax: Axes, artist: Any, points: Sequence[Point]) -> _Series:
    colour = _colour(artist)
    return _Series(_own_label(artist) or _name_of_colour(ax, colour), colour, points)


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


def _mark(ax: Axes, series: _Series, point: Point, figure: Figure) -> Mark:
    x, y = point
    is_forest = _has_set_ticks(ax.yaxis) and not _has_set_ticks(ax.xaxis)
    across = _number(x) if is_forest else _at(ax.xaxis, x)
    up = _at(ax.yaxis, y) if is_forest else _number(y)
    title = figure.legends[0].get_title().get_text() if figure.legends else ""
    parts = [
        f"{title} {series.name}".strip() if series.name else "",
        f"{_label(ax, 'x')} {across}".strip(),
        f"{_label(ax, 'y')} {up}".strip(),
    ]
    parts = [part for part in parts if part]
    bars = [_between(*ends) for ends in _bars_at(ax, series.colour, point)]
    if bars:
        parts[-2 if is_forest else -1] += f" (bar {' and '.join(bars)})"
    where = _title(ax)
    text = ", ".join(parts) + (f" ({where})" if where else "")
    inches = ax.transData.transform(point) / figure.dpi
    return Mark(x, y, text, (inches[0] / figure.get_figwidth(), inches[1] / figure.get_figheight()))


def _bars_at(ax: Axes, colour: str, point: Point) -> list[Point]:
    """The ends of the bars of this colour that a point lies on."""
    found = []
    for line in ax.lines:
        if line.get_transform() != ax.transData or not _is_bar(line) or _colour(line) != colour:
            continue
        (x0, y0), (x1, y1) = _points_of(line)
        if x0 == x1 == point[0] and y0 <= point[1] <= y1:
            found.append((y0, y1))
        elif y0 == y1 == point[1] and x0 <= point[0] <= x1:
            found.append((x0, x1))
    return [(low, high) for low, high in found if low < high]


def _between(low: float, high: float) -> str:
    return f"{_number(low)} to {_number(high)}"


def _has_set_ticks(axis: Axis) -> bool:
    from matplotlib.ticker import FixedLocator

    return isinstance(axis.get_major_locator(), FixedLocator)


def _at(axis: Axis, value: float) -> str:
    """The nearest tick of an axis whose ticks are set, because marks stand a little beside them.

    On other axes it is the value itself.
    """
    if not _has_set_ticks(axis) or not len(axis.get_majorticklocs()):
        return _number(value)
    ticks = [float(tick) for tick in axis.get_majorticklocs()]
    scaled = math.log if axis.get_scale() == "log" else float
    i = min(range(len(ticks)), key=lambda i: abs(scaled(ticks[i]) - scaled(value)))
    labels = [text.get_text() for text in axis.get_majorticklabels()]
    label = labels[i] if i < len(labels) else ""
    return " ".join(label.split()) or f"{ticks[i]:g}"


def _number(value: float) -> str:
    """Three decimals up to 1, as shares have. Three significant digits of others."""
    return f"{value:.3f}" if 0.0005 <= abs(value) <= 1 or value == 0 else f"{value:.3g}"


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
