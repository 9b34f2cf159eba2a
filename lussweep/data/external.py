"""Reads and checks the images of any other generator, and the declaration of its patients.

A set is a folder of images or one Parquet file with a column `image`. A row of that column holds
the bytes of one image file, plain or as the struct of bytes and path that Hugging Face `datasets`
writes. A set needs a declaration of the patients behind it, because the pixels do not say whose
frames its generator was trained on. Sets come from elsewhere, so no header is trusted: a child
process that has limits reads a set (`store/child.py`), and sizes are checked before pixels are
decoded. Every refusal is one line that names the image.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import ImageFile

from lussweep.data.declaration import PARQUET, read_patients, reason_of
from lussweep.data.paths import within
from lussweep.data.readers.images import depth, grey_and_opacity, open_image, strictly, upright
from lussweep.data.readers.seam import UnreadableError
from lussweep.errors import InputError
from lussweep.store import child

PLACEHOLDERS = ("n_patients", "replicate", "class")
IMAGE_COLUMN = "image"
MAX_PROBLEMS = 20
MAX_FILE_BYTES = 2**24
"""Most bytes of one encoded image: sixty times the largest image of a study, uncompressed."""
MAX_DECODED_BYTES = 2**34
"""Limit of the grey levels of one set."""
LIMITS = child.Limits(cpu_seconds=3600, wall_seconds=4 * 3600, output_bytes=MAX_DECODED_BYTES)
"""Limits of the child process, for a set of hundreds of thousands of images."""

_TOO_MANY_BYTES = f"has over {MAX_FILE_BYTES >> 20} MiB: save it as PNG"
WRITE_AGAIN = "write the set again"
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
_PARQUET_ERRORS = (OSError, ValueError, pa.ArrowException)

Frame = NDArray[np.uint8]
Source = tuple[str, Path | bytes | None]
"""Name of an image, and its file or its bytes."""


@dataclass(frozen=True)
class ExternalImages:
    """A set that has been checked: its place, its content, and the patients behind it."""

    path: Path
    sha256: str
    """Digest of the decoded pixels in their order. File names and formats do not count."""
    n_images: int
    patients: tuple[str, ...]
    """The declared ids, plain or hashed, sorted."""


# --- where a set lies ---------------------------------------------------------------------


def resolve(
    template: str,
    base: Path,
    n_patients: int,
    replicate: int,
    label: str,
    *,
    allow_absolute: bool = False,
) -> Path:
    """The path that `template` gives for one class of one cohort, relative to `base`.

    `{n_patients}`, `{replicate}` and `{class}` are filled in. Raises InputError for any other
    placeholder, a stray brace, an empty template, or a path that `paths.within` refuses.
    """
    values = dict(zip(PLACEHOLDERS, (str(n_patients), str(replicate), label), strict=True))
    listed = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    if not template.strip():
        raise InputError(f"the path of a set is empty: give one, with {listed} where needed")
    # str.format would also look up attributes and pad to any width.
    placeholders = re.findall(r"\{[^{}]*\}|[{}]", template)
    unknown = [text for text in placeholders if text[1:-1] not in values]
    if unknown:
        raise InputError(f"{template}: unknown placeholder {unknown[0]}; known are {listed}")
    text = re.sub(r"\{(\w+)\}", lambda match: values[match[1]], template)
    try:
        return within(text, base, allow_absolute=allow_absolute)
    except InputError as error:
        raise InputError(f"external: the path {error}") from None


# --- the images ---------------------------------------------------------------------------


def describe(path: Path, declaration: Path, image_size: int) -> ExternalImages:
    """Reads a whole set once, checks it, and describes it.

    `path` is a folder of PNG, JPEG, TIFF or BMP files, taken in the order of their names (hidden
    files are ignored), or a Parquet file, taken in the order of its rows. Each image must have
    `image_size` x `image_size` pixels of 8-bit grey levels. A colour image passes if its channels
    are equal. Prefer lossless formats: JPEG decoders differ by a level between library versions,
    so the digest would differ between machines.

    Raises one InputError with the problems of the declaration and of the images, at most
    MAX_PROBLEMS of the latter.
    """
    problems: list[str] = []
    patients: tuple[str, ...] = ()
    try:
        patients = read_patients(declaration)
    except InputError as error:
        problems += error.problems
    try:
        sha256, n_images = _in_child(path, _describe, image_size)
        found = ExternalImages(path, str(sha256), int(n_images), patients)
    except InputError as error:
        problems += error.problems
    except (TypeError, ValueError):  # a file may have taken the child over
        problems.append(f"{path}: {child.NO_ANSWER}: {WRITE_AGAIN}")
    if problems:
        raise InputError(problems)
    return found


def load_images(external: ExternalImages, image_size: int) -> Frame:
    """Reads the frames of a set in the order of `describe`: uint8 (N, S, S).

    Raises InputError if the images have changed since, or can no longer be read.
    """
    changed = InputError(
        f"{external.path} has changed since the study was planned: restore its images, "
        "or plan the study again"
    )
    shape = (external.n_images, image_size, image_size)
    with child.scratch() as out:
        n_images = _in_child(external.path, _write_frames, image_size, external.n_images, out=out)
        if n_images != external.n_images or out.seek(0, 2) != math.prod(shape):
            raise changed
        frames = np.frombuffer(mmap.mmap(out.fileno(), 0), np.uint8).reshape(shape)
    if pixel_digest(frames) != external.sha256:
        raise changed
    return frames


def pixel_digest(frames_NSS: Frame) -> str:
    """The sha256 of a set's pixels and their order, as `describe` computes it."""
    pixels = _new_digest(frames_NSS.shape[1])
    pixels.update(np.ascontiguousarray(frames_NSS))
    return str(pixels.hexdigest())


def _new_digest(image_size: int) -> Any:
    """A digest of the size: the same bytes may be one large image or four small ones."""
    return hashlib.sha256(f"uint8 {image_size} x {image_size}\n".encode())


def _in_child(
    path: Path, function: Callable[..., Any], *args: Any, out: IO[bytes] | None = None
) -> Any:
    """Runs `function(path, *args)` in a child. Every problem becomes an InputError."""
    try:
        return child.call(path, function, path, *args, out=out, limits=LIMITS, remedy=WRITE_AGAIN)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({reason_of(error)}): {WRITE_AGAIN}") from None


# --- in the child -------------------------------------------------------------------------


def _describe(path: Path, image_size: int) -> tuple[str, int]:
    """The digest of the frames, as `pixel_digest` computes it, and their number."""
    pixels, n_images = _new_digest(image_size), 0
    for n_images, frame in enumerate(_frames(path, image_size), 1):  # noqa: B007
        pixels.update(np.ascontiguousarray(frame))
    return pixels.hexdigest(), n_images


def _write_frames(path: Path, image_size: int, n_expected: int, out: IO[bytes]) -> int:
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
