"""Decides which of the ready steps goes first. Changes no result.

A cell has an AUC-ROC only when its last step is done. If all generators went first and all trials
after them, no cell would have one before the end. Steps therefore go cell by cell, the cheapest
cells first. A step that many others wait for goes earlier than its cell, so that no GPU idles at
the end.
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
HEAD_START = 2.0
BATCH = 4.0
EARLY = 0.4
"""How much earlier than it must a step begin, in lengths of the longest chain that starts with it.
At 1 it would begin when only this chain is left, and most of the GPUs would idle meanwhile."""


class Priority(NamedTuple):
    """The place of a step among the ready ones. The least goes first."""

    batch: float
    minus_chain: float
    begin: float


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

    A step is due when its cell is, or HEAD_START times its longest chain before the end, if that is
    earlier. Steps of LAST_STAGES are due at once. So are gangs, before all others: each change
    between gangs and other steps leaves the cluster idle.
    """
    chain = longest_chains(plan, users, costs)
    begin, end = _begins(plan, costs, shares, done)
    longest = max((chain[ref] for ref in begin), default=0.0)
    end = max(end, longest)
    length = min(BATCH * longest, EARLY * end)
    last = int(end / length) - 1 if length else 0
    found = {}
    for ref in begin:
        step = plan.steps[ref]
        due = min(begin[ref], end - HEAD_START * chain[ref])
        batch: float = min(max(0, int(due / length)), last) if length else 0
        if step.stage in DATA_STAGES:
            batch = -3
        elif is_gang(step):
            batch = -2
        elif step.stage in LAST_STAGES:
            batch = -1
        found[ref] = Priority(batch, -chain[ref], begin[ref])
    return found


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
        added = _steps_of(plan, cell, done) - begin.keys()
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
