"""Steps that read videos run two at once in one process, and no others beside them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from lussweep.backend import inline
from lussweep.backend.driver import Outcome, run_plan
from lussweep.backend.stop import Stop
from lussweep.errors import InputError
from lussweep.stages import Context
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import Plan, Step


class Watched:
    """Stands for `attempt`. It notes which steps run at the same time, and makes artifacts."""

    def __init__(self, store: ArtifactStore, during: Callable[[], None]) -> None:
        self.store, self.during = store, during
        self.running: set[str] = set()
        self.together: list[frozenset[str]] = []
        self.lock = threading.Lock()

    def __call__(self, step: Step, context: Context) -> Outcome:
        with self.lock:
            self.running.add(step.name)
            self.together.append(frozenset(self.running))
        self.during()
        with self.lock:
            self.running.discard(step.name)
        with self.store.commit(step.ref, {}):
            pass
        return Outcome(step.ref)


def plan_of(n_videos: int) -> Plan:
    plan = Plan()
    for number in range(n_videos):
        spec = {"patient_id": f"p{number}", "preprocess": {"image_size": 64}}
        plan.add(Step("shard", 1, spec, {}, f"read {number}"))
    plan.add(Step("shard", 1, {"phantom": {}, "preprocess": None}, {}, "phantom"))
    return plan


def run(
    monkeypatch: pytest.MonkeyPatch, folder: Path, n_cores: int, during: Callable[[], None],
    stop: Stop | None = None,
) -> Watched:  # fmt: skip
    store = ArtifactStore(folder)
    watched = Watched(store, during)
    monkeypatch.setattr(inline, "attempt", watched)
    monkeypatch.setattr(inline, "_n_cores", lambda: n_cores)
    plan = plan_of(5)
    executor = inline.InlineExecutor(plan, Context(store, "cpu"), stop)
    run_plan(plan, store, executor, stop=stop)
    return watched


@pytest.mark.parametrize(("n_cores", "at_once"), [(1, 1), (2, 2), (64, 2)])
def test_at_most_two_videos_are_read_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, n_cores: int, at_once: int
) -> None:
    watched = run(monkeypatch, tmp_path, n_cores, lambda: time.sleep(0.05))
    assert max(map(len, watched.together)) == at_once
    assert {name for names in watched.together for name in names} == {
        "phantom", *(f"read {number}" for number in range(5))
    }  # fmt: skip
    assert all(names == {"phantom"} for names in watched.together if "phantom" in names)


def test_reading_leaves_the_number_of_threads_as_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with threadpool_limits(2):
        before = threadpool_info()
        run(monkeypatch, tmp_path, 2, lambda: None)
        assert threadpool_info() == before


def test_what_is_being_read_at_a_stop_is_kept_and_nothing_else_begins(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stop, both = Stop(), threading.Barrier(2, timeout=10)

    def during() -> None:
        both.wait()
        stop.request()
        both.wait()

    with pytest.raises(KeyboardInterrupt):
        run(monkeypatch, tmp_path, 2, during, stop)
    assert len(list((tmp_path / "shard").iterdir())) == 2


def test_a_hanging_reader_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stop, goes_on = Stop(grace_s=0.05), threading.Event()
    monkeypatch.setattr(inline, "WAIT_S", 0.01)

    def during() -> None:
        stop.request()
        goes_on.wait(10)

    with pytest.raises(KeyboardInterrupt):
        run(monkeypatch, tmp_path, 2, during, stop)
    assert not goes_on.is_set()
    goes_on.set()


def test_the_outcome_of_a_file_whose_name_is_no_unicode_can_be_written() -> None:
    try:
        raise InputError("cannot read " + os.fsdecode(b"herz-\xfc.png"))
    except InputError as error:
        outcome = inline.failed("shard/1", error)
    assert outcome.error == "InputError: cannot read herz-\\udcfc.png"
    assert b"herz-\\udcfc.png" in outcome.traceback.encode()
