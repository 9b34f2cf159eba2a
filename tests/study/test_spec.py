import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lussweep.errors import InputError
from lussweep.study.spec import (
    BUILT_IN,
    PAPER_VARIANTS,
    AugmentSpec,
    ClassifierSpec,
    DataSpec,
    DetectorSpec,
    GanSpec,
    GridSpec,
    Manifest,
    PreprocessSpec,
    Recipe,
    ReleaseGateSpec,
    ScoreSpec,
    SelectSpec,
    StudySpec,
    SynthSpec,
    Verdict,
    VggSearchSpec,
    Video,
    dump_study,
    load_study,
    parse,
    read_text,
)
from support.commands import ROOT

EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))


def problems(text: str, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(InputError) as caught:
        load_study(text, overrides=overrides, where="mine.yaml")
    return caught.value.problems


def problem(text: str, *overrides: str) -> str:
    (only,) = problems(text, *overrides)
    return only


# --- YAML ---------------------------------------------------------------------------------


def test_a_name_is_enough_and_gives_the_study_of_the_paper():
    study = load_study("name: mine")
    assert study == StudySpec(name="mine")
    assert study.grid.n_patients == (6, 15, 29, 44, 58)
    assert (study.grid.replicates, tuple(study.variants)) == (3, tuple(BUILT_IN))
    assert (study.gan.lr_generator, study.gan.lr_discriminator) == (1e-5, 5e-6)
    assert (study.gan.batch_size, study.gan.n_epochs, study.gan.ngf, study.gan.ndf) == (
        16, 100, 64, 64,
    )  # fmt: skip
    assert (study.search.n_trials, study.classifier.batch_size) == (12, 8)
    assert study.select.rule == "last"


UNUSUAL = StudySpec(
    name="é: [odd] 'name'",
    description="two\nlines",
    seed=0,
    data=DataSpec(
        preprocess=PreprocessSpec(crop=(1, 2, 3, 4), mask_boxes=((0, 0, 9, 9), (1, 1, 2, 2)))
    ),
    gan=GanSpec(n_epochs=7, snapshot_every=3, lr_generator=1e-5, images_per_epoch=10),
    score=ScoreSpec(embedders=("detector",)),
    select=SelectSpec(rule="best", embedder="detector", allow_detector=True),
    synth=SynthSpec(ratio=None, n_images=67950),
    classifier=ClassifierSpec(images_per_epoch=512, augment=AugmentSpec(probability=0)),
    detector=DetectorSpec(classifier=ClassifierSpec(n_epochs=2), search=VggSearchSpec(n_trials=1)),
    variants={**PAPER_VARIANTS, "twice": Recipe(pos=("real", "real"), neg=("real", "noise"))},
    grid=GridSpec(n_patients=(3,), replicates=1, variants=("twice",), gan_epochs=(3, 7)),
)


@pytest.mark.parametrize("study", [StudySpec(name="a"), UNUSUAL], ids=["default", "unusual"])
def test_a_study_written_as_yaml_reads_back_to_an_equal_one(study):
    text = dump_study(study)
    assert load_study(text) == study
    assert dump_study(load_study(text)) == text


@given(
    st.floats(min_value=1e-9, max_value=10),
    st.integers(0, 2**63 - 1),
    st.text(st.characters(exclude_categories=["Cs", "Cc"])),
)
def test_every_number_and_name_survives_yaml(rate, seed, name):
    study = StudySpec(name=name, seed=seed, gan=GanSpec(lr_generator=rate))
    assert load_study(dump_study(study)) == study


def test_numbers_in_scientific_notation_are_numbers():
    # YAML 1.1 takes 1e-4 for a text.
    assert load_study("{name: a, gan: {lr_generator: 1e-4}}").gan.lr_generator == 1e-4


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_shipped_experiment_loads_and_bears_the_name_of_its_file(path):
    study = load_study(read_text(path), where=path.name)
    assert study.name == path.stem
    assert study.description
    assert load_study(dump_study(study)) == study


def test_an_experiment_is_shipped():
    assert "quickstart" in [path.stem for path in EXPERIMENTS]


@pytest.mark.parametrize("text", ["- a\n- b", "just words", "5"])
def test_yaml_that_is_no_mapping_is_refused(text):
    assert problem(text) == "mine.yaml must be a mapping of keys to values"


def test_text_that_is_no_yaml_is_refused_in_one_line():
    message = problem("gan: [1,\nname: b")
    assert message.startswith("mine.yaml is not valid YAML")
    assert "\n" not in message


@pytest.mark.parametrize(
    "text",
    [
        "name: a\ngan: {ngf: 8}\nseed: 1\ngan: {ndf: 8}",
        "{name: a, gan: {ngf: 8, ndf: 4, ngf: 16}}",
        "{name: a, 'name': b}",
    ],
)
def test_a_key_that_stands_twice_is_refused_because_yaml_would_drop_one(text):
    assert " stands twice: keep one" in problem(text)


def test_a_seed_that_no_table_can_hold_is_refused():
    assert load_study(f"{{name: a, seed: {2**63 - 1}}}").seed == 2**63 - 1
    assert problem(f"{{name: a, seed: {2**63}}}").startswith(
        "mine.yaml: seed: Input should be less"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("grid: {n_patients: 3}", "grid.n_patients: Input should be a list, in brackets (got 3)"),
        ("gan:", "gan: Input should be a section of keys and values"),
        ("variants: 3", "variants: Input should be a section of keys and values (got 3)"),
    ],
)
def test_a_wrong_shape_is_said_in_words_of_yaml(text: str, expected: str) -> None:
    assert problem(f"name: a\n{text}") == f"mine.yaml: {expected}"


