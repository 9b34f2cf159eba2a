"""Artifacts in an object store, copied to a node when they are first opened there.

A commit uploads its files below a name of its own, `stage/key/ATTEMPT/`. Then it creates
`stage/key/record.json`, which names the attempt. Until then the artifact does not exist. If several
commits upload the same artifact, the one that creates the record first counts.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from lussweep.errors import InputError
from lussweep.store.artifacts import (
    RECORD,
    RECORD_PARTS,
    SCRATCH_S,
    WORKPLACE_S,
    ArtifactStore,
    Record,
)
from lussweep.store.cache import ArtifactCache, size_bytes
from lussweep.store.files import write_whole
from lussweep.store.folders import check_usable
from lussweep.store.remote import RemoteFolder, StorageError, is_url

ATTEMPT = "attempt"
"""Field of a stored record: the folder beside it that holds the files."""
WHOLE = ".whole"
"""Name of a file that marks a copy with all files of the artifact."""
CHECKPOINTS = "checkpoints/"


def store_at(place: str, named: str) -> ArtifactStore:
    """The store of the run folder at a path or a URL, by the name in the folder's state."""
    return artifact_store(named if is_url(named) else Path(place) / named)


def artifact_store(place: Path | str, also_read: Sequence[ArtifactStore] = ()) -> ArtifactStore:
    """The store at a path or a URL."""
    if is_url(place):
        return ObjectStore(str(place), also_read)
    return ArtifactStore(Path(place), also_read)


def url_answer(url: str) -> str:
    """Why this node cannot use the store at a URL, with the remedy. Empty if it can."""
    try:
        ObjectStore(url).check_writable()
    except InputError as error:
        return "; ".join(error.problems)
    return ""


