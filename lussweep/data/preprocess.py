"""Preprocessing of one video: square frames that show the ultrasound sector only."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from lussweep.data.sector import BLACK_LEVEL, Box, Frames, Mask, Sector, detect_sector
from lussweep.errors import InputError
from lussweep.study.spec import PreprocessSpec


def preprocess(frames: Frames, spec: PreprocessSpec) -> tuple[Frames, Mask]:
    """Blank, crop, pad to a square and resize the frames (T, H, W) of one video.

    Returns uint8 frames (T, S, S) and a bool mask (S, S) of the pixels that may differ from zero.
    The mask is the sector if `mask_outside_sector`, else the crop without its padding. The aspect
    ratio is kept. Raises InputError for no frames, a bad mask box, a crop outside the image or
    the sector, and a black video.
    """
    frames = blank_boxes(frames, spec.mask_boxes)
    (x0, y0, x1, y1), sector = find_window(frames, spec)
    frames, shown = frames[:, y0:y1, x0:x1], sector.mask[y0:y1, x0:x1]
    visible = (shown if spec.mask_outside_sector else np.ones_like(shown)).astype(np.uint8)
    mask = to_square(visible * 255, spec.image_size) >= 128
    resized = np.empty((len(frames), *mask.shape), np.uint8)
    for frame, place in zip(frames, resized, strict=True):
        to_square(frame * visible, spec.image_size, place)
    resized *= mask.astype(np.uint8)
    return resized, mask


def find_window(blanked: Frames, spec: PreprocessSpec) -> tuple[Box, Sector]:
    """The crop and the sector of frames (T, H, W) whose mask boxes are blanked.

    Raises InputError for a black video, and for a crop outside the image or the sector.
    """
    if blanked.max() <= BLACK_LEVEL:
        raise InputError("the video is black: take it out of the manifest or export it again")
    sector = detect_sector(blanked)
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


def to_square(image: Frames, size: int, out: Frames | None = None) -> Frames:
    """Centre an image (H, W) on a black square, and resize it by area to (size, size).

    The result is written to `out` if that is given.
    """
    height, width = image.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.zeros((side, side), np.uint8)
    square[top : top + height, left : left + width] = image
    resized = cv2.resize(square, (size, size), out, interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)


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
