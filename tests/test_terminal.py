"""What the display says of a run under way."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lussweep.backend.driver import Progress
from lussweep.plan import Plan, Step
from lussweep.tables import RESULTS
from lussweep.terminal import interval_line, time_left


def plan_of(**counts: int) -> Plan:
    plan = Plan()
    for stage, n in counts.items():
        for i in range(n):
            plan.add(Step(stage, 1, {"i": i}))
    return plan


def test_no_guess_before_a_step_that_takes_time_is_done() -> None:
    plan = plan_of(cohort=2, gan=2)
    cohorts = {ref for ref in plan.steps if ref.startswith("cohort")}
    assert time_left(Progress(plan, done=cohorts, seconds={"cohort": [0.1, 0.1]}), 5.0) is None


def test_what_is_left_goes_at_the_pace_of_what_is_done() -> None:
    """Two at a time: 4 trials of 10 s took 20 s, so 6 more take 30 s."""
    plan = plan_of(trial=10)
    done = set(list(plan.steps)[:4])
    progress = Progress(plan, done=done, seconds={"trial": [10.0] * 4})
    assert time_left(progress, 20.0) == pytest.approx(30.0)


def test_a_stage_not_seen_yet_is_guessed_by_its_typical_cost() -> None:
    """A typical trial takes a quarter of a GAN."""
    plan = plan_of(gan=1, trial=4)
    done = {ref for ref in plan.steps if ref.startswith("gan")}
    progress = Progress(plan, done=done, seconds={"gan": [40.0]})
    assert time_left(progress, 40.0) == pytest.approx(40.0)


def test_failed_and_blocked_steps_are_not_waited_for() -> None:
    plan = plan_of(trial=4)
    first, second, third, _ = plan.steps
    progress = Progress(plan, done={first}, seconds={"trial": [10.0]}, blocked={third: second})
    progress.failed[second] = None  # type: ignore[assignment]
    assert time_left(progress, 10.0) == pytest.approx(10.0)


def test_the_width_of_the_intervals_is_told() -> None:
    bounds = [(0.80, 0.90), (0.60, 0.90), (0.70, 0.90)]
    rows = [
        {"status": "done", "auroc_low": low, "auroc_high": high, "confidence": 0.95}
        for low, high in bounds
    ]
    table = pa.Table.from_pylist([*rows, {"status": "failed"}], RESULTS)
    line = interval_line(table)
    assert line.startswith("A single cell's 95 % interval, over the holdout patients alone, is ")
    assert "0.20 wide (0.10 to 0.30)" in line
    assert interval_line(RESULTS.empty_table()) == "No cell is done yet."
