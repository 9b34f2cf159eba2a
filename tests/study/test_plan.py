import pickle
import random

import pytest

from lussweep.errors import InputError, LeakageError
from lussweep.study.coordinates import Coordinates, Draw
from lussweep.study.keys import digest, hashed_id
from lussweep.study.plan import STAGES, Plan, Step, make_data_plan, make_plan
from lussweep.study.spec import (
    PAPER_VARIANTS,
    ClassifierSpec,
    CohortSpec,
    ComputeSpec,
    DataSpec,
    ExternalSpec,
    GanSpec,
    GridSpec,
    HealthSpec,
    Manifest,
    MemorisationSpec,
    PreprocessSpec,
    Recipe,
    ScoreSpec,
    SelectSpec,
    StudySpec,
    SynthSpec,
    ValSpec,
    VggSearchSpec,
    Video,
)

N_POOL = 58
SIZES = {"train": N_POOL, "val": 3, "holdout": 4}


def make_manifest(sizes=None, path=None) -> Manifest:
    """`sizes` patients of each class in each split, two videos each."""
    return Manifest(
        videos=tuple(
            Video(
                patient_id=f"{split}-{label}-{patient:03d}",
                video_id=f"{split}-{label}-{patient:03d}-{video}",
                label=label,
                split=split,
                sha256=digest([split, label, patient, video]),
                path=path,
            )
            for split, n in (sizes or SIZES).items()
            for label in (0, 1)
            for patient in range(n)
            for video in (1, 2)
        )
    )


MANIFEST = make_manifest()
PAPER = StudySpec(name="paper", score=ScoreSpec(embedders=("imagenet", "detector")))
SMALL = PAPER.model_copy(
    update={"grid": GridSpec(n_patients=(2, 3), replicates=2), "search": VggSearchSpec(n_trials=2)}
)


def plan_of(study=SMALL, manifest=MANIFEST, **changes) -> Plan:
    study = study.model_copy(update=changes)
    return make_plan(study, manifest, phantom=False, weights_digest="b627a593")


def refs(plan: Plan, *stages: str) -> set[str]:
    return {ref for ref, step in plan.steps.items() if step.stage in stages}


def steps(plan: Plan, stage: str) -> list[Step]:
    return [step for step in plan.steps.values() if step.stage == stage]


def cell_of(plan: Plan, n, replicate, variant, epoch=None):
    (found,) = [c for c in plan.cells if c.coordinates == Coordinates(n, replicate, variant, epoch)]
    return found


@pytest.fixture(scope="module")
def paper() -> Plan:
    return plan_of(PAPER)


# --- the grid of the paper ----------------------------------------------------------------


def test_the_grid_of_the_paper_has_sixty_cells_and_thirty_gans(paper):
    assert len(paper.cells) == 60
    counts = paper.counts()
    assert counts == {
        "shard": 2 * (58 + 3 + 4),
        "ingest": 3,
        "cohort": 15 + 1,
        "gan": 30,
        "features": 2 * 30 + 2 * (2 + 2),  # floors of n = 6 are of fewer patients
        "score": 30,
        "floor": 2 * 5,
        "synth": 30,
        "memorisation": 30,
        "trial": 12 * 61,
        "search": 60 + 1,
        "evaluate": 60,
    }
    assert set(counts) == set(STAGES) - {"external"}
    labels = [step.spec["class"] for step in steps(paper, "gan")]
    assert (labels.count("pos"), labels.count("neg")) == (15, 15)


def test_no_gan_is_trained_for_the_baseline():
    plan = plan_of(grid=GridSpec(n_patients=(2,), variants=("baseline",)))
    assert not refs(plan, "gan", "features", "score", "floor", "synth", "memorisation")
    assert len(refs(plan, "search")) == 3, "and there is nothing to score, so no detector"


def test_the_three_synthetic_variants_share_one_positive_gan_and_its_frames(paper):
    for n in PAPER.grid.n_patients:
        for replicate in (1, 2, 3):
            cells = [
                cell_of(paper, n, replicate, v)
                for v in ("combined", "positive_synthetic", "pure_synthetic")
            ]
            for role in ("cohort", "gan_pos", "synth_pos", "score_pos"):
                assert len({cell.refs[role] for cell in cells}) == 1


def test_each_ref_of_a_cell_is_a_step_of_the_plan(paper):
    for cell in paper.cells:
        assert set(cell.refs.values()) <= set(paper.steps)
        assert {"cohort", "search", "evaluate"} <= set(cell.refs)
    assert len({cell.refs["evaluate"] for cell in paper.cells}) == 60


