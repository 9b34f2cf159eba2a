"""The simulated clock: walls worked out by hand, and laws of any schedule."""

from __future__ import annotations

import random

import pytest

from lussweep.backend.admission import Resources
from lussweep.backend.simulated import simulate, wall_seconds
from lussweep.errors import InputError
from lussweep.study.coordinates import Coordinates
from lussweep.study.costs import Task, bounds, plan_tasks
from lussweep.study.plan import Cell, Plan, Step, Workers
from lussweep.study.spec import Recipe
from support.shares import SHARES

Told = tuple[str, float] | tuple[str, float, str]
"""Stage, seconds and the names of inputs."""


def made(
    told: dict[str, Told], *, fills_gpu: bool = False, n_workers: int = 1
) -> tuple[Plan, dict[str, Task]]:
    plan, refs, seconds = Plan(), {}, {}
    for name, (stage, s, *inputs) in told.items():
        workers = Workers(n_workers if stage == "gan" else 1, SHARES.get(stage, 0.0))
        parents = {i: refs[i] for i in " ".join(inputs).split()}
        refs[name] = plan.add(Step(stage, 1, {"name": name}, parents, name, workers))
        seconds[refs[name]] = s
    return plan, plan_tasks(plan, seconds, 1.0 if fills_gpu else None)


def wall(n_gpus: int, *, fills_gpu: bool = False, n_workers: int = 1, **told: Told) -> float:
    plan, tasks = made(told, fills_gpu=fills_gpu, n_workers=n_workers)
    return wall_seconds(plan, tasks, n_gpus)


def test_the_longest_chain_goes_first() -> None:
    """In the order in which they are planned, the small ones first, it would have been 9 s."""
    small = dict.fromkeys("xyz", ("gan", 2.0))
    assert wall(2, **small, a=("gan", 3), b=("gan", 4, "a")) == 7


def test_shares_of_a_gpu_run_beside_each_other_and_wholes_do_not() -> None:
    assert wall(1, **{f"t{i}": ("trial", 10.0) for i in range(5)}) == 20
    assert wall(1, a=("gan", 10), b=("trial", 10)) == 20


def test_trials_leave_a_whole_gpu_to_a_gan() -> None:
    """Both go to one GPU, though there are two for the two of them."""
    assert wall(2, q=("trial", 9), r=("trial", 9), w=("gan", 5)) == 9


def test_what_fills_a_gpu_alone_slows_what_runs_beside_it() -> None:
    """Of 10 and 20 s: at half speed until 20, then alone."""
    assert wall(1, fills_gpu=True, a=("trial", 10), b=("trial", 20)) == 30


def test_the_last_ones_do_not_share_a_gpu_while_another_idles() -> None:
    """Ten trials on two GPUs: eight at a quarter each take 40 s, the last two a GPU each."""
    trials = {f"t{i}": ("trial", 10.0) for i in range(10)}
    assert wall(2, fills_gpu=True, **trials) == 40 + 10


def test_steps_without_a_gpu_wait_for_their_inputs_alone() -> None:
    searches = {f"c{i}": ("search", 3.0) for i in range(10)}
    assert wall(1, **searches, g=("gan", 5), end=("search", 1, "g c0")) == 6


def test_a_gang_waits_for_all_and_needs_its_gpus() -> None:
    assert wall(3, n_workers=2, t=("trial", 4), gang=("gan", 3)) == 7
    with pytest.raises(InputError, match="2 workers with a GPU each, --gpus 1 has fewer"):
        wall(1, n_workers=2, gang=("gan", 3))


def test_what_is_done_takes_no_time() -> None:
    plan, tasks = made({"a": ("gan", 5), "b": ("trial", 3, "a")})
    first, last = plan.steps
    assert wall_seconds(plan, tasks, 1, done={first}) == 3
    assert wall_seconds(plan, tasks, 1, done={first, last}) == 0


@pytest.mark.parametrize("fills_gpu", [False, True])
def test_no_schedule_undercuts_the_bounds_and_wholes_keep_to_grahams(fills_gpu: bool) -> None:
    rng = random.Random(0)
    for whole in [True, False] * 40:
        names = [f"s{i}" for i in range(rng.randint(1, 25))]
        stages = ["gan"] if whole else ["gan", "trial", "evaluate", "search"]
        told: dict[str, Told] = {
            name: (rng.choice(stages), float(rng.randint(1, 9)),
                   " ".join(rng.sample(names[:i], min(i, rng.randint(0, 2)))))
            for i, name in enumerate(names)
        }  # fmt: skip
        plan, tasks = made(told, fills_gpu=fills_gpu)
        k = rng.randint(1, 4)
        believed = {ref: rng.random() for ref in plan.steps}
        found = simulate(plan, tasks, Resources(99, k), costs=believed)
        least = bounds(tasks, k)
        assert max(least.work_s, least.chain_s) <= least.no_less_s <= found.now_s + 1e-9
        assert found.gpu_busy_s == pytest.approx(sum(task.work_s for task in tasks.values()))
        if whole:
            assert found.now_s <= least.work_s + (1 - 1 / k) * least.chain_s + 1e-9


def test_random_plans_with_cells_come_to_an_end_on_few_cpus_and_gpus() -> None:
    """Whole GPUs, shares, gangs and steps on CPUs: none keeps another one back for ever."""
    rng = random.Random(1)
    stages = ("cohort", "gan", "trial", "search", "score", "synth", "evaluate")
    for n_workers in [1, 1, 2] * 40:
        names = [f"s{i}" for i in range(rng.randint(1, 30))]
        told: dict[str, Told] = dict.fromkeys(("a", "b"), ("shard", 1.0, ""))
        told |= {
            name: (rng.choice(stages), float(rng.randint(1, 9)),
                   " ".join(rng.sample(["a", "b", *names[:i]], rng.randint(0, 2))))
            for i, name in enumerate(names)
        }  # fmt: skip
        plan, tasks = made(told, n_workers=n_workers)
        recipe = Recipe(pos=("real",), neg=("real",))
        plan.cells = [
            Cell(Coordinates(1, i + 1, "baseline"), recipe, {"evaluate": ref})
            for i, ref in enumerate(rng.sample(list(plan.steps), min(4, len(names))))
        ]
        believed = {ref: rng.random() for ref in plan.steps}
        total = Resources(rng.choice([2, 8]), rng.choice([2, 3]))
        assert simulate(plan, tasks, total, costs=believed).ended_s.keys() == plan.steps.keys()
