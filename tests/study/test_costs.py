"""Costs of small plans, worked out by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lussweep.data.phantom import phantom_manifest
from lussweep.errors import InputError
from lussweep.run.measuring import measured_run
from lussweep.study.costs import (
    VAL_SHARE,
    CostLine,
    Frames,
    Measured,
    Task,
    bounds,
    estimate,
    fit_line,
    step_seconds,
    unknown_gans,
    work,
)
from lussweep.study.plan import Plan, make_plan
from lussweep.study.spec import StudySpec, load_study
from support.commands import TINY

FRAMES = Frames({2: 16, 3: 24, None: 32}, val=30, holdout=48)


def study_of(*changes: str) -> StudySpec:
    return load_study(TINY, overrides=list(changes)).with_embedders(False)


def plan_of(*changes: str) -> Plan:
    study = study_of(*changes)
    assert study.data.phantom is not None
    return make_plan(study, phantom_manifest(study.data.phantom, study.seed), phantom=True)


def own_gan(values: str) -> str:
    recipe = f"{{pos: [real, synthetic], neg: [real], gan: {{{values}}}}}"
    return f"variants.combined={recipe}"


def works(plan: Plan, stage: str) -> dict[str, float]:
    return {s.name: work(s, plan.steps, FRAMES) for s in plan.steps.values() if s.stage == stage}


# --- work ---------------------------------------------------------------------------------


def test_work_is_counted_in_images_and_frames() -> None:
    """At n = 3 there are F = 24 frames a class; 2 epochs everywhere, a snapshot after each."""
    plan = plan_of("grid.n_patients=[3]")
    assert works(plan, "gan") == {"GAN pos n=3 r=1": 2 * 24, "GAN neg n=3 r=1": 2 * 24}
    assert works(plan, "score")["scores pos n=3 r=1"] == 2 * 8
    assert works(plan, "features")["features pos n=3 r=1 detector"] == 8
    assert works(plan, "synth")["synthetic pos n=3 r=1"] == 24
    assert works(plan, "memorisation")["memorisation pos n=3 r=1"] == 24 + 24 + 48
    assert set(works(plan, "evaluate").values()) == {48}
    trials = works(plan, "trial")
    val = VAL_SHARE * 30
    assert trials["trial 1 n=3 r=1 baseline"] == pytest.approx(2 * (2 * 24 + val))
    assert trials["trial 1 n=3 r=1 combined"] == pytest.approx(2 * (2 * 48 + val))
    assert trials["trial 1 n=3 r=1 pure_synthetic"] == pytest.approx(2 * (2 * 24 + val))
    assert trials["trial 1 detector"] == pytest.approx(2 * (2 * 32 + val))


def test_budgets_in_images_take_the_place_of_the_cohorts_frames() -> None:
    plan = plan_of(
        "gan.images_per_epoch=100", "gan.n_workers=2", "classifier.images_per_epoch=60",
        "synth.ratio=3", own_gan("conditional: true, images_per_epoch: null"),
    )  # fmt: skip
    gans = works(plan, "gan")
    assert gans["GAN pos n=2 r=1"] == 2 * 100 / 2
    assert next(w for name, w in gans.items() if "both n=2" in name) == 2 * 2 * 16 / 2
    assert works(plan, "synth")["synthetic pos n=2 r=1"] == 48
    assert works(plan, "trial")["trial 1 n=2 r=1 combined"] == pytest.approx(2 * (60 + 10))


def test_a_count_that_was_not_measured_goes_in_proportion_to_its_patients() -> None:
    assert FRAMES.of_cohort(10) == pytest.approx(10 * (16 + 24) / 5)
    assert Frames({2: 16}, 1, 1).of_cohort(None) == 16


# --- seconds ------------------------------------------------------------------------------


def test_the_line_through_two_amounts_of_work_tells_what_is_fixed() -> None:
    assert fit_line([(10, 7.0), (20, 12.0)]) == CostLine(2.0, 0.5)
    assert fit_line([(10, 7.0), (10, 9.0)]) == CostLine(0.0, 0.8)


@pytest.mark.parametrize("points", [[(10, 1.0), (20, 5.0)], [(10, 5.0), (20, 1.0)], [(0, 3.0)]])
def test_no_part_of_a_line_is_negative(points: list[tuple[float, float]]) -> None:
    line = fit_line(points)
    assert line.fixed_s >= 0
    assert line.slope_s >= 0


def measured(plan: Plan, per_work: float, fixed: float = 0.0) -> Measured:
    seconds = {
        ref: fixed + per_work * work(step, plan.steps, FRAMES) for ref, step in plan.steps.items()
    }
    return Measured(plan.steps, seconds, FRAMES, FRAMES, "RUN (cuda of host)")


def test_a_longer_study_costs_what_its_images_cost_in_the_shorter_one() -> None:
    """Two patient counts tell fixed seconds from those of images, so ten times the epochs come out
    to the digit."""
    long = plan_of("gan.n_epochs=20", "classifier.n_epochs=20")
    found = step_seconds(long, measured(plan_of(), per_work=0.25, fixed=3.0))
    gans = [ref for ref in long.steps if ref.startswith(("gan/", "trial/"))]
    for ref in gans:
        expected = 3.0 + 0.25 * work(long.steps[ref], long.steps, FRAMES)
        assert found[ref] == pytest.approx(expected)


def test_gans_of_each_architecture_have_a_line_of_their_own() -> None:
    change = own_gan("r1_gamma: 1.0")
    plan = plan_of(change)
    known = measured(plan, 1.0)
    slow = {
        ref: s * (3 if plan.steps[ref].spec.get("gan", {}).get("r1_gamma") else 1)
        for ref, s in known.seconds.items()
    }
    known = Measured(plan.steps, slow, FRAMES, FRAMES, "RUN")
    found = step_seconds(plan, known)
    assert all(found[ref] == pytest.approx(s) for ref, s in slow.items() if ref.startswith("gan/"))
    assert unknown_gans(plan, known) == 0
    assert unknown_gans(plan_of(change, "gan.ngf=4"), known) == 6


def test_a_stage_that_nobody_measured_is_named() -> None:
    short = plan_of("grid.variants=[baseline]")
    with pytest.raises(InputError, match=r"RUN \(cuda of host\) has no GANs, no features of"):
        step_seconds(plan_of(), measured(short, 1.0))


# --- bounds -------------------------------------------------------------------------------


def least(tasks: dict[str, Task], n_gpus: int) -> float:
    return bounds(tasks, n_gpus).no_less_s


def test_the_simple_bounds_are_the_work_shared_out_and_the_longest_chain() -> None:
    tasks = {
        "a": Task(3, 1), "b": Task(4, 1, inputs=("a", "done elsewhere")), "c": Task(7, 0.25),
        "g": Task(2, 1, n_workers=2), "x": Task(1, 0, inputs=("b",)),
    }  # fmt: skip
    found = bounds(tasks, 2)
    assert (found.work_s, found.chain_s) == ((3 + 4 + 7 / 4 + 2 * 2) / 2, 3 + 4 + 1)


def test_five_equal_steps_on_two_gpus_take_three_rounds() -> None:
    assert least({str(i): Task(10, 1) for i in range(5)}, 2) == 30
    assert least({str(i): Task(10, 0.25) for i in range(9)}, 2) == 20
    assert least({str(i): Task(10, 0.25, fills=1.0) for i in range(5)}, 2) == 30


def test_work_counts_between_what_stands_before_and_behind_it() -> None:
    tasks = {"data": Task(7), **{str(i): Task(10, 1, inputs=("data",)) for i in range(4)}}
    tasks |= {f"end {i}": Task(2, 0, inputs=(str(i),)) for i in range(4)}
    assert least(tasks, 2) == 7 + 20 + 2
    early = {"early": Task(1, 1)}  # its tail is none, and it needs no data
    assert least(tasks | early, 2) == 7 + 20 + 2


def test_of_nothing_and_of_cpus_alone() -> None:
    assert least({}, 4) == 0
    assert least({"a": Task(3), "b": Task(4, inputs=("a",))}, 4) == 7


# --- the whole ----------------------------------------------------------------------------


def test_sharing_is_what_cells_would_have_cost_alone() -> None:
    """One hour a step. 8 cells: 2 counts x (baseline, combined, positive, pure) have 0 + 1 + 1 + 2
    GANs each, 2 of them different; a cell has 2 trials and 6 of 8 cells want the detector's 2. Two
    counts of two classes have 4 floors, on 2 features of all training patients."""
    plan = plan_of().on_whole_gpus()
    found = estimate(plan, dict.fromkeys(plan.steps, 3600.0), (), 4, wall_s=7200.0)
    costs = {cost.stage: cost for cost in found.stages}
    assert (costs["gan"].gpu_hours, costs["gan"].unshared_gpu_hours) == (4, 8)
    assert (costs["trial"].gpu_hours, costs["trial"].unshared_gpu_hours) == (18, 16 + 12)
    assert (costs["evaluate"].gpu_hours, costs["evaluate"].unshared_gpu_hours) == (8, 8)
    assert costs["shard"].gpu_hours == 0
    assert found.total("gpu_hours") == 4 * 4 + 4 + 6 + 18 + 8
    assert found.price(2.5) == 4 * 2 * 2.5


def test_what_is_done_costs_nothing_more() -> None:
    plan = plan_of()
    seconds = dict.fromkeys(plan.steps, 3600.0)
    last = [ref for ref in plan.steps if ref.startswith("evaluate/")][-1]
    found = estimate(plan, seconds, plan.steps.keys() - {last}, 4, wall_s=3600.0)
    assert (found.bounds.chain_s, found.bounds.work_s) == (3600, 3600 * 0.25 / 4)
    assert found.total("left_gpu_hours") == 0.25
    assert found.total("gpu_hours") > 1


def test_what_was_measured_alone_does_not_know_how_trials_share_a_gpu() -> None:
    from lussweep.cli.plan import notes_on

    plan, shared, whole = plan_of(), study_of(), study_of("search.gpus_per_trial=1")
    alone = replace(measured(plan, 1.0), alone=True)
    assert "as quick as one alone" in notes_on(shared, plan, alone, [])[0]
    assert notes_on(shared, plan, measured(plan, 1.0), []) == []
    assert notes_on(whole, plan, alone, []) == []


@pytest.mark.parametrize(
    "wrong",
    [
        *({"inputs": inputs} for inputs in (None, [], {"gan": 5}, {"gan": ["gan/01"]})),
        {"circumstances": None},
        {"stage": "gan", "spec": {}},
        {"stage": "gan", "spec": {"gan": []}},
    ],
    ids=repr,
)
def test_a_record_with_a_wrong_part_is_damaged(tmp_path: Path, wrong: dict[str, object]) -> None:
    (tmp_path / "run.json").write_text("{}")
    record = {
        "stage": "synth", "version": 1, "spec": {}, "inputs": {}, "name": "", "key": "01",
        "circumstances": {}, **wrong,
    }  # fmt: skip
    path = tmp_path / "artifacts" / str(record["stage"]) / "0123456789abcdef" / "record.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"record\.json is damaged"):
        measured_run(tmp_path)