def test_inputs_come_before_the_steps_that_use_them(paper):
    seen: set[str] = set()
    for ref, step in paper.steps.items():
        assert set(step.inputs.values()) <= seen, step.name
        assert ref == step.ref
        seen.add(ref)


def test_the_cells_of_a_step_are_those_that_reach_it(paper):
    for roles in ((), ("evaluate",)):
        own = []
        for cell in paper.cells:
            asked = [cell.refs[role] for role in roles or cell.refs]
            own.append(set(asked).union(*map(paper.ancestors, asked)))
        found = dict(paper.cells_by_step(*roles))
        assert found.keys() == paper.steps.keys()
        for ref, cells in found.items():
            assert cells == {i for i, reached in enumerate(own) if ref in reached}, ref


def test_the_ancestors_of_several_steps_are_those_of_each(paper):
    cells = paper.cells[:7]
    asked = [ref for cell in cells for ref in cell.refs.values()]
    assert paper.ancestors(*asked) == set().union(*map(paper.ancestors, asked))
    assert paper.ancestors() == set()


def test_a_step_is_the_same_in_another_process(paper):
    for step in list(paper.steps.values())[::50]:
        there = pickle.loads(pickle.dumps(step))
        assert (there, there.ref, there.key) == (step, step.ref, step.key)


def test_a_step_whose_input_is_not_planned_is_refused():
    with pytest.raises(AssertionError, match="not planned yet"):
        Plan().add(Step("cohort", 1, {}, {"train": "ingest/0123"}, "cohort"))


# --- leakage ------------------------------------------------------------------------------


def of_split(plan: Plan, split: str) -> set[str]:
    """The ingest step of a split and the shards that only it uses."""
    (ingest,) = [ref for ref in refs(plan, "ingest") if plan.steps[ref].spec["split"] == split]
    return {ingest, *plan.steps[ingest].inputs.values()}


LEAVES = {"evaluate", "memorisation"}


def test_holdout_is_an_ancestor_of_evaluate_and_memorisation_and_of_nothing_else(paper):
    holdout = of_split(paper, "holdout")
    for ref, step in paper.steps.items():
        reached = paper.ancestors(ref) & holdout
        if step.stage in LEAVES:
            assert reached == holdout
        elif ref not in holdout:
            assert not reached, step.name


def test_nothing_comes_after_what_has_seen_holdout(paper):
    for step in paper.steps.values():
        assert not any(ref.partition("/")[0] in LEAVES for ref in step.inputs.values())


def test_nothing_is_selected_or_trained_by_the_floor():
    plan = plan_of(select=SelectSpec(rule="best", metric="kmmd", embedder="imagenet"))
    floors = refs(plan, "floor")
    assert floors and "score" in steps(plan, "synth")[0].inputs
    for step in plan.steps.values():
        assert not floors & set(step.inputs.values()), step.name


def test_all_replicates_and_generators_of_a_patient_count_share_one_floor(paper):
    for n in PAPER.grid.n_patients:
        of_count = [c for c in paper.cells if c.coordinates.n_patients == n]
        for role in ("floor_pos", "floor_neg"):
            (floor,) = {c.refs[role] for c in of_count if role in c.refs}
            cohort = paper.steps[paper.steps[floor].inputs["cohort"]]
            assert cohort.spec["n_patients"] == n


def test_validation_is_an_input_of_trials_alone(paper):
    val = of_split(paper, "val")
    for ref, step in paper.steps.items():
        if ref not in val:
            assert bool(val & set(step.inputs.values())) == (step.stage == "trial"), step.name


def test_generation_sees_neither_validation_nor_another_cohort_without_the_detector(paper):
    detector = {step.inputs["detector"] for step in steps(paper, "score")}
    assert len(detector) == 1
    for ref in refs(paper, "gan", "synth"):
        before = paper.ancestors(ref)
        assert not before & (of_split(paper, "val") | detector)
        assert len([b for b in before if b.startswith("cohort/")]) == 1


def test_a_trial_sees_no_other_cohort_than_its_own(paper):
    for cell in paper.cells:
        before = paper.ancestors(cell.refs["search"])
        assert [b for b in before if b.startswith("cohort/")] == [cell.refs["cohort"]]


