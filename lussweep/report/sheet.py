"""Draws sheets of real and synthetic frames side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lussweep.store.files import whole_file


def sample_sheet(
    groups: Sequence[tuple[str, np.ndarray]],
    path: Path,
    n_columns: int = 10,
    max_pixels: int = 128,
) -> Path:
    """Writes labelled groups of images, each (N, H, W) uint8, as one PNG, and returns `path`.

    Images larger than `max_pixels` a side are made smaller. Raises ValueError for a group without
    images, and for images of another type or size than the first group's.
    """
    from PIL import Image, ImageDraw, ImageFont

    for label, images in groups:
        if images.ndim != 3 or images.dtype != np.uint8 or not len(images):
            raise ValueError(f"{label}: images must be (N, H, W) uint8 and at least one")
        if images.shape[1:] != groups[0][1].shape[1:]:
            raise ValueError(f"{label}: images are {images.shape[1:]}, not as in the first group")
    height, width = groups[0][1].shape[1:]
    shrink = min(1.0, max_pixels / max(height, width))
    cell_h, cell_w, gap, strip = round(height * shrink), round(width * shrink), 2, 22
    n_columns = min(n_columns, max(len(images) for _, images in groups))
    font = ImageFont.load_default(size=14)
    lines = [-(-len(images) // n_columns) for _, images in groups]
    label_width = max(int(font.getlength(label)) for label, _ in groups) + 8
    size = (
        max(n_columns * (cell_w + gap) + gap, label_width),
        sum(strip + n * (cell_h + gap) for n in lines) + gap,
    )
    sheet = Image.new("L", size, 255)
    draw, top = ImageDraw.Draw(sheet), 0
    for (label, images), n in zip(groups, lines, strict=True):
        draw.text((gap + 2, top + 3), label, fill=0, font=font)
        for i, pixels in enumerate(images):
            image = Image.fromarray(pixels).resize((cell_w, cell_h), Image.Resampling.BOX)
            y = top + strip + i // n_columns * (cell_h + gap)
            sheet.paste(image, (gap + i % n_columns * (cell_w + gap), y))
        top += strip + n * (cell_h + gap)
    with whole_file(path) as scratch:
        sheet.save(scratch, format="PNG", optimize=True)
    return path
