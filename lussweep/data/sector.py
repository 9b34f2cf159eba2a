"""Finds the sector of an ultrasound video: the part of the screen that shows tissue.

The sector is the convex hull of the bright or changing components that move. It is found from the
greatest and the least level of each pixel over the whole video, because too little moves in a few
frames. Two other signs give the confidence. Tissue is dense in single frames, while traces, clocks
and letters are thin. The two sides of a sector are alike, unless a shadow hides one. The sides also
tell the probe: the sides of a linear probe's sector are parallel, those of a phased probe meet in a
point at its top, and those of a convex probe would meet above the top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]
Shape = Literal["convex", "linear", "phased", "unknown"]

LOW_CONFIDENCE = 0.5
"""A person should look at a sector with a lower confidence first."""

BLACK_LEVEL = 8
"""Grey levels that compression noise reaches on a black ground."""
MOTION_LEVELS = 12
"""A pixel moves if its grey level changes by more than this over the video."""
MIN_MOVING_SHARE = 0.02
"""A video counts as still if a smaller share of its image moves."""
MIN_COMPONENT_SHARE = 0.1
"""A component is large if its area is at least this share of the largest component's area. A dark
shadow can cut a sector into several large parts."""
MIN_MOTION_OF_COMPONENT = 0.1
"""A component counts as still text if a smaller share of its area moves."""
N_DENSITY_FRAMES = 24
"""Frames, evenly spaced, that density is measured in. A trace is thin in each of them, though the
brightest image of the whole video shows a band."""
MIN_DENSITY = 0.5
"""A pixel is dense if this share of its surroundings, a 25th of the image wide, is bright in one
frame. Lines and letters stay below it."""
FRINGE_OF_NO_CONFIDENCE = 0.2
"""The share of the hull without dense tissue at which the confidence is 0: a trace or a clock has
widened the sector."""
SKEW_OF_NO_CONFIDENCE = 30.0
"""The difference in degrees between the two sides at which the confidence is 0: a shadow has hidden
a side."""
STILL_CONFIDENCE = 0.6
"""Confidence in a video in which nothing moves."""

MAX_LINEAR_OPENING = 12.0
"""Degrees between the sides of a linear probe's sector."""
MAX_APEX_SHARE = 0.12
"""The sides of a phased probe's sector meet above its top by at most this share of its height."""
MIN_SIDE_SHARE = 0.15
"""A side shorter than this share of the sector's height tells nothing."""


@dataclass(frozen=True)
class Sector:
    """A sector, in pixels of the video."""

    box: Box
    """(x0, y0, x1, y1) around the mask."""
    mask: Mask
    """(H, W), filled and convex."""
    shape: Shape
    """unknown: the image cuts the sides off, or they were not found."""
    confidence: float
    """0 (nothing was found: the mask is the whole image) to 1."""


def extremes_of(frames: Frames) -> Frames:
    """The greatest and the least level of each pixel (2, H, W) over frames (T, H, W)."""
    return np.stack([frames.max(axis=0), frames.min(axis=0)])


def detect_sector(frames: Frames, extremes: Frames | None = None) -> Sector:
    """Find the sector of a video of grey levels (T, H, W).

    `extremes` (2, H, W) are those of the whole video, if `frames` are but some of its frames. If
    nothing is found, as in a black video, the sector is the whole image with confidence 0.
    """
    brightest, darkest = extremes_of(frames) if extremes is None else extremes
    level = _ground_level(brightest) + BLACK_LEVEL
    moving = brightest.astype(np.int16) - darkest > MOTION_LEVELS
    foreground = (brightest > level) | moving
    if not foreground.any():
        height, width = brightest.shape
        return Sector((0, 0, width, height), np.ones((height, width), bool), "unknown", 0.0)
    mask = _outline(foreground, moving)
    left, right = _side(mask), _side(mask[:, ::-1])
    confidence = _confidence(mask, _dense(frames, level), left, right)
    if _is_still(moving):
        confidence *= STILL_CONFIDENCE
    return Sector(box_of(mask), mask, _shape(mask, left, right), confidence)


