"""Reads and checks a set of images of any other generator, and the declaration of its patients.

A set needs a declaration of the patients behind it, because the pixels do not say whose frames its
generator was trained on. Sets come from elsewhere: a child process that has limits reads them
(`store/child.py`, `data/external_images.py`). Every refusal is one line that names the image.
"""

from __future__ import annotations

import math
import mmap
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from lussweep.data.declaration import read_patients, reason_of
from lussweep.data.external_images import (
    MAX_DECODED_BYTES,
    Frame,
    describe_images,
    new_digest,
    write_frames,
)
from lussweep.data.paths import within
from lussweep.errors import InputError
from lussweep.store import child
from lussweep.store.child_process import Limits

PLACEHOLDERS = ("n_patients", "replicate", "class")
WRITE_AGAIN = "write the set again"
LIMITS = Limits(cpu_seconds=3600, wall_seconds=4 * 3600, output_bytes=MAX_DECODED_BYTES)
"""Limits of the child process, for a set of hundreds of thousands of images."""


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
        sha256, n_images = _in_child(path, describe_images, image_size)
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
        n_images = _in_child(external.path, write_frames, image_size, external.n_images, out=out)
        if n_images != external.n_images or out.seek(0, 2) != math.prod(shape):
            raise changed
        frames = np.frombuffer(mmap.mmap(out.fileno(), 0), np.uint8).reshape(shape)
    if pixel_digest(frames) != external.sha256:
        raise changed
    return frames


def pixel_digest(frames_NSS: Frame) -> str:
    """The sha256 of a set's pixels and their order, as `describe` computes it."""
    pixels = new_digest(frames_NSS.shape[1])
    pixels.update(np.ascontiguousarray(frames_NSS))
    return str(pixels.hexdigest())


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