def test_synthetic_frames_depend_on_scores_only_where_they_choose_the_snapshot():
    for rule, expected in (("last", False), ("best", True)):
        plan = plan_of(select=SelectSpec(rule=rule))
        for ref in refs(plan, "synth"):
            assert any(r.startswith("score/") for r in plan.ancestors(ref)) == expected


def test_a_patient_of_two_splits_is_named_before_anything_is_planned():
    leak = MANIFEST.videos[0].model_copy(update={"video_id": "again", "split": "holdout"})
    with pytest.raises(
        LeakageError, match="patient train-0-000 is in the splits holdout and train"
    ):
        plan_of(manifest=Manifest(videos=(*MANIFEST.videos, leak)))


# --- pairing and seeds --------------------------------------------------------------------


def trials_of(plan: Plan, cell) -> list[Step]:
    return [plan.steps[ref] for _, ref in sorted(plan.steps[cell.refs["search"]].inputs.items())]


def test_the_variants_of_a_replicate_are_paired_by_their_seeds(paper):
    for n in PAPER.grid.n_patients:
        for replicate in (1, 2, 3):
            seeds = {
                tuple((t.spec["seed"], t.spec["search_seed"], t.spec["val_seed"]) for t in trials)
                for variant in PAPER_VARIANTS
                for trials in [trials_of(paper, cell_of(paper, n, replicate, variant))]
            }
            assert len(seeds) == 1


def test_trials_replicates_and_patient_counts_have_seeds_of_their_own(paper):
    baseline = [
        t.spec["seed"]
        for cell in paper.cells
        if cell.coordinates.variant == "baseline"
        for t in trials_of(paper, cell)
    ]
    assert len(set(baseline)) == 15 * 12
    for stage, n in (("cohort", 16), ("gan", 30), ("synth", 30)):
        assert len({step.spec["seed"] for step in steps(paper, stage)}) == n


def test_the_trials_of_a_search_share_its_list_and_are_numbered_from_one(paper):
    trials = trials_of(paper, paper.cells[0])
    assert [t.spec["trial"] for t in trials] == list(range(1, 13))
    assert len({t.spec["search_seed"] for t in trials}) == 1


def test_every_cell_draws_the_same_validation_frames(paper):
    assert len({step.spec["val_seed"] for step in steps(paper, "trial")}) == 1


def test_trials_that_learn_take_the_earlier_ones_that_they_may_know():
    search = VggSearchSpec(n_trials=6, sampler="tpe", n_concurrent=2)
    plan = plan_of(SMALL, search=search)
    trials = trials_of(plan, plan.cells[0])
    known = [
        [ref for role, ref in sorted(t.inputs.items()) if role.startswith("trial_")] for t in trials
    ]
    refs = [t.ref for t in trials]
    assert known == [[], [], refs[:1], refs[:2], refs[:3], refs[:4]]
    searches = steps(plan, "search")
    assert {step.spec["select_by"] for step in searches} == {"accuracy"}


def test_trials_of_a_random_search_are_independent(paper):
    for trial in steps(paper, "trial"):
        assert not any(role.startswith("trial_") for role in trial.inputs)


def test_every_combination_can_be_tried():
    plan = plan_of(SMALL, search=VggSearchSpec(n_trials="all"))
    assert len(trials_of(plan, plan.cells[0])) == 45


def test_what_only_a_learning_search_uses_stays_out_of_the_key():
    idle = {"n_concurrent": 9, "min_epochs": 3, "reduction_factor": 2}
    assert changed_stages(plan_of(), plan_of(search=VggSearchSpec(n_trials=2, **idle))) == set()


def test_a_variant_may_have_augmentation_and_labels_of_its_own():
    variants = {
        **PAPER_VARIANTS,
        "classic": Recipe(pos=("real",), neg=("real",), augment={"probability": 0.8}),
        "shuffled": Recipe(pos=("real",), neg=("real",), labels="shuffled"),
    }
    names = ("baseline", "classic", "shuffled")
    grid = GridSpec(n_patients=(2, 3), replicates=2, variants=names)
    plan = plan_of(SMALL, variants=variants, grid=grid)
    of = {name: trials_of(plan, cell_of(plan, 2, 1, name))[0].spec for name in names}
    assert of["classic"]["classifier"]["augment"]["probability"] == 0.8
    assert of["baseline"]["classifier"]["augment"]["probability"] == 0.5
    assert [("labels_seed" in of[name]) for name in names] == [False, False, True]
    seeds = {
        trials_of(plan, cell)[0].spec["labels_seed"]
        for cell in plan.cells
        if cell.coordinates.variant == "shuffled"
    }
    assert len(seeds) == 4