def test_an_empty_file_lacks_its_name():
    assert problem("") == "mine.yaml: name: Field required"


def test_a_file_that_cannot_be_read_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*nowhere\.yaml"):
        read_text(tmp_path / "nowhere.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9")
    with pytest.raises(InputError, match=r"cannot read .*: its text is not UTF-8: save it"):
        read_text(tmp_path / "latin.yaml")


# --- what is said about mistakes ----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{name: a, gun: {}}", "unknown key gun: did you mean gan?"),
        ("{name: a, gan: {n_epoch: 3}}", "unknown key gan.n_epoch: did you mean n_epochs?"),
        (
            "{name: a, detector: {search: {n_trial: 3}}}",
            "unknown key detector.search.n_trial: did you mean n_trials?",
        ),
        (
            "{name: a, classifier: {augment: {gamma: [1.0]}}}",
            "unknown key classifier.augment.gamma: did you mean gammas?",
        ),
        (
            "{name: a, variants: {baseline: {pos: [real], neg: [real], poss: [real]}},"
            " grid: {variants: [baseline]}}",
            "unknown key variants.baseline.poss: did you mean pos?",
        ),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(text, expected):
    assert problem(text) == f"mine.yaml: {expected}"


def test_a_key_like_no_other_gets_the_list_of_known_ones():
    assert problem("{name: a, cohort: {xyzzy: 1}}") == (
        "mine.yaml: unknown key cohort.xyzzy: known are sampling, negatives_from"
    )


def test_all_mistakes_are_reported_at_once():
    found = problems(
        "gan: {n_epoch: 3, batch_size: 1}\ncohort: {sampling: nestd}\n"
        "search: {n_trials: 99}\nseed: -1\n"
    )
    for expected in (
        "name: Field required",
        "unknown key gan.n_epoch: did you mean n_epochs?",
        "gan.batch_size: Input should be greater than or equal to 2 (got 1)",
        "cohort.sampling: Input should be 'independent' or 'nested' (got 'nestd')",
        "search: n_trials is 99, the space has 45 combinations: lower n_trials, or add values",
        "seed: Input should be greater than or equal to 0 (got -1)",
    ):
        assert f"mine.yaml: {expected}" in found
    assert len(found) == 6


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
def test_a_number_that_is_not_finite_is_refused(value):
    assert "gan.lr_generator" in problem(f"{{name: a, gan: {{lr_generator: {value}}}}}")


def test_the_parts_of_a_union_do_not_show_in_a_message():
    for message in problems("{name: a, classifier: {images_per_epoch: often}}"):
        assert message.startswith("mine.yaml: classifier.images_per_epoch: Input should be")
    assert any(
        "'parity' or 'equal'" in m for m in problems("{name: a, classifier: {images_per_epoch: x}}")
    )


def test_parse_names_where_a_broken_document_came_from():
    with pytest.raises(InputError, match=r"^store\.json: videos\.0\.split: "):
        parse(
            Manifest,
            {
                "videos": [
                    {"patient_id": "p", "video_id": "v", "label": 0, "split": "test", "sha256": ""}
                ]
            },
            "store.json",
        )


