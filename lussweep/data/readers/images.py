"""Reads the pages of one image file as grey levels, or refuses the file.

Pillow decodes, because unlike OpenCV it tells mode, pages, transparency and truncation. Two checks
are added. The checksums of a PNG are compared here. FFmpeg looks for errors in a JPEG, because
Pillow decodes a JPEG to its end even if data in the middle are missing.

Colour becomes grey by its BT.601 luma, 0.299 R + 0.587 G + 0.114 B. A JPEG stores this luma, and it
is taken as stored. What is transparent is black: a page is composited on black.
"""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from lussweep.data.readers import gif
from lussweep.data.readers.intact import PNG, check_jpeg, png_chunks, read_content
from lussweep.data.readers.seam import MAX_PIXELS, MAX_SIDE, UnreadableError
from lussweep.errors import one_line

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")
SUFFIXES = (".png", ".apng", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
"""Images in a folder. A GIF is a video."""
Grey = NDArray[np.uint8]
Levels = Grey | NDArray[np.uint16]

_MODES_8 = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
_STEPS = {"1": 255, "L;2": 85, "L;4": 17}
"""The step between two levels of 1, 2 or 4 bits on the scale of 8 bits, by Pillow's raw mode."""
_RAW_MODES_16 = ("I;16", "I;16B", "I;16L", "I;16N", "I;12")
_TIFF_PHOTOMETRIC, _TIFF_SUBFILE, _TIFF_DESCRIPTION = 262, 254, 270
_TIFF_MAXIMA = (341, 281)
"""SMaxSampleValue and MaxSampleValue."""
_TIFF_SAMPLE_FORMAT, _SIGNED = 339, 2
_EXIF_ORIENTATION = 274
_THUMBNAIL_OR_MASK = 0b101
"""Bits of a TIFF page's NewSubfileType."""


class Page(NamedTuple):
    """One picture of an image file."""

    levels: Levels
    """Grey levels (H, W): uint8, or uint16 as they are stored, which may be 12 bits in 16."""
    n_bits: int | None = None
    """Depth of 16-bit levels that the file states, if it does."""
    is_significant_bits: bool = False
    """Whether a PNG's sBIT states the depth. It does not say if levels were scaled to 16 bits."""
    seconds: float | None = None
    """Time that an animation shows the page."""


def pages(path: Path) -> Iterator[Page]:
    """Yields the pages of an image file in their order: one, or those of a TIFF or an animation.

    Raises UnreadableError for a file that is no image, damaged or truncated, too large, or of a
    kind whose levels have no stated range.
    """
    with path.open("rb") as file:
        content = read_content(file)
        if content is not None and content.startswith(b"GIF8"):
            yield from _gif_pages(content)
            return
        # Pillow maps a file that it opens by its path, and some turned TIFFs come out scrambled.
        with strictly():
            image = open_image(file if content is None else content)
        with image:
            yield from _pages(image, content)


def _gif_pages(content: bytes) -> Iterator[Page]:
    frames = gif.frames(content)
    while True:
        with strictly():
            if (frame := next(frames, None)) is None:
                return
        yield Page(frame[0], seconds=frame[1])


def _pages(image: ImageFile.ImageFile, content: bytes | None) -> Iterator[Page]:
    n_pages = 0
    for number in itertools.count(int(getattr(image, "default_image", False))):
        with strictly():
            try:
                image.seek(number)
            except EOFError:
                break
            page = _page(image, content)
        n_pages = number + 1
        yield page
    with strictly():
        if n_pages != (announced := _announced(image)):
            raise UnreadableError(f"{n_pages} of its {announced} pages can be read: replace it")


def open_image(source: BinaryIO | bytes, formats: Sequence[str] = FORMATS) -> ImageFile.ImageFile:
    """Opens an image from a file or its bytes, decodes no pixel, and checks what its header claims.

    To be called in `strictly`, with the same `formats`. The bytes of a PNG or JPEG are verified as
    a whole. Raises UnreadableError if the image is too large or damaged.
    """
    if isinstance(source, bytes) and source.startswith(PNG):
        for _ in png_chunks(source):
            pass
    opened = io.BytesIO(source) if isinstance(source, bytes) else source
    image = Image.open(opened, formats=list(formats))
    _check_size(image)
    is_jpeg = image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB")
    if isinstance(source, bytes) and is_jpeg:
        check_jpeg(source)
    return image


def grey_and_opacity(image: ImageFile.ImageFile) -> tuple[Grey, Grey | None]:
    """The levels (H, W) of a page of 8 bits, and how opaque each is; None if all of them are.

    To be called once a page: Pillow forgets how levels were stored when it has decoded them.
    """
    hidden = image.info.get("transparency")
    if image.mode in ("1", "L"):
        # The level that is transparent is stated as stored, in 1, 2, 4 or 8 bits.
        step = _STEPS.get(_raw_mode(image.tile[0].args) if image.tile else "", 1)
        levels = np.array(image if image.mode == "L" else image.convert("L"), np.uint8)
        if hidden is None:
            return levels, None
        level = min(int(hidden) * step, 255)  # newer versions of Pillow give 255 for 1 bit
        return levels, np.where(levels == level, 0, 255).astype(np.uint8)
    if image.mode == "RGB" and hidden is None:
        return _luma(np.asarray(image, np.uint8)), None
    rgba = np.asarray(image.convert("RGBA"), np.uint8)
    return _luma(np.ascontiguousarray(rgba[..., :3])), rgba[..., 3]


def upright(image: ImageFile.ImageFile, stored: Levels) -> Levels:
    """Levels (H, W) turned as the image's EXIF says. Pillow itself turns a TIFF."""
    orientation = 1
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # other entries of EXIF do not matter
            orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    turned: NDArray[Any] = stored.T if orientation in (5, 6, 7, 8) else stored
    turned = turned[:, ::-1] if orientation in (2, 3, 6, 7) else turned
    turned = turned[::-1] if orientation in (3, 4, 7, 8) else turned
    return np.ascontiguousarray(turned)


def depth(image: ImageFile.ImageFile) -> int | None:
    """Bits of the decoded levels of the current page, 8 or 16. None for a mode that is not read.

    A mode is not read if its levels have a sign or no stated range, or are 16-bit colour.
    """
    if _is_signed(image):
        return None
    # Only the raw mode tells 16-bit colour. Pillow drops its lower bits without a warning.
    raw_modes = {_raw_mode(tile.args) for tile in image.tile}
    if image.mode.startswith("I") and raw_modes and raw_modes <= set(_RAW_MODES_16):
        return 16
    return 8 if image.mode in _MODES_8 and not any(";16" in raw for raw in raw_modes) else None


def _is_signed(image: ImageFile.ImageFile) -> bool:
    """Whether levels have a sign. Pillow reads those of 8 bits as if they had none."""
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    return _SIGNED in np.atleast_1d(tags.get(_TIFF_SAMPLE_FORMAT, ()))


def _raw_mode(arguments: str | tuple[Any, ...] | None) -> str:
    return arguments if isinstance(arguments, str) else str((arguments or ("",))[0])


@contextmanager
def strictly(formats: Sequence[str] = FORMATS) -> Iterator[None]:
    """Turns every error and warning of Pillow about a broken file into UnreadableError.

    Its parsers can raise any error for a broken file (SyntaxError, struct.error, IndexError, ...).
    A MemoryError says nothing about the file, and stays.
    """
    kinds = ", ".join(formats)
    lenient, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for cut in ("Tag ", "Possibly corrupt", "Corrupt", "Invalid APNG", "Truncated"):
                warnings.filterwarnings("error", cut)
            yield
    except (UnreadableError, MemoryError):
        raise
    except Image.DecompressionBombError:
        # Pillow raises this above 178 million pixels, so one side is over MAX_SIDE.
        raise _too_wide() from None
    except UnidentifiedImageError:
        raise UnreadableError(
            f"is not a {kinds} image, or is cut within its header: replace it"
        ) from None
    except Exception as error:
        reason = one_line((isinstance(error, OSError) and error.strerror) or error)
        raise UnreadableError(f"is not a whole {kinds} image ({reason}): replace it") from None
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


# --- one page -----------------------------------------------------------------------------


def _page(image: ImageFile.ImageFile, content: bytes | None) -> Page:
    _check_size(image)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_tiff_page(image)
    if image.format in ("JPEG", "MPO"):
        image.draft("L", image.size)  # the luma as it is stored
    seconds = image.info.get("duration")
    seconds = seconds / 1000 if isinstance(seconds, int | float) else None
    n_bits = depth(image)
    if n_bits is None:
        raise UnreadableError(
            f"has levels of a kind that is not read (mode {image.mode}): save it as unsigned "
            "grey levels of 8 or 16 bits"
        )
    if n_bits == 8:
        levels = _on_black(*grey_and_opacity(image))
        return Page(upright(image, levels), seconds=seconds)
    n_bits, is_significant = _stated_bits(image, content)
    return Page(upright(image, _levels_16(image)), n_bits, is_significant, seconds)


def _on_black(grey: Grey, opacity: Grey | None) -> Grey:
    if opacity is None:
        return grey
    return ((grey * opacity.astype(np.uint16) + 127) // 255).astype(np.uint8)


def _levels_16(image: ImageFile.ImageFile) -> NDArray[np.uint16]:
    levels = np.array(image).astype(np.uint16)
    if (hidden := image.info.get("transparency")) is not None:
        levels[levels == hidden] = 0
    return levels


def _luma(rgb: Grey) -> Grey:
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def _stated_bits(image: ImageFile.ImageFile, content: bytes | None) -> tuple[int | None, bool]:
    """The depth that a file of 16-bit levels states, and whether sBIT states it."""
    if content is not None and image.format == "PNG":
        chunks = png_chunks(content)
        return next((data[0] for name, data in chunks if name == b"sBIT" and data), None), True
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return None, False
    tags = image.tag_v2
    if tags.get(_TIFF_PHOTOMETRIC) == 0:
        raise UnreadableError("has 16-bit levels where 0 is white: save it with 0 as black")
    if any(";12" in str(tile) for tile in image.tile):
        return 12, False
    # A maximum of 2^n - 1 states n bits. Any other is a statistic of this one page.
    for tag in _TIFF_MAXIMA:
        for maximum in np.atleast_1d(tags.get(tag, ())):
            if maximum > 0 and int(maximum) & (int(maximum) + 1) == 0:
                return int(maximum).bit_length(), False
    return None, False


def _announced(image: ImageFile.ImageFile) -> int:
    """The number of pages, a default image of an animation included."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        description = str(image.tag_v2.get(_TIFF_DESCRIPTION, ""))
        if description.startswith("ImageJ="):  # it may store 4 GB of pages behind the first
            lines = dict(line.partition("=")[::2] for line in description.splitlines())
            if lines.get("images", "").isdecimal():
                return int(lines["images"])
    return int(getattr(image, "n_frames", 1))


def _check_size(image: ImageFile.ImageFile) -> None:
    if max(image.size) > MAX_SIDE:
        raise _too_wide()
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableError(f"has over {MAX_PIXELS >> 20} Mi pixels: scale it")


def _check_tiff_page(image: TiffImagePlugin.TiffImageFile) -> None:
    if image.tag_v2.get(_TIFF_SUBFILE, 0) & _THUMBNAIL_OR_MASK:
        raise UnreadableError("holds a thumbnail or mask beside its pages: save its frames alone")
    # Pillow leaves the rows of missing strips black.
    parts = np.array([tile.extents for tile in image.tile if tile.extents])
    if not parts.size or sorted(parts[:, 2:].max(axis=0)) != sorted(image.size):
        raise UnreadableError("lacks a part of a page: replace it")


def _too_wide() -> UnreadableError:
    return UnreadableError(f"has over {MAX_SIDE} pixels a side: scale it")
