import os
import pty
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lussweep.backend.driver import LOST_AGAIN, BackendError, Outcome, run_plan
from lussweep.backend.inline import InlineExecutor
from lussweep.backend.order import TYPICAL_COST, costs_from, step_costs
from lussweep.backend.stop import Stop
from lussweep.stages import Context
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import STAGES, Cell, Plan, Step
from support.commands import environment


class MemoryStore:
    """What the loop asks of a store."""

    def __init__(self):
        self.done = set()

    def has(self, ref):
        return ref in self.done


class FakeExecutor:
    """Takes `n_slots` steps at a time and ends them `n_at_once` at a time, oldest first.

    `fails` never end well; `flaky` maps refs to how often they fail first.
    """

    def __init__(self, store, n_slots=1, fails=(), n_at_once=1, flaky=None, is_final=False):
        self.flaky, self.is_final, self.n_asked = Counter(flaky or {}), is_final, 0
        self.store, self.n_slots, self.n_at_once = store, n_slots, n_at_once
        self.fails = set(fails)
        self.in_flight, self.submitted, self.forgotten = [], [], set()

    def forget(self, refs):
        self.forgotten.update(refs)

    def kind(self, step):
        return step.stage

    def accepts(self, step):
        self.n_asked += 1
        return len(self.in_flight) < self.n_slots

    def share(self, step):
        return 1 / max(1, self.n_slots)

    def submit(self, step):
        assert self.accepts(step), "submitted what was not accepted"
        missing = [ref for ref in step.inputs.values() if not self.store.has(ref)]
        assert not missing, "submitted before its inputs were there"
        assert step not in self.in_flight, "submitted twice"
        self.in_flight.append(step)
        self.submitted.append(step.ref)

    def wait(self):
        assert self.in_flight, "waited with nothing in flight"
        ended, self.in_flight = (
            self.in_flight[: self.n_at_once],
            self.in_flight[self.n_at_once :],
        )
        outcomes = []
        for step in ended:
            if step.ref in self.fails:
                outcomes.append(Outcome(step.ref, "ValueError: broken", is_final=self.is_final))
            elif self.flaky[step.ref]:
                self.flaky[step.ref] -= 1
                outcomes.append(Outcome(step.ref, "OSError: away"))
            else:
                self.store.done.add(step.ref)
                outcomes.append(Outcome(step.ref))
        return outcomes


def make(*steps):
    """A plan out of (name, inputs[, stage]), and the refs by name."""
    plan, refs = Plan(), {}
    for name, inputs, *stage in steps:
        step = Step(
            stage[0] if stage else "shard", 1, {"name": name}, {i: refs[i] for i in inputs}, name
        )
        refs[name] = plan.add(step)
    return plan, refs


def names(plan, refs):
    return [plan.steps[ref].name for ref in refs]


TREE = [("a", ""), ("b", "a"), ("c", "a"), ("d", "b"), ("e", "bc"), ("x", ""), ("y", "x")]


@pytest.fixture
def tree():
    return make(*TREE)


# --- laws on any plan ---------------------------------------------------------------------

graphs = st.lists(st.sets(st.integers(0, 11), max_size=3), min_size=1, max_size=12)


stages = st.lists(st.sampled_from(STAGES), min_size=12, max_size=12)
cells = st.lists(st.integers(0, 11), max_size=5)


@settings(deadline=None)
@given(graphs, stages, cells, st.sets(st.integers(0, 11)), st.sets(st.integers(0, 11)),
       st.integers(1, 4), st.integers(1, 3))  # fmt: skip
def test_done_failed_and_blocked_follow_from_the_graph(
    graph, stages, cells, failing, found, n_slots, n_at_once
):
    """Whatever the stages and cells are, which decide in which order the steps go."""
    plan, refs = make(
        *(
            (str(i), [str(j) for j in inputs if j < i], stage)
            for i, (inputs, stage) in enumerate(zip(graph, stages, strict=False))
        )
    )
    plan.cells = [Cell(None, None, {"evaluate": refs[str(i)]}) for i in cells if i < len(graph)]
    store = MemoryStore()
    store.done = {refs[str(i)] for i in found if i < len(graph)}
    before = set(store.done)
    fails = {refs[str(i)] for i in failing if i < len(graph)}
    executor = FakeExecutor(store, n_slots, fails, n_at_once)

    # By definition, in the order of the plan: a step runs if all its inputs are there.
    there, broken, blocked = set(before), set(), set()
    for ref, step in plan.steps.items():
        if ref in before:
            continue
        if not set(step.inputs.values()) <= there:
            blocked.add(ref)
        else:
            (broken if ref in fails else there).add(ref)

    progress = run_plan(plan, store, executor)
    assert progress.finished
    assert progress.done_before == before
    assert progress.done == there == store.done
    assert set(progress.failed) == broken
    assert set(progress.blocked) == blocked
    assert set(executor.submitted) == (there | broken) - before
    assert progress.running == set()
    for ref, culprit in progress.blocked.items():
        assert culprit in broken
        assert culprit in plan.ancestors(ref)


