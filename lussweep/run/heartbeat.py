"""Writes the driver's state for `lussweep status` and obeys `lussweep cancel`, in a thread."""

from __future__ import annotations

import json
import os
import platform
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from lussweep.backend.time_range import TimeRange
from lussweep.errors import InputError, one_line
from lussweep.run.state import (
    PLAN_FILE,
    STATE_FIELDS,
    STATE_FILE,
    cancelled,
    clear_cancel,
    read_state,
)
from lussweep.store.remote import StorageError, is_url
from lussweep.study.keys import hashed_id
from lussweep.study.plan import DATA_STAGES, STAGES, Cell, Plan

if TYPE_CHECKING:
    from lussweep.backend.driver import Progress
    from lussweep.run.mirror import WorkFolder
    from lussweep.store.artifacts import ArtifactStore

POLL_S = 1.0
STATE_S = 5.0
"""Seconds between two writes of the state. It is written even without a change, as a heartbeat."""
REMOTE_POLL_S, REMOTE_STATE_S = 5.0, 15.0
"""The same for a run folder in an object store, where each request costs money."""
SIGNAL = signal.SIGUSR2
"""Sent by the heartbeat's thread to the main thread. Ray Tune already uses SIGUSR1."""
N_FAILURES = 100
"""Most failures in the state, so that it stays small. failures.parquet has all of them."""
TimeLeft = Callable[["Progress", float], TimeRange | None]


class Heartbeat:
    """Keeps state.json up to date and obeys a cancel request, inside its `with` block.

    A cancel request acts as Ctrl-C does. The thread sends SIGNAL to the main thread, whose handler
    calls the handler of SIGINT. SIGINT itself is not sent, because a driver that a shell has
    started in the background ignores it.
    """

    def __init__(
        self,
        name: str,
        folder: WorkFolder,
        store: ArtifactStore,
        plan: Plan,
        requested: Plan,
        conceal: Callable[[str], str],
        time_left: TimeLeft,
    ) -> None:
        """`name` is the study's. `plan` is the run folder's, `requested` this command's."""
        self.name = name
        self.store = _store_place(folder.path, store)
        self.plan, self.requested = plan, requested
        self.conceal = conceal
        self.time_left = time_left
        self.place = folder.seen_by_others
        self.poll_s, self.state_s = POLL_S, STATE_S
        if folder.mirror:
            self.poll_s, self.state_s = REMOTE_POLL_S, REMOTE_STATE_S
        self.progress_text: Callable[[str], str] = lambda ref: ""
        self.started = time.time()
        self.snapshot: Progress | None = None
        self.plan_began: dict[int, float] = {}
        self.needed_by = _cells_by_step(plan)
        self.shown: dict[str, str] = {}
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def asking(self, progress_text: Callable[[str], str]) -> Heartbeat:
        """Take the progress texts of running steps from this function. Returns this object."""
        self.progress_text = progress_text
        return self

    def take(self, progress: Progress) -> None:
        """Copy the progress for the thread. Call it in the thread that changes the progress."""
        began = self.plan_began.setdefault(id(progress.plan), time.time())
        self.snapshot = replace(
            progress,
            done=set(progress.done),
            running=set(progress.running),
            failed=dict(progress.failed),
            blocked=dict(progress.blocked),
            seconds=dict(progress.seconds),
        )
        self.elapsed_s = time.time() - began

    def __enter__(self) -> Heartbeat:
        from lussweep.backend.driver import Progress

        clear_cancel(self.place)  # a request that an earlier driver has left
        self.place.write(PLAN_FILE, json.dumps(_described(self.plan)).encode())
        self.take(Progress(self.requested))
        self.plan_began.clear()  # the time left is measured from the first submitted step
        self._write(None)
        self.handler_before = signal.signal(SIGNAL, _as_ctrl_c)
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.stopped.set()
        self.thread.join()
        signal.signal(SIGNAL, self.handler_before)
        ended = "ended"
        if kind is not None:
            interrupted = issubclass(kind, KeyboardInterrupt)
            ended = "interrupted" if interrupted else "failed"
        assert self.snapshot is not None
        self.snapshot = replace(self.snapshot, running=set())
        self._write(ended)
        with suppress(OSError, StorageError):  # the next driver clears it
            clear_cancel(self.place)

    def settle(self) -> None:
        """Write plan and state of a run that is done, unless they say so already.

        They do not if a driver was killed after its last step, if one of them is damaged, or if
        another run folder with the same store has done the steps.
        """
        from lussweep.backend.driver import Progress

        self.take(Progress(self.requested, done=set(self.requested.steps)))
        plan = json.dumps(_described(self.plan)).encode()
        with suppress(InputError):
            state, now = read_state(self.place, STATE_FIELDS), self._state("ended")
            is_same = all(state[name] == now[name] for name in ("ended", "cells", "stages"))
            if is_same and self.place.read(PLAN_FILE) == plan:
                return
        with suppress(OSError, StorageError):
            self.place.write(PLAN_FILE, plan)
        self._write("ended")

    def _beat(self) -> None:
        next_write = time.monotonic() + self.state_s
        while not self.stopped.wait(self.poll_s):
            with suppress(OSError, StorageError):  # tried again at the next poll
                if cancelled(self.place):
                    clear_cancel(self.place)
                    signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)
            if time.monotonic() >= next_write:
                self._write(None)
                next_write = time.monotonic() + self.state_s

    def _write(self, ended: str | None) -> None:
        assert self.snapshot is not None
        # A state that cannot be written, for instance on a full disk, must not end a training.
        with suppress(OSError, StorageError):
            self.place.write(STATE_FILE, json.dumps(self._state(ended), indent=1).encode())

    def _state(self, ended: str | None) -> dict[str, Any]:
        assert self.snapshot is not None
        # The data steps run as a plan of their own. The state always describes the whole command.
        progress = replace(self.snapshot, plan=self.requested)
        left_s = None if ended else self.time_left(progress, self.elapsed_s)
        running = sorted(progress.running)
        return {
            "name": self.name,
            "host": platform.node(),
            "pid": os.getpid(),
            "started": self.started,
            "written": time.time(),
            "ended": ended,
            "left_s": left_s,
            "store": self.store,
            "cells": _cell_counts(self.plan, progress, self.needed_by),
            "stages": _stage_counts(progress),
            "running": [
                {"ref": r, "name": step_name(self.plan, r), "progress": self.progress_text(r)}
                for r in running
            ],
            "n_failed": len(progress.failed),
            "failures": [
                {"ref": ref, "name": step_name(self.plan, ref), "error": self._error(ref)}
                for ref in list(progress.failed)[:N_FAILURES]
            ],
        }

    def _error(self, ref: str) -> str:
        assert self.snapshot is not None
        if ref not in self.shown:
            text = self.snapshot.failed[ref].error or ""
            self.shown[ref] = self.conceal(one_line(text, limit=None))
        return self.shown[ref]


