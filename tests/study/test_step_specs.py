"""The typed specs of steps hold what a plan writes."""

from __future__ import annotations

import pytest

from lussweep.data.phantom import phantom_manifest
from lussweep.study.plan import Step, make_plan
from lussweep.study.plan.step_specs import STEP_SPECS
from lussweep.study.spec import load_study
from support.commands import TINY

STUDY = load_study(TINY, overrides=["search.sampler=tpe", "synth.n_images=4"]).with_embedders(False)
PLAN = make_plan(STUDY, phantom_manifest(STUDY.data.phantom, 1), phantom=True)
ONE_OF_EACH = {step.stage: step for step in PLAN.steps.values()}


@pytest.mark.parametrize("stage", sorted(STEP_SPECS.keys() & ONE_OF_EACH.keys()))
def test_every_field_of_a_step_has_its_place(stage: str) -> None:
    steps = [step for step in PLAN.steps.values() if step.stage == stage]
    for step in steps:
        typed = STEP_SPECS[stage].of(step)
        assert len(typed.model_fields_set) == len(step.spec)


def test_a_field_that_no_stage_reads_is_refused() -> None:
    step = ONE_OF_EACH["trial"]
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        STEP_SPECS["trial"].of(Step("trial", 1, {**step.spec, "warm_up": 3}))


def test_a_trial_knows_the_search_of_its_kind() -> None:
    typed = STEP_SPECS["trial"].of(ONE_OF_EACH["trial"])
    assert typed.search_spec().space() == STUDY.search.space()  # type: ignore[attr-defined]
