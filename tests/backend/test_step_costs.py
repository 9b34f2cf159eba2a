"""What the driver believes of a step before it has run: more work takes longer."""

from __future__ import annotations

from typing import Any

import pytest

from lussweep.backend.order import TYPICAL_COST, expected_frames, step_costs
from lussweep.data.phantom import phantom_manifest
from lussweep.study.costs import Frames, work
from lussweep.study.plan import Plan, make_plan
from lussweep.study.spec import load_study
from support.commands import TINY

FRAMES = Frames({2: 16, 3: 24, None: 32}, val=30, holdout=48)


@pytest.fixture(scope="module")
def plan() -> Plan:
    study = load_study(TINY).with_embedders(False)
    assert study.data.phantom is not None
    return make_plan(study, phantom_manifest(study.data.phantom, study.seed), phantom=True)


def gan_costs(plan: Plan, costs: dict[str, float]) -> dict[int, float]:
    return {
        plan.steps[step.inputs["cohort"]].spec["n_patients"]: costs[ref]
        for ref, step in plan.steps.items()
        if step.stage == "gan"
    }


def test_steps_of_a_stage_cost_in_proportion_to_their_work_and_its_typical_cost_on_average(
    plan: Plan,
) -> None:
    costs = step_costs(plan, FRAMES)
    for stage, typical in TYPICAL_COST.items():
        known = {ref: costs[ref] for ref, step in plan.steps.items() if step.stage == stage}
        assert sum(known.values()) / len(known) == pytest.approx(typical)
        rates = {c / work(plan.steps[ref], plan.steps, FRAMES) for ref, c in known.items()}
        assert max(rates) == pytest.approx(min(rates))
    found = gan_costs(plan, costs)
    assert found[3] / found[2] == pytest.approx(24 / 16)


def test_the_smallest_gans_tell_what_the_others_take(plan: Plan) -> None:
    small = next(
        ref
        for ref, step in plan.steps.items()
        if step.stage == "gan" and plan.steps[step.inputs["cohort"]].spec["n_patients"] == 2
    )
    found = gan_costs(plan, step_costs(plan, FRAMES, {small: 8.0}))
    assert found == {2: pytest.approx(8.0), 3: pytest.approx(12.0)}
    assert set(gan_costs(plan, step_costs(plan, None, {small: 8.0})).values()) == {8.0}


COUNTED = {"train": 80, "val": 30, "holdout": 48}
"""Frames."""


class Data:
    """A store with data of a plan in it, and nothing else."""

    def __init__(self, plan: Plan, *splits: str) -> None:
        self.told = {
            ref: {"n_frames": COUNTED[step.spec["split"]]}
            for ref, step in plan.steps.items()
            if step.stage == "ingest" and step.spec["split"] in splits
        }

    def has(self, ref: str) -> bool:
        return ref in self.told

    def record(self, ref: str) -> dict[str, Any]:
        return {"summary": self.told[ref]}


def test_before_cohorts_are_drawn_their_frames_go_in_proportion_to_patients(plan: Plan) -> None:
    found = expected_frames(plan, Data(plan, *COUNTED))  # type: ignore[arg-type]
    assert found == Frames({2: 20.0, 3: 30.0, None: 40.0}, 30, 48)  # of 8 patients
    assert expected_frames(plan, Data(plan, "train", "val")) is None  # type: ignore[arg-type]