class ObjectStore(ArtifactStore):
    """An ArtifactStore at a URL. Its `root` is this node's cache of the artifacts there."""

    def __init__(self, url: str, also_read: Sequence[ArtifactStore] = ()) -> None:
        super().__init__(Path(), also_read)
        self.remote = RemoteFolder(url)
        self._stored: dict[str, bytes] = {}
        """Records read so far. They stay valid, because artifacts never change."""
        self._files: dict[str, float] | None = None
        """Each file of the last listing, and when it was written, in seconds since 1970."""
        self._listed: frozenset[str] = frozenset()
        self._listed_at = 0.0
        self._is_survey = False

    def __getstate__(self) -> dict[str, Any]:
        """The state for another process, maybe on another node, which makes its own listing."""
        forget: dict[str, Any] = {"_stored": {}, "_files": None, "_listed": frozenset()}
        return {**self.__dict__, **forget, "_is_survey": False}

    @property
    def cache(self) -> ArtifactCache:
        return ArtifactCache()

    @property
    def root(self) -> Path:
        digest = hashlib.sha256(self.remote.url.encode()).hexdigest()[:16]
        return self.cache.root / digest

    @property
    def place(self) -> str:
        return self.remote.url

    def has(self, ref: str) -> bool:
        if ref in self._stored or ref in self._listed:
            return True
        if not self._is_survey and self._find_record(ref) is not None:
            return True
        return self._lender(ref) is not None

    def surveyed(self, max_age_s: float = 60.0) -> ArtifactStore:
        self._list(max_age_s)
        lenders = tuple(store.surveyed(max_age_s) for store in self.also_read)
        survey = object.__new__(ObjectStore)
        survey.__dict__ |= {**self.__dict__, "_is_survey": True, "also_read": lenders}
        return survey  # it shares the records

    def read_records(self, refs: Sequence[str]) -> None:
        """Fetches records that will be needed, many at a time."""
        unread = [r for r in refs if r not in self._stored]
        if self._is_survey:
            unread = [r for r in unread if r in self._listed]
        wanted = {f"{r}/{RECORD}": r for r in unread}
        data_of = self.remote.read_many(wanted)
        self._stored.update({wanted[name]: data for name, data in data_of.items()})

    def open(self, ref: str, *names: str) -> Path:
        record = self._find_record(ref)
        if record is None:
            return self._lent(ref).open(ref, *names)
        stored = f"{ref}/{record[ATTEMPT]}"
        entry = self.root / stored
        cache = self.cache
        cache.pin(entry)
        if _holds(entry, names):
            return entry
        with cache.fetching(entry):
            if not _holds(entry, names):
                n_before = size_bytes(entry)
                _write_record(entry, record)
                for name in names:
                    self.remote.download_if_there(f"{stored}/{name}", entry / name)
                if not names:
                    self._fetch_missing(stored, entry)
                    (entry / WHOLE).touch()
                cache.added(size_bytes(entry) - n_before)
        return entry

    def record(self, ref: str) -> Record:
        record = self._find_record(ref)
        if record is None:
            return self._lent(ref).record(ref)
        return cast(Record, _without_attempt(record))

    @contextmanager
    def in_use(self) -> Iterator[None]:
        with super().in_use(), self.cache.in_use():
            yield

    @contextmanager
    def commit(self, ref: str, record: Mapping[str, Any]) -> Iterator[Path]:
        attempt = uuid.uuid4().hex[:12]
        scratch = self.root / ".tmp" / f"{ref.replace('/', '-')}-{attempt}"
        scratch.mkdir(parents=True)
        try:
            yield scratch
            data = json.dumps({**record, ATTEMPT: attempt}, indent=1, sort_keys=True).encode()
            if self._find_record(ref) is None:
                self._upload(ref, attempt, scratch, data)
            self._discard_workplace(ref)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _upload(self, ref: str, attempt: str, scratch: Path, data: bytes) -> None:
        """Uploads the files, then the record. If another commit was first, deletes the files."""
        files = {f"{ref}/{attempt}/{name}": scratch / name for name in _names(scratch)}
        self.remote.upload(files)
        if not self.remote.create(f"{ref}/{RECORD}", data):
            self.remote.delete(files)
            return
        self._stored[ref] = data
        _write_record(scratch, json.loads(data))
        (scratch / WHOLE).touch()
        entry = self.root / ref / attempt
        cache = self.cache
        entry.parent.mkdir(parents=True, exist_ok=True)
        scratch.rename(entry)
        cache.added(size_bytes(entry))

    def files(self, ref: str) -> list[str]:
        record = self._find_record(ref)
        return sorted(self.remote.listing(f"{ref}/{record[ATTEMPT]}")) if record else []

    def where(self, ref: str) -> str:
        return f"{self.place}/{ref}" if self._find_record(ref) else self._lent(ref).where(ref)

    def discard(self, ref: str, name: str) -> None:
        record = self._find_record(ref)
        if record is not None:
            stored = f"{ref}/{record[ATTEMPT]}/{name}"
            self.remote.delete([stored])
            (self.root / stored).unlink(missing_ok=True)

    # --- workplaces -----------------------------------------------------------------------

    @contextmanager
    def workplace(self, ref: str) -> Iterator[Path]:
        with super().workplace(ref) as work:
            self.fetch_workplace(ref, work)
            yield work

    def fetch_workplace(self, ref: str, work: Path) -> None:
        self._fetch_missing(_work(ref), work)

    def keep_workplace(self, ref: str, work: Path) -> None:
        """Uploads an unfinished step, checkpoints last.

        A checkpoint at the URL therefore means that all earlier files are there too. A failed
        upload does not end the training: the next checkpoint tries again.
        """
        try:
            remote_files = self.remote.listing(_work(ref))
            local_names = [n for n in _names(work) if n != "lock" and "/." not in f"/{n}"]
            new = [
                n
                for n in local_names
                if remote_files.get(n, {}).get("size") != (work / n).stat().st_size
            ]
            for last in (False, True):
                part = [n for n in new if n.startswith(CHECKPOINTS) == last]
                self.remote.upload({f"{_work(ref)}/{n}": work / n for n in part})
            oldest = min((n for n in local_names if n.startswith(CHECKPOINTS)), default="")
            old = [n for n in remote_files if n.startswith(CHECKPOINTS) and n < oldest]
            self.remote.delete(f"{_work(ref)}/{n}" for n in old)
        except StorageError as error:
            logging.getLogger(__name__).warning("%s", error)

    def left_behind(self, ref: str, name: str) -> Path | None:
        path = self.workplace_of(ref) / name
        self.remote.download_if_there(f"{_work(ref)}/{name}", path)
        return path if path.exists() else None

    def _discard_workplace(self, ref: str) -> None:
        if not self.workplace_of(ref).exists():  # the process that commits a step worked on it here
            return
        super()._discard_workplace(ref)
        self.remote.delete(f"{_work(ref)}/{n}" for n in self.remote.listing(_work(ref)))

    # --- at the start ---------------------------------------------------------------------

    def check_writable(self, needed_bytes: int = 100_000_000) -> None:
        """Raises InputError unless a file can be written there and this node has space left."""
        check_usable(self.remote)
        ArtifactStore(self.root).check_writable()

    def clean_scratch(
        self, older_than_s: float = SCRATCH_S, workplaces_s: float = WORKPLACE_S
    ) -> None:
        """Removes what killed steps left behind, on this node and at the URL."""
        super().clean_scratch(older_than_s, workplaces_s)
        files, now, old = self._list(), time.time(), []
        done = self._listed
        for name, written_at in files.items():
            age_s = now - written_at
            if name.startswith(".work/"):
                stage, _, key = name.split("/")[1].partition("-")
                if f"{stage}/{key}" in done or age_s > workplaces_s:
                    old.append(name)
            elif name.count("/") > 2 and "/".join(name.split("/")[:2]) not in done:
                old += [name] if age_s > older_than_s else []
        self.remote.delete(old)

    def _list(self, max_age_s: float = 60.0) -> dict[str, float]:
        if self._files is None or time.monotonic() - self._listed_at > max_age_s:
            started, now = time.monotonic(), time.time()
            self._files = {n: _written_at(i, now) for n, i in self.remote.listing().items()}
            ends = f"/{RECORD}"
            records = (n for n in self._files if n.endswith(ends) and n.count("/") == 2)
            self._listed, self._listed_at = frozenset(n[: -len(ends)] for n in records), started
        return self._files

    # --- records and files ----------------------------------------------------------------

    def _find_record(self, ref: str) -> dict[str, Any] | None:
        """The record as it is stored, with the attempt, or None if there is no artifact.

        Raises InputError if the record is damaged.
        """
        if ".." in ref.split("/") or ref.startswith("/"):
            raise InputError(f"{ref} is not an artifact: it would lie outside {self.place}")
        data = self._stored.get(ref)
        if data is None:
            data = self.remote.read(f"{ref}/{RECORD}")
            if data is None:
                return None
            self._stored[ref] = data
        try:
            record: dict[str, Any] = json.loads(data)
            if not str(record[ATTEMPT]).isalnum():
                raise ValueError("its attempt is not a name")
            if not all(isinstance(record.get(part, {}), dict) for part in RECORD_PARTS):
                raise ValueError("a part is not a JSON object")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(
                f"{self.place}/{ref}/{RECORD} cannot be read ({error}): delete it, and it is made "
                "again"
            ) from None
        return record

    def _fetch_missing(self, source: str, target: Path) -> None:
        """Downloads the files of a remote folder that `target` does not hold yet."""
        listed = self.remote.listing(source)
        self.remote.download(
            {f"{source}/{n}": target / n for n in listed if not (target / n).exists()}
        )


def _holds(entry: Path, names: Sequence[str]) -> bool:
    return (entry / WHOLE).exists() or (bool(names) and all((entry / n).exists() for n in names))


def _without_attempt(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name != ATTEMPT}


def _write_record(entry: Path, record: dict[str, Any]) -> None:
    write_whole(
        entry / RECORD, json.dumps(_without_attempt(record), indent=1, sort_keys=True), shared=True
    )


def _names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def _work(ref: str) -> str:
    return f".work/{ref.replace('/', '-')}"


def _written_at(info: dict[str, Any], now: float) -> float:
    """When a file was written, in seconds since 1970; `now` if the file system does not say."""
    when: Any = info.get("LastModified") or info.get("updated") or info.get("mtime") or now
    if isinstance(when, str):
        when = datetime.fromisoformat(when)
    return when.timestamp() if isinstance(when, datetime) else float(when)
