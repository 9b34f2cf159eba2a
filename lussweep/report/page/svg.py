"""Turns a matplotlib figure into SVG that stands inside a page: named, described, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING

from lussweep.report.page.marks import marks_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIGHT, DARK = "#ffffff", "#16181c"
"""Backgrounds of the page."""
LEAST_CONTRAST = 4.5
"""Least ratio of the luminance of any mark, text among them, to the dark background's (WCAG AA)."""
POINTS_PER_INCH, MARK_RADIUS = 72, 6
"""Units of matplotlib's SVG, and the radius around a mark that shows its values, in points."""
_COLOUR = re.compile(r"(?<=[ \"])((?:fill|stroke|stop-color): )(#[0-9a-f]{6})\b")


def inline_svg(figure: Figure, name: str, title: str, description: str) -> str:
    """The figure as an `<svg>` element with the role of an image, without its caption.

    Ids begin with `name`, so that figures of one page do not share any. Text stays text, which
    prints in the reader's font and can be searched. Colours are CSS variables named after
    themselves, such as `var(--c0072b2, #0072b2)`: `dark_colours` gives them values for a dark page.
    Each mark has an invisible circle above it whose `<title>` says its values.
    """
    from matplotlib import rc_context

    file, caption = io.StringIO(), figure.get_supxlabel()
    figure.supxlabel("")  # the page has it as text
    with rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", metadata={"Date": None}, transparent=True)
    marks = _mark_circles(figure)  # now, because the layout is that of the picture
    figure.supxlabel(caption)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = _COLOUR.sub(lambda m: f"{m[1]}var(--c{m[2][1:]}, {m[2]})", svg)
    box = re.search(r'viewBox="[^"]+"', svg)
    assert box, "matplotlib's SVG has a viewBox"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{box[0]} style="--inches: {figure.get_figwidth():.2f}" '
        f'role="img" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(description)}</desc>'
    )
    return head + svg[svg.index(">") + 1 : svg.rindex("</svg>")] + marks + "</svg>"


def _mark_circles(figure: Figure) -> str:
    """A group of circles that cannot be seen, one over each mark of a figure."""
    width, height = (inches * POINTS_PER_INCH for inches in figure.get_size_inches())
    circles = [
        f'<circle cx="{m.place[0] * width:.1f}" cy="{(1 - m.place[1]) * height:.1f}" '
        f'r="{MARK_RADIUS}" data-x="{m.x:.6g}" data-y="{m.y:.6g}">'
        f"<title>{escape(m.text)}</title></circle>"
        for m in marks_of(figure)
    ]
    return f'<g class="marks" fill="none" pointer-events="all">{"".join(circles)}</g>'


def colours_of(svgs: Iterable[str]) -> list[str]:
    """Every colour variable of these figures, as `#rrggbb`, sorted."""
    return sorted({f"#{hexed}" for svg in svgs for hexed in re.findall(r"var\(--c(\w{6})", svg)})


def dark_colours(colours: Iterable[str]) -> Mapping[str, str]:
    """The colour on a dark page that stands for each: itself, or lighter until it can be seen.

    Black becomes nearly white. White, which fills hollow marks, becomes the background.
    """
    return {colour: DARK if colour == LIGHT else _lightened(colour) for colour in colours}


def contrast(one: str, other: str) -> float:
    """The ratio of the luminances of two colours, at least 1 (WCAG 2.2)."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _lightened(colour: str) -> str:
    """The colour mixed with as little white as it needs. Light greys of grids turn dark."""
    if _is_grid(colour):
        return "#3a3e46"
    for share in range(0, 101, 4):
        mixed = _mixed(colour, share / 100)
        if contrast(mixed, DARK) >= LEAST_CONTRAST + (5 if colour == "#000000" else 0):
            return mixed
    return LIGHT


def _is_grid(colour: str) -> bool:
    return colour in ("#dddddd", "#cccccc", "#b0b0b0")


def _mixed(colour: str, white: float) -> str:
    parts = (round(c + (255 - c) * white) for c in _channels(colour))
    return "#" + "".join(f"{part:02x}" for part in parts)


def _channels(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def _luminance(colour: str) -> float:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (channel / 255 for channel in _channels(colour))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
