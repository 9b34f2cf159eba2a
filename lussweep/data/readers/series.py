"""Reads a folder of images, or one image file, as the frames of a video.

No file is left out silently: a folder is refused if it holds a file that is not read, or two images
of one name. 16-bit levels are scaled by their true depth. One image alone does not tell the depth,
because a dark image of 12 bits looks like one of 10. The depth is decided for all images together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lussweep.data.readers.images import SUFFIXES, Levels, Page, pages
from lussweep.data.readers.intact import is_image
from lussweep.data.readers.seam import Frame, Reader, UnreadableError

SIDE_SUFFIXES = (
    ".txt", ".md", ".csv", ".tsv", ".json", ".yaml", ".yml", ".xml", ".log", ".html", ".pdf",
    ".xlsx", ".parquet", ".md5", ".sha256",
)  # fmt: skip
"""Files that may lie beside images: tables and notes."""
SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir")
"""What file managers leave in folders, in lower case."""
DEPTHS = (8, 10, 12, 14, 16)
"""Bits of the levels that devices store in 16."""


def image_files(folder: Path) -> list[Path]:
    """The images of a folder in natural order: frame2 comes before frame10."""
    files = (p for p in _visible(folder) if p.suffix.lower() in SUFFIXES and p.is_file())
    return sorted(files, key=lambda p: ([int(n) for n in re.findall(r"\d+", p.name)], p.name))


def _visible(folder: Path) -> list[Path]:
    """What lies in a folder, without hidden files and those of file managers, sorted."""
    return sorted(
        p for p in folder.iterdir() if p.name[0] != "." and p.name.lower() not in SYSTEM_FILES
    )


# --- the readers --------------------------------------------------------------------------


def _is_folder(path: Path, head: bytes) -> bool:
    return path.is_dir()


def _is_image(path: Path, head: bytes) -> bool:
    return is_image(head)


def check(path: Path) -> None:
    """Raises UnreadableError if the first image cannot be read, or a folder holds other files."""
    next(_numbered_pages(path, 1))


def frames(path: Path, stride: int) -> Iterator[Frame]:
    """Yields frames 0, stride, 2 * stride, ... of a folder of images, or of the pages of one file.

    Raises UnreadableError for a folder with files that are not read, a damaged image, and 16-bit
    levels whose depth cannot be told.
    """
    full_level = 0
    for number, page in _numbered_pages(path, stride):
        if number == 0 and page.levels.dtype == np.uint16:
            full_level = _full_level(_numbered_pages(path, 1))
        if (page.levels.dtype == np.uint16) != bool(full_level):
            raise _mixed_depths()
        yield Frame(number, page.seconds, _scaled(page.levels, full_level))


FOLDER = Reader("folder of images", _is_folder, check, frames, reads_all=True)
IMAGE = Reader("image", _is_image, check, frames, reads_all=True)


# --- pages --------------------------------------------------------------------------------


def _numbered_pages(path: Path, stride: int) -> Iterator[tuple[int, Page]]:
    """Yields every kept page with its number. Its `seconds` are the time since the first page."""
    if not path.is_dir():
        yield from _pages_of_one(pages(path), stride)
        return
    files = _checked_files(path)
    if len(files) == 1:
        yield from _pages_of_one(_named_pages(files[0]), stride)
        return
    for number in range(0, len(files), stride):
        first, *others = islice(_named_pages(files[number]), 2)
        if others:
            raise UnreadableError(
                f"{files[number].name}: holds several pages beside other images: "
                "give it a folder of its own"
            )
        yield number, first._replace(seconds=None)


def _named_pages(file: Path) -> Iterator[Page]:
    try:
        yield from pages(file)
    except UnreadableError as error:
        raise UnreadableError(f"{file.name}: {error}") from None


def _pages_of_one(pages_in_order: Iterator[Page], stride: int) -> Iterator[tuple[int, Page]]:
    """Yields the kept pages of one file, with the time at which an animation shows them."""
    time: float | None = 0.0
    for number, page in enumerate(pages_in_order):
        if number % stride == 0:
            yield number, page._replace(seconds=time if page.seconds else None)
        # If a file gives one page no time, the times of all later pages are unknown.
        time = time + page.seconds if time is not None and page.seconds else None


def _checked_files(folder: Path) -> list[Path]:
    files = image_files(folder)
    if not files:
        raise UnreadableError(f"the folder holds no image: put {', '.join(SUFFIXES)} files in it")
    unread = [
        path.name
        for path in _visible(folder)
        if path not in files and (path.is_dir() or path.suffix.lower() not in SIDE_SUFFIXES)
    ]
    if unread:
        raise UnreadableError(
            f"{_some(unread)} beside its images is not read: convert it to PNG or take it out"
        )
    first: dict[str, Path] = {}
    for file in files:
        if (other := first.setdefault(file.stem.casefold(), file)) != file:
            raise UnreadableError(
                f"{other.name} and {file.name} have one name: take out the one that is no frame"
            )
    return files


def _some(names: list[str]) -> str:
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")


# --- depth --------------------------------------------------------------------------------


def _full_level(numbered_pages: Iterator[tuple[int, Page]]) -> int:
    """The level of white in 16-bit images, found over all of them.

    A depth that the files state counts. An sBIT of n bits says that a device gave n; if a level
    needs more, the levels have been scaled to 16. Without a statement the brightest level tells the
    depth, if it uses the uppermost bit. Raises UnreadableError otherwise.
    """
    stated: set[tuple[int | None, bool]] = set()
    brightest = 0
    for _, page in numbered_pages:
        if page.levels.dtype != np.uint16:
            raise _mixed_depths()
        stated.add((page.n_bits, page.n_bits is not None and page.is_significant_bits))
        brightest = max(brightest, int(page.levels.max()))
    if len(stated) > 1:
        depths = ", ".join(sorted(str(n or "none") for n, _ in stated))
        raise UnreadableError(f"its images state different depths ({depths}): {_REMEDY}")
    ((n_bits, is_significant),) = stated
    if n_bits is None:
        n_bits = next(n for n in DEPTHS if brightest < 2**n)
        if 0 < brightest < 2 ** (n_bits - 1):
            raise UnreadableError(
                f"its 16-bit images do not state their depth, and their brightest level "
                f"{brightest} does not tell it: {_REMEDY}"
            )
    elif brightest >= 2**n_bits:
        if not is_significant:
            raise UnreadableError(
                f"its images state {n_bits} bits, but hold the level {brightest}: {_REMEDY}"
            )
        n_bits = 16
    return int(2**n_bits - 1)


_REMEDY = "scale them to 8 bits, all by one factor"


def _mixed_depths() -> UnreadableError:
    return UnreadableError(f"holds images of 8 and of 16 bits: {_REMEDY}")


def _scaled(levels: Levels, full_level: int) -> NDArray[np.uint8]:
    """Levels from 0 to `full_level` as 0 to 255, rounded. 8-bit levels stay as they are."""
    if levels.dtype == np.uint8:
        return levels.astype(np.uint8)
    return ((levels.astype(np.uint32) * 255 + full_level // 2) // full_level).astype(np.uint8)
