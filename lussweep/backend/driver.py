"""The one driver loop: ready steps -> submit -> wait -> unlock. It holds no GPU and no data."""

from __future__ import annotations

import heapq
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from lussweep.backend.order import step_costs
from lussweep.backend.stop import Stop
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import Plan, Step

LOST_AGAIN = 5
"""How often a step whose process or node was lost is tried again, whatever `retries` says. A spot
instance may be taken away more than once, which is no fault of the step; a step that ends its own
process each time must come to an end all the same."""


@dataclass(frozen=True)
class Outcome:
    """How a submitted step ended; `error` is one line, None when the artifact is there."""

    ref: str
    error: str | None = None
    traceback: str = ""
    is_final: bool = False
    """It would fail in the same way again."""
    is_stopped: bool = False
    """It was asked to stop: neither done nor failed."""
    is_lost: bool = False
    """Its process or node went before it could say anything."""


class BackendError(RuntimeError):
    """The backend itself broke; what is done stays done."""


class Executor(Protocol):
    """Runs steps somewhere. All implementations must give the same tables."""

    def kind(self, step: Step) -> Hashable:
        """Steps of one kind are accepted or refused alike: one that is held back is asked for
        all of them."""
        ...

    def accepts(self, step: Step) -> bool:
        """Whether `step` could start about now; the loop holds it back otherwise."""
        ...

    def submit(self, step: Step) -> None: ...

    def forget(self, refs: Iterable[str]) -> None:
        """Steps that will not be submitted after all: done by others, or blocked."""
        ...

    def progress_text(self, ref: str) -> str:
        """The text by which a running step says how far it is; empty if it has set none."""
        ...

    def wait(self) -> list[Outcome]:
        """Blocks until something ends, or for a second or so; called only while something is in
        flight."""
        ...


