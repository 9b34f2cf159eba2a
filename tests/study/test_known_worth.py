"""What a plan does with variants of known worth, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from lussweep.data.phantom import phantom_manifest
from lussweep.errors import InputError
from lussweep.study.plan import Cell, Plan, Step, make_plan
from lussweep.study.spec import (
    BUILT_IN,
    KNOWN_WORTH,
    PAPER_VARIANTS,
    ExternalSpec,
    GridSpec,
    PhantomSpec,
    Recipe,
    StudySpec,
    ValSpec,
    VggSearchSpec,
    load_study,
)

PHANTOM = PhantomSpec(train_patients=60, val_patients=3, holdout_patients=2)
STUDY = load_study("""
name: known
data: {phantom: {train_patients: 60, val_patients: 3, holdout_patients: 2}}
variants: {oversample: {pos: [real, real], neg: [real]}}
""")
MANIFEST = phantom_manifest(PHANTOM, STUDY.seed)


def plan_of(*variants: str, n_patients: tuple[int, ...] = (2, 3), replicates: int = 2,
            phantom: bool = True, only: dict[str, list[str]] | None = None,
            **changes: Any) -> Plan:  # fmt: skip
    grid = GridSpec(n_patients=n_patients, replicates=replicates, variants=variants)
    changed = {"grid": grid, "search": VggSearchSpec(n_trials=1)} | changes
    return make_plan(STUDY.model_copy(update=changed), MANIFEST, phantom=phantom, only=only)


def cell(plan: Plan, variant: str, n: int = 2, replicate: int = 1) -> Cell:
    (found,) = [
        c
        for c in plan.cells
        if (c.coordinates.variant, c.coordinates.n_patients, c.coordinates.replicate)
        == (variant, n, replicate)
    ]
    return found


def trial(plan: Plan, variant: str, n: int = 2) -> Step:
    search = plan.steps[cell(plan, variant, n).refs["search"]]
    return plan.steps[search.inputs["trial_001"]]


def problems(*variants: str, **axes: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        plan_of(*variants, **axes)
    return list(caught.value.problems)


# --- the variants ---------------------------------------------------------------------------


def test_every_experiment_has_the_variants_of_known_worth_beside_those_of_the_paper() -> None:
    assert {*PAPER_VARIANTS, *KNOWN_WORTH} == set(BUILT_IN) == set(StudySpec(name="a").variants)
    own = load_study("{name: a, variants: {again: {pos: [real, real], neg: [real]}}}")
    assert own.variants["again"] == Recipe(pos=("real", "real"), neg=("real",)), "a file may"


def test_another_seed_offset_changes_the_seeds_of_the_classifier_and_nothing_else() -> None:
    plan = plan_of("baseline", "again")
    first, second = trial(plan, "baseline"), trial(plan, "again")
    differ = {name for name in first.spec if first.spec[name] != second.spec[name]}
    assert differ == {"search_seed", "seed"}
    assert first.spec.keys() == second.spec.keys()
    assert first.inputs == second.inputs, "the same patients"


def test_sets_of_known_worth_are_shared_and_have_a_card_but_no_generator() -> None:
    plan = plan_of("baseline", "ideal", "doubled", "memoriser")
    ideal, doubled, memoriser = (cell(plan, name) for name in ("ideal", "doubled", "memoriser"))
    assert ideal.refs["synth_pos"] == doubled.refs["synth_pos"] != doubled.refs["synth_neg"]
    assert ideal.refs["synth_pos"] not in (
        memoriser.refs["synth_pos"], cell(plan, "ideal", replicate=2).refs["synth_pos"],
    )  # fmt: skip
    for found, label in ((ideal, "pos"), (doubled, "neg"), (memoriser, "pos")):
        card = plan.steps[found.refs[f"memorisation_{label}"]]
        assert card.inputs["synth"] == found.refs[f"synth_{label}"]
        assert not found.refs.keys() & {f"gan_{label}", f"score_{label}"}
    assert set(plan.counts()) == {
        "shard", "ingest", "cohort", "synth", "memorisation", "trial", "search", "evaluate",
    }  # fmt: skip
    holdout = {ref for ref, s in plan.steps.items() if s.spec.get("split") == "holdout"}
    made = [ref for ref, step in plan.steps.items() if step.stage == "synth"]
    assert not holdout & plan.ancestors(*made)


def test_a_set_does_not_depend_on_the_number_of_frames_of_a_generator() -> None:
    synth = STUDY.synth.model_copy(update={"ratio": 2.0})
    first, second = plan_of("memoriser"), plan_of("memoriser", synth=synth)
    assert cell(first, "memoriser").refs == cell(second, "memoriser").refs


def test_masks_replace_the_frames_of_training_validation_and_holdout() -> None:
    plan = plan_of("baseline", "mask_only")
    for variant, shown in (("baseline", None), ("mask_only", "mask")):
        evaluate = plan.steps[cell(plan, variant).refs["evaluate"]]
        assert trial(plan, variant).spec.get("frames") == evaluate.spec.get("frames") == shown


# --- validation patients --------------------------------------------------------------------


def test_validation_can_have_as_many_patients_as_the_cohort() -> None:
    small = {"small": Recipe(pos=("real",), neg=("real",), val=ValSpec(n_patients="cohort"))}
    plan = plan_of("baseline", "small", variants=STUDY.variants | small)
    for n in (2, 3):
        assert trial(plan, "small", n).spec["val"]["n_patients"] == n
        assert trial(plan, "baseline", n).spec["val"]["n_patients"] is None
    number = plan_of("baseline", val=ValSpec(n_patients=2))
    assert trial(number, "baseline").key == trial(plan, "small").key, "the key is of the number"


def test_the_detector_is_selected_on_all_validation_patients() -> None:
    plan = plan_of("combined", val=ValSpec(n_patients="cohort"))
    (detector,) = [s for s in plan.steps.values() if s.name == "trial 1 detector"]
    assert detector.spec["val"]["n_patients"] is None


def test_a_variant_takes_from_the_validation_of_the_study_what_it_leaves_out() -> None:
    own = "variants: {small: {pos: [real], neg: [real], val: {n_patients: cohort}}}"
    study = load_study(f"name: a\nval: {{frames_per_video: 2}}\n{own}")
    wanted = ValSpec(frames_per_video=2, n_patients="cohort")
    assert study.val_of(study.variants["small"]) == wanted
    assert study.val_of(study.variants["baseline"]) == ValSpec(frames_per_video=2)


def test_a_cohort_larger_than_the_validation_split_is_one_line_a_class() -> None:
    small = {"small": Recipe(pos=("real",), neg=("real",), val=ValSpec(n_patients="cohort"))}
    lines = problems("small", n_patients=(2, 5), variants=STUDY.variants | small)
    assert lines == [
        f"validation of 5 {word} patients needed, 3 in the val split: lower grid.n_patients"
        for word in ("negative", "positive")
    ]


# --- what is refused ------------------------------------------------------------------------


def test_variants_of_simulated_patients_are_refused_on_other_data() -> None:
    lines = problems("baseline", "ideal", "doubled", "again", phantom=False)
    assert lines == [
        f"{name} needs new simulated patients, and these data are not the phantom's: leave it out "
        "of grid.variants"
        for name in ("ideal", "doubled")
    ]
    plan_of("baseline", "again", "memoriser", "mask_only", "oversample", phantom=False)
    plan_of("baseline", "ideal", phantom=False, only={"variant": ["baseline"]})


def test_more_new_patients_than_the_simulator_makes_are_refused() -> None:
    lines = problems("ideal", "doubled", n_patients=(50, 51), replicates=100)
    assert lines == [
        "10100 new patients of each class needed for ideal and doubled, the simulator makes at "
        "most 10000: lower grid.n_patients or grid.replicates"
    ]


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("{pos: [real, simulated, copies], neg: [real]}", "pos has both simulated and copies"),
        ("{pos: [synthetic, copies], neg: [real]}", "pos has both synthetic and copies frames"),
        ("{pos: [real, noise], neg: [real], frames: mask}", "frames: mask is for real frames"),
        ("{pos: [real, copies], neg: [real], labels: shuffled}", "labels: shuffled is for real"),
        ("{pos: [real], neg: [real], seed_offset: -1}", "seed_offset"),
        ("{pos: [real], neg: [real], val: {n_patients: all}}", "n_patients"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(recipe: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_study(f"{{name: a, variants: {{x: {recipe}}}}}")


def test_other_images_cannot_have_the_name_of_a_source() -> None:
    with pytest.raises(ValueError, match="copies is a source of its own"):
        ExternalSpec(images="a", patients="b", name="copies")