def box_of(mask: Mask) -> Box:
    """The smallest box (x0, y0, x1, y1) around a mask (H, W) that is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


# --- outline ------------------------------------------------------------------------------


def _outline(foreground: Mask, moving: Mask) -> Mask:
    """The hull (H, W) of the components that make up the sector. It spans the shadows.

    Large components that move belong to it. Small ones that move close to it belong to it too:
    they are echoes beyond a shadow. Still text and rulers do not, unless they touch it. In a still
    video every large component counts. If no component is left, the whole foreground counts.
    """
    parts = _components(_close(_open(foreground)))
    if not _is_still(moving):
        parts = [part for part in parts if moving[part].mean() >= MIN_MOTION_OF_COMPONENT]
    if not parts:
        return _filled_hull(foreground)
    largest = max(part.sum() for part in parts)
    large = [part for part in parts if part.sum() >= MIN_COMPONENT_SHARE * largest]
    sector = _filled_hull(np.logical_or.reduce(large))
    if _is_still(moving):
        return sector
    surroundings = _grow(sector, 12)
    close_by = [part for part in parts if (part & surroundings).any()]
    return _filled_hull(np.logical_or.reduce([sector, *close_by]))


def _is_still(moving: Mask) -> bool:
    return bool(moving.mean() < MIN_MOVING_SHARE)


def _ground_level(brightest: Frames) -> int:
    """The grey level of the empty ground: that of the darkest corner, or 0 if none is dark."""
    n = max(2, min(brightest.shape) // 20)
    tops, bottoms = brightest[:n], brightest[-n:]
    corners = (tops[:, :n], tops[:, -n:], bottoms[:, :n], bottoms[:, -n:])
    level = min(int(np.percentile(corner, 95)) for corner in corners)
    return level if level < 64 else 0


def _components(foreground: Mask) -> list[Mask]:
    """Connected components (H, W) of at least a thousandth of the image."""
    n, labels = cv2.connectedComponents(foreground.astype(np.uint8))
    areas = np.bincount(labels.ravel(), minlength=n)
    return [labels == i for i in range(1, n) if areas[i] >= foreground.size / 1000]


def _filled_hull(parts: Mask) -> Mask:
    """The convex hull (H, W). The ends of the rows have the same hull as all pixels."""
    rows = np.flatnonzero(parts.any(axis=1))
    first, last = parts[rows].argmax(axis=1), parts.shape[1] - 1 - parts[rows, ::-1].argmax(axis=1)
    ends = np.concatenate([np.stack([first, rows], axis=1), np.stack([last, rows], axis=1)])
    hull = cv2.convexHull(ends.astype(np.int32))
    return cv2.fillConvexPoly(np.zeros(parts.shape, np.uint8), hull, 1).astype(bool)


def _open(mask: Mask) -> Mask:
    """Drop single noisy pixels."""
    kernel = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel).astype(bool)


def _close(mask: Mask) -> Mask:
    """Join speckle over gaps of a fiftieth of the image."""
    size = 2 * max(1, min(mask.shape) // 100) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel).astype(bool)


def _grow(mask: Mask, share: int) -> Mask:
    """Grow the mask on all sides by 1 / `share` of the image."""
    size = 2 * (min(mask.shape) // share) + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((size, size), np.uint8)).astype(bool)


# --- confidence ---------------------------------------------------------------------------


def _confidence(mask: Mask, dense: Mask, left: _Side | None, right: _Side | None) -> float:
    """0 to 1: the share of the sector that dense tissue reaches, and the likeness of its sides."""
    core = mask & _grow(dense, 50)
    if not core.any():
        return 0.0
    fringe = 1 - _filled_hull(core).sum() / mask.sum()
    # The hull of the core can be wider than the sector by a pixel.
    confidence = min(1.0, max(0.0, 1 - fringe / FRINGE_OF_NO_CONFIDENCE))
    if left and right:
        confidence *= max(0.0, 1 - abs(left.degrees - right.degrees) / SKEW_OF_NO_CONFIDENCE)
    return float(confidence)


def _dense(frames: Frames, level: int) -> Mask:
    """Pixels (H, W) whose surroundings are mostly brighter than `level` in one frame at least."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, N_DENSITY_FRAMES).astype(int))
    size = 2 * (min(frames.shape[1:]) // 50) + 1
    most = np.zeros(frames.shape[1:], np.int32)
    for i in chosen:
        bright = (frames[i] > level).view(np.uint8)
        n_bright = cv2.boxFilter(bright, cv2.CV_32S, (size, size), normalize=False)
        np.maximum(most, n_bright, out=most)
    return np.asarray(most >= MIN_DENSITY * size**2)


# --- shape --------------------------------------------------------------------------------


def _shape(mask: Mask, left: _Side | None, right: _Side | None) -> Shape:
    """The kind of probe, from the straight sides of a convex mask (H, W)."""
    if left is None or right is None:
        return "unknown"
    opening = left.degrees + right.degrees
    if abs(opening) < MAX_LINEAR_OPENING:
        return "linear"
    if opening < 0:
        return "unknown"
    _, top, _, bottom = box_of(mask)
    width_at_top = mask.shape[1] - left.at(top) - right.at(top)
    rows_above = width_at_top / (left.slope + right.slope)
    return "phased" if rows_above < MAX_APEX_SHARE * (bottom - top) else "convex"


@dataclass(frozen=True)
class _Side:
    """A straight side: its distance to the image's border is at(row), in pixels."""

    slope: float
    """Pixels towards the border per row downwards."""
    intercept: float

    @property
    def degrees(self) -> float:
        """The angle to the vertical."""
        return float(np.degrees(np.arctan(self.slope)))

    def at(self, row: float) -> float:
        return self.intercept - self.slope * row


def _side(mask: Mask) -> _Side | None:
    """The left side of a convex mask, or None if the image cuts it off.

    A slanted side runs from the top of the mask to the first of its widest rows, an upright side
    to the last of them. Its ends are left out: the corners there are round.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    distances = mask[rows].argmax(axis=1)
    widest = np.flatnonzero(distances <= distances.min() + mask.shape[1] / 100)
    is_upright = widest[0] < MIN_SIDE_SHARE * len(rows)
    n_side = int(widest[-1 if is_upright else 0]) + 1
    if n_side < MIN_SIDE_SHARE * len(rows) or distances[n_side // 2] == 0:
        return None
    middle = slice(n_side // 5, n_side - n_side // 5)
    slope, intercept = np.polyfit(rows[middle], distances[middle], 1)
    return _Side(-float(slope), float(intercept))