# --- overrides ----------------------------------------------------------------------------


def test_overrides_are_applied_on_top_in_their_order():
    study = load_study(
        "{name: a, gan: {n_epochs: 10, ngf: 8}}",
        overrides=[
            "gan.n_epochs=20",
            "gan.lr_generator=1e-3",
            "grid.n_patients=[6, 15]",
            "grid.replicates=2",
            "classifier.augment.probability=0",
            "name=b",
            "name=c",
            "select={best: one_nn}",
        ],
    )
    assert (study.gan.n_epochs, study.gan.ngf, study.gan.lr_generator) == (20, 8, 1e-3)
    assert study.grid == GridSpec(n_patients=(6, 15), replicates=2)
    assert study.classifier.augment.probability == 0
    assert study.name == "c"
    assert study.select == SelectSpec(rule="best", metric="one_nn")


@pytest.mark.parametrize("gate", ["{release_gate: null}", "{release_gate: {}}", "null", "{}"])
def test_an_override_reaches_into_a_section_that_the_experiment_sets_to_null(gate):
    """The other values of the section are then those that it has where nothing is said."""
    limit = "memorisation.release_gate.max_copy_share=0.5"
    study = load_study(f"{{name: a, memorisation: {gate}}}", overrides=[limit])
    assert study.memorisation.release_gate == ReleaseGateSpec(max_copy_share=0.5)
    again = load_study(dump_study(study), overrides=["memorisation.release_gate=null"])
    assert again.memorisation.release_gate is None


def test_an_override_may_hold_an_equals_sign():
    assert load_study("name: a", overrides=["description=lr=0.1"]).description == "lr=0.1"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("gan.n_epochs", "--set 'gan.n_epochs' is not of the form section.key=value"),
        ("=3", "--set '=3' is not of the form section.key=value"),
        ("gan.n_epochs=[", "--set 'gan.n_epochs=[': the value is not valid YAML"),
        ("gan.n_epochs.x=3", "--set 'gan.n_epochs.x=3': n_epochs is a value, not a section"),
        ("gan.n_epoch=3", "mine.yaml: unknown key gan.n_epoch: did you mean n_epochs?"),
    ],
)
def test_a_bad_override_is_an_input_error_that_shows_it(override, expected):
    assert problem("{name: a, gan: {n_epochs: 10}}", override) == expected


# --- validators ---------------------------------------------------------------------------


def test_a_batch_is_shared_out_evenly_among_workers():
    assert GanSpec(batch_size=16, n_workers=4).n_workers == 4
    with pytest.raises(
        ValidationError, match="batch_size 16 is not a multiple of n_workers 3: change one"
    ):
        GanSpec(batch_size=16, n_workers=3)


@pytest.mark.parametrize(
    ("n_epochs", "every", "expected"),
    [
        (100, 25, (25, 50, 75, 100)),
        (7, 3, (3, 6, 7)),
        (4, 10, (4,)),
        (1, 1, (1,)),
        (3, 1, (1, 2, 3)),
    ],
)
def test_snapshots_are_kept_at_every_multiple_and_after_the_last_epoch(n_epochs, every, expected):
    assert GanSpec(n_epochs=n_epochs, snapshot_every=every).snapshot_epochs() == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("last", SelectSpec(rule="last")),
        ("{epoch: 25}", SelectSpec(rule="epoch", epoch=25)),
        ("{best: one_nn}", SelectSpec(rule="best", metric="one_nn")),
        ("{best: kmmd, space: conv}", SelectSpec(rule="best", metric="kmmd", space="conv")),
        ("{rule: best, metric: one_nn}", SelectSpec(rule="best", metric="one_nn")),
        ("{}", SelectSpec()),
    ],
)
def test_selection_has_short_forms(given, expected):
    assert load_study(f"{{name: a, select: {given}}}").select == expected


@pytest.mark.parametrize("given", ["epoch", "{best: kmmd, epoch: 5}", "{rule: last, epoch: 5}"])
def test_an_epoch_belongs_to_its_rule_and_to_no_other(given):
    assert "no other rule has one" in problem(f"{{name: a, select: {given}}}")


@pytest.mark.parametrize("given", ["first", "{best: kmd}", "{epoch: 0}", "[last]", "7"])
def test_another_selection_is_refused(given):
    assert problems(f"{{name: a, select: {given}}}")


