"""Runs a plan: submits ready steps, waits until steps end, and unlocks the steps that need them."""

from __future__ import annotations

import heapq
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from lussweep.backend.order import step_costs
from lussweep.backend.priority import Priority, priorities
from lussweep.backend.stop import Stop
from lussweep.study.plan import Plan, Step

LOST_AGAIN = 5
"""How often a step is tried again after its process or node was lost, independent of `retries`. A
spot instance may be lost more than once, without a fault of the step. The limit stops a step that
kills its own process each time."""


@dataclass(frozen=True)
class Outcome:
    """How a submitted step ended."""

    ref: str
    error: str | None = None
    """One line; None if the step is done."""
    traceback: str = ""
    is_final: bool = False
    """Whether a retry would fail in the same way."""
    is_stopped: bool = False
    """Whether a stop request ended the step. It is then neither done nor failed."""
    is_lost: bool = False
    """Whether its process or node was lost before it could report."""


class BackendError(RuntimeError):
    """The backend itself broke. Finished steps stay done."""


class Executor(Protocol):
    """Runs steps somewhere. All implementations must produce the same tables."""

    def kind(self, step: Step) -> Hashable:
        """The kind of a step.

        `accepts` gives the same answer for all steps of one kind, so the loop asks once per kind.
        """
        ...

    def accepts(self, step: Step) -> bool:
        """Whether `step` could start soon. If not, the loop holds it back."""
        ...

    def share(self, step: Step) -> float:
        """The share of all resources that the step takes at least, from 0 to 1."""
        ...

    def submit(self, step: Step) -> None:
        """Start the step, or queue it. `wait` returns its outcome."""
        ...

    def forget(self, refs: Iterable[str]) -> None:
        """Note that these steps will not be submitted, because they are done or blocked."""
        ...

    def progress_text(self, ref: str) -> str:
        """The text by which a running step says how far it is; empty if it has set none."""
        ...

    def wait(self) -> list[Outcome]:
        """Block until a step ends, or for about a second. Returns the outcomes of ended steps.

        Called only while a step is in flight.
        """
        ...


class DoneSteps(Protocol):
    """What the loop asks of a store of artifacts."""

    def has(self, ref: str) -> bool:
        """Whether the step is done."""
        ...