@dataclass
class Progress:
    """What a display needs: refs by state. `done` includes what an earlier run had done."""

    plan: Plan
    found: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)
    latest: tuple[str, ...] = ()
    """The steps that have just been done."""
    seconds: dict[str, float] = field(default_factory=dict)
    """By ref, from submission to end of the steps done by this run."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """By ref, what a step is expected to take beside others."""
    failed: dict[str, Outcome] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)
    """Ref to the failed ref that it waits for."""

    @property
    def finished(self) -> bool:
        return len(self.done) + len(self.failed) + len(self.blocked) == len(self.plan.steps)


def run_plan(
    plan: Plan,
    store: ArtifactStore,
    executor: Executor,
    on_change: Callable[[Progress], None] = lambda progress: None,
    *,
    retries: int = 0,
    lost_again: int = LOST_AGAIN,
    costs: Mapping[str, float] | None = None,
    stop: Stop | None = None,
) -> Progress:
    """Do every step that is not done. A failed step blocks only its descendants.

    A step that fails is tried again up to `retries` times, unless it would only fail again; one
    that is lost up to `lost_again` times, which do not count against the others.
    `costs` are durations by ref, for the order and for the time left.

    Raises KeyboardInterrupt when `stop` asks for it, once what runs has ended or the grace is over.
    """
    stop = stop or Stop()
    found = {ref for ref in plan.steps if store.has(ref)}
    progress = Progress(plan, found=found, done=set(found), costs=costs or step_costs(plan))
    executor.forget(found)
    users = _users(plan)
    ready = _Ready(plan, executor, _critical_path(plan, users, progress.costs))
    waiting_for = {
        ref: sum(i not in found for i in step.inputs.values())
        for ref, step in plan.steps.items()
        if ref not in found
    }
    for ref, n in waiting_for.items():
        if n == 0:
            ready.add(ref)

    submitted_at: dict[str, float] = {}
    tried: dict[str, Counter[bool]] = defaultdict(Counter)
    """How often each step has failed, and been lost."""
    while progress.running or (ready.n and not stop.requested):
        if stop.is_over:
            break
        if not stop.requested:
            for ref in ready.submit():
                progress.running.add(ref)
                submitted_at[ref] = time.monotonic()
        if not progress.running:
            if stop.requested:  # between two looks at it
                break
            raise BackendError("steps are ready, and none of them is accepted")
        on_change(progress)
        ended = executor.wait()
        progress.latest = tuple(outcome.ref for outcome in ended if outcome.error is None)
        for outcome in ended:
            ref = outcome.ref
            progress.running.discard(ref)
            if outcome.error is None:
                progress.done.add(ref)
                progress.seconds[ref] = time.monotonic() - submitted_at[ref]
                for user in users[ref]:
                    if user in found:  # done earlier, whatever has become of its inputs
                        continue
                    waiting_for[user] -= 1
                    if waiting_for[user] == 0 and user not in progress.blocked:
                        ready.add(user)
            elif outcome.is_stopped:
                continue
            else:
                tried[ref][outcome.is_lost] += 1
                allowed = lost_again if outcome.is_lost else retries
                if tried[ref][outcome.is_lost] <= allowed and not outcome.is_final:
                    ready.add(ref)
                else:
                    progress.failed[ref] = _told(outcome, tried[ref].total())
                    executor.forget(_block(ref, users, progress))
    on_change(progress)
    if stop.requested and not progress.finished:
        raise KeyboardInterrupt
    return progress


class _Ready:
    """Steps whose inputs are there: a heap for each kind, the longest chain first."""

    def __init__(self, plan: Plan, executor: Executor, rank: Mapping[str, float]) -> None:
        self.plan, self.executor, self.rank = plan, executor, rank
        self.position = {ref: i for i, ref in enumerate(plan.steps)}
        self.queues: dict[Hashable, list[tuple[float, int, str]]] = {}
        self.n = 0

    def add(self, ref: str) -> None:
        kind = self.executor.kind(self.plan.steps[ref])
        place = (-self.rank[ref], self.position[ref], ref)
        heapq.heappush(self.queues.setdefault(kind, []), place)
        self.n += 1

    def submit(self) -> list[str]:
        """Hand over what is accepted, by rank; what is held back is not looked at again."""
        submitted = []
        heads = [(queue[0], kind) for kind, queue in self.queues.items() if queue]
        heapq.heapify(heads)
        while heads:
            (_, _, ref), kind = heapq.heappop(heads)
            if not self.executor.accepts(self.plan.steps[ref]):
                continue
            self.executor.submit(self.plan.steps[ref])
            submitted.append(ref)
            queue = self.queues[kind]
            heapq.heappop(queue)
            if queue:
                heapq.heappush(heads, (queue[0], kind))
        self.n -= len(submitted)
        return submitted


def _users(plan: Plan) -> dict[str, list[str]]:
    """For each step, those that take its artifact as an input, once per input."""
    users: dict[str, list[str]] = {ref: [] for ref in plan.steps}
    for ref, step in plan.steps.items():
        for parent in step.inputs.values():
            users[parent].append(ref)
    return users


def _critical_path(
    plan: Plan, users: Mapping[str, list[str]], costs: Mapping[str, float]
) -> dict[str, float]:
    """The cost of the longest chain of steps that starts with each step."""
    rank: dict[str, float] = {}
    for ref in reversed(plan.steps):  # inputs stand before users
        rank[ref] = costs[ref] + max((rank[user] for user in users[ref]), default=0.0)
    return rank


def _told(outcome: Outcome, n_attempts: int) -> Outcome:
    """A failure that says how often it was tried."""
    if n_attempts == 1:
        return outcome
    return replace(outcome, error=f"{outcome.error} ({n_attempts} attempts)")


def _block(failed: str, users: Mapping[str, list[str]], progress: Progress) -> list[str]:
    """What cannot be done any more."""
    blocked, waiting = [], list(users[failed])
    while waiting:
        ref = waiting.pop()
        if ref not in progress.blocked and ref not in progress.done:
            progress.blocked[ref] = failed
            blocked.append(ref)
            waiting += users[ref]
    return blocked