def test_choosing_by_the_detector_needs_an_opt_in():
    assert "set allow_detector: true" in problem(
        "{name: a, select: {best: kmmd, embedder: detector}}"
    )
    opted = load_study("{name: a, select: {best: kmmd, embedder: detector, allow_detector: true}}")
    assert opted.select.embedder == "detector"


def test_a_search_is_no_longer_than_its_space():
    space = {"learning_rates": (0.1, 0.01), "channels": (3,), "dropouts": (0.1, 0.2, 0.3)}
    assert VggSearchSpec(n_trials=6, **space).n_trials == 6
    with pytest.raises(ValidationError, match="n_trials is 7, the space has 6 combinations"):
        VggSearchSpec(n_trials=7, **space)


def test_all_combinations_can_be_asked_for_of_a_random_search_alone():
    assert VggSearchSpec(n_trials="all").n == 45
    assert VggSearchSpec(n_trials=60, sampler="tpe").n == 60
    with pytest.raises(ValidationError, match="all tries every combination"):
        VggSearchSpec(n_trials="all", sampler="tpe")


def test_the_published_augmentation_goes_by_its_name():
    study = load_study("{name: a, classifier: {augment: us_dcgan}}")
    assert study.classifier.augment == AugmentSpec(faults="us_dcgan")
    assert "give values, or the name us_dcgan" in problem(
        "{name: a, classifier: {augment: us_dcgn}}"
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "{classifier: {n_epochs: 4}, search: {pruner: asha, min_epochs: 4}}",
            "search.min_epochs is 4, so asha would end no trial of 4 epochs",
        ),
        ("{detector: {search: {gpus_per_trial: 0.5}}}", "detector.search.gpus_per_trial differs"),
        (
            "{variants: {baseline: {pos: [real], neg: [real], labels: shuffled}}}",
            "variants.baseline has shuffled labels",
        ),
        (
            "{variants: {baseline: {pos: [real, synthetic], neg: [noise]}}}",
            "variants.baseline has noise and synthetic frames, but worth in real patients",
        ),
    ],
)
def test_what_would_be_ignored_is_refused(text, found):
    assert found in problem(text.replace("{", "{name: a, ", 1))


def test_a_variant_changes_single_values_of_the_augmentation():
    study = load_study(
        "name: a\n"
        "classifier: {augment: {noise_levels: 20}}\n"
        "variants: {mine: {pos: [real], neg: [real], augment: {probability: 0.8}}}\n"
        "grid: {variants: [baseline, mine]}"
    )
    mine = study.classifier_of(study.variants["mine"])
    assert mine == study.classifier.model_copy(
        update={"augment": AugmentSpec(noise_levels=20, probability=0.8)}
    )
    assert study.classifier_of(study.variants["baseline"]) == study.classifier
    assert load_study(dump_study(study)) == study


def test_a_variant_over_the_published_augmentation_keeps_its_faults():
    study = load_study(
        "name: a\n"
        "classifier: {augment: us_dcgan}\n"
        "variants: {mine: {pos: [real], neg: [real], augment: {probability: 0.8}}}"
    )
    assert study.variants["mine"].augment == AugmentSpec(faults="us_dcgan", probability=0.8)


def test_shuffled_labels_are_for_real_frames():
    found = problem(
        "{name: a, variants: {x: {pos: [real, synthetic], neg: [real], labels: shuffled}}}"
    )
    assert "labels: shuffled is for real frames alone: use no other source" in found


@pytest.mark.parametrize("values", [(), (3, 3)])
def test_a_search_space_is_made_of_different_values(values):
    with pytest.raises(ValidationError, match="channels needs one or more different values"):
        VggSearchSpec(n_trials=1, channels=values)


def test_an_unknown_variant_of_the_grid_names_the_nearest():
    assert problem("{name: a, grid: {variants: [base_line]}}") == (
        "mine.yaml: grid.variants names 'base_line': did you mean baseline?"
    )


@pytest.mark.parametrize(
    "axis",
    [
        "n_patients: [6, 6]",
        "variants: [baseline, baseline]",
        "gan_epochs: [5, 5]",
        "n_patients: []",
        "variants: []",
    ],
)
def test_an_axis_has_different_values_and_at_least_one(axis):
    name = axis.partition(":")[0]
    assert problem(f"{{name: a, grid: {{{axis}}}}}") == (
        f"mine.yaml: grid: {name} needs one or more different values"
    )


