"""Reads the status of a run: its driver's state, and whether that driver still works."""

from __future__ import annotations

import math
import time
from typing import Any

from lussweep.backend.time_range import TimeRange
from lussweep.run.lease import LEASE_FILE, Owner
from lussweep.run.state import STATE_FIELDS, driver_of, read_state
from lussweep.store.folders import Folder


def status_of(folder: Folder) -> dict[str, Any]:
    """The driver's state, with current `driver` (works, ended, may be gone), `silent_s`, `left_s`.

    `left_s` holds the low and the high end of a range, or is None.

    Raises InputError if the state is missing or damaged.
    """
    state, now = read_state(folder, STATE_FIELDS), time.time()
    driver = driver_of(folder, state)
    works = driver.works(now)
    left_s = _range_of(state.get("left_s")) if works else None
    return {
        **state,
        "host": driver.host,
        "pid": driver.pid,
        "ended": driver.ended,
        "driver": "works" if works else "ended" if driver.ended else "may be gone",
        "silent_s": driver.silent_s(now),
        "left_s": left_s.after(max(0.0, now - state["written"])) if left_s else None,
    }


def _range_of(left_s: object) -> TimeRange | None:
    """The time left as a state gives it. None unless it is two numbers, as this version writes."""
    match left_s:
        case [int() | float() as low_s, int() | float() as high_s]:
            known = 0 <= low_s <= high_s < math.inf
            return TimeRange(low_s, high_s) if known else None
        case _:
            return None


def is_abandoned(folder: Folder) -> bool:
    """Whether the last driver of a run has not ended, but is silent. It may have been killed.

    Raises InputError if the state is missing or damaged.
    """
    driver = driver_of(folder, read_state(folder))
    return driver.ended is None and not driver.works()


def has_ended(folder: Folder) -> bool:
    """Whether the last driver of a run has ended, and nobody writes its report any more.

    A driver says that it has ended before it writes the report, and holds its lease until then.
    Raises InputError if the state is missing or damaged.
    """
    if read_state(folder)["ended"] is None:
        return False
    holder = Owner.read((folder.read(LEASE_FILE) or b"").decode())
    return holder is None or holder.is_gone()
