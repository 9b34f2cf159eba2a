"""What a driver says of itself in the run folder, and what others ask of it there.

Small files, each replaced whole, so that any machine that shares the folder, or has its URL, can
look at a run and stop it without looking at its artifacts.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lussweep.errors import InputError
from lussweep.run.lease import LEASE_FILE, STALE_S
from lussweep.store.folders import Folder, LocalFolder

STATE_FILE = "state.json"
"""Counts, what is under way and what failed; rewritten every few seconds while a driver lives."""
PLAN_FILE = "plan.json"
"""Which steps each cell has; written once a command."""
CANCEL_FILE = "cancel"
OWN_FILES = frozenset({STATE_FILE, PLAN_FILE, CANCEL_FILE, LEASE_FILE})
RUN_FILE = "run.json"
ENDINGS = {"ended": "has ended", "interrupted": "was interrupted", "failed": "met an error"}


@dataclass(frozen=True)
class Driver:
    """Who drives a run, and when it was last heard of."""

    host: str
    pid: int
    heartbeat: float
    """Seconds since the epoch."""
    ended: str | None
    """A name in ENDINGS; None while it has not said so."""

    def silent_s(self, now: float | None = None) -> float:
        return max(0.0, (time.time() if now is None else now) - self.heartbeat)

    def works(self, now: float | None = None) -> bool:
        return self.ended is None and self.silent_s(now) <= STALE_S


def read_state(folder: Folder) -> dict[str, Any]:
    """The driver's last words. Raises InputError where no driver has left any."""
    return _read(folder, STATE_FILE)


def read_plan(folder: Folder) -> dict[str, Any]:
    """Cells and steps as the last command planned them. Raises InputError as `read_state`."""
    return _read(folder, PLAN_FILE)


def driver_of(folder: Folder, state: dict[str, Any]) -> Driver:
    """From the state, or from the lease where that has been heard of later."""
    lease: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        lease = json.loads(folder.read(LEASE_FILE) or b"{}")
    heard = float(state["written"])
    found = Driver(state["host"], state["pid"], heard, state["ended"])
    with suppress(KeyError, TypeError, ValueError):
        beat = _epoch_s(lease["beat_at"])
        if beat > heard:
            return Driver(str(lease["host"]), int(lease["pid"]), beat, None)
    return found


def cancelled(folder: Folder) -> bool:
    """Whether somebody has asked the driver of this run to stop."""
    return folder.read(CANCEL_FILE) is not None


def request_cancel(folder: Folder) -> None:
    folder.write(CANCEL_FILE, b"")


def clear_cancel(folder: Folder) -> None:
    """The request is obeyed, or was meant for another driver."""
    folder.delete([CANCEL_FILE])


def _read(folder: Folder, name: str) -> dict[str, Any]:
    if isinstance(folder, LocalFolder) and not folder.path.is_dir():
        raise InputError(f"there is no run folder {folder}")
    try:
        data = folder.read(name)
        found: dict[str, Any] = {} if data is None else json.loads(data)
    except (OSError, ValueError):
        raise InputError(
            f"{folder}/{name} cannot be read: the next `lussweep grid` there writes it anew"
        ) from None
    if data is None:
        known = folder.read(RUN_FILE) is not None
        raise InputError(
            f"{folder} has no {name}: run its `lussweep grid` command again, which writes it"
            if known
            else f"{folder} is no run folder: give the --out of a `lussweep grid`"
        )
    return found


def _epoch_s(value: float | str) -> float:
    return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else float(value)