@pytest.mark.parametrize("where", ["grid: {gan_epochs: [5, 7]}", "select: {epoch: 7}"])
def test_an_epoch_without_a_snapshot_cannot_be_asked_for(where):
    message = problem(f"{{name: a, gan: {{n_epochs: 10}}, {where}}}")
    assert message == (
        "mine.yaml: epoch 7 is asked for, but snapshots exist only for [5, 10]: "
        "name one of these, or change gan.snapshot_every"
    )


@pytest.mark.parametrize("recipe", ["{pos: [], neg: [real]}", "{pos: [real], neg: []}"])
def test_a_recipe_has_sources_for_both_classes(recipe):
    message = problem(f"{{name: a, variants: {{x: {recipe}}}, grid: {{variants: [x]}}}}")
    assert message == (
        "mine.yaml: variants.x: a variant needs at least one source for pos and one for neg"
    )


def test_the_classes_that_need_a_generator_follow_from_the_recipe():
    needed = {name: recipe.generated_classes() for name, recipe in PAPER_VARIANTS.items()}
    assert needed == {
        "baseline": (),
        "combined": ("pos",),
        "positive_synthetic": ("pos",),
        "pure_synthetic": ("neg", "pos"),
    }


def test_scores_need_an_embedder():
    with pytest.raises(ValidationError, match="at least one embedder"):
        ScoreSpec(embedders=())


@pytest.mark.parametrize(
    "fields",
    [{"gammas": ()}, {"blur_sizes": ()}, {"noise_levels": 256}, {"noise_share": 1.5},
     {"probability": -0.1}, {"gammas": (0.0,)}, {"blur_sizes": (0,)}],
)  # fmt: skip
def test_an_augmentation_that_cannot_be_done_is_refused(fields):
    with pytest.raises(ValidationError):
        AugmentSpec(**fields)


# --- what specs compute -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "n_real", "expected"),
    [
        (SynthSpec(), 37, 37),
        (SynthSpec(ratio=2.5), 10, 25),
        (SynthSpec(ratio=0.01), 10, 1),
        (SynthSpec(n_images=67950), 10, 67950),
    ],
)
def test_synthetic_frames_follow_the_ratio_or_the_absolute_number(spec, n_real, expected):
    assert spec.n_frames(n_real) == expected


def test_the_detector_has_the_budgets_of_the_cells_unless_it_has_its_own():
    study = StudySpec(name="a", classifier=ClassifierSpec(n_epochs=7))
    assert study.detector_classifier() == study.classifier
    assert study.detector_search() == study.search
    own = study.model_copy(update={"detector": DetectorSpec(search=VggSearchSpec(n_trials=1))})
    assert own.detector_search().n_trials == 1
    assert own.detector_classifier() == study.classifier


@pytest.mark.parametrize(
    ("asked", "at_hand", "expected"),
    [
        ("auto", True, ("imagenet", "detector")),
        ("auto", False, ("detector",)),
        (("imagenet",), False, ("imagenet",)),
    ],
)
def test_auto_takes_the_embedders_that_are_at_hand(asked, at_hand, expected):
    study = StudySpec(name="a", score=ScoreSpec(embedders=asked))
    assert study.with_embedders(at_hand).score.embedders == expected


@pytest.mark.parametrize(
    ("changed", "same_run"),
    [
        ({"name": "b", "description": "other"}, True),
        ({"grid": GridSpec(n_patients=(6,), replicates=5)}, True),
        ({"variants": {**PAPER_VARIANTS, "x": Recipe(pos=("noise",), neg=("real",))}}, True),
        ({"keep_snapshots": "all"}, True),
        ({"seed": 1}, False),
        ({"gan": GanSpec(ngf=8)}, False),
        ({"classifier": ClassifierSpec(n_epochs=3)}, False),
        ({"data": DataSpec(label="other")}, False),
    ],
)
def test_the_identity_of_a_run_leaves_out_names_axes_and_housekeeping(changed, same_run):
    study = StudySpec(name="a")
    assert (study.model_copy(update=changed).identity() == study.identity()) == same_run


