"""Content-addressed artifacts on disk. An artifact that exists is done.

Each artifact lies in `root/stage/key/`. It is written under a temporary name and renamed into
place, so a reader sees it whole or not at all. Its `record.json` says how it was made.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypedDict, cast

from lussweep.errors import InputError
from lussweep.store.folders import LocalFolder, check_usable
from lussweep.store.locks import locked_if_free

RECORD = "record.json"
SCRATCH_S, WORKPLACE_S = 7 * 86_400, 30 * 86_400
"""Seconds after which an abandoned folder, or an unfinished step, is deleted. A trial writes to its
folder only at its end, which may be days after its start on a CPU."""


class Record(TypedDict):
    """What the record of an artifact says."""

    stage: str
    version: int
    key: str
    name: str
    """The step's name, for people."""
    spec: dict[str, Any]
    """The step's spec: study/plan/step_specs.py has its type by stage."""
    inputs: dict[str, str]
    """The step's inputs: refs by role."""
    summary: dict[str, Any]
    """What the stage's function returned."""
    circumstances: dict[str, Any]
    """Host, versions, times and memory of the computation. They change no result."""


RECORD_PARTS = ("spec", "inputs", "summary", "circumstances")
MAX_JSON_BYTES = 2**26


class ArtifactStore:
    """A folder of artifacts. The stores in `also_read` are only read."""

    def __init__(self, root: Path, also_read: Sequence[ArtifactStore] = ()) -> None:
        self._root = root.absolute()
        self.also_read = tuple(also_read)

    @property
    def root(self) -> Path:
        """The folder of artifacts and workplaces on this node."""
        return self._root

    @property
    def place(self) -> str:
        """The place of the store as a user gives it: a path or a URL."""
        return str(self.root)

    def has(self, ref: str) -> bool:
        """Whether the artifact exists, here or in a store of `also_read`."""
        return self._find(ref) is not None or self._lender(ref) is not None

    def surveyed(self, max_age_s: float = 60.0) -> ArtifactStore:
        """This store for reading, with a `has` that is fast for thousands of steps.

        A store on disk lists each stage when it is first needed. An object store uses one listing
        of everything, at most `max_age_s` seconds old.
        """
        return _Survey(self.root, [store.surveyed(max_age_s) for store in self.also_read])

    def open(self, ref: str, *names: str) -> Path:
        """The artifact's folder. Raises FileNotFoundError if there is no artifact.

        If `names` are given, the other files may be absent from the folder.
        """
        folder = self._find(ref)
        return folder or self._lent(ref).open(ref, *names)

    def read_records(self, refs: Sequence[str]) -> None:
        """Fetches records that will be needed. A store on disk has nothing to fetch."""

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keeps what is opened within the block until the block ends."""
        with ExitStack() as stack:
            for store in self.also_read:
                stack.enter_context(store.in_use())
            yield

    def record(self, ref: str) -> Record:
        """The record that `commit` wrote. Raises InputError if it cannot be read."""
        folder = self._find(ref)
        if folder is None:
            return self._lent(ref).record(ref)
        path = folder / RECORD
        try:
            record = read_json(path)
            for part in RECORD_PARTS:
                if not isinstance(record.get(part, {}), dict):
                    raise ValueError(f"its {part} is not a JSON object")
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path} cannot be read ({error}): delete the folder {path.parent}, "
                "and it is made again"
            ) from None
        return cast(Record, record)

    @contextmanager
    def commit(self, ref: str, record: Mapping[str, Any]) -> Iterator[Path]:
        """Gives a fresh folder to write to. It becomes the artifact if the block raises no error.

        `record` may be filled inside the block. A second commit of the same ref leaves the
        first one as it is. Raises InputError, before the block, if files without a record are
        there.
        """
        target = self.root / ref
        names = _names_in(target)
        if names and RECORD not in names:
            raise InputError(
                f"{target} has files but no {RECORD}, like a folder that was half copied: delete "
                "it, and it is made again"
            )
        scratch = self.root / ".tmp" / f"{ref.replace('/', '-')}-{uuid.uuid4().hex[:8]}"
        scratch.mkdir(parents=True)
        try:
            yield scratch
            (scratch / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True))
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.rename(scratch, target)
            except OSError:
                if not (target / RECORD).exists():
                    raise
            self._discard_workplace(ref)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def files(self, ref: str) -> list[str]:
        """Names of the files of an artifact of this store, relative to its folder."""
        folder = self.root / ref
        return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())

    def where(self, ref: str) -> str:
        """The path or URL of an artifact."""
        folder = self._find(ref)
        return str(folder) if folder else self._lent(ref).where(ref)

    def discard(self, ref: str, name: str) -> None:
        """Deletes one file of an artifact of this store. The artifact still counts as done."""
        (self.root / ref / name).unlink(missing_ok=True)

    def workplace_of(self, ref: str) -> Path:
        """The folder in which `workplace` keeps an unfinished step."""
        return self.root / ".work" / ref.replace("/", "-")

    @contextmanager
    def workplace(self, ref: str) -> Iterator[Path]:
        """Gives a folder that outlives a killed step, so that the next attempt finds it again.

        The folder is deleted when the artifact is committed. While another process works in it,
        this process gets an empty folder of its own.
        """
        shared = self.workplace_of(ref)
        shared.mkdir(parents=True, exist_ok=True)
        with locked_if_free(shared / "lock") as is_ours:
            if is_ours:
                yield shared
                return
        private = shared.with_name(f"{shared.name}-{uuid.uuid4().hex[:8]}")
        private.mkdir()
        try:
            yield private
        finally:
            shutil.rmtree(private, ignore_errors=True)

    def fetch_workplace(self, ref: str, work: Path) -> None:
        """Copies what `keep_workplace` has kept of a step into `work`. Other files stay."""

    def keep_workplace(self, ref: str, work: Path) -> None:
        """Keeps an unfinished step where other nodes find it. On disk it is there already."""

    def left_behind(self, ref: str, name: str) -> Path | None:
        """A file that an unfinished step has left, or None."""
        path = self.workplace_of(ref) / name
        return path if path.exists() else None

    def _discard_workplace(self, ref: str) -> None:
        """Deletes the workplace of a step, unless another process works there.

        The other process deletes it when it is done.
        """
        folder = self.workplace_of(ref)
        if not folder.exists():
            return
        with locked_if_free(folder / "lock") as is_ours:
            if is_ours:
                shutil.rmtree(folder, ignore_errors=True)

    def check_writable(self, needed_bytes: int = 100_000_000) -> None:
        """Raises InputError unless a file can be written here and `needed_bytes` are free."""
        check_usable(LocalFolder(self.root))
        free = shutil.disk_usage(self.root).free
        if free < needed_bytes:
            raise InputError(
                f"{self.root} has {free / 1e6:.0f} MB left, at least {needed_bytes / 1e6:.0f} MB "
                "are needed: free some, choose another --out, or raise gan.snapshot_every"
            )

    def clean_scratch(
        self, older_than_s: float = SCRATCH_S, workplaces_s: float = WORKPLACE_S
    ) -> None:
        """Removes what killed steps left behind.

        Folders younger than `older_than_s` stay, because they may belong to running steps. A
        workplace stays for `workplaces_s`, because a step can continue in it, unless its artifact
        exists.
        """
        now = time.time()
        for scratch in (self.root / ".tmp").glob("*"):
            if _newest(scratch) < now - older_than_s:
                shutil.rmtree(scratch, ignore_errors=True)
        for workplace in (self.root / ".work").glob("*"):
            stage, _, key = workplace.name.partition("-")
            if self.has(f"{stage}/{key}") or _newest(workplace) < now - workplaces_s:
                self._discard_workplace(f"{stage}/{key}")

    def _find(self, ref: str) -> Path | None:
        # The ref may come from a table that others wrote.
        if ".." in ref.split("/") or ref.startswith("/"):
            raise InputError(f"{ref} is not an artifact: it would lie outside {self.root}")
        return self.root / ref if _exists(f"{self.root}/{ref}/{RECORD}") else None

    def _lender(self, ref: str) -> ArtifactStore | None:
        """A store of `also_read` that has the artifact, or None."""
        return next((store for store in self.also_read if store.has(ref)), None)

    def _lent(self, ref: str) -> ArtifactStore:
        lender = self._lender(ref)
        if lender is None:
            raise FileNotFoundError(f"no artifact {ref} in {self.place}")
        return lender


class _Survey(ArtifactStore):
    """A store that looks for a record only if its folder is listed.

    Each look may be a request to a file server.
    """

    def __init__(self, root: Path, also_read: Sequence[ArtifactStore]) -> None:
        super().__init__(root, also_read)
        self._listed: dict[str, frozenset[str]] = {}
        self._found: set[str] = set()

    def has(self, ref: str) -> bool:
        if ref in self._found:
            return True
        stage, _, key = ref.partition("/")
        if stage not in self._listed:
            self._listed[stage] = frozenset(_names_in(self.root / stage))
        is_here = key in self._listed[stage] and self._find(ref) is not None
        if not is_here and self._lender(ref) is None:
            return False
        self._found.add(ref)
        return True


def read_json(path: Path) -> dict[str, Any]:
    """Reads an object from a JSON file. Raises ValueError with the reason, or OSError."""
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"over {MAX_JSON_BYTES >> 20} MiB")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _exists(path: str) -> bool:
    """`Path.exists` without the cost of a Path, because a plan calls it 100,000 times and more."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a null byte
        return False
    return True


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _newest(folder: Path) -> float:
    """Time of the last write in a folder, or now if another command has just moved it.

    In seconds since 1970.
    """
    try:
        return max(p.stat().st_mtime for p in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return time.time()
