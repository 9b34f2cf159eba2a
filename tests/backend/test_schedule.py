"""How long the paper's grid takes: the driver's loop and rule of admission on simulated GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.bench_schedule import (
    assumed,
    of_run,
    paper_plan,
    quickstart,
    simulated,
    simulated_on_cores,
)
from lussweep.backend.admission import Admission, Resources
from lussweep.study.plan import Plan, Step, Workers
from support.shares import SHARES, sharing


@pytest.fixture(scope="module")
def paper() -> Plan:
    return paper_plan()


@pytest.mark.parametrize("n_gpus", [1, 4, 16])
@pytest.mark.parametrize("by_size", [False, True])
def test_the_papers_grid_takes_a_tenth_more_than_the_least_at_most(
    paper: Plan, n_gpus: int, by_size: bool
) -> None:
    found = simulated(assumed(paper, by_size=by_size), n_gpus)
    assert found.least.no_less_s <= found.makespan_s + 1e-6, "faster than any schedule"
    assert found.ratio <= 1.1


def test_with_more_gpus_than_gans_no_schedule_comes_near_the_simple_bound(paper: Plan) -> None:
    """All wait for the GANs, then come whole rounds of trials: within a tenth of that."""
    for plan in (paper, sharing(paper, trial=1.0)):
        found = simulated(assumed(plan), 64)
        assert found.least.no_less_s > 1.1 * max(found.least.work_s, found.least.chain_s)
        assert found.ratio_to_no_less <= 1.1


@pytest.mark.parametrize("n_gpus", [1, 4, 16, 64])
@pytest.mark.parametrize("by_size", [False, True])
def test_after_half_of_the_time_two_fifths_of_the_cells_have_an_auroc(
    paper: Plan, n_gpus: int, by_size: bool
) -> None:
    """Or as many as any schedule has: with 64 GPUs and all GANs alike, no GAN ends before that."""
    found = simulated(assumed(paper, by_size=by_size), n_gpus)
    possible = found.early_at_most()
    assert found.early() >= min(0.4, possible)
    assert possible >= 0.4 or (n_gpus == 64 and not by_size)


def test_results_of_the_quickstart_come_early_on_two_cores() -> None:
    found = simulated_on_cores(quickstart(), 2)
    assert found.ratio <= 1.1
    assert found.early(0.25) >= 0.2
    assert found.early() >= 0.4


def test_steps_that_take_other_times_than_expected_delay_it_little(paper: Plan) -> None:
    for n_gpus in (1, 4):
        found = simulated(assumed(paper, by_size=True).disturbed(0.25), n_gpus)
        assert found.ratio <= 1.1
        assert found.early() >= 0.4


def test_the_order_is_what_makes_it_short() -> None:
    """Trials that need no GAN before the GANs: the same grid takes a fifth longer."""
    plan = paper_plan(n_patients="[6]", variants="[baseline, pure_synthetic]")
    case = assumed(plan)
    needs_no_gan = {
        ref: step.stage == "trial" and not step.name.endswith("pure_synthetic")
        for ref, step in plan.steps.items()
    }
    believed = {ref: 100.0 if needed else 1.0 for ref, needed in needs_no_gan.items()}
    assert simulated(case, 16).ratio_to_no_less <= 1.03
    assert simulated(case.believing("the opposite", believed), 16).ratio_to_no_less > 1.2


def test_a_finished_run_takes_what_its_records_say(uninterrupted: Path) -> None:
    """On one GPU its work, and beside it the steps on CPUs; then the paper's grid at its pace."""
    own, *_, paper = of_run(uninterrupted)
    found = simulated(own, 1)
    on_cpu = sum(task.seconds for task in own.tasks.values() if not task.gpu_share)
    assert found.least.work_s <= found.makespan_s <= found.least.work_s + on_cpu + 1e-6
    assert simulated(paper, 16).ratio <= 1.1


# --- the rule of admission -----------------------------------------------------------------


def steps(stage: str, n: int, gpus: float | None = None, n_workers: int = 1) -> list[Step]:
    workers = Workers(n_workers, SHARES.get(stage, 0.0) if gpus is None else gpus)
    return [Step(stage, 1, {"i": i}, workers=workers) for i in range(n)]


def taken(admission: Admission, offered: list[Step]) -> int:
    """How many of the steps are accepted, one after another."""
    n = 0
    for step in offered:
        if not admission.accepts(step):
            break
        admission.begin(step)
        n += 1
    return n


@pytest.mark.parametrize(("stage", "n"), [("gan", 4), ("trial", 16 + 2), ("search", 32 + 2)])
def test_what_fits_and_two_more_are_taken(stage: str, n: int) -> None:
    offered = steps(stage, 50)
    admission = Admission(offered, Resources(cpus=32, gpus=4))
    assert taken(admission, offered) == n
    admission.end(offered[0].ref)
    assert taken(admission, offered[n:]) == 1