# --- by example ---------------------------------------------------------------------------


def test_a_failed_step_blocks_its_descendants_and_others_go_on(tree):
    plan, refs = tree
    store = MemoryStore()
    progress = run_plan(plan, store, FakeExecutor(store, fails=[refs["b"]]))
    assert set(names(plan, progress.done)) == {"a", "c", "x", "y"}
    assert names(plan, progress.failed) == ["b"]
    assert progress.failed[refs["b"]].error == "ValueError: broken"
    assert progress.blocked == {refs["d"]: refs["b"], refs["e"]: refs["b"]}


def test_a_rerun_does_what_is_missing_and_tries_failures_again(tree):
    plan, refs = tree
    store = MemoryStore()
    run_plan(plan, store, FakeExecutor(store, fails=[refs["b"]]))
    again = FakeExecutor(store)
    progress = run_plan(plan, store, again)
    assert set(names(plan, again.submitted)) == {"b", "d", "e"}
    assert progress.done == set(plan.steps)
    assert not progress.failed
    assert not progress.blocked
    third = FakeExecutor(store)
    assert run_plan(plan, store, third).finished
    assert third.submitted == []


def test_a_step_that_was_deleted_is_done_again_though_its_users_are_there(tree):
    plan, refs = tree
    store = MemoryStore()
    store.done = set(plan.steps) - {refs["a"], refs["d"]}
    executor = FakeExecutor(store)
    progress = run_plan(plan, store, executor)
    assert set(names(plan, executor.submitted)) == {"a", "d"}
    assert progress.done == set(plan.steps)


def test_a_failure_of_everything_ends_all_the_same(tree):
    plan, _ = tree
    store = MemoryStore()
    progress = run_plan(plan, store, FakeExecutor(store, n_slots=3, fails=set(plan.steps)))
    assert set(names(plan, progress.failed)) == {"a", "x"}
    assert set(names(plan, progress.blocked)) == {"b", "c", "d", "e", "y"}
    assert progress.finished


def test_an_empty_plan_is_finished_and_shown_once():
    seen = []
    assert run_plan(Plan(), MemoryStore(), FakeExecutor(None), seen.append).finished
    assert len(seen) == 1


def test_steps_run_side_by_side_where_the_executor_takes_them(tree):
    plan, _ = tree
    store, most = MemoryStore(), []
    executor = FakeExecutor(store, n_slots=2)
    run_plan(plan, store, executor, lambda progress: most.append(len(progress.running)))
    assert max(most) == 2
    assert set(names(plan, executor.submitted[:2])) == {"a", "x"}


def test_the_longest_chain_is_begun_first():
    plan, _ = make(
        ("short", "", "trial"),
        ("detector", "", "trial"),
        ("gan", "", "gan"),
        ("score", ["gan", "detector"], "score"),
        ("synth", ["gan"], "synth"),
        ("late", ["synth"], "trial"),
    )
    store = MemoryStore()
    executor = FakeExecutor(store)
    run_plan(plan, store, executor)
    # gan 20 + synth 0.5 + trial 5, then detector 5 + score 3; the score ends a cell, so it goes at
    # once; then synth, and the trials of 5.
    assert names(plan, executor.submitted) == ["gan", "detector", "score", "synth", "short", "late"]


def test_a_step_that_a_failure_left_ready_waits_for_no_one_else():
    plan, refs = make(
        ("bad", ""), ("good", ""), ("needs both", ["bad", "good"]), ("user", ["good"])
    )
    store = MemoryStore()
    progress = run_plan(
        plan, store, FakeExecutor(store, n_slots=2, fails=[refs["bad"]], n_at_once=2)
    )
    assert set(names(plan, progress.done)) == {"good", "user"}
    assert names(plan, progress.blocked) == ["needs both"]


