"""The time left of a run: a range that holds while another load comes and goes."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from benchmarks.bench_schedule import quickstart, simulated_on_cores
from lussweep.backend.driver import Progress
from lussweep.backend.progress import FIRST_S, time_left
from lussweep.backend.time_range import TimeRange
from lussweep.study.plan import Plan, Step


def plan_of(**counts: int) -> Plan:
    plan = Plan()
    for stage, n in counts.items():
        for i in range(n):
            plan.add(Step(stage, 1, {"i": i}))
    return plan


@pytest.fixture(autouse=True)
def _from_the_first_second(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs of these tests are short. One test has the first minute as it is."""
    if "first_minute" not in request.node.name:
        monkeypatch.setattr("lussweep.backend.progress.FIRST_S", 0.0)


def test_the_first_minute_has_no_time_left() -> None:
    plan = plan_of(trial=10)
    seconds = dict.fromkeys(list(plan.steps)[:2], 5.0)
    progress = Progress(plan, done=set(seconds), seconds=seconds)
    assert time_left(progress, FIRST_S - 1) is None
    assert time_left(progress, FIRST_S) is not None


def seconds_of(progress: Progress, elapsed_s: float) -> float:
    """The middle of the range, by ratio."""
    left = time_left(progress, elapsed_s)
    assert left is not None
    assert left.low_s < left.high_s
    return float(np.sqrt(left.low_s * left.high_s))


def test_no_guess_before_a_step_that_takes_time_is_done() -> None:
    plan = plan_of(cohort=2, gan=2)
    seconds = {ref: 0.1 for ref in plan.steps if ref.startswith("cohort")}
    assert time_left(Progress(plan, done=set(seconds), seconds=seconds), 5.0) is None


def test_what_is_left_goes_at_the_pace_of_what_is_done() -> None:
    """Two at a time: 4 trials of 10 s took 20 s, so 6 more take 30 s."""
    plan = plan_of(trial=10)
    seconds = dict.fromkeys(list(plan.steps)[:4], 10.0)
    progress = Progress(plan, done=set(seconds), seconds=seconds)
    assert seconds_of(progress, 20.0) == pytest.approx(30.0, rel=0.01)


def test_half_of_what_runs_is_done() -> None:
    """Two at a time: 4 trials of 10 s are done and 2 are half done, after 25 s."""
    plan = plan_of(trial=10)
    refs = list(plan.steps)
    seconds = dict.fromkeys(refs[:4], 10.0)
    progress = Progress(plan, done=set(seconds), seconds=seconds, running=set(refs[4:6]))
    assert seconds_of(progress, 25.0) == pytest.approx(25.0, rel=0.01)


def test_a_stage_not_seen_yet_is_guessed_by_its_typical_cost() -> None:
    """A typical trial takes a quarter of a GAN. It may take twice, or half as long."""
    plan = plan_of(gan=1, trial=4)
    seconds = {ref: 40.0 for ref in plan.steps if ref.startswith("gan")}
    progress = Progress(plan, done=set(seconds), seconds=seconds)
    assert seconds_of(progress, 40.0) == pytest.approx(40.0, rel=0.01)
    left = time_left(progress, 40.0)
    assert left is not None
    assert left.low_s <= 20 and left.high_s >= 80


def test_the_largest_steps_go_first_and_those_left_are_known_to_be_smaller() -> None:
    """A trial of 30 s is done; two of a third of its size take 20 s."""
    plan = plan_of(trial=3)
    first, *small = plan.steps
    costs = {first: 6.0, **dict.fromkeys(small, 2.0)}
    progress = Progress(plan, done={first}, seconds={first: 30.0}, costs=costs)
    assert seconds_of(progress, 30.0) == pytest.approx(20.0, rel=0.01)


def test_failed_and_blocked_steps_are_not_waited_for() -> None:
    plan = plan_of(trial=4)
    first, second, third, _ = plan.steps
    progress = Progress(plan, done={first}, seconds={first: 10.0}, blocked={third: second})
    progress.failed[second] = None  # type: ignore[assignment]
    assert seconds_of(progress, 10.0) == pytest.approx(10.0, rel=0.01)


