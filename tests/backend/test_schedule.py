"""How long the paper's grid takes: the driver's loop and rule of admission on simulated GPUs."""

from __future__ import annotations

import pytest

from benchmarks.bench_schedule import assumed, paper_plan, simulate
from lussweep.backend.admission import Admission, GpuShares, Resources
from lussweep.backend.costs import TYPICAL_COST
from lussweep.plan import Plan, Step


@pytest.fixture(scope="module")
def paper() -> Plan:
    return paper_plan()


@pytest.mark.parametrize("n_gpus", [1, 4, 16])
def test_the_papers_grid_takes_a_tenth_more_than_the_least_at_most(
    paper: Plan, n_gpus: int
) -> None:
    found = simulate(paper, n_gpus, assumed(), TYPICAL_COST)
    assert found.no_less_s <= found.makespan_s, "faster than any schedule"
    assert 1 <= found.ratio <= 1.1


def test_with_more_gpus_than_gans_the_grid_waits_for_gans_and_whole_rounds_of_trials(
    paper: Plan,
) -> None:
    """No schedule comes within a tenth of the simple bound here."""
    whole = assumed(GpuShares(trial=1.0))
    found = simulate(paper, 64, whole, TYPICAL_COST)
    assert found.no_less_s > 1.1 * max(found.share_of_work_s, found.longest_chain_s)
    assert found.ratio_to_no_less <= 1.1


def test_the_order_is_what_makes_it_short() -> None:
    """Trials before GANs: the same grid takes a fifth longer."""
    plan = paper_plan(n_patients="[6]", variants="[baseline, pure_synthetic]")
    last = {"trial": 1e6, "gan": -1e6}
    assert simulate(plan, 16, assumed(), TYPICAL_COST).ratio_to_no_less <= 1.01
    assert simulate(plan, 16, assumed(), last).ratio_to_no_less > 1.2


# --- the rule of admission -----------------------------------------------------------------


def steps(stage: str, n: int, **spec: object) -> list[Step]:
    return [Step(stage, 1, {"i": i, **spec}) for i in range(n)]


def taken(admission: Admission, offered: list[Step]) -> int:
    """How many of the steps are accepted, one after another."""
    n = 0
    for step in offered:
        if not admission.accepts(step):
            break
        admission.begin(step)
        n += 1
    return n


@pytest.mark.parametrize(
    ("stage", "spec", "n"),
    [("gan", {"gan": {"n_workers": 1}}, 4 + 2), ("trial", {}, 16 + 2), ("search", {}, 32 + 2)],
)
def test_what_fits_and_two_more_are_taken(stage: str, spec: dict[str, object], n: int) -> None:
    admission = Admission([], Resources(cpus=32, gpus=4), GpuShares())
    offered = steps(stage, 50, **spec)
    assert taken(admission, offered) == n
    admission.end(offered[0].ref)
    assert taken(admission, offered[n:]) == 1


def test_shares_that_no_binary_number_holds_add_up() -> None:
    admission = Admission([], Resources(cpus=1000, gpus=1), GpuShares(trial=0.1))
    offered = steps("trial", 1000)
    for step in offered:  # a sum that is kept would drift
        assert admission.accepts(step)
        admission.begin(step)
        admission.end(step.ref)
    assert taken(admission, offered) == 12


def test_a_gang_waits_for_all_and_all_wait_for_it() -> None:
    admission = Admission([], Resources(cpus=8), GpuShares())
    (gang,) = steps("gan", 1, gan={"n_workers": 2})
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
    admission = Admission(shards, Resources(cpus=8), GpuShares())
    assert taken(admission, shards) == 2
    assert not admission.accepts(trial)
    for shard in shards:
        admission.end(shard.ref)
    assert admission.accepts(trial)