def test_a_display_sees_every_state_on_the_way(tree):
    plan, _ = tree
    store, seen = MemoryStore(), []
    run_plan(plan, store, FakeExecutor(store), lambda p: seen.append((len(p.done), len(p.running))))
    assert seen == [(n, 1) for n in range(7)] + [(7, 0)]
    assert [p for p in seen if sum(p) > len(plan.steps)] == []


# --- trying again -------------------------------------------------------------------------


@pytest.mark.parametrize(("n_failures", "retries", "error"), [
    (1, 0, "OSError: away"), (1, 1, None), (2, 1, "OSError: away (2 attempts)"), (2, 2, None),
    (9, 3, "OSError: away (4 attempts)"),
])  # fmt: skip
def test_a_step_that_fails_is_tried_again_so_often(tree, n_failures, retries, error):
    plan, refs = tree
    store = MemoryStore()
    executor = FakeExecutor(store, n_slots=2, flaky={refs["b"]: n_failures})
    repeated: list[str] = []
    progress = run_plan(
        plan, store, executor, lambda p: repeated.extend(o.ref for o in p.retried), retries=retries
    )
    assert progress.finished
    assert repeated == [refs["b"]] * min(n_failures, retries), "each is shown once"
    tried = min(n_failures, retries) + 1
    counts = Counter(executor.submitted)
    assert counts.pop(refs["b"]) == tried
    assert set(counts.values()) == {1}
    if error is None:
        assert progress.done == set(plan.steps)
    else:
        assert {ref: o.error for ref, o in progress.failed.items()} == {refs["b"]: error}
        assert set(names(plan, progress.blocked)) == {"d", "e"}


def test_what_would_only_fail_again_is_tried_once(tree):
    plan, refs = tree
    store = MemoryStore()
    executor = FakeExecutor(store, fails=[refs["b"]], is_final=True)
    progress = run_plan(plan, store, executor, retries=5)
    assert executor.submitted.count(refs["b"]) == 1
    assert progress.failed[refs["b"]].error == "ValueError: broken"


class Losing(FakeExecutor):
    """Steps that do not end well are lost, except at the turns in `fails_at`."""

    fails_at = ()

    def wait(self):
        ended = super().wait()
        n = len(self.submitted)
        return [replace(o, is_lost=n not in self.fails_at) if o.error else o for o in ended]


def test_what_is_lost_is_tried_again_and_does_not_count_against_the_retries():
    """A step of a spot instance that is taken away three times, and that fails once besides."""
    plan, refs = make(("a", ""))
    executor = Losing(store := MemoryStore(), flaky={refs["a"]: 4})
    executor.fails_at = (2,)
    progress = run_plan(plan, store, executor, retries=1, lost_again=3)
    assert progress.done == {refs["a"]}
    assert len(executor.submitted) == 5


@pytest.mark.parametrize(("given", "n"), [({"lost_again": 0}, 1), ({}, LOST_AGAIN + 1)])
def test_what_is_lost_each_time_comes_to_an_end(tree, given, n):
    plan, refs = tree
    executor = Losing(store := MemoryStore(), fails=[refs["b"]])
    progress = run_plan(plan, store, executor, retries=0, **given)
    assert executor.submitted.count(refs["b"]) == n
    assert set(progress.failed) == {refs["b"]}
    assert set(names(plan, progress.blocked)) == {"d", "e"}


# --- much -----------------------------------------------------------------------------------


def test_what_is_held_back_is_not_asked_for_again_and_again():
    """With n steps of two kinds and one slot, each loop asks once a kind and once a step."""
    n = 200
    plan, _ = make(*((f"{stage} {i}", "", stage) for i in range(n) for stage in ("gan", "trial")))
    store = MemoryStore()
    executor = FakeExecutor(store)
    assert run_plan(plan, store, executor).finished
    n_loops = 2 * n
    assert executor.n_asked <= 2 * n + 2 * n_loops + 2 * n  # submit's own assertion asks too


def test_the_executor_learns_what_will_not_be_submitted(tree):
    """Done before this run, by whomever, or behind a failure."""
    plan, _ = tree
    first = next(iter(plan.steps))
    store = MemoryStore()
    run_plan(plan, store, earlier := FakeExecutor(store, fails=set(plan.steps) - {first}))
    assert earlier.forgotten == plan.steps.keys() - set(earlier.submitted)
    executor = FakeExecutor(store)
    run_plan(plan, store, executor)
    assert executor.forgotten == {first}
    assert executor.forgotten | set(executor.submitted) == plan.steps.keys()


