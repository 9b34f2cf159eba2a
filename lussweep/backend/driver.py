"""The one driver loop: ready steps -> submit -> wait -> unlock. It holds no GPU and no data."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from lussweep.plan import Plan, Step
from lussweep.store import ArtifactStore

TYPICAL_COST = {
    "gan": 20.0, "trial": 5.0, "score": 3.0, "evaluate": 1.0, "features": 1.0, "memorisation": 1.0,
    "synth": 0.5,
}  # fmt: skip
"""Rough relative durations: only the order of submission depends on them, no result does."""


@dataclass(frozen=True)
class Outcome:
    """How a submitted step ended; `error` is one line, None when the artifact is there."""

    ref: str
    error: str | None = None
    traceback: str = ""


class BackendError(RuntimeError):
    """The backend itself broke; what is done stays done."""


class Executor(Protocol):
    """Runs steps somewhere. Both implementations must give the same tables."""

    def accepts(self, step: Step) -> bool:
        """Whether `step` could start about now; the loop holds it back otherwise."""
        ...

    def submit(self, step: Step) -> None: ...

    def wait(self) -> list[Outcome]:
        """Blocks until something ends; called only while something is in flight."""
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
    seconds: dict[str, list[float]] = field(default_factory=dict)
    """By stage, from submission to end of the steps done by this run."""
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
) -> Progress:
    """Do every step that is not done. A failed step blocks only its descendants."""
    found = {ref for ref in plan.steps if store.has(ref)}
    progress = Progress(plan, found=found, done=set(found))
    users = _users(plan)
    rank = _critical_path(plan, users)
    waiting_for = {
        ref: sum(i not in found for i in step.inputs.values())
        for ref, step in plan.steps.items()
        if ref not in found
    }
    ready = sorted((ref for ref, n in waiting_for.items() if n == 0), key=lambda r: -rank[r])

    submitted_at: dict[str, float] = {}
    while ready or progress.running:
        held_back = []
        for ref in ready:
            if executor.accepts(plan.steps[ref]):
                executor.submit(plan.steps[ref])
                progress.running.add(ref)
                submitted_at[ref] = time.monotonic()
            else:
                held_back.append(ref)
        ready = held_back
        on_change(progress)
        ended = executor.wait()
        progress.latest = tuple(outcome.ref for outcome in ended if outcome.error is None)
        for outcome in ended:
            progress.running.discard(outcome.ref)
            if outcome.error is None:
                progress.done.add(outcome.ref)
                elapsed = time.monotonic() - submitted_at[outcome.ref]
                progress.seconds.setdefault(plan.steps[outcome.ref].stage, []).append(elapsed)
                for user in users[outcome.ref]:
                    if user in found:  # done earlier, whatever has become of its inputs
                        continue
                    waiting_for[user] -= 1
                    if waiting_for[user] == 0 and user not in progress.blocked:
                        ready.append(user)
            else:
                progress.failed[outcome.ref] = outcome
                _block(outcome.ref, users, progress)
        ready.sort(key=lambda r: -rank[r])
    on_change(progress)
    return progress


def _users(plan: Plan) -> dict[str, list[str]]:
    """For each step, those that take its artifact as an input, once per input."""
    users: dict[str, list[str]] = {ref: [] for ref in plan.steps}
    for ref, step in plan.steps.items():
        for parent in step.inputs.values():
            users[parent].append(ref)
    return users


def _critical_path(plan: Plan, users: dict[str, list[str]]) -> dict[str, float]:
    """The cost of the longest chain of steps that starts with each step."""
    rank: dict[str, float] = {}
    for ref in reversed(plan.steps):  # inputs stand before users
        cost = TYPICAL_COST.get(plan.steps[ref].stage, 0.1)
        rank[ref] = cost + max((rank[user] for user in users[ref]), default=0.0)
    return rank


def _block(failed: str, users: dict[str, list[str]], progress: Progress) -> None:
    waiting = list(users[failed])
    while waiting:
        ref = waiting.pop()
        if ref not in progress.blocked and ref not in progress.done:
            progress.blocked[ref] = failed
            waiting += users[ref]
