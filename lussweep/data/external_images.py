"""Decodes the images of a set of any other generator. Runs in a child process that has limits.

A set is a folder of images or one Parquet file with a column `image`. A row of that column holds
the bytes of one image file, plain or as the struct of bytes and path that Hugging Face `datasets`
writes. No header is trusted: sizes are checked before pixels are decoded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import ImageFile

from lussweep.data.declaration import PARQUET, reason_of
from lussweep.data.readers.images import depth, grey_and_opacity, open_image, strictly, upright
from lussweep.data.readers.seam import UnreadableError
from lussweep.errors import InputError

IMAGE_COLUMN = "image"
MAX_PROBLEMS = 20
MAX_FILE_BYTES = 2**24
"""Most bytes of one encoded image: sixty times the largest image of a study, uncompressed."""
MAX_DECODED_BYTES = 2**34
"""Limit of the grey levels of one set."""
_TOO_MANY_BYTES = f"has over {MAX_FILE_BYTES >> 20} MiB: save it as PNG"
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_PARQUET_ERRORS = (OSError, ValueError, pa.ArrowException)

Frame = NDArray[np.uint8]
Source = tuple[str, Path | bytes | None]
"""Name of an image, and its file or its bytes."""


def new_digest(image_size: int) -> Any:
    """A digest of the size: the same bytes may be one large image or four small ones."""
    return hashlib.sha256(f"uint8 {image_size} x {image_size}\n".encode())


def describe_images(path: Path, image_size: int) -> tuple[str, int]:
    """The digest of the frames, as `pixel_digest` computes it, and their number."""
    pixels, n_images = new_digest(image_size), 0
    for n_images, frame in enumerate(_frames(path, image_size), 1):  # noqa: B007
        pixels.update(np.ascontiguousarray(frame))
    return pixels.hexdigest(), n_images


def write_frames(path: Path, image_size: int, n_expected: int, out: IO[bytes]) -> int:
    """Writes the frames one after another, and one too many at most. Returns their number."""
    n_images = 0
    for frame in _frames(path, image_size):
        n_images += 1
        if n_images > n_expected:
            break
        out.write(np.ascontiguousarray(frame).data)
    return n_images


def _frames(path: Path, image_size: int) -> Iterator[Frame]:
    """Yields the frames that can be read. Raises InputError at the end if any cannot."""
    problems: list[str] = []
    for name, source in _sources(path, image_size):
        try:
            frame = _decode(source, image_size)
        except UnreadableError as error:
            problems.append(f"{name}: {error}")
        else:
            yield frame
        if len(problems) == MAX_PROBLEMS:
            problems.append(f"({path}: images after {Path(name).name} were not checked)")
            break
    if problems:
        raise InputError(problems)


def _sources(path: Path, image_size: int) -> Iterator[Source]:
    """Yields every image of the set, not decoded. Raises InputError if `path` is not a set."""
    if path.is_dir():
        n_images, sources = _folder(path)
    elif path.is_file() and path.suffix.lower() in PARQUET:
        n_images, sources = _parquet(path)
    else:
        wrong = "is neither a .parquet file nor a folder" if path.exists() else "does not exist"
        raise InputError(f"{path} {wrong}: give a folder of images or one Parquet file")
    limit = MAX_DECODED_BYTES // image_size**2
    if not n_images:
        raise InputError(f"{path} holds no image: put {', '.join(_FORMATS)} images in it")
    if n_images > limit:
        raise InputError(f"{path} holds {n_images} images, over {limit}: give fewer")
    return sources


def _folder(path: Path) -> tuple[int, Iterator[Source]]:
    try:
        files = sorted(
            (file for file in path.iterdir() if not file.name.startswith(".")),
            key=lambda file: file.name,
        )
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({reason_of(error)}): change its permissions"
        ) from None
    return len(files), ((str(file), file) for file in files)


def _parquet(path: Path) -> tuple[int, Iterator[Source]]:
    try:
        with pq.ParquetFile(path) as file:
            _check_schema(path, file)
            return file.metadata.num_rows, _parquet_images(path)
    except (InputError, MemoryError):  # pyarrow's MemoryError is an ArrowException, too
        raise
    except _PARQUET_ERRORS as error:
        raise _broken_parquet(path, error) from None


def _check_schema(path: Path, file: pq.ParquetFile) -> None:
    names = file.schema_arrow.names
    if names.count(IMAGE_COLUMN) != 1:
        raise InputError(
            f"{path} has no single column image (its columns: {', '.join(names)[:200]}): "
            "name it so, with the bytes of one image file a row"
        )
    kind = file.schema_arrow.field(IMAGE_COLUMN).type
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not any(is_bytes(kind) for is_bytes in _BYTES_TYPES):
        raise InputError(
            f"{path}: its column image holds {str(kind)[:200]}, not the bytes of image files: "
            "encode each image as PNG"
        )


_BYTES_TYPES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)


def _parquet_images(path: Path) -> Iterator[Source]:
    row = 0
    try:
        with pq.ParquetFile(path, buffer_size=2**20) as file:
            # A larger batch would hold a repeated value once for each of its rows.
            for batch in file.iter_batches(1, columns=[IMAGE_COLUMN], use_threads=False):
                for cell in batch.column(0).to_pylist():
                    row += 1
                    image = cell["bytes"] if isinstance(cell, dict) else cell
                    if image is not None and len(image) > MAX_FILE_BYTES:  # read no more of these
                        raise InputError(f"{path}: row {row} {_TOO_MANY_BYTES}")
                    yield f"{path}: row {row}", image
            if row != file.metadata.num_rows:
                raise ValueError(f"it has {row} rows, and its footer says {file.metadata.num_rows}")
    except (InputError, MemoryError):  # pyarrow's MemoryError is an ArrowException, too
        raise
    except _PARQUET_ERRORS as error:
        raise _broken_parquet(path, error) from None


def _broken_parquet(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} is not a whole Parquet file of images ({reason_of(error)}): write it again, "
        "each as PNG"
    )


# --- one image ----------------------------------------------------------------------------


def _decode(source: Path | bytes | None, image_size: int) -> Frame:
    """Grey levels (S, S) of one image. The header is checked before a pixel is decoded."""
    content = _content(source)
    try:
        with strictly(_FORMATS), open_image(content, _FORMATS) as image:
            _check_header(image, image_size)
            return _grey(image)
    except MemoryError:
        raise UnreadableError("takes more memory than there is: save it as PNG") from None


def _content(source: Path | bytes | None) -> bytes:
    """The bytes of an image file. A pipe, which would block, and large files are refused."""
    if source is None:
        raise UnreadableError("holds no image: fill it or take it out")
    if isinstance(source, bytes):
        return source
    if not (source.suffix.lower() in _SUFFIXES and source.is_file()):
        raise UnreadableError(f"is not a {', '.join(_FORMATS)} file: take it out of the folder")
    if source.stat().st_size > MAX_FILE_BYTES:
        raise UnreadableError(_TOO_MANY_BYTES)
    return source.read_bytes()


def _check_header(image: ImageFile.ImageFile, image_size: int) -> None:
    if image.size != (image_size, image_size):
        width, height = image.size
        raise UnreadableError(
            f"is {width} x {height} pixels, not {image_size} x {image_size}: scale it"
        )
    if depth(image) != 8:
        raise UnreadableError(
            f"is not an 8-bit image (mode {image.mode}): save it as 8-bit grey levels"
        )
    try:
        image.seek(1)
    except EOFError:
        return
    raise UnreadableError("holds several images: give each a file of its own")


def _grey(image: ImageFile.ImageFile) -> Frame:
    grey, opacity = grey_and_opacity(image)
    if opacity is not None and (opacity != 255).any():
        raise UnreadableError("is transparent in places: save it without transparency")
    red, green, blue = np.moveaxis(np.asarray(image.convert("RGB"), np.uint8), -1, 0)
    if (red != green).any() or (red != blue).any():
        raise UnreadableError("is in colour: save it as 8-bit grey levels")
    return np.asarray(upright(image, grey), np.uint8)