def test_nested_sampling_leaves_the_patient_count_out_of_the_cohort_seed(paper):
    nested = plan_of(PAPER, cohort=CohortSpec(sampling="nested"))
    for plan, n_seeds in ((paper, 5), (nested, 1)):
        for replicate in (1, 2, 3):
            seeds = {
                plan.steps[cell.refs["cohort"]].spec["seed"]
                for cell in plan.cells
                if cell.coordinates.replicate == replicate
            }
            assert len(seeds) == n_seeds
    assert len({step.spec["seed"] for step in steps(nested, "cohort")}) == 3
    assert len(refs(nested, "gan")) == 30


@pytest.mark.parametrize("sampling", ["independent", "nested"])
def test_replicates_of_the_full_pool_do_not_collide(sampling):
    plan = plan_of(
        cohort=CohortSpec(sampling=sampling), grid=GridSpec(n_patients=(N_POOL,), replicates=3)
    )
    for role in ("cohort", "gan_pos", "gan_neg", "synth_pos", "search", "evaluate"):
        cells = [c for c in plan.cells if c.coordinates.variant == "pure_synthetic"]
        assert len({cell.refs[role] for cell in cells}) == 3


# --- what changes which keys --------------------------------------------------------------


def changed_stages(before: Plan, after: Plan) -> set[str]:
    """Stages of which no step is common to both plans; the rest must be the same entirely.

    Features are told apart by their embedder, because only the detector's depend on it.
    """
    found = set()
    for stage in EVERY_STAGE:
        old, new = by_stage(before)[stage], by_stage(after)[stage]
        if old != new:
            assert not old & new, f"some of {stage} changed"
            found.add(stage)
    return found


def by_stage(plan: Plan) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {stage: set() for stage in EVERY_STAGE}
    for ref, step in plan.steps.items():
        found[f"{step.stage} {step.spec.get('embedder', '')}".strip()].add(ref)
    return found


FEATURES = {"features imagenet", "features detector"}
EVERY_STAGE = {*STAGES, *FEATURES} - {"external", "features"}
DOWNSTREAM = {"trial", "search", "features detector", "score", "floor", "evaluate"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "x", "description": "y"}, set()),
        ({"keep_snapshots": "all"}, set()),
        ({"classifier": ClassifierSpec(n_epochs=3)}, DOWNSTREAM),
        ({"val": ValSpec(frames_per_video=1)}, DOWNSTREAM),
        ({"search": VggSearchSpec(n_trials=2, dropouts=(0.1,))}, DOWNSTREAM),
        (
            {"score": ScoreSpec(n_images=10, embedders=("imagenet", "detector"))},
            {"score", "floor", *FEATURES},
        ),
        (
            {"score": ScoreSpec(n_permutations=9, embedders=("imagenet", "detector"))},
            {"score", "floor"},
        ),
        ({"memorisation": MemorisationSpec(side=32)}, {"memorisation"}),
        ({"memorisation": MemorisationSpec(release_gate=None)}, set()),
        ({"gan": GanSpec(gpus=0.5, checkpoint_minutes=1, keep_checkpoints=1)}, set()),
        ({"search": VggSearchSpec(n_trials=2, gpus_per_trial=0.125)}, set()),
        ({"cohort": CohortSpec(negatives_from="all")}, EVERY_STAGE - {"shard", "ingest"}),
        (
            {"compute": ComputeSpec(n_threads=2)},
            EVERY_STAGE - {"shard", "ingest", "cohort"},
        ),
        ({"seed": 1}, EVERY_STAGE - {"shard", "ingest"}),
        ({"data": DataSpec(preprocess=PreprocessSpec(image_size=64))}, EVERY_STAGE),
        ({"data": DataSpec(label="other")}, set()),
    ],
    ids=lambda value: next(iter(value), "none") if isinstance(value, dict) else "",
)
def test_a_change_reaches_what_depends_on_it_and_nothing_else(changes, expected):
    assert changed_stages(plan_of(), plan_of(**changes)) == expected


@pytest.mark.parametrize(
    ("changes", "stage"),
    [({"gan": GanSpec(ngf=8)}, "gan"), ({"synth": SynthSpec(ratio=2)}, "synth")],
)
def test_a_change_of_the_generator_leaves_the_baseline_and_the_detector_alone(changes, stage):
    before, after = plan_of(), plan_of(**changes)
    assert not refs(before, stage) & refs(after, stage)
    assert refs(before, "cohort") == refs(after, "cohort")
    for cell, same in zip(before.cells, after.cells, strict=True):
        unchanged = cell.refs["evaluate"] == same.refs["evaluate"]
        assert unchanged == (cell.coordinates.variant == "baseline")
    score = steps(after, "score")[0]
    assert score.inputs["detector"] in before.steps


