"""Preprocessing of one video: square frames that show the ultrasound sector only."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from lussweep.errors import InputError
from lussweep.study.spec import PreprocessSpec

Frames = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Box = tuple[int, int, int, int]

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


def preprocess(frames: Frames, spec: PreprocessSpec) -> tuple[Frames, Mask]:
    """Blank, crop, pad to a square and resize the frames (T, H, W) of one video.

    Returns uint8 frames (T, S, S) and a bool mask (S, S) of the pixels that may differ from zero.
    The mask is the sector if `mask_outside_sector`, else the crop without its padding. The aspect
    ratio is kept. Raises InputError for no frames, a bad mask box, a crop outside the image or
    the sector, and a black video.
    """
    if frames.ndim != 3 or 0 in frames.shape:
        raise InputError(f"a video needs frames of shape (T, H, W), got {frames.shape}")
    frames = blank_boxes(frames, spec.mask_boxes)
    sector = find_sector(frames)
    x0, y0, x1, y1 = _crop_box(spec, sector)
    frames, sector = frames[:, y0:y1, x0:x1], sector[y0:y1, x0:x1]
    if not sector.any():
        raise InputError(f"the crop {[x0, y0, x1, y1]} holds no part of the sector")
    visible = sector if spec.mask_outside_sector else np.ones_like(sector)
    mask = to_square(visible.astype(np.uint8) * 255, spec.image_size) >= 128
    resized = np.stack([to_square(frame * visible, spec.image_size) for frame in frames])
    return resized * mask, mask


def blank_boxes(frames: Frames, boxes: Sequence[Box]) -> Frames:
    """Copy frames (T, H, W) and set each box (x0, y0, x1, y1), cut to the image, to 0.

    Without boxes the frames are returned as they are. Raises InputError for a box that is empty
    or has a negative corner.
    """
    blanked = frames.copy() if boxes else frames
    for x0, y0, x1, y1 in boxes:
        if not (0 <= x0 < x1 and 0 <= y0 < y1):
            raise InputError(f"mask box {[x0, y0, x1, y1]} must have 0 <= x0 < x1, 0 <= y0 < y1")
        blanked[:, y0:y1, x0:x1] = 0
    return blanked


def find_sector(frames: Frames) -> Mask:
    """Find the sector of a video (T, H, W) as a filled convex mask (H, W).

    Pixels that are brighter than the ground or change in time are closed into components. Large
    components that move belong to the sector. Small ones that move close to it belong to it too:
    they are echoes beyond a shadow. Still text and rulers do not belong to it. In a still video
    every large component counts. The convex hull spans the shadows. Text that touches the sector
    or lies within its hull stays. Raises InputError if the video is black.
    """
    brightest, darkest = frames.max(axis=0), frames.min(axis=0)
    if brightest.max() <= BLACK_LEVEL:
        raise InputError("the video is black: take it out of the manifest or export it again")
    moving = brightest.astype(np.int16) - darkest > MOTION_LEVELS
    bright = brightest > _ground_level(brightest) + BLACK_LEVEL
    is_still = moving.mean() < MIN_MOVING_SHARE
    parts = _components(_close(_open(bright | moving)))
    if not is_still:
        parts = [part for part in parts if moving[part].mean() >= MIN_MOTION_OF_COMPONENT]
    if not parts:
        return _filled_hull(bright | moving)
    largest = max(part.sum() for part in parts)
    large = [part for part in parts if part.sum() >= MIN_COMPONENT_SHARE * largest]
    sector = _filled_hull(np.logical_or.reduce(large))
    if is_still:
        return sector
    surroundings = _grow(sector)
    close_by = [part for part in parts if (part & surroundings).any()]
    return _filled_hull(np.logical_or.reduce([sector, *close_by]))


def to_square(image: Frames, size: int) -> Frames:
    """Centre an image (H, W) on a black square, and resize it by area to (size, size)."""
    height, width = image.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.zeros((side, side), np.uint8)
    square[top : top + height, left : left + width] = image
    return np.asarray(cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def _crop_box(spec: PreprocessSpec, sector: Mask) -> Box:
    height, width = sector.shape
    if spec.crop == "none":
        return (0, 0, width, height)
    if spec.crop == "auto":
        rows, columns = np.flatnonzero(sector.any(axis=1)), np.flatnonzero(sector.any(axis=0))
        return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    x0, y0, x1, y1 = spec.crop
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise InputError(
            f"crop {list(spec.crop)} is not a box (x0, y0, x1, y1) within the {width} x {height} "
            "image: change preprocess.crop"
        )
    return (x0, y0, x1, y1)


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
    points = cv2.findNonZero(parts.astype(np.uint8))
    hull = cv2.convexHull(points)
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


def _grow(mask: Mask) -> Mask:
    """Grow the mask on all sides, by about a twelfth of the image."""
    size = 2 * (min(mask.shape) // 12) + 1
    return cv2.dilate(mask.astype(np.uint8), np.ones((size, size), np.uint8)).astype(bool)
