"""SHA-256 of videos and images. A private cache serves files that have not changed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lussweep.data.readers.decode import reader_plugin
from lussweep.data.readers.series import SIDE_SUFFIXES, image_files
from lussweep.store.files import sha256_of, write_whole

CACHE_DIR = "~/.cache/lussweep"


@dataclass(frozen=True)
class Content:
    """What a video's path holds."""

    sha256: str
    """The digest of a file's bytes, or of the names and digests of a folder's images. For a folder
    that a plugin reads, all its files count."""
    files: dict[str, list[str]]
    """The names of the files by the digest of their bytes, without notes and tables. A folder may
    hold an image twice."""


def contents(paths: Iterable[Path], cache_dir: Path | None) -> dict[Path, Content]:
    """The content of each video."""
    # `Path.expanduser` raises where the user has no home.
    cache_file = Path(os.path.expanduser(cache_dir or CACHE_DIR)) / "sha256.json"
    cache = _load_cache(cache_file)
    cache_before = dict(cache)
    content_of = {path: _content(path, cache) for path in paths}
    if cache != cache_before:
        _save_cache(cache_file, cache)
    return content_of


def sha256_now(path: Path) -> str:
    """The digest of a video, read again whatever the cache says.

    A video that was just decoded is in memory still, and the cache of many images loads slowly.
    """
    return _content(path, {}).sha256


def _content(path: Path, cache: dict[str, Any]) -> Content:
    if not path.is_dir():
        sha256 = _file_digest(path, cache)
        return Content(sha256, {sha256: [path.name]})
    files_read = _all_files(path) if reader_plugin(path) else image_files(path)
    parts = sorted(
        (file.relative_to(path).as_posix(), _file_digest(file, cache)) for file in files_read
    )
    sha256 = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    files: dict[str, list[str]] = {}
    for name, digest in parts:
        if not name.lower().endswith(SIDE_SUFFIXES):
            files.setdefault(digest, []).append(name)
    return Content(sha256, files)


def _all_files(folder: Path) -> list[Path]:
    """Every file in a folder and its folders that is not hidden: a plugin's reader may read any."""
    return [
        file
        for file in folder.rglob("*")
        if file.is_file() and not any(n.startswith(".") for n in file.relative_to(folder).parts)
    ]


def _file_digest(path: Path, cache: dict[str, Any]) -> str:
    info = path.stat()
    # Two files that swap their names or their content may have one size and one time of writing.
    state = [info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino]
    entry = cache.get(str(path))
    if isinstance(entry, list) and len(entry) == 5 and entry[:4] == state:
        return str(entry[4])
    sha256 = sha256_of(path)
    cache[str(path)] = [*state, sha256]
    return sha256


def _load_cache(file: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _save_cache(file: Path, cache: dict[str, Any]) -> None:
    """Write the digests. A cache that cannot be written costs time, not results.

    Paths of videos may name patients, so only the user may read the file.
    """
    with suppress(OSError):
        write_whole(file, json.dumps(cache), shared=True, private=True)