@dataclass
class Progress:
    """The state of a plan that runs: refs of steps by state."""

    plan: Plan
    done_before: set[str] = field(default_factory=set)
    """Steps that were done before this run began."""
    done: set[str] = field(default_factory=set)
    """Steps that are done, with those of `done_before`."""
    running: set[str] = field(default_factory=set)
    latest: tuple[str, ...] = ()
    """The steps that the last `wait` reported as done."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds from submission to end of each step that this run has done, by ref."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """The expected relative durations of steps, by ref."""
    failed: dict[str, Outcome] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)
    """For each blocked step, the failed step that it waits for."""

    @property
    def finished(self) -> bool:
        """Whether every step is done, failed or blocked."""
        return len(self.done) + len(self.failed) + len(self.blocked) == len(self.plan.steps)


def run_plan(
    plan: Plan,
    store: DoneSteps,
    executor: Executor,
    on_change: Callable[[Progress], None] = lambda progress: None,
    *,
    retries: int = 0,
    lost_again: int = LOST_AGAIN,
    costs: Mapping[str, float] | None = None,
    stop: Stop | None = None,
) -> Progress:
    """Run every step that is not done, and return the progress at the end.

    A failed step blocks only its descendants. It is tried again up to `retries` times, unless its
    failure is final. A lost step is tried again up to `lost_again` times, counted apart from
    failures. `costs` are relative durations by ref, for the order and for the time left.

    Raises KeyboardInterrupt after a stop request, as soon as the running steps have ended or the
    grace is over. Raises BackendError if no ready step is accepted while nothing runs.
    """
    stop = stop or Stop()
    done_before = {ref for ref in plan.steps if store.has(ref)}
    progress = Progress(
        plan, done_before=done_before, done=set(done_before), costs=costs or step_costs(plan)
    )
    executor.forget(done_before)
    users = _users(plan)
    shares = {ref: executor.share(step) for ref, step in plan.steps.items()}
    ready = _Ready(plan, executor, priorities(plan, users, progress.costs, shares, done_before))
    waiting_for = {
        ref: sum(i not in done_before for i in step.inputs.values())
        for ref, step in plan.steps.items()
        if ref not in done_before
    }
    for ref, n in waiting_for.items():
        if n == 0:
            ready.add(ref)

    submitted_at: dict[str, float] = {}
    tried: dict[str, Counter[bool]] = defaultdict(Counter)
    """How often each step has failed (False) and was lost (True)."""
    while progress.running or (ready.n and not stop.requested):
        if stop.is_over:
            break
        if not stop.requested:
            for ref in ready.submit(is_idle=not progress.running):
                progress.running.add(ref)
                submitted_at[ref] = time.monotonic()
        if not progress.running:
            if stop.requested:  # requested since the check above
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
                    if user in done_before:  # its inputs may have been deleted after it was done
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
                    progress.failed[ref] = _with_attempts(outcome, tried[ref].total())
                    executor.forget(_block(ref, users, progress))
    on_change(progress)
    if stop.requested and not progress.finished:
        raise KeyboardInterrupt
    return progress


class _Ready:
    """Steps whose inputs are done: a heap for each kind, in the order of their priorities."""

    def __init__(self, plan: Plan, executor: Executor, priority: Mapping[str, Priority]) -> None:
        self.plan, self.executor, self.priority = plan, executor, priority
        self.position = {ref: i for i, ref in enumerate(plan.steps)}
        self.queues: dict[Hashable, list[tuple[Priority, int, str]]] = {}
        self.n = 0

    def add(self, ref: str) -> None:
        """Add a step that may now be submitted."""
        kind = self.executor.kind(self.plan.steps[ref])
        place = (self.priority[ref], self.position[ref], ref)
        heapq.heappush(self.queues.setdefault(kind, []), place)
        self.n += 1

    def submit(self, *, is_idle: bool) -> list[str]:
        """Submit accepted steps in the order of their priorities, and return their refs.

        A step that is not accepted keeps all later ones back, or a GAN would never find an empty
        GPU among trials. If nothing runs (`is_idle`), a step of another kind may go instead.
        """
        submitted: list[str] = []
        heads = [(queue[0], kind) for kind, queue in self.queues.items() if queue]
        heapq.heapify(heads)
        while heads:
            (_, _, ref), kind = heapq.heappop(heads)
            if not self.executor.accepts(self.plan.steps[ref]):
                if is_idle and not submitted:
                    continue
                break
            self.executor.submit(self.plan.steps[ref])
            submitted.append(ref)
            queue = self.queues[kind]
            heapq.heappop(queue)
            if queue:
                heapq.heappush(heads, (queue[0], kind))
        self.n -= len(submitted)
        return submitted


def _users(plan: Plan) -> dict[str, list[str]]:
    """For each step, the steps that take its artifact as an input, once per input."""
    users: dict[str, list[str]] = {ref: [] for ref in plan.steps}
    for ref, step in plan.steps.items():
        for parent in step.inputs.values():
            users[parent].append(ref)
    return users


def _with_attempts(outcome: Outcome, n_attempts: int) -> Outcome:
    """The outcome, with the number of attempts in its error if there were several."""
    if n_attempts == 1:
        return outcome
    return replace(outcome, error=f"{outcome.error} ({n_attempts} attempts)")


def _block(failed: str, users: Mapping[str, list[str]], progress: Progress) -> list[str]:
    """Mark the steps that need a failed one as blocked, and return their refs."""
    blocked, waiting = [], list(users[failed])
    while waiting:
        ref = waiting.pop()
        if ref not in progress.blocked and ref not in progress.done:
            progress.blocked[ref] = failed
            blocked.append(ref)
            waiting += users[ref]
    return blocked