def test_other_weights_change_scores_and_nothing_else():
    other = make_plan(SMALL, MANIFEST, phantom=False, weights_digest="00000000")
    assert changed_stages(plan_of(), other) == {"features imagenet", "score", "floor"}


def test_automatic_embedders_mean_what_is_at_hand():
    auto = SMALL.model_copy(update={"score": ScoreSpec()})
    with_weights = make_plan(auto, MANIFEST, phantom=False, weights_digest="b627a593")
    assert set(with_weights.steps) == set(plan_of().steps)
    without = make_plan(auto, MANIFEST, phantom=False)
    assert set(without.steps) == set(plan_of(score=ScoreSpec(embedders=("detector",))).steps)


def test_paths_and_the_order_of_the_manifest_change_no_key():
    videos = list(make_manifest(path="/elsewhere/video.avi").videos)
    random.Random(0).shuffle(videos)
    assert set(plan_of(manifest=Manifest(videos=tuple(videos))).steps) == set(plan_of().steps)


@pytest.mark.parametrize(
    "change", [{"sha256": "other"}, {"label": 1}, {"annotated_frames": (0,)}, {"video_id": "z"}]
)
def test_another_video_changes_its_shard_and_what_is_made_of_it(change):
    first, *rest = MANIFEST.videos
    before = plan_of()
    after = plan_of(manifest=Manifest(videos=(first.model_copy(update=change), *rest)))
    assert len(refs(before, "shard") - refs(after, "shard")) == 1
    assert len(refs(before, "ingest") - refs(after, "ingest")) == 1
    assert not refs(before, "gan") & refs(after, "gan")


def test_simulated_and_decoded_frames_have_different_keys():
    phantom = make_plan(SMALL, MANIFEST, phantom=True, weights_digest="b627a593")
    assert not refs(phantom, "shard") & refs(plan_of(), "shard")


def test_inputs_count_by_role_and_names_do_not_count():
    one, two = Step("ingest", 1, {"split": "train"}), Step("ingest", 1, {"split": "val"})
    spec = {"seed": 1}
    straight = Step("trial", 1, spec, {"train": one.ref, "val": two.ref}, "a")
    assert Step("trial", 1, spec, {"val": two.ref, "train": one.ref}, "b").key == straight.key
    assert Step("trial", 1, spec, {"train": two.ref, "val": one.ref}, "a").key != straight.key
    assert Step("search", 1, spec, straight.inputs).key != straight.key
    assert Step("trial", 2, spec, straight.inputs).key != straight.key


# --- axes ---------------------------------------------------------------------------------


def test_a_wider_grid_extends_the_plan(paper):
    narrow = plan_of(PAPER, grid=GridSpec(n_patients=(6, 15), replicates=2))
    assert set(narrow.steps) < set(paper.steps)


def test_the_epochs_of_a_gan_are_an_axis_with_one_training_behind_it():
    study = SMALL.model_copy(
        update={
            "gan": GanSpec(n_epochs=100, snapshot_every=25),
            "grid": GridSpec(
                n_patients=(2,),
                replicates=1,
                variants=("baseline", "pure_synthetic"),
                gan_epochs=(25, 50, 75, 100),
            ),
        }
    )
    plan = plan_of(study)
    assert [(c.coordinates.variant, c.coordinates.gan_epoch) for c in plan.cells] == [
        ("baseline", None), *(("pure_synthetic", e) for e in (25, 50, 75, 100)),
    ]  # fmt: skip
    assert len(refs(plan, "gan")) == 2
    assert len(refs(plan, "score")) == 2
    assert len(refs(plan, "synth")) == 8
    cells = plan.cells[1:]
    assert len({c.refs["evaluate"] for c in cells}) == 4
    assert len({c.refs["gan_pos"] for c in cells}) == 1
    for cell in cells:
        chosen = plan.steps[cell.refs["synth_pos"]].spec["select"]
        assert chosen == {"rule": "epoch", "epoch": cell.coordinates.gan_epoch}
    seeds = {tuple(t.spec["seed"] for t in trials_of(plan, cell)) for cell in plan.cells}
    assert len(seeds) == 1


