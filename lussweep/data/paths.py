"""Paths that a table or an experiment names: within its folder, whatever links lie on the way."""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath

from lussweep.errors import InputError


def within(text: str, folder: Path, *, allow_absolute: bool = False) -> Path:
    """The absolute path of `text`, relative to `folder`; it need not exist.

    A table from elsewhere must not choose what is read here. Raises InputError, a reason and a
    remedy that begin with `text`, for an absolute path, one that leaves the folder by `..` or by
    a symbolic link, and a folder that holds such a link; with `allow_absolute` for none of them.
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
    """The symbolic links in a folder of images."""
    try:
        with os.scandir(path) as entries:
            return sorted(Path(entry) for entry in entries if entry.is_symlink())
    except OSError:  # no folder, or none that can be read: who reads it says so
        return []
