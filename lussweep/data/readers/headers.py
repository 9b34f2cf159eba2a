"""The size that an image's header claims, read before a pixel is decoded."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from PIL import Image, UnidentifiedImageError

Size = tuple[int, int]


def image_size(path: Path) -> Size | None:
    """Width and height from an image's header, or None if it is not a PNG, JPEG, TIFF or BMP."""
    try:
        with warnings.catch_warnings():  # the caller judges images that are too large
            warnings.simplefilter("ignore")
            with Image.open(path, formats=("PNG", "JPEG", "TIFF", "BMP")) as image:
                return image.size
    except Image.DecompressionBombError as error:
        # Pillow refuses images over twice its limit, and says only how many pixels they have.
        n_pixels = re.search(r"\d+", str(error))
        return (int(n_pixels[0]) if n_pixels else 2**31, 1)
    except UnidentifiedImageError:
        return None
    except Exception:
        # A broken header can make Pillow's parsers raise any exception.
        return None
