"""The memorisation card of sets whose answer is known: copies, frames of strangers, one patient."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lussweep.data.cohort import of_class, patient_ids
from lussweep.data.frames import load_pixels
from lussweep.data.phantom import phantom_manifest
from lussweep.errors import InputError, LeakageError
from lussweep.stages import Context, execute, run_memorisation
from lussweep.store import names, tables
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import Plan, Step, make_plan
from lussweep.study.spec import ReleaseGateSpec, StudySpec, Verdict, load_study

pytestmark = pytest.mark.any_processor

STUDY = """
name: memory
data:
  phantom: {train_patients: 30, val_patients: 1, holdout_patients: 20, frames_per_video: 3}
  preprocess: {image_size: 64}
grid: {n_patients: [1, 15], replicates: 1}
variants:
  conditional: {pos: [synthetic], neg: [synthetic], gan: {conditional: true}}
"""
DATA = ("shard", "ingest", "cohort")


class Ground(NamedTuple):
    """A store with frames and cohorts, and the plan that its steps are taken from."""

    study: StudySpec
    plan: Plan
    store: ArtifactStore


class Found(NamedTuple):
    card: dict[str, Any]
    copies: list[dict[str, Any]]
    pairs: list[dict[str, Any]]


@pytest.fixture(scope="module")
def laid(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    changes = ["grid.variants=[pure_synthetic, conditional]"]
    study = load_study(STUDY, overrides=changes).with_embedders(False)
    assert study.data.phantom is not None
    plan = make_plan(study, phantom_manifest(study.data.phantom, study.seed), phantom=True)
    store = ArtifactStore(tmp_path_factory.mktemp("laid") / "artifacts")
    for step in plan.steps.values():
        if step.stage in DATA:
            execute(step, Context(store, "cpu"))
    return Ground(study, plan, store)


@pytest.fixture
def ground(laid: Ground, tmp_path: Path) -> Ground:
    """A copy, to be changed at will."""
    folder = shutil.copytree(laid.store.root, tmp_path / "artifacts")
    return laid._replace(store=ArtifactStore(folder))


def step_of(
    ground: Ground, label: str, n_patients: int = 15, variant: str = "pure_synthetic"
) -> Step:
    places = [(c.coordinates.n_patients, c.coordinates.variant) for c in ground.plan.cells]
    cell = ground.plan.cells[places.index((n_patients, variant))]
    return ground.plan.steps[cell.refs[f"memorisation_{label}"]]


def with_spec(step: Step, **changes: Any) -> Step:
    """Another spec of memorisation."""
    changed = {**step.spec["memorisation"], **changes}
    return Step(step.stage, step.version, {**step.spec, "memorisation": changed}, step.inputs)


def cohort_of(ground: Ground, step: Step) -> pa.Table:
    return tables.read(ground.store.open(step.inputs["cohort"]) / names.COHORT, tables.FRAMES)


def split_of(ground: Ground, split: str) -> pa.Table:
    (ref,) = (
        ref
        for ref, step in ground.plan.steps.items()
        if step.stage == "ingest" and step.spec["split"] == split
    )
    return tables.read(ground.store.open(ref) / "frames.parquet", tables.FRAMES)


def rewrite(ground: Ground, ref: str, name: str, table: pa.Table) -> None:
    tables.write(ground.store.open(ref) / name, table, tables.FRAMES)


def judge(ground: Ground, step: Step, frames: np.ndarray, out: Path) -> Found:
    """The card of a set of given frames in the place of those that the GAN would make."""
    gan = ground.plan.steps[ground.plan.steps[step.inputs["synth"]].inputs["gan"]]
    for planned in (gan, ground.plan.steps[step.inputs["synth"]]):
        record: dict[str, Any] = {"spec": planned.spec, "inputs": dict(planned.inputs)}
        with ground.store.commit(planned.ref, record) as folder:
            if planned.stage == "synth":
                np.save(folder / "synthetic.npy", frames)
    out.mkdir()
    card = run_memorisation(step, Context(ground.store, "cpu"), out)
    (row,) = tables.read(out / names.CARD, tables.MEMORISATION).to_pylist()
    assert {name: row[name] for name in card} == card, "the table is the summary"
    copies = tables.read(out / names.COPIES, tables.COPIES).to_pylist()
    return Found(card, copies, tables.read(out / names.PAIRS, tables.PAIRS).to_pylist())


# --- sets whose answer is known ------------------------------------------------------------


@pytest.mark.parametrize("label", ["pos", "neg"])
def test_training_frames_given_out_as_synthetic_are_all_copies_of_their_patients(
    label: str, ground: Ground, tmp_path: Path
) -> None:
    step = step_of(ground, label)
    train = of_class(cohort_of(ground, step), label)
    chosen = np.random.default_rng(0).permutation(len(train))[: len(train) - 3]
    frames = load_pixels(ground.store, train.take(chosen))
    card, copies, pairs = judge(ground, step, frames, tmp_path / "out")
    assert card["copy_share"] == 1.0
    assert card["authenticity"] == card["authenticity_across_patients"] == 0.0
    assert card["nearer_train_share"] > 0.75
    assert (card["n_train"], card["n_synthetic"]) == (len(train), len(chosen))
    truth = Counter(train.take(chosen)["patient_id"].to_pylist())
    assert {row["patient_id"]: row["n_copies"] for row in copies} == {
        patient: truth[patient] for patient in patient_ids(train)
    }
    assert card["most_copies_of_a_patient"] == max(truth.values())
    assert len(pairs) == 20
    whence = train.take(chosen).to_pylist()
    for pair in pairs:
        assert pair["ratio"] > card["copy_threshold"] and pair["is_copy"]
        source = whence[pair["synthetic_row"]]
        for name in ("patient_id", "video_id", "frame"):
            assert pair[name] == source[name]
    assert ReleaseGateSpec().verdict(card).word == "refused"


def test_frames_of_patients_whom_the_generator_never_saw_are_hardly_ever_copies(
    ground: Ground, tmp_path: Path
) -> None:
    step = step_of(ground, "pos")
    cohort = cohort_of(ground, step)
    train = of_class(split_of(ground, "train"), "pos")
    fresh = train.filter(pc.invert(pc.is_in(train["patient_id"], cohort["patient_id"])))
    assert len(patient_ids(fresh)) == 15
    card, copies, pairs = judge(ground, step, load_pixels(ground.store, fresh), tmp_path / "out")
    assert card["copy_share"] <= 0.05
    assert card["nearer_train_share"] <= 0.75
    assert 0.9 <= card["ratio_median"] <= 1.1
    assert ReleaseGateSpec().verdict(card) == Verdict("passed")
    assert (card["n_holdout_patients"], card["caught_share"] > 0.8) == (20, True)
    assert sum(row["n_copies"] for row in copies) == round(card["copy_share"] * len(fresh))
    ratios = [pair["ratio"] for pair in pairs]
    assert ratios == sorted(ratios, reverse=True)


def test_a_part_of_copies_is_found_among_fresh_frames(ground: Ground, tmp_path: Path) -> None:
    step = step_of(ground, "pos")
    cohort = of_class(cohort_of(ground, step), "pos")
    patient = patient_ids(cohort)[2]
    mine = load_pixels(ground.store, cohort.filter(pc.equal(cohort["patient_id"], patient)))
    noise = np.random.default_rng(1).integers(0, 256, (3 * len(mine), 64, 64), np.uint8)
    frames = np.concatenate([noise, mine])
    card, copies, pairs = judge(ground, step, frames, tmp_path / "out")
    assert card["copy_share"] == 0.25
    assert {r["patient_id"] for r in copies if r["n_copies"]} == {patient}
    copied = [pair for pair in pairs if pair["is_copy"]]
    assert {pair["synthetic_row"] for pair in copied} == set(range(len(noise), len(frames)))


# --- whom it looks at ----------------------------------------------------------------------


def test_one_patient_leaves_only_what_is_between_patients_unknown(
    ground: Ground, tmp_path: Path
) -> None:
    step = step_of(ground, "pos", n_patients=1)
    train = of_class(cohort_of(ground, step), "pos")
    frames = load_pixels(ground.store, train)
    card, copies, pairs = judge(ground, step, frames, tmp_path / "out")
    assert [name for name, value in card.items() if value is None] == [
        "authenticity_across_patients"
    ]
    assert (card["copy_share"], card["authenticity"]) == (1.0, 0.0)
    (row,) = copies
    assert (row["patient_id"], row["n_copies"]) == (patient_ids(train)[0], len(frames))
    assert len(pairs) == len(frames)
    reasons = ReleaseGateSpec().verdict(card).reasons
    assert reasons[0] == "copy_share is 1, allowed is at most 0.1"
    assert reasons[-1] == "recognisable_share is 1, allowed is at most 0.2"


def test_a_ratio_that_is_not_finite_is_none(ground: Ground, tmp_path: Path) -> None:
    """Of frames of the holdout, which are 0 away from it."""
    step = step_of(ground, "pos")
    holdout = of_class(split_of(ground, "holdout"), "pos")
    frames = load_pixels(ground.store, holdout)
    card, _, pairs = judge(ground, step, frames, tmp_path / "out")
    assert card["ratio_median"] is None
    assert card["copy_share"] == 0
    whence = holdout.to_pylist()
    for pair in pairs:
        for name in ("patient_id", "video_id", "frame"):
            assert pair[f"holdout_{name}"] == whence[pair["synthetic_row"]][name]


def test_one_patient_of_each_class_is_enough_for_a_conditional_gan(
    ground: Ground, tmp_path: Path
) -> None:
    step = step_of(ground, "pos", n_patients=1, variant="conditional")
    frames = load_pixels(ground.store, cohort_of(ground, step))
    assert judge(ground, step, frames, tmp_path / "out").card["copy_share"] == 1.0


def test_a_holdout_patient_among_the_training_frames_is_refused_by_name(
    ground: Ground, tmp_path: Path
) -> None:
    step = step_of(ground, "pos")
    stolen = patient_ids(split_of(ground, "holdout"))[0]
    change = {"patient_id": stolen}
    for role, name in (("cohort", names.COHORT), ("train", "frames.parquet")):
        table = tables.read(ground.store.open(step.inputs[role]) / name, tables.FRAMES)
        changed = tables.with_columns(table, change, tables.FRAMES)
        rewrite(ground, step.inputs[role], name, changed)
    frames = np.zeros((4, 64, 64), np.uint8)
    with pytest.raises(LeakageError, match=f"both training and holdout: {stolen}"):
        judge(ground, step, frames, tmp_path / "out")


def test_holdout_frames_of_the_other_class_do_not_count_for_a_gan_of_one_class(
    ground: Ground, tmp_path: Path
) -> None:
    """The card is the same with and without them, even for a set that repeats them."""
    step = step_of(ground, "pos")
    holdout = split_of(ground, "holdout")
    frames = load_pixels(ground.store, of_class(holdout, "neg"))
    found = judge(ground, step, frames, tmp_path / "with")
    rewrite(ground, step.inputs["holdout"], "frames.parquet", of_class(holdout, "pos"))
    assert judge(ground, step, frames, tmp_path / "without") == found


def test_both_classes_count_for_a_conditional_gan(ground: Ground, tmp_path: Path) -> None:
    """Without the other class's frames, as many could not be compared."""
    step = step_of(ground, "pos", variant="conditional")
    cohort = cohort_of(ground, step)
    holdout = split_of(ground, "holdout")
    assert len(of_class(holdout, "pos")) < len(cohort) < len(holdout)
    frames = load_pixels(ground.store, of_class(holdout, "neg"))
    card = judge(ground, step, frames, tmp_path / "out").card
    assert (card["n_train"], card["n_compared"]) == (len(cohort), len(cohort))
    assert card["nearer_train_share"] < 0.5, "unseen negatives are nearer to themselves"