def test_nothing_is_said_when_nothing_is_left() -> None:
    plan = plan_of(trial=2)
    seconds = dict.fromkeys(plan.steps, 10.0)
    assert time_left(Progress(plan, done=set(seconds), seconds=seconds), 20.0) is None


@pytest.mark.parametrize(
    ("low_s", "high_s", "text"),
    [
        (480, 700, "8 to 12 min"),
        (170, 184, "3 min"),
        (40, 150, "1 to 2 min"),
        (0, 9, "0 to 9 s"),
        (7_500, 9_900, "2.1 to 2.8 h"),
        (3_600, 7_200, "1 to 2 h"),
        (86_400, 20 * 86_400, "1 to 20 d"),
    ],
)
def test_the_range_is_said_in_one_unit(low_s: float, high_s: float, text: str) -> None:
    assert str(TimeRange(low_s, high_s)) == text


def test_a_range_shrinks_while_nothing_is_heard() -> None:
    assert TimeRange(5.0, 60.0).after(20.0) == (0.0, 40.0)
    assert TimeRange(5.0, 60.0).after(3.0) == (2.0, 57.0)
    assert TimeRange(5.0, 60.0).after(60.0) is None


# --- under another load --------------------------------------------------------------------


def wall_times(own_s: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A load that comes and goes at random: own seconds of the run, and the clock at these.

    While it is there, the run is 2 to 5 times as slow. Without it, the run takes `own_s`. The load
    stays and stays away for 2 to 30 % of that in the mean.
    """
    rng = random.Random(seed)
    slowness = rng.uniform(2, 5)
    means = [own_s * 0.02 * 15 ** rng.random() for _ in range(2)]
    own, wall, is_loaded = [0.0], [0.0], rng.random() < 0.5
    while own[-1] < own_s:
        lasts = rng.expovariate(1 / means[is_loaded])
        own.append(own[-1] + lasts / (slowness if is_loaded else 1.0))
        wall.append(wall[-1] + lasts)
        is_loaded = not is_loaded
    return np.array(own), np.array(wall)


def ranges(seed: int, *, loaded: bool) -> Iterator[tuple[TimeRange, float]]:
    """The time left that a simulated quickstart on two cores shows, with the true one.

    Each step takes a time that differs by a quarter from what is expected.
    """
    case = quickstart().disturbed(0.25, seed)
    executor = simulated_on_cores(case, 2).executor
    own, wall = wall_times(executor.now_s, seed) if loaded else ([0.0, 1e9], [0.0, 1e9])

    def at(own_s: float) -> float:
        return float(np.interp(own_s, own, wall))

    began = {ref: at(s) for ref, s in executor.started_s.items()}
    ended = {ref: at(s) for ref, s in executor.ended_s.items()}
    last = max(ended.values())
    for part in np.arange(0.1, 0.96, 0.05):
        now = part * last
        done = [ref for ref, end in ended.items() if end <= now]  # in the order of their ends
        progress = Progress(
            case.plan,
            done=set(done),
            running={ref for ref, begin in began.items() if begin <= now} - set(done),
            seconds={ref: ended[ref] - began[ref] for ref in done},
            costs=case.costs,
        )
        left = time_left(progress, now)
        assert left is not None
        yield left, last - now


@pytest.mark.parametrize(
    ("loaded", "least_held", "most_wide"), [(False, 0.95, 1.6), (True, 0.80, 3.0)]
)
def test_the_true_end_lies_within_the_range(
    loaded: bool, least_held: float, most_wide: float
) -> None:
    """Bounds chosen before the first simulation; the rule was tuned on other seeds."""
    found = [pair for seed in range(10) for pair in ranges(seed, loaded=loaded)]
    held = [left.low_s <= true_s <= left.high_s for left, true_s in found]
    assert np.mean(held) >= least_held
    assert np.median([left.high_s / left.low_s for left, _ in found]) <= most_wide