# --- immutability and manifests -----------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "field"),
    [(StudySpec(name="a"), "seed"), (GanSpec(), "n_epochs"), (SelectSpec(), "rule"),
     (Recipe(pos=("real",), neg=("real",)), "pos"), (GridSpec(), "replicates")],
    ids=lambda value: getattr(value, "__class__", value).__name__,
)  # fmt: skip
def test_a_spec_cannot_be_changed(spec, field):
    with pytest.raises(ValidationError, match="frozen"):
        setattr(spec, field, getattr(spec, field))


def test_the_variants_of_one_study_are_not_those_of_the_next():
    first = StudySpec(name="a")
    first.variants["mine"] = Recipe(pos=("noise",), neg=("real",))
    assert "mine" not in StudySpec(name="b").variants
    assert "mine" not in PAPER_VARIANTS


def test_the_patients_of_a_split_and_their_videos_come_sorted():
    def video(patient, name, split):
        return Video(patient_id=patient, video_id=name, label=0, split=split, sha256="x")

    manifest = Manifest(
        videos=(
            video("b", "2", "train"),
            video("c", "9", "val"),
            video("a", "5", "train"),
            video("b", "1", "train"),
        )
    )
    train = manifest.patients("train")
    assert {p: [v.video_id for v in videos] for p, videos in train.items()} == {
        "a": ["5"], "b": ["1", "2"],
    }  # fmt: skip
    assert list(train) == ["a", "b"]
    assert list(manifest.patients("val")) == ["c"]
    assert manifest.patients("holdout") == {}


def test_own_variants_come_beside_those_that_are_built_in() -> None:
    study = load_study("name: a\nvariants: {oversample: {pos: [real, real], neg: [real]}}")
    assert set(study.variants) == {*BUILT_IN, "oversample"}
    assert study.variants["oversample"].pos == ("real", "real")


def test_the_detector_changes_single_values_of_the_cells_budgets() -> None:
    text = (
        "name: a\nclassifier: {batch_size: 4, n_epochs: 7}\ndetector: {classifier: {n_epochs: 2}}"
    )
    study = load_study(text)
    own = study.detector_classifier()
    assert (own.batch_size, own.n_epochs) == (4, 2)
    assert load_study(dump_study(study)) == study


# --- variants of the GAN, external images, the release gate -------------------------------


def study_with(recipe: str, rest: str = "") -> StudySpec:
    return load_study(f"{{name: a, variants: {{x: {recipe}}}, grid: {{variants: [x]}}{rest}}}")


@pytest.mark.parametrize(
    ("name", "message"),
    [("base", "base is the study's own GAN"), ("loss=hinge", "should match pattern"),
     ("''", "should match pattern")],
)  # fmt: skip
def test_names_of_external_images_are_words_of_their_own(name, message):
    recipe = f"{{pos: [external], neg: [real], external: {{name: {name}, images: a, patients: b}}}}"
    text = f"{{name: a, variants: {{x: {recipe}}}, grid: {{variants: [x]}}}}"
    assert message in problem(text)


def test_a_variants_gan_is_the_studys_with_single_values_changed():
    study = study_with("{pos: [synthetic], neg: [real], gan: {loss: hinge}}", ", gan: {ngf: 5}")
    assert study.variants["x"].gan == GanSpec(ngf=5, loss="hinge")
    assert study.gan_of(study.variants["combined"]) == GanSpec(ngf=5)


def test_a_study_with_a_gan_variant_reads_back_what_it_writes():
    study = study_with("{pos: [synthetic], neg: [real], gan: {health: {policy: stop}}}")
    assert load_study(dump_study(study)) == study


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("{pos: [external], neg: [real]}", "the source external and the section external belong"),
        ("{pos: [real], neg: [real], external: {images: a, patients: b}}", "belong together"),
        ("{pos: [real], neg: [real], gan: {ngf: 4}}", "gan is set, but no class has the source"),
        ("{pos: [external, synthetic], neg: [real], external: {images: a, patients: b}}",
         "pos has both synthetic and external frames: use one"),
        ("{pos: [external], neg: [external], external: {images: a, patients: b}}",
         "external.images needs {class} where both classes take from it"),
    ],
)  # fmt: skip
def test_a_recipe_that_makes_no_sense_is_refused(recipe, message):
    assert message in problem(f"{{name: a, variants: {{x: {recipe}}}, grid: {{variants: [x]}}}}")