def test_shares_that_no_binary_number_holds_add_up() -> None:
    offered = steps("trial", 1012, gpus=0.1)
    admission = Admission(offered, Resources(cpus=2000, gpus=1))
    for step in offered[:-12]:  # a sum that is kept would drift
        assert admission.accepts(step)
        admission.begin(step)
        admission.end(step.ref)
    assert taken(admission, offered[-12:]) == 12 - 2, (
        "of the last round nothing is handed over ahead"
    )


def test_a_gang_waits_for_all_and_all_wait_for_it() -> None:
    admission = Admission([], Resources(cpus=8))
    (gang,) = steps("gan", 1, n_workers=2)
    first, second = steps("trial", 2)
    admission.begin(first)
    assert not admission.accepts(gang)
    assert not admission.accepts(second), "it would keep the gang waiting"
    admission.end(first.ref)
    assert admission.accepts(gang)
    admission.begin(gang)
    assert not admission.accepts(second)
    admission.end(gang.ref)
    assert admission.accepts(second)


def test_shards_go_before_all_that_tune_runs() -> None:
    shards, (trial,) = steps("shard", 2), steps("trial", 1)
    admission = Admission(shards, Resources(cpus=8))
    assert taken(admission, shards) == 2
    assert not admission.accepts(trial)
    for shard in shards:
        admission.end(shard.ref)
    assert admission.accepts(trial)


# --- more of a GPU -------------------------------------------------------------------------


def shares_given(n_steps: int, n_gpus: int) -> list[float]:
    """Of trials that are all that is left, until no more are accepted."""
    offered = steps("trial", n_steps)
    admission = Admission(
        offered,
        Resources(cpus=1000, gpus=n_gpus),
    )
    given = []
    for step in offered:
        if not admission.accepts(step):
            break
        given.append(admission.begin(step).gpus)
    return given


@pytest.mark.parametrize(
    ("n_steps", "shares"),
    [
        (1, [1]),
        (4, [1] * 4),
        (5, [1] * 3 + [1 / 2] * 2),
        (8, [1 / 2] * 8),
        (9, [1 / 2] * 6 + [1 / 3] * 3),
        (13, [1 / 3] * 9 + [1 / 4] * 4),
        (16, [1 / 4] * 16),
        (100, [1 / 4] * 18),
    ],
)
def test_all_gpus_are_shared_out_to_what_is_left(n_steps: int, shares: list[float]) -> None:
    assert shares_given(n_steps, 4) == pytest.approx(shares, abs=2e-4)


def test_nothing_spreads_over_gpus_that_gans_are_about_to_take() -> None:
    gans, trials = steps("gan", 2), steps("trial", 4)
    admission = Admission([*gans, *trials], Resources(cpus=99, gpus=4))
    assert admission.begin(trials[0]).gpus == 0.5, "four on two GPUs"
    assert [admission.begin(gan).gpus for gan in gans] == [1, 1]
    assert [admission.begin(trial).gpus for trial in trials[1:]] == [0.5] * 3


def test_what_is_tried_again_counts_once() -> None:
    (trial,) = steps("trial", 1)
    admission = Admission([trial], Resources(cpus=9, gpus=2))
    for _ in range(2):
        assert admission.begin(trial).gpus == 1
        admission.end(trial.ref)
    assert not admission.granted


def test_what_others_have_done_holds_nothing_up() -> None:
    """Shards that another driver has made, and a GAN that is blocked."""
    shards, (trial,) = steps("shard", 2), steps("trial", 1)
    (gan,) = steps("gan", 1)
    admission = Admission([*shards, trial, gan], Resources(cpus=8, gpus=1))
    assert not admission.accepts(trial)
    admission.forget([step.ref for step in shards])
    assert admission.accepts(trial)
    assert admission.begin(trial).gpus == SHARES["trial"], "the GPU is kept for the GAN"
    admission.end(trial.ref)
    admission.forget([gan.ref])
    assert admission.begin(trial).gpus == 1.0


def test_the_last_step_asks_for_no_more_of_a_gpu_than_is_free() -> None:
    trials, (late,) = steps("trial", 3), steps("memorisation", 1)
    admission = Admission([*trials, late], Resources(cpus=99, gpus=1))
    handed = [admission.begin(step).gpus for step in trials]
    assert handed == pytest.approx([1 / 3] * 3, abs=2e-4)
    admission.end(trials[0].ref)
    assert admission.begin(late).gpus == pytest.approx(1 / 3, abs=2e-4)