def test_an_epoch_by_the_axis_and_by_the_rule_is_the_same_work():
    grid = GridSpec(n_patients=(2,), replicates=1, variants=("combined",))
    by_rule = plan_of(grid=grid, select=SelectSpec(rule="epoch", epoch=5))
    by_axis = plan_of(grid=grid.model_copy(update={"gan_epochs": (5,)}))
    assert set(by_rule.steps) == set(by_axis.steps)


def test_what_a_rule_does_not_look_at_changes_no_key():
    other = SelectSpec(rule="last", metric="one_nn", embedder="detector", space="conv")
    assert set(plan_of(select=other).steps) == set(plan_of().steps)
    best = plan_of(select=SelectSpec(rule="best", metric="kmmd"))
    assert not refs(best, "synth") & refs(plan_of(), "synth")
    one_nn = plan_of(select=SelectSpec(rule="best", metric="one_nn"))
    assert not refs(best, "synth") & refs(one_nn, "synth")


def test_a_fifth_variant_is_only_data():
    noise = Recipe(pos=("real", "noise"), neg=("real",))
    study = SMALL.model_copy(
        update={
            "variants": {**PAPER_VARIANTS, "noise": noise},
            "grid": GridSpec(n_patients=(2,), replicates=1, variants=("baseline", "noise")),
        }
    )
    plan = plan_of(study)
    trials = trials_of(plan, cell_of(plan, 2, 1, "noise"))
    assert trials[0].spec["recipe"] == {"pos": ["real", "noise"], "neg": ["real"]}
    assert not refs(plan, "gan")


def test_a_variant_under_another_name_is_the_same_work():
    renamed = SMALL.model_copy(
        update={
            "variants": {**PAPER_VARIANTS, "mine": PAPER_VARIANTS["combined"]},
            "grid": GridSpec(n_patients=(2,), replicates=1, variants=("combined", "mine")),
        }
    )
    plan = plan_of(renamed)
    assert len(plan.cells) == 2
    assert len({cell.refs["evaluate"] for cell in plan.cells}) == 1


# --- a part of the grid -------------------------------------------------------------------


def only(**axes) -> Plan:
    return make_plan(SMALL, MANIFEST, phantom=False, weights_digest="b627a593", only=axes)


def test_only_keeps_the_cells_that_match_every_axis():
    plan = only(n_patients=["2"], variant=["baseline", "combined"])
    assert [cell.coordinates for cell in plan.cells] == [
        Coordinates(2, 1, "baseline"), Coordinates(2, 1, "combined"),
        Coordinates(2, 2, "baseline"), Coordinates(2, 2, "combined"),
    ]  # fmt: skip
    assert set(plan.steps) < set(plan_of().steps)
    assert {c.coordinates.name() for c in only(replicate=["2"], variant=["combined"]).cells} == {
        "n=2 r=2 combined", "n=3 r=2 combined",
    }  # fmt: skip


def test_an_unknown_axis_names_the_known_ones():
    with pytest.raises(
        InputError, match="knows n_patients, replicate, variant, gan_epoch, not patients"
    ):
        only(patients=["2"])


@pytest.mark.parametrize(
    "axes", [{"n_patients": ["7"]}, {"variant": ["bassline"]}, {"variant": []}]
)
def test_a_selection_that_matches_no_cell_is_an_error(axes):
    with pytest.raises(InputError, match=r"the grid has no such value|matches no cell"):
        only(**axes)


def test_the_steps_of_some_stages_come_without_cells():
    data = plan_of().only(["shard", "ingest"])
    assert set(data.counts()) == {"shard", "ingest"}
    assert data.cells == []


def test_the_data_plan_is_the_data_part_of_the_study():
    data = make_data_plan(SMALL, MANIFEST)
    assert set(data.steps) == set(plan_of().only(["shard", "ingest"]).steps)


# --- pools --------------------------------------------------------------------------------


def test_every_cohort_larger_than_its_pool_is_named():
    videos = [v for v in MANIFEST.videos if v.patient_id not in {"train-0-000", "train-0-001"}]
    grid = GridSpec(n_patients=(56, 57, 58, 59))
    with pytest.raises(InputError) as caught:
        plan_of(grid=grid, manifest=Manifest(videos=tuple(videos)))
    asked = [line.partition(":")[0] for line in caught.value.problems]
    assert asked == [
        "cohort of 57 negative patients needed, 56 in the train split",
        "cohort of 58 negative patients needed, 56 in the train split",
        "cohort of 59 negative patients needed, 56 in the train split",
        "cohort of 59 positive patients needed, 58 in the train split",
    ]