EXTERNAL = "{{pos: [external], neg: [real], external: {{images: {}, patients: b{}}}}}"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("a", ""), ("c", "")),
        (("a", ", name: x"), ("c", ", name: x")),
        (("a", ""), ("c", ", name: external")),
    ],
    ids=["default", "given", "given and default"],
)
def test_two_external_sections_of_one_name_are_refused(first, second):
    one, other = EXTERNAL.format(*first), EXTERNAL.format(*second)
    line = problem(f"{{name: a, variants: {{x: {one}, y: {other}}}}}")
    name = "x" if "name: x" in one else "external"
    assert f"two variants have different external images of the name {name}: " in line
    assert "give each external section a name of its own" in line


def test_external_sections_of_one_name_that_are_one_and_those_of_two_names_are_taken():
    same = EXTERNAL.format("a", "")
    load_study(f"{{name: a, variants: {{x: {same}, y: {same}}}}}")
    other = EXTERNAL.format("c", ", name: diffusion")
    study = load_study(f"{{name: a, variants: {{x: {same}, y: {other}}}}}")
    names = [study.generator_name(study.variants[v], "pos") for v in ("x", "y")]
    assert names == ["external", "diffusion"]
    assert study.generator_name(study.variants["y"], "neg") is None
    assert load_study(dump_study(study)) == study


@pytest.mark.parametrize(
    ("policy", "n_attempts"),
    [("warn", 1), ("stop", 1), ("{retry: {}}", 3), ("{retry: {seeds: 5}}", 6)],
)
def test_policies_after_a_collapse(policy, n_attempts):
    study = load_study(f"{{name: a, gan: {{health: {{policy: {policy}}}}}}}")
    assert study.gan.health.n_attempts() == n_attempts


def test_circumstances_enter_no_key_and_no_identity():
    study = load_study("{name: a}")
    other = load_study(
        "{name: a, gan: {gpus: 0.5, checkpoint_minutes: 1, keep_checkpoints: 5}, "
        "memorisation: {release_gate: null}}"
    )
    assert other != study
    assert other.identity() == study.identity()
    assert "gpus" not in study.gan.key_fields()
    changed = load_study("{name: a, gan: {precision: bf16}}")
    assert changed.identity() != study.identity()


CARD = {
    "n_synthetic": 100,
    "n_holdout_patients": 12,
    "copy_share": 0.1,
    "frame_share": 0.05,
    "recognisable_share": 0.2,
    "caught_share": 0.8,
    "authenticity": 0.5,
}
"""Just within the limits."""


def test_a_gate_lets_through_what_is_within_its_limits_and_nothing_else():
    gate = ReleaseGateSpec(min_authenticity=0.5)
    assert gate.verdict(CARD) == Verdict("passed")
    broken = {"copy_share": 0.11, "authenticity": 0.49}
    assert gate.verdict({**CARD, **broken}) == Verdict(
        "refused",
        (
            "copy_share is 0.11, allowed is at most 0.1",
            "authenticity is 0.49, allowed is at least 0.5",
        ),
    )
    missing = {name: value for name, value in CARD.items() if name != "recognisable_share"}
    assert gate.verdict(missing) == Verdict(
        "refused", ("recognisable_share is unknown, allowed is at most 0.2",)
    )


def test_one_copy_of_a_frame_is_allowed_however_small_the_set():
    small = {**CARD, "n_synthetic": 10, "copy_share": 0.1, "frame_share": 0.1}
    assert ReleaseGateSpec().verdict(small).word == "passed"
    assert ReleaseGateSpec().verdict({**small, "frame_share": 0.2}) == Verdict(
        "refused", ("frame_share is 0.2, allowed is at most 0.1",)
    )


@pytest.mark.parametrize("caught", [0.79, 0.0, None])
def test_a_card_that_catches_too_few_copies_cannot_be_judged(caught):
    card = {**CARD, "caught_share": caught, "n_holdout_patients": 5}
    shown = "unknown" if caught is None else f"{caught:g}"
    assert ReleaseGateSpec().verdict(card) == Verdict(
        "unjudged",
        (
            "cannot be judged with 5 holdout patients: caught_share is "
            f"{shown}, needed is at least 0.8",
        ),
    )
    assert ReleaseGateSpec(min_caught_share=None).verdict(card).word == "passed"
    assert ReleaseGateSpec().verdict({**card, "copy_share": 0.5}).word == "refused"
    no_copies = ReleaseGateSpec(
        max_copy_share=None, max_frame_share=None, max_recognisable_share=None
    )
    assert no_copies.verdict(card).word == "passed", "no limit needs the threshold"
