"""Checks paths in a table or an experiment: they, and their symbolic links, stay in its folder."""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath

from lussweep.errors import InputError


def within(text: str, folder: Path, *, allow_absolute: bool = False) -> Path:
    """Return the absolute path of `text`, which is relative to `folder`. It need not exist.

    A table from elsewhere must not choose which files of this machine are read. Raises InputError
    with reason and remedy, beginning with `text`, for an empty path, a path with a zero byte, an
    absolute path, a path that leaves the folder by `..` or by a symbolic link, and a folder that
    holds such a link. With `allow_absolute` only the first two are errors.
    """
    if not text:
        raise InputError("is empty")
    if "\0" in text:
        raise InputError(f"{text!r} holds a zero byte: no file has such a name")
    path = Path(os.path.abspath(folder / text))
    if allow_absolute:
        return path
    if PureWindowsPath(text).anchor or Path(text).is_absolute():
        raise InputError(f"{text} is absolute: give it relative to {_remedy(folder)}")
    if Path(os.path.normpath(text)).parts[:1] == ("..",):
        raise InputError(f"{text} leaves its folder: move it into {_remedy(folder)}")
    root = os.path.realpath(folder)
    for place in (path, *_links(path)):
        if not Path(os.path.realpath(place)).is_relative_to(root):
            link = "" if place == path else f" ({place.name} in it)"
            raise InputError(
                f"{text} leaves its folder by a symbolic link{link}: copy it into {_remedy(folder)}"
            )
    return path


def _remedy(folder: Path) -> str:
    return f"{folder}, or give --allow-absolute if you trust it"


def _links(path: Path) -> list[Path]:
    """The symbolic links in a folder of images, sorted."""
    try:
        with os.scandir(path) as entries:
            return sorted(Path(entry) for entry in entries if entry.is_symlink())
    except OSError:  # not a readable folder: its reader reports that
        return []
