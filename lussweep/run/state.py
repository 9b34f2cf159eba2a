"""Small files through which a driver reports its state, and others ask it to stop.

They lie in the run folder, and each is replaced whole. Any machine that sees the folder or its URL
can follow a run and stop it without its artifacts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lussweep.errors import InputError
from lussweep.run.lease import LEASE_FILE, STALE_S
from lussweep.store.folders import Folder, LocalFolder

STATE_FILE = "state.json"
"""Counts, running steps and failures. A driver rewrites it every few seconds."""
PLAN_FILE = "plan.json"
"""Cells and their steps. Each command writes it once."""
CANCEL_FILE = "cancel"
OWN_FILES = frozenset({STATE_FILE, PLAN_FILE, CANCEL_FILE, LEASE_FILE})
RUN_FILE = "run.json"
DRIVER_FIELDS = frozenset({"host", "pid", "written", "ended"})
"""Fields that say which driver wrote a state, and when."""
STATE_FIELDS = DRIVER_FIELDS | {"name", "cells", "stages", "running", "n_failed", "failures"}
"""Fields that say how far a run is too."""
ENDINGS = {"ended": "has ended", "interrupted": "was interrupted", "failed": "met an error"}


@dataclass(frozen=True)
class Driver:
    """The process that drives a run, and the time of its last heartbeat."""

    host: str
    pid: int
    heartbeat: float
    """Unix seconds."""
    ended: str | None
    """A key of ENDINGS; None if the driver has not written that it ended."""

    def silent_s(self, now: float | None = None) -> float:
        """Seconds since the last heartbeat. `now` is in Unix seconds."""
        return max(0.0, (time.time() if now is None else now) - self.heartbeat)

    def works(self, now: float | None = None) -> bool:
        """Whether the driver has not ended and its heartbeat is not stale."""
        return self.ended is None and self.silent_s(now) <= STALE_S


def read_state(folder: Folder, fields: Set[str] = DRIVER_FIELDS) -> dict[str, Any]:
    """The content of state.json. Raises InputError if it is missing, damaged, or lacks fields."""
    state = _read(folder, STATE_FILE)
    if not state.keys() >= fields:
        raise _damaged(folder, STATE_FILE)
    return state


def read_plan(folder: Folder) -> dict[str, Any]:
    """The content of plan.json. Raises InputError if it is missing or damaged."""
    return _read(folder, PLAN_FILE)


def driver_of(folder: Folder, state: dict[str, Any]) -> Driver:
    """The driver of a run, from its state or from its lease, whichever has the later heartbeat."""
    lease: dict[str, Any] = {}
    with suppress(OSError, ValueError, RecursionError):
        lease = json.loads(folder.read(LEASE_FILE) or b"{}")
    reported_at = float(state["written"])
    with suppress(KeyError, TypeError, ValueError):
        beat = _epoch_s(lease["beat_at"])
        if beat > reported_at:
            return Driver(str(lease["host"]), int(lease["pid"]), beat, None)
    return Driver(state["host"], state["pid"], reported_at, state["ended"])


def cancelled(folder: Folder) -> bool:
    """Whether a cancel request waits for the driver of this run."""
    return folder.read(CANCEL_FILE) is not None


def request_cancel(folder: Folder) -> None:
    """Leave a cancel request for the driver of this run."""
    folder.write(CANCEL_FILE, b"")


def clear_cancel(folder: Folder) -> None:
    """Remove a cancel request that was obeyed, or that was meant for an earlier driver."""
    folder.delete([CANCEL_FILE])


def _read(folder: Folder, name: str) -> dict[str, Any]:
    if isinstance(folder, LocalFolder) and not folder.path.is_dir():
        raise InputError(f"there is no run folder {folder}")
    try:
        data = folder.read(name)
        content: Any = {} if data is None else json.loads(data)
        if not isinstance(content, dict):
            raise ValueError("no JSON object")
    except InputError:  # the store cannot be reached as this machine is, and the error says why
        raise
    except (OSError, ValueError, RecursionError):  # the last, for lists in lists without an end
        raise _damaged(folder, name) from None
    if data is None:
        is_run_folder = folder.read(RUN_FILE) is not None
        raise InputError(
            f"{folder} has no {name}: run its `lussweep grid` command again, which writes it"
            if is_run_folder
            else f"{folder} is not a run folder: give the --out of a `lussweep grid`"
        )
    return content


def _damaged(folder: Folder, name: str) -> InputError:
    return InputError(
        f"{folder}/{name} cannot be read: the next `lussweep grid` there writes it anew"
    )


def _epoch_s(value: float | str) -> float:
    """Unix seconds of a number or of an ISO 8601 text."""
    return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else float(value)