def _store_place(folder: Path, store: ArtifactStore) -> str:
    """The place of the artifacts: a URL, or a path, relative if it is in the run folder.

    A relative path stays valid on a machine that mounts the run folder elsewhere.
    """
    if is_url(store.place):
        return store.place
    return str(store.root.relative_to(folder) if store.root.is_relative_to(folder) else store.root)


def _as_ctrl_c(number: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    (handler if callable(handler) else signal.default_int_handler)(signal.SIGINT, frame)


def step_name(plan: Plan, ref: str) -> str:
    """A step's name without patient ids. Only the names of shards contain one, which is hashed."""
    step = plan.steps[ref]
    return f"frames of {hashed_id(step.spec['patient_id'])}" if step.stage == "shard" else step.name


def _cells_by_step(plan: Plan) -> dict[str, list[int]]:
    """For each step, the positions in `plan.cells` of the cells that need it."""
    return {
        ref: sorted(cells)
        for ref, cells in plan.cells_by_step("evaluate")
        if cells and plan.steps[ref].stage not in DATA_STAGES  # all cells need those
    }


def _cell_counts(
    plan: Plan, progress: Progress, needed_by: dict[str, list[int]]
) -> list[dict[str, Any]]:
    """Counts of cells by patient count and variant: done, failed, running and waiting."""
    at_work = {i for ref in progress.running for i in needed_by.get(ref, ())}

    def state(i: int, cell: Cell) -> str:
        ref = cell.refs["evaluate"]
        if ref in progress.done or ref not in progress.plan.steps:  # done by an earlier command
            return "done"
        if ref in progress.failed or ref in progress.blocked:
            return "failed"
        return "running" if i in at_work else "waiting"

    counts: dict[tuple[int, str], Counter[str]] = {}
    for i, cell in enumerate(plan.cells):
        at = cell.coordinates
        counts.setdefault((at.n_patients, at.variant), Counter())[state(i, cell)] += 1
    words = ("done", "failed", "running", "waiting")
    return [
        {"n_patients": n, "variant": variant, **{word: states[word] for word in words}}
        for (n, variant), states in counts.items()
    ]


def _stage_counts(progress: Progress) -> dict[str, dict[str, int]]:
    steps, total = progress.plan.steps, progress.plan.counts()
    by_state = {
        word: Counter(steps[ref].stage for ref in refs)
        for word, refs in (
            ("done", progress.done),
            ("running", progress.running),
            ("failed", progress.failed),
            ("blocked", progress.blocked),
        )
    }
    return {
        stage: {**{word: stages[stage] for word, stages in by_state.items()}, "of": total[stage]}
        for stage in STAGES
        if total[stage]
    }


def _described(plan: Plan) -> dict[str, Any]:
    """The content of plan.json for `lussweep logs`: cells and steps, without patient ids."""
    return {
        "cells": [{**cell.coordinates.row(), "refs": dict(cell.refs)} for cell in plan.cells],
        "steps": {
            ref: {"name": step_name(plan, ref), "inputs": list(step.inputs.values())}
            for ref, step in plan.steps.items()
        },
    }