def test_a_patient_with_any_positive_video_is_positive():
    mixed = tuple(
        v.model_copy(update={"label": 0}) if v.video_id.endswith("-2") else v
        for v in MANIFEST.videos
    )
    plan_of(manifest=Manifest(videos=mixed), grid=GridSpec(n_patients=(N_POOL,)))


@pytest.mark.parametrize("split", ["train", "val", "holdout"])
@pytest.mark.parametrize("label", [0, 1])
def test_a_split_without_a_class_is_refused(split, label):
    videos = tuple(v for v in MANIFEST.videos if (v.split, v.label) != (split, label))
    word = ("negative", "positive")[label]
    with pytest.raises(
        InputError, match=f"^the {split} split has no {word} patient: move some there$"
    ):
        plan_of(manifest=Manifest(videos=videos))


# --- other generators ---------------------------------------------------------------------


def with_variant(**recipe) -> StudySpec:
    grid = GridSpec(n_patients=(2, 3), replicates=2, variants=("pure_synthetic", "other"))
    return SMALL.model_copy(
        update={"variants": {**PAPER_VARIANTS, "other": Recipe(**recipe)}, "grid": grid}
    )


PURE = {"pos": ("synthetic",), "neg": ("synthetic",)}


def test_a_variant_with_a_gan_of_its_own_has_steps_of_its_own_and_paired_seeds():
    plan = plan_of(with_variant(**PURE, gan=GanSpec(loss="hinge")))
    assert len(refs(plan, "gan")) == 2 * 2 * 2 * 2
    assert len(refs(plan, "features")) == len(refs(plan_of(), "features"))
    for replicate in (1, 2):
        base = cell_of(plan, 2, replicate, "pure_synthetic")
        other = cell_of(plan, 2, replicate, "other")
        for role in ("gan_pos", "synth_neg", "score_pos", "memorisation_neg"):
            assert base.refs[role] != other.refs[role]
            first, second = (plan.steps[cell.refs[role]].spec["seed"] for cell in (base, other))
            assert first == second


def test_a_gan_that_says_what_the_study_says_is_the_studys():
    plan = plan_of(with_variant(**PURE, gan=SMALL.gan))
    assert len(refs(plan, "gan")) == 2 * 2 * 2


def test_a_conditional_gan_is_one_for_both_classes():
    plan = plan_of(with_variant(**PURE, gan=GanSpec(conditional=True)))
    for replicate in (1, 2):
        cell = cell_of(plan, 3, replicate, "other")
        assert cell.refs["gan_pos"] == cell.refs["gan_neg"]
        assert plan.steps[cell.refs["gan_pos"]].spec["class"] == "both"
        assert cell.refs["synth_pos"] != cell.refs["synth_neg"]


def test_how_tables_name_a_gan():
    study = with_variant(**PURE, gan=GanSpec(ema_decay=0.9, augment=("cutout", "brightness")))
    assert study.gan_label(study.variants["pure_synthetic"]) == "base"
    assert study.gan_label(study.variants["other"]) == "augment=cutout+brightness, ema_decay=0.9"
    patient = GanSpec(health=HealthSpec(patience=9))
    assert "health" in study.gan_label(Recipe(**PURE, gan=patient))


class Images:
    """Images made elsewhere, as the plan sees them."""

    n_images = 10

    def __init__(self, sha256="ab", patients=("train-1-000",)):
        self.sha256, self.patients = sha256, patients


SECTION = ExternalSpec(images="made/{class}", patients="made/patients.csv")
ELSEWHERE = {"pos": ("external",), "neg": ("real",), "external": SECTION}


def external_plan(images=None, **changes) -> Plan:
    at = {(SECTION, Draw(n, r), "pos"): images or Images() for n in (2, 3) for r in (1, 2)}
    study = with_variant(**ELSEWHERE).model_copy(update=changes)
    return make_plan(study, MANIFEST, phantom=False, weights_digest="b627a593", external=at)


def test_external_images_stand_where_a_gan_would():
    plan = external_plan()
    cell = cell_of(plan, 2, 1, "other")
    assert not any(role.startswith("gan_") for role in cell.refs)
    assert plan.steps[cell.refs["external_pos"]].inputs["cohort"] == cell.refs["cohort"]
    for role in ("score_pos", "synth_pos"):
        assert plan.steps[cell.refs[role]].inputs["external"] == cell.refs["external_pos"]
    assert cell.refs["memorisation_pos"] in plan.steps
    assert cell.refs["synth_pos"] in plan.steps[trials_of(plan, cell)[0].ref].inputs.values()


