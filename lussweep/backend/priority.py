"""Decides which of the ready steps goes first. Changes no result.

A cell has an AUC-ROC only when its last step is done. If all generators went first and all trials
after them, no cell would have one before the end. Cells therefore go in batches, the cheapest cells
first. Within a batch the longest chains of steps go first, so that no GPU waits for one of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

from lussweep.backend.admission import is_gang
from lussweep.study.plan import DATA_STAGES, Cell, Plan

LAST_STAGES = ("search", "evaluate", "features", "score", "floor", "memorisation")
"""Stages that end a cell. Their steps are short and go as soon as they are ready."""
BATCH = 4.0
"""Length of a batch, in lengths of the longest chain of steps. Between two batches GPUs idle: each
must be empty before it takes a GAN again."""
FIRST_BATCH = 0.4
"""Longest first batch, as a part of the run. It leaves room to end before half of the time."""
DATA_FIRST, GANGS_FIRST, LAST_STAGES_FIRST = -3, -2, -1
"""Batches before all others."""


class Priority(NamedTuple):
    """The place of a step among the ready ones. The least goes first."""

    batch: int
    minus_chain: float
    """The cost of the longest chain of steps that starts with the step, negative."""
    begin: float
    """When its cell begins, if cells go one after another."""


def priorities(
    plan: Plan,
    users: Mapping[str, Collection[str]],
    costs: Mapping[str, float],
    shares: Mapping[str, float],
    done: Collection[str] = (),
) -> dict[str, Priority]:
    """The priority of each step that is not done, by ref.

    `users`: the steps that use each step. `costs`: expected durations. `shares`: the share of all
    resources that each step takes. Times are in the unit of `costs`, from the start of the run, as
    if the resources were always full.

    Gangs go before all cells, because each change between gangs and other steps leaves the cluster
    idle.
    """
    left = {ref: 0.0 if ref in done else cost for ref, cost in costs.items()}
    chain = longest_chains(plan, users, left)
    begin, end = _begins(plan, costs, shares, done)
    length = _batch_length(max((chain[ref] for ref in begin), default=0.0), end)
    last = int(end / length) - 1 if length else 0  # the rest belongs to the last whole batch

    def batch(ref: str) -> int:
        step = plan.steps[ref]
        if step.stage in DATA_STAGES:
            return DATA_FIRST
        if is_gang(step):
            return GANGS_FIRST
        if step.stage in LAST_STAGES:
            return LAST_STAGES_FIRST
        return min(int(begin[ref] / length), last) if length else 0

    return {ref: Priority(batch(ref), -chain[ref], begin[ref]) for ref in begin}


def _batch_length(longest: float, end: float) -> float:
    """The length of a batch: all of the run if the longest chain would not fit after the first."""
    if longest > (1 - FIRST_BATCH) * end:
        return end
    return min(BATCH * longest, FIRST_BATCH * end)


def longest_chains(
    plan: Plan, users: Mapping[str, Collection[str]], costs: Mapping[str, float]
) -> dict[str, float]:
    """The cost of the longest chain of steps that starts with each step."""
    chain: dict[str, float] = {}
    for ref in reversed(plan.steps):  # inputs stand before users
        chain[ref] = costs[ref] + max((chain[user] for user in users[ref]), default=0.0)
    return chain


def _begins(
    plan: Plan,
    costs: Mapping[str, float],
    shares: Mapping[str, float],
    done: Collection[str],
) -> tuple[dict[str, float], float]:
    """When the cell of each step begins, if cells go one after another, and when the last one ends.

    The cheapest cells go first, each after the steps that it shares with an earlier one. Data steps
    begin at 0, because every cell needs them. Steps of no cell come last.
    """
    n_cells: Counter[str] = Counter()
    for cell in plan.cells:
        n_cells.update(_steps_of(plan, cell, done))
    work = {ref: costs[ref] * shares[ref] for ref in plan.steps if ref not in done}

    def share_of_work(cell: Cell) -> float:
        # The exact sum, because the order of a set changes from process to process.
        return math.fsum(work[ref] / n_cells[ref] for ref in _steps_of(plan, cell, done))

    begin = {ref: 0.0 for ref in work if plan.steps[ref].stage in DATA_STAGES}
    now = math.fsum(work[ref] for ref in begin)
    for cell in sorted(plan.cells, key=share_of_work):
        added = [ref for ref in _steps_of(plan, cell, done) if ref not in begin]
        begin |= dict.fromkeys(added, now)
        now += math.fsum(work[ref] for ref in added)
    of_no_cell = work.keys() - begin.keys()
    end = now + math.fsum(work[ref] for ref in of_no_cell)
    return begin | dict.fromkeys(of_no_cell, end), end


def _steps_of(plan: Plan, cell: Cell, done: Collection[str]) -> set[str]:
    """The steps that the cell needs and that are not done, without data steps."""
    found: set[str] = set()
    waiting = list(cell.refs.values())
    while waiting:
        ref = waiting.pop()
        step = plan.steps[ref]
        if ref not in found and ref not in done and step.stage not in DATA_STAGES:
            found.add(ref)
            waiting += step.inputs.values()
    return found
