"""The short study whose steps say what those of a study cost."""

from __future__ import annotations

import pytest

from lussweep.data.phantom import phantom_manifest
from lussweep.run.calibration import _few_patients, _short_plan
from lussweep.study.plan import make_plan
from lussweep.study.plan.step_specs import TrialStep
from lussweep.study.spec import load_study

pytestmark = pytest.mark.any_processor

STUDY = """
name: short
data: {{phantom: {{train_patients: 4, val_patients: 6, holdout_patients: 4}}}}
variants:
  few_val: {{pos: [real, synthetic], neg: [real], val: {{n_patients: {n}, frames_per_video: 1}}}}
grid: {{n_patients: [3], replicates: 1, variants: [few_val]}}
"""


@pytest.mark.parametrize("n", ["5", "cohort"])
def test_a_variant_may_ask_for_more_validation_patients_than_the_short_study_has(n: str) -> None:
    study = load_study(STUDY.format(n=n))
    assert study.data.phantom is not None
    manifest = phantom_manifest(study.data.phantom, study.seed)
    requested = make_plan(study, manifest, phantom=True)
    short = _short_plan(study, requested, _few_patients(manifest, 3), n_epochs=1, seed=0)
    trials = [TrialStep.of(step) for step in short.steps.values() if step.stage == "trial"]
    assert {(trial.val.n_patients, trial.val.frames_per_video) for trial in trials} == {
        (None, 1),  # the cell
        (None, None),  # the detector
    }