def test_an_executor_that_takes_nothing_is_an_error_and_no_endless_loop(tree):
    plan, _ = tree
    store = MemoryStore()
    with pytest.raises(BackendError, match="none of them is accepted"):
        run_plan(plan, store, FakeExecutor(store, n_slots=0))


# --- costs --------------------------------------------------------------------------------


def test_measured_stages_set_the_scale_of_the_others():
    assert costs_from({}) == TYPICAL_COST
    costs = costs_from({"gan": 200.0, "cohort": 3.0})
    assert (costs["gan"], costs["cohort"], costs["trial"]) == (200.0, 3.0, 50.0)


def test_a_stage_costs_what_its_recorded_steps_did_on_average(tree):
    plan, refs = tree
    stages = {step.stage for step in plan.steps.values()}
    costs = step_costs(plan, seconds={refs["a"]: 7.0})
    assert costs.keys() == plan.steps.keys()
    assert costs[refs["a"]] == 7.0
    assert len({(plan.steps[ref].stage, cost) for ref, cost in costs.items()}) == len(stages)


# --- stopping -----------------------------------------------------------------------------


def test_a_stop_lets_what_runs_end_and_begins_nothing(tree):
    plan, _ = tree
    store, stop, seen = MemoryStore(), Stop(), []

    def watch(progress):
        seen[:] = [progress]
        if len(progress.done) == 2:
            stop.request()

    executor = FakeExecutor(store, n_slots=2)
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, store, executor, watch, stop=stop)
    assert not executor.in_flight
    assert store.done == set(executor.submitted) == seen[0].done
    assert 2 < len(store.done) < len(plan.steps)
    run_plan(plan, store, again := FakeExecutor(store))
    assert not set(again.submitted) & set(executor.submitted)


def test_what_does_not_end_within_the_grace_is_left(tree):
    class Hanging(FakeExecutor):
        def wait(self):
            return []

    plan, _ = tree
    store, stop = MemoryStore(), Stop(grace_s=0.05)
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, store, Hanging(store), lambda p: stop.requested or stop.request(), stop=stop)
    assert not store.done


def test_a_step_that_was_handed_over_when_the_stop_came_does_not_begin(tmp_path):
    plan, refs = make(("a", ""))
    store, stop = ArtifactStore(tmp_path), Stop()
    executor = InlineExecutor(plan, Context(store, "cpu"), stop)
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, store, executor, lambda p: p.running and stop.request(), stop=stop)
    assert not store.has(refs["a"])
    assert not (tmp_path / ".work").exists()


def test_a_step_that_stopped_has_not_failed(tree):
    class Stopping(FakeExecutor):
        def wait(self):
            stop.request()
            return [Outcome(s.ref, "Stopped: it", is_stopped=True) for s in self.in_flight]

    plan, _ = tree
    store, stop, seen = MemoryStore(), Stop(), []
    with pytest.raises(KeyboardInterrupt):
        run_plan(plan, store, Stopping(store), seen.append, retries=3, stop=stop)
    assert not seen[-1].failed
    assert not seen[-1].running


def test_a_stop_after_the_last_step_changes_nothing(tree):
    plan, _ = tree
    store, stop = MemoryStore(), Stop()
    progress = run_plan(
        plan, store, FakeExecutor(store), lambda p: p.finished and stop.request(), stop=stop
    )
    assert progress.finished


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_asks_for_a_stop(number):
    of_the_tests = signal.signal(number, signal.default_int_handler)  # nohup ignores SIGHUP
    stop = Stop()
    try:
        with stop.listening():
            signal.raise_signal(number)
            assert stop.requested
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, of_the_tests)


def test_a_closed_terminal_does_not_stop_what_nohup_started():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop = Stop()
    try:
        with stop.listening():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not stop.requested


LEAVES = """
import signal, sys, time
from lussweep.backend.stop import Stop
signal.signal(signal.SIGHUP, signal.SIG_DFL)
stop = Stop()
with stop.listening():
    print("ready", flush=True)
    while not stop.requested:
        time.sleep(0.01)
    print("a report", flush=True)
    print("a warning", file=sys.stderr, flush=True)
raise SystemExit(7)
"""


def test_what_is_written_after_the_terminal_has_closed_ends_nothing():
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", LEAVES], stdout=theirs, stderr=theirs, env=environment()
    )
    os.close(theirs)
    assert b"ready" in os.read(ours, 100)
    os.close(ours)
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 7


def test_a_signal_breaks_off_what_keeps_no_checkpoint():
    stop = Stop()
    stop.breaks_off = True
    with stop.listening(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert stop.requested
