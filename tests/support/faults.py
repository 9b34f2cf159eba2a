"""Steps that fail in chosen ways, wherever they run, and processes that are found and killed."""

from __future__ import annotations

import os
import re
import resource
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from lussweep.errors import LeakageError
from lussweep.store.artifacts import ArtifactStore

ALWAYS = 99
RAY_OWN = "IDLE|Agent"


class FaultyStore(ArtifactStore):
    """A store whose `commit` does something bad to the steps in `faults`: ref or step's name to
    kind and how often, counted over all processes."""

    def __init__(self, root: Path, faults: Mapping[str, tuple[str, int]]) -> None:
        super().__init__(root)
        self.faults = dict(faults)

    @contextmanager
    def commit(self, ref: str, record: dict[str, Any]) -> Iterator[Path]:
        kind, n_times = self.faults.get(ref) or self.faults.get(record.get("name", ""), ("", 0))
        due = kind if kind and self._turn(ref) <= n_times else ""
        with super().commit(ref, record) as out:
            BEFORE.get(due, lambda: None)()
            with WHILE.get(due, nullcontext)():
                yield out
        AFTER.get(due, lambda: None)()

    def turns(self, ref: str) -> int:
        """How often the step was begun."""
        return len(list((self.root / ".faults").glob(f"{ref.replace('/', '-')}.*")))

    def _turn(self, ref: str) -> int:
        folder = self.root / ".faults"
        folder.mkdir(exist_ok=True)
        turn = self.turns(ref) + 1
        (folder / f"{ref.replace('/', '-')}.{turn}").touch()
        return turn


def fail() -> None:
    raise OSError("the disk is away")


def leak() -> None:
    raise LeakageError("patient P1 is on both sides")


def hang() -> None:
    time.sleep(3600)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def eat() -> None:
    """Ask for more than this process may have; afterwards it may have as much as before."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, before[1]))
    try:
        bytearray(2**32)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def full_disk(n_bytes: int = 512) -> Iterator[None]:
    """No file of this process grows beyond so much inside this block."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def lose_node() -> None:
    """kill -9 of the node that this process works for: its raylet, and all that came from it."""
    raylet = os.getppid()
    line = Path(f"/proc/{raylet}/cmdline").read_bytes()
    assert b"raylet" in line and b"--head" not in line, line
    kill_tree(raylet)


BEFORE = {"fail": fail, "leak": leak, "hang": hang, "die": die, "eat": eat, "lose node": lose_node}
WHILE = {"fill disk": full_disk}
AFTER = {"lose node when done": lose_node}


def kill_tree(pid: int) -> None:
    """SIGKILL to a process and to its descendants, to this one last."""
    own = os.getpid()
    for each in sorted((pid, *descendants(pid)), key=lambda each: each == own):
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def descendants(pid: int) -> dict[int, str]:
    """Processes that come from this one, with their command lines (Linux)."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:  # gone
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    found: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            try:
                line = Path(f"/proc/{child}/cmdline").read_bytes()
            except OSError:
                continue
            found[child] = line.replace(b"\0", b" ").decode().strip()
            waiting.append(child)
    return found


def workers_of(pid: int) -> list[int]:
    """Ray's workers at a step, below a raylet or a driver. Its agents are none: a raylet ends with
    them."""
    found = descendants(pid).items()
    return [p for p, line in found if line.startswith("ray::") and not re.search(RAY_OWN, line)]


def await_end(pids: Mapping[int, str], timeout_s: float = 60) -> None:
    """Until none of these processes is left; those that stay longer are ended."""
    deadline = time.monotonic() + timeout_s
    while any(map(_is_there, pids.items())) and time.monotonic() < deadline:
        time.sleep(0.1)
    for pid, line in pids.items():
        if _is_there((pid, line)):
            os.kill(pid, signal.SIGKILL)


def _is_there(process: tuple[int, str]) -> bool:
    """A zombie has no command line; another process has another one."""
    pid, line = process
    try:
        found = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return False
    return bool(found) and found.split(" ")[0].split(":")[0] == line.split(" ")[0].split(":")[0]
