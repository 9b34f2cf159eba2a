"""Preprocessing of one video: square frames that show the ultrasound sector only."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from lussweep.data.sector import BLACK_LEVEL, Box, Frames, Mask, Sector, detect_sector, extremes_of
from lussweep.errors import InputError
from lussweep.study.spec import PreprocessSpec

N_CHANNELS = 4
"""The most that OpenCV resizes by area."""


def preprocess(
    frames: Frames, spec: PreprocessSpec, extremes: Frames | None = None
) -> tuple[Frames, Mask]:
    """Blank, crop, pad to a square and resize the frames (T, H, W) of one video.

    `extremes` (2, H, W) are the greatest and the least level of each pixel over the whole video, if
    `frames` are but some of its frames.

    Returns uint8 frames (T, S, S) and a bool mask (S, S) of the pixels that may differ from zero.
    The mask is the sector if `mask_outside_sector`, else the crop without its padding. The aspect
    ratio is kept. Raises InputError for no frames, a bad mask box, a crop outside the image or
    the sector, and a black video.
    """
    frames = blank_boxes(frames, spec.mask_boxes)
    (x0, y0, x1, y1), sector = find_window(frames, spec, extremes)
    frames, shown = frames[:, y0:y1, x0:x1], sector.mask[y0:y1, x0:x1]
    visible = (shown if spec.mask_outside_sector else np.ones_like(shown)).astype(np.uint8)
    whole = np.full((1, *visible.shape), 255, np.uint8)
    mask = to_squares(whole, visible, spec.image_size)[0] >= 128
    resized = to_squares(frames, visible, spec.image_size)
    resized *= mask.astype(np.uint8)
    return resized, mask


def find_window(
    blanked: Frames, spec: PreprocessSpec, extremes: Frames | None = None
) -> tuple[Box, Sector]:
    """The crop and the sector of frames (T, H, W) whose mask boxes are blanked.

    `extremes` (2, H, W) are those of the whole video, not blanked; None if the frames are all of
    it. Raises InputError for a black video, and for a crop outside the image or the sector.
    """
    if extremes is None:
        extremes = extremes_of(blanked)
    extremes = blank_boxes(extremes, spec.mask_boxes)
    if blanked[0].max() <= BLACK_LEVEL and blanked.max() <= BLACK_LEVEL:
        raise InputError("the video is black: take it out of the manifest or export it again")
    sector = detect_sector(blanked, extremes)
    x0, y0, x1, y1 = box = _crop_box(spec, sector)
    if not sector.mask[y0:y1, x0:x1].any():
        raise InputError(f"the crop {list(box)} holds no part of the sector")
    return box, sector


def blank_boxes(frames: Frames, boxes: Sequence[Box]) -> Frames:
    """Copy frames (T, H, W) and set each box (x0, y0, x1, y1), cut to the image, to 0.

    Without boxes the frames are returned as they are. Raises InputError for a box that is empty
    or has a negative corner, and for no frames.
    """
    if frames.ndim != 3 or 0 in frames.shape:
        raise InputError(f"a video needs frames of shape (T, H, W), got {frames.shape}")
    blanked = frames.copy() if boxes else frames
    for x0, y0, x1, y1 in boxes:
        if not (0 <= x0 < x1 and 0 <= y0 < y1):
            raise InputError(f"mask box {[x0, y0, x1, y1]} must have 0 <= x0 < x1, 0 <= y0 < y1")
        blanked[:, y0:y1, x0:x1] = 0
    return blanked


def to_squares(frames: Frames, visible: Frames, size: int) -> Frames:
    """Centre frames (T, H, W) on black squares, and resize them by area to (T, size, size).

    `visible` (H, W) is 1 for pixels that are kept and 0 for those that are blanked. OpenCV resizes
    N_CHANNELS frames at once, as channels of one image: the pixels are the same, for less time.
    """
    n_frames, height, width = frames.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    squares = np.zeros((N_CHANNELS, side, side), np.uint8)
    n_groups = -(-n_frames // N_CHANNELS)
    resized = np.empty((n_groups * N_CHANNELS, size, size), np.uint8)
    for first in range(0, n_frames, N_CHANNELS):
        group = frames[first : first + N_CHANNELS]
        within = squares[: len(group), top : top + height, left : left + width]
        np.multiply(group, visible, out=within)
        image = cv2.merge(list(squares))
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        cv2.split(image, list(resized[first : first + N_CHANNELS]))  # writes them in place
    return resized[:n_frames]


def _crop_box(spec: PreprocessSpec, sector: Sector) -> Box:
    height, width = sector.mask.shape
    if spec.crop == "none":
        return (0, 0, width, height)
    if spec.crop == "auto":
        return sector.box
    x0, y0, x1, y1 = spec.crop
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise InputError(
            f"crop {list(spec.crop)} is not a box (x0, y0, x1, y1) within the {width} x {height} "
            "image: change preprocess.crop"
        )
    return (x0, y0, x1, y1)
