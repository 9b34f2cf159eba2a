"""Mirrors a run folder in an object store: downloads it at the start, uploads it at each report."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lussweep.errors import InputError
from lussweep.run.state import OWN_FILES
from lussweep.store.cache import cache_folder
from lussweep.store.files import sha256_of, write_whole
from lussweep.store.folders import Folder, LocalFolder
from lussweep.store.remote import RemoteFolder, StorageError, is_url

NOT_MIRRORED = ("artifacts", "ray", *OWN_FILES)
"""Names that are not copied. OWN_FILES among them are read and written directly at the URL."""


class Mirror:
    """A local copy, in `folder`, of the files at `url` except NOT_MIRRORED."""

    def __init__(self, url: str) -> None:
        self.remote = RemoteFolder(url)
        self.url = self.remote.url
        name = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        self.folder = cache_folder() / "runs" / name
        self.state = self.folder.with_suffix(".json")
        """Maps each name to its version at the URL and its local digest at the last sync."""

    def pulled(self) -> Path:
        """Download what has changed at the URL, delete what is gone there, and return the folder.

        Raises InputError if the URL cannot be read.
        """
        synced = self._last_sync()
        try:
            there = self._there()
            changed = {n: v for n, v in there.items() if synced.get(n, ["", ""])[0] != v}
            changed |= {n: v for n, v in there.items() if not (self.folder / n).exists()}
            self.remote.download({name: self.folder / name for name in changed})
        except StorageError as error:
            raise InputError(str(error)) from None
        for name in synced.keys() - there.keys():
            (self.folder / name).unlink(missing_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        unchanged = {n: synced[n] for n in there.keys() - changed.keys()}
        self._remember(unchanged | {n: [v, sha256_of(self.folder / n)] for n, v in changed.items()})
        return self.folder

    def push(self) -> None:
        """Upload what has changed in the folder, and delete at the URL what is gone here."""
        synced = self._last_sync()
        here = {name: sha256_of(self.folder / name) for name in self._here()}
        changed = [n for n, digest in here.items() if synced.get(n, ["", ""])[1] != digest]
        gone = synced.keys() - here.keys()
        if not changed and not gone:
            return
        self.remote.upload({name: self.folder / name for name in changed})
        self.remote.delete(gone)
        there = self._there()
        self._remember({n: [there[n], here[n]] for n in here if n in there})

    def show(self, path: Path) -> None:
        """Upload one small file now; if that fails, the next push does it."""
        with suppress(OSError, StorageError):  # on a full local disk the file may not exist
            self.remote.write(path.relative_to(self.folder).as_posix(), path.read_bytes())

    def _there(self) -> dict[str, str]:
        """The version of each file at the URL."""
        listing = self.remote.listing(without=NOT_MIRRORED)
        return {name: _version(info) for name, info in listing.items()}

    def _here(self) -> list[str]:
        files = (p for p in self.folder.rglob("*") if p.is_file())
        names = (p.relative_to(self.folder).as_posix() for p in files)
        return sorted(n for n in names if n.split("/")[0] not in NOT_MIRRORED and n[0] != ".")

    def _last_sync(self) -> dict[str, list[str]]:
        try:
            synced: dict[str, list[str]] = json.loads(self.state.read_text())
        except (OSError, ValueError):
            return {}
        return synced

    def _remember(self, synced: dict[str, list[str]]) -> None:
        write_whole(self.state, json.dumps(synced))


@dataclass(frozen=True)
class WorkFolder:
    """A folder that a command writes: a local one, or the local copy of one in an object store."""

    path: Path
    mirror: Mirror | None = None
    """Set if the folder lies in an object store; `path` is then the local copy."""

    @property
    def place(self) -> str:
        """The folder as the user named it: a path or a URL."""
        return self.mirror.url if self.mirror else str(self.path)

    @property
    def artifacts_place(self) -> str | Path:
        """The folder or URL of the artifacts that it holds itself."""
        return f"{self.mirror.url}/artifacts" if self.mirror else self.path / "artifacts"

    @property
    def seen_by_others(self) -> Folder:
        """The place of small files that other processes read or write: the folder, or its URL."""
        return self.mirror.remote if self.mirror else LocalFolder(self.path)

    def publish(self) -> None:
        """Upload what has changed in the folder, if it lies in an object store."""
        if self.mirror:
            self.mirror.push()

    def show(self, path: Path) -> None:
        """Upload one small file now, if the folder lies in an object store."""
        if self.mirror:
            self.mirror.show(path)


def work_folder(place: str) -> WorkFolder:
    """The folder at a path or URL. Downloads what has changed at a URL.

    Raises InputError if the URL cannot be read.
    """
    if not is_url(place):
        return WorkFolder(Path(place).absolute())
    mirror = Mirror(place)
    return WorkFolder(mirror.pulled(), mirror)


def _version(info: dict[str, Any]) -> str:
    """A text that changes with the file. Each file system has another name for it."""
    mark = info.get("ETag") or info.get("etag") or info.get("LastModified") or info.get("mtime")
    return f"{info.get('size')} {mark}"