def test_no_more_frames_are_looked_at_than_the_spec_allows(ground: Ground, tmp_path: Path) -> None:
    step = step_of(ground, "pos")
    step = with_spec(step, n_images=5)
    train = of_class(cohort_of(ground, step), "pos")
    frames = load_pixels(ground.store, train)
    found = judge(ground, step, frames, tmp_path / "out")
    assert (found.card["n_synthetic"], len(found.pairs)) == (5, 5)
    assert {pair["synthetic_row"] for pair in found.pairs} == set(range(5))


def test_a_class_without_holdout_patients_is_refused_in_one_line(
    ground: Ground, tmp_path: Path
) -> None:
    step = step_of(ground, "pos")
    negatives = of_class(split_of(ground, "holdout"), "neg")
    rewrite(ground, step.inputs["holdout"], "frames.parquet", negatives)
    with pytest.raises(InputError) as caught:
        judge(ground, step, np.zeros((4, 64, 64), np.uint8), tmp_path / "out")
    assert caught.value.problems == (
        "no holdout patient has a usable frame of class pos, so the release gate cannot tell a "
        "copy: move such patients to the holdout split",
    )


def test_one_holdout_patient_leaves_no_threshold(ground: Ground, tmp_path: Path) -> None:
    step = step_of(ground, "pos")
    holdout = of_class(split_of(ground, "holdout"), "pos")
    only = pc.equal(holdout["patient_id"], patient_ids(holdout)[0])
    rewrite(ground, step.inputs["holdout"], "frames.parquet", holdout.filter(only))
    frames = load_pixels(ground.store, of_class(cohort_of(ground, step), "pos"))
    card = judge(ground, step, frames, tmp_path / "out").card
    assert (card["copy_threshold"], card["copy_share"], card["caught_share"]) == (None, 0, 0)
    verdict = ReleaseGateSpec().verdict(card)
    assert verdict.word == "unjudged"
    assert "cannot be judged with 1 holdout patient:" in verdict.reasons[0]
