"""Shows what preprocessing keeps of a video, and which videos are unlike the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lussweep.data.preprocess import blank_boxes, find_window
from lussweep.data.sector import LOW_CONFIDENCE, Box, Frames, Mask, Sector
from lussweep.study.spec import PreprocessSpec

MIN_GROUP = 5
"""Videos of one frame size are compared with each other if there are at least as many."""
MIN_OVERLAP = 0.7
"""A crop is an outlier if its intersection over union with the median crop is smaller."""
SIDE = 320
"""Most pixels a side of a picture."""

CROP_COLOUR, SECTOR_COLOUR, BLANKED_COLOUR = (255, 200, 0), (0, 220, 255), (60, 60, 200)
"""Blue, green, red."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Look:
    """What preprocessing does to one video."""

    size: tuple[int, int]
    """(width, height) in pixels."""
    n_frames: int
    crop: Box
    sector: Sector
    pictures: tuple[Picture, ...]
    """First, middle and last frame, (H, W, 3) in blue, green, red, with what is blanked shaded."""

    @property
    def is_unsure(self) -> bool:
        return self.sector.confidence < LOW_CONFIDENCE


def look_at(frames: Frames, spec: PreprocessSpec, extremes: Frames | None = None) -> Look:
    """Draw the crop and the sector of a video (T, H, W).

    `extremes` are those of `preprocess`. Raises InputError for the same videos as it does.
    """
    blanked = blank_boxes(frames, spec.mask_boxes)
    crop, sector = find_window(blanked, spec, extremes)
    kept_mask = np.zeros_like(sector.mask)
    x0, y0, x1, y1 = crop
    kept_mask[y0:y1, x0:x1] = sector.mask[y0:y1, x0:x1] if spec.mask_outside_sector else True
    for left, top, right, bottom in spec.mask_boxes:
        kept_mask[top:bottom, left:right] = False
    chosen = (0, len(frames) // 2, len(frames) - 1)
    pictures = tuple(_picture(frames[i], crop, sector.mask, kept_mask) for i in chosen)
    height, width = sector.mask.shape
    return Look((width, height), len(frames), crop, sector, pictures)


def outliers(looks: Sequence[Look], devices: Sequence[str] = ()) -> list[int]:
    """The positions of videos whose crop is unlike that of the others.

    Videos of one device and frame size are compared with each other. Without names of `devices`
    the frame size stands for the device. A group of fewer than MIN_GROUP videos is compared with
    all videos. Crops are taken as shares of the frame's width and height.
    """
    named = devices or [""] * len(looks)
    kinds = [(look.size, device) for look, device in zip(looks, named, strict=True)]
    relative = np.array([np.divide(look.crop, look.size * 2) for look in looks]).reshape(-1, 4)
    outlying = []
    for i in range(len(looks)):
        alike = [j for j, kind in enumerate(kinds) if kind == kinds[i]]
        group = relative[alike] if len(alike) >= MIN_GROUP else relative
        if _overlap(relative[i], np.median(group, axis=0)) < MIN_OVERLAP:
            outlying.append(i)
    return outlying


def _overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Intersection over union of two boxes (x0, y0, x1, y1)."""
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = max(0.0, width) * max(0.0, height)
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))


def _picture(frame: Frames, crop: Box, sector: Mask, kept: Mask) -> Picture:
    height, width = frame.shape
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    grey = cv2.cvtColor(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), cv2.COLOR_GRAY2BGR)
    blanked = cv2.resize((~kept).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    grey[blanked] = grey[blanked] * 0.7 + np.array(BLANKED_COLOUR) * 0.3
    outline = cv2.resize(sector.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(outline, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(grey, contours, -1, SECTOR_COLOUR, 1)
    x0, y0, x1, y1 = (round(edge * scale) for edge in crop)
    cv2.rectangle(grey, (x0, y0), (max(x0, x1 - 1), max(y0, y1 - 1)), CROP_COLOUR, 1)
    return np.asarray(grey, np.uint8)
