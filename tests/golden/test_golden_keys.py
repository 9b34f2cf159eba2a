"""Keys that must not change by accident: artifacts of earlier runs are found by them.

A change here means that earlier runs are computed anew. If that is meant, raise the version of
the stage, say so in CHANGELOG under "Changes results", and write the file again with

    PYTHONPATH=. python tests/golden/test_golden_keys.py
"""

import json
from pathlib import Path

import pytest

from lussweep.study.coordinates import Coordinates, Draw
from lussweep.study.keys import derive_seed, digest
from lussweep.study.plan import STAGES, Step, make_plan
from lussweep.study.spec import (
    PAPER_VARIANTS,
    ClassifierSpec,
    DataSpec,
    ExternalSpec,
    GanSpec,
    GridSpec,
    Manifest,
    PhantomSpec,
    PreprocessSpec,
    Recipe,
    ScoreSpec,
    SelectSpec,
    StudySpec,
    VggSearchSpec,
    Video,
)

pytestmark = pytest.mark.any_processor

FILE = Path(__file__).with_name("golden_keys.json")

LITERALS = {
    "null": None,
    "text": "consolidation",
    "numbers": [0, 1, -1, 0.5, 1e-5, True],
    "nested": {"b": {"d": [1, (2, 3)], "c": None}, "a": "é"},
}
COORDINATES = {
    "cohort": (2023, "cohort", 6, 1),
    "gan": (2023, "gan", "pos", 58, 3),
    "trial": (7, "cell", "classifier", 15, 2, 12),
    "nothing": (),
}
MADE = ExternalSpec(images="made/{class}", patients="made/patients.csv")
STUDY = StudySpec(
    name="golden",
    seed=7,
    data=DataSpec(
        phantom=PhantomSpec(frames_per_video=3), preprocess=PreprocessSpec(image_size=64)
    ),
    gan=GanSpec(n_epochs=4, snapshot_every=2, ngf=4, ndf=4),
    score=ScoreSpec(n_images=16, embedders=("imagenet", "detector")),
    select=SelectSpec(rule="best", metric="kmmd", embedder="imagenet", space="softmax"),
    classifier=ClassifierSpec(n_epochs=2),
    search=VggSearchSpec(n_trials=2),
    variants={
        **PAPER_VARIANTS,
        "made": Recipe(pos=("external",), neg=("real",), external=MADE),
    },
    grid=GridSpec(n_patients=(1, 2), replicates=2, variants=(*PAPER_VARIANTS, "made")),
)


class Images:
    """Images made elsewhere, as the plan sees them."""

    sha256, n_images, patients = "0123", 8, ("train-1-1", "train-1-2")


MANIFEST = Manifest(
    videos=tuple(
        Video(
            patient_id=f"{split}-{label}-{patient}",
            video_id=f"{split}-{label}-{patient}-{video}",
            label=label,
            split=split,
            sha256=digest([split, label, patient, video]),
            annotated_frames=(0, 2) if label and video == 1 else None,
        )
        for split in ("train", "val", "holdout")
        for label in (0, 1)
        for patient in (1, 2)
        for video in (1, 2)
    )
)


def steps_by_stage(phantom: bool) -> dict[str, Step]:
    """The steps behind one cell, one a stage, whatever the order of the plan."""
    made = {(MADE, Draw(n, replicate), "pos"): Images() for n in (1, 2) for replicate in (1, 2)}
    plan = make_plan(STUDY, MANIFEST, phantom=phantom, weights_digest="b627a593", external=made)
    wanted = Coordinates(2, 2, "pure_synthetic")
    cell = next(c for c in plan.cells if c.coordinates == wanted)
    search, train = plan.steps[cell.refs["search"]], plan.steps[cell.refs["cohort"]].inputs["train"]
    elsewhere = next(c for c in plan.cells if c.coordinates.variant == "made")
    refs = {
        "shard": plan.steps[train].inputs["train-1-1"],
        "ingest": train,
        "cohort": cell.refs["cohort"],
        "external": elsewhere.refs["external_pos"],
        "gan": cell.refs["gan_pos"],
        "features": plan.steps[cell.refs["score_pos"]].inputs["real_imagenet"],
        "score": cell.refs["score_pos"],
        "floor": cell.refs["floor_pos"],
        "synth": cell.refs["synth_pos"],
        "memorisation": cell.refs["memorisation_pos"],
        "trial": search.inputs["trial_002"],
        "search": cell.refs["search"],
        "evaluate": cell.refs["evaluate"],
    }
    return {stage: plan.steps[ref] for stage, ref in refs.items()}


def current() -> dict[str, dict[str, str | int]]:
    return {
        "digests": {name: digest(value) for name, value in LITERALS.items()},
        "seeds": {name: derive_seed(*at) for name, at in COORDINATES.items()},
        "phantom": {stage: s.key for stage, s in steps_by_stage(True).items()},
        "videos": {stage: s.key for stage, s in steps_by_stage(False).items()},
    }


@pytest.mark.parametrize("part", ["digests", "seeds", "phantom", "videos"])
def test_keys_and_seeds_are_what_they_always_were(part):
    frozen = json.loads(FILE.read_text())
    assert current()[part] == frozen[part], "see the head of this file before you change the other"


def test_every_stage_is_frozen():
    frozen = json.loads(FILE.read_text())
    assert set(frozen["phantom"]) == set(frozen["videos"]) == set(STAGES)


def test_a_raised_version_changes_the_key_of_each_stage():
    for step in steps_by_stage(True).values():
        assert Step(step.stage, step.version + 1, step.spec, step.inputs).key != step.key


if __name__ == "__main__":
    FILE.write_text(json.dumps(current(), indent=1) + "\n")