def test_other_images_change_what_comes_of_them_and_nothing_else():
    changed = changed_stages_of_external(external_plan(), external_plan(Images("cd")))
    assert changed == {"external", "score", "synth", "memorisation", "trial", "search", "evaluate"}


def changed_stages_of_external(before: Plan, after: Plan) -> set[str]:
    return {before.steps[ref].stage for ref in before.steps.keys() - after.steps.keys()}


def test_cells_whose_images_are_not_at_hand_are_left_out():
    study = with_variant(**ELSEWHERE)
    plan = plan_of(study)
    assert {cell.coordinates.variant for cell in plan.cells} == {"pure_synthetic"}


@pytest.mark.parametrize(
    ("patient", "message"),
    [
        ("holdout-1-000", "saw patient holdout-1-000 of the holdout split"),
        (hashed_id("holdout-1-000"), "saw patient holdout-1-000 of the holdout split"),
        ("val-0-000", "saw patient val-0-000 of the val split"),
        ("nobody", "saw patient nobody, who is in no split"),
    ],
)
def test_a_generator_that_saw_others_than_training_patients_is_refused(patient, message):
    with pytest.raises(LeakageError, match=message):
        external_plan(Images(patients=("train-1-000", patient)))


def test_a_patient_declared_by_id_by_hash_or_by_both_is_the_same_work():
    plain, other = "train-1-000", "train-0-001"
    by_id = external_plan(Images(patients=(plain, other)))
    assert by_id.cells
    for patients in (
        (hashed_id(plain), other),
        (hashed_id(other), hashed_id(plain)),
        (plain, hashed_id(plain), other),
    ):
        assert external_plan(Images(patients=patients)).steps.keys() == by_id.steps.keys()
    fewer = external_plan(Images(patients=(plain,)))
    assert "external" in changed_stages_of_external(by_id, fewer)
    specs = [step.spec for step in by_id.steps.values() if step.stage == "external"]
    assert {tuple(s["patients"]) for s in specs} == {tuple(sorted(map(hashed_id, (plain, other))))}


def test_the_name_of_a_section_is_in_no_key():
    renamed = SECTION.model_copy(update={"name": "diffusion"})
    at = {(renamed, Draw(n, r), "pos"): Images() for n in (2, 3) for r in (1, 2)}
    study = with_variant(**{**ELSEWHERE, "external": renamed})
    plan = make_plan(study, MANIFEST, phantom=False, weights_digest="b627a593", external=at)
    assert plan.steps.keys() == external_plan().steps.keys()


# --- how steps are named ------------------------------------------------------------------

OWN_STEPS = ("scores", "synthetic", "memorisation")


@pytest.mark.parametrize(
    ("recipe", "first", "told"),
    [
        ({**PURE}, "GAN", ""),
        ({**PURE, "gan": GanSpec(loss="hinge")}, "GAN", " loss=hinge"),
        (ELSEWHERE, "images", " external"),
        ({**ELSEWHERE, "external": SECTION.model_copy(update={"name": "LDM"})}, "images", " LDM"),
    ],
    ids=["the study's", "own GAN", "external", "named"],
)
def test_a_step_is_named_after_a_generator_that_is_not_the_studys_gan(recipe, first, told):
    at = {(recipe.get("external"), Draw(n, r), "pos"): Images() for n in (2, 3) for r in (1, 2)}
    study = with_variant(**recipe)
    plan = make_plan(study, MANIFEST, phantom=False, weights_digest="b627a593", external=at)
    cell = cell_of(plan, 2, 1, "other")
    roles = ["gan_pos" if first == "GAN" else "external_pos"]
    roles += ["score_pos", "synth_pos", "memorisation_pos"]
    names = [plan.steps[cell.refs[role]].name for role in roles]
    assert names == [f"{word} pos n=2 r=1{told}" for word in (first, *OWN_STEPS)]


def test_no_two_steps_that_are_not_searches_have_one_name():
    """Whatever generators a grid has; cells are told apart by variant, trials by number."""
    study = with_variant(**PURE, gan=GanSpec(loss="hinge"))
    plan = plan_of(study)
    names = [step.name for step in plan.steps.values()]
    assert len(set(names)) == len(names)
