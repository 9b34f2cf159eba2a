"""Frames of known worth: whom they show, and what becomes of them in a run."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from lussweep.backend.driver import run_plan
from lussweep.backend.inline import InlineExecutor
from lussweep.data import phantom
from lussweep.data.cohort import of_class, patient_ids
from lussweep.data.frames import load_pixels
from lussweep.errors import InputError, LeakageError
from lussweep.report.release import Origin, matching_sets, release
from lussweep.report.reported import Reported
from lussweep.report.sections import SECTIONS, Collected
from lussweep.report.sections.results import collect_outcomes
from lussweep.stages import Context, run_evaluate, run_trial
from lussweep.store import names, tables
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import Cell, Plan, make_plan
from lussweep.study.spec import Manifest, MemorisationSpec, StudySpec, load_study
from support.known_studies import TINY, add_tiny

pytestmark = pytest.mark.any_processor

VARIANTS = "[baseline, again, ideal, doubled, memoriser, oversample, mask_only]"
STUDY = f"""
name: known
data:
  phantom: {{train_patients: 8, val_patients: 3, holdout_patients: 4, frames_per_video: 2}}
  preprocess: {{image_size: 64}}
variants: {{oversample: {{pos: [real, real], neg: [real]}}}}
classifier: {{kind: {TINY}, n_epochs: 1, images_per_epoch: 16, augment: {{probability: 0.0}}}}
search: {{n_trials: 1, learning_rates: [0.01]}}
grid: {{n_patients: [3], replicates: 2, variants: {VARIANTS}}}
"""


class Ran(NamedTuple):
    study: StudySpec
    manifest: Manifest
    plan: Plan
    store: ArtifactStore

    def cell(self, variant: str, replicate: int = 1) -> Cell:
        places = [(c.coordinates.variant, c.coordinates.replicate) for c in self.plan.cells]
        return self.plan.cells[places.index((variant, replicate))]

    def frames(self, variant: str, label: str, replicate: int = 1) -> np.ndarray:
        folder = self.store.open(self.cell(variant, replicate).refs[f"synth_{label}"])
        return np.load(folder / names.SYNTHETIC)

    def patients(self, variant: str, label: str, replicate: int = 1) -> set[str]:
        ref = self.cell(variant, replicate).refs[f"synth_{label}"]
        return set(self.store.record(ref)["summary"]["patients"])

    def cohort(self, label: str, replicate: int = 1) -> np.ndarray:
        folder = self.store.open(self.cell("baseline", replicate).refs["cohort"])
        rows = of_class(tables.read_frames(folder / names.COHORT), label)
        return load_pixels(self.store, rows)

    def scores(self, variant: str, replicate: int = 1) -> list[dict]:
        folder = self.store.open(self.cell(variant, replicate).refs["evaluate"])
        return tables.read(folder / names.FRAME_SCORES, tables.FRAME_SCORES).to_pylist()


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    add_tiny()
    study = load_study(STUDY).with_embedders(False)
    assert study.data.phantom is not None
    manifest = phantom.phantom_manifest(study.data.phantom, study.seed)
    plan = make_plan(study, manifest, phantom=True)
    store = ArtifactStore(tmp_path_factory.mktemp("ran") / "artifacts")
    progress = run_plan(plan, store, InlineExecutor(plan, Context(store, "cpu")))
    assert not progress.failed, progress.failed
    return Ran(study, manifest, plan, store)


# --- simulated ------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["pos", "neg"])
def test_simulated_frames_are_as_many_as_those_of_the_cohort_and_show_n_others(
    ran: Ran, label: str
) -> None:
    split_patients = {video.patient_id for video in ran.manifest.videos}
    seen: set[str] = set()
    for replicate in (1, 2):
        frames = ran.frames("doubled", label, replicate)
        real = ran.cohort(label, replicate)
        assert (frames.shape, frames.dtype) == (real.shape, np.uint8)
        assert not {f.tobytes() for f in frames} & {f.tobytes() for f in real}
        patients = ran.patients("doubled", label, replicate)
        assert len(patients) == 3
        assert not patients & split_patients, "a new patient is in a split"
        assert not patients & seen, "a new patient is in two cohorts"
        seen |= patients


def test_new_patients_of_other_counts_replicates_and_classes_are_others() -> None:
    places = [(n, r, c) for n in (1, 11, 6) for r in (1, 11, 2) for c in ("pos", "neg")]
    ids = [{v.patient_id for v in phantom.fresh_videos(*place, 2, 7)} for place in places]
    assert [len(of_place) for of_place in ids] == [n for n, _, _ in places]
    assert len(set().union(*ids)) == sum(map(len, ids))


def test_new_patients_have_the_videos_of_their_class_as_those_of_the_splits_do() -> None:
    videos = phantom.fresh_videos(400, 1, "pos", 2, 7)
    second = [v for v in videos if v.video_id.endswith("-02")]
    assert len(videos) - len(second) == 400, "the first video of a positive patient is positive"
    assert 0.68 < len(second) / 400 < 0.82, "a quarter of the others show a healthy zone"
    assert len(phantom.fresh_videos(400, 1, "neg", 2, 7)) == 800


def test_a_new_patient_in_validation_is_refused_by_the_trial(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    val = {video.patient_id for video in ran.manifest.videos if video.split == "val"}
    trial = ran.plan.steps[ran.cell("ideal").refs["search"]].inputs["trial_001"]
    monkeypatch.setattr(ran.store, "record", with_patients(ran, "ideal", sorted(val)[:1]))
    with pytest.raises(LeakageError, match=f"training and validation: {sorted(val)[0]}"):
        run_trial(ran.plan.steps[trial], Context(ran.store, "cpu"), tmp_path)


def with_patients(ran: Ran, variant: str, patients: list[str]):
    """The store's records, with other patients behind a variant's set of positives."""
    record, changed = ran.store.record, ran.cell(variant).refs["synth_pos"]

    def read(ref: str) -> dict:
        found = record(ref)
        return found | {"summary": {"patients": patients}} if ref == changed else found

    return read


def test_a_new_patient_in_the_holdout_is_refused_by_the_judgement(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refs = ran.cell("ideal").refs
    chosen = ran.store.record(refs["search"])["summary"]
    assert set(chosen["patients"]["simulated"]) == ran.patients("ideal", "pos")
    holdout = min(v.patient_id for v in ran.manifest.videos if v.split == "holdout")
    chosen["patients"]["simulated"] = [holdout]
    monkeypatch.setattr(ran.store, "record", lambda ref: {"summary": chosen})
    with pytest.raises(LeakageError, match=f"simulated and holdout: {holdout}"):
        run_evaluate(ran.plan.steps[refs["evaluate"]], Context(ran.store, "cpu"), tmp_path)


# --- copies ---------------------------------------------------------------------------------


def test_copies_are_the_frames_of_the_cohort(ran: Ran) -> None:
    assert (ran.frames("memoriser", "pos") == ran.cohort("pos")).all()


def test_the_memoriser_is_the_oversampled_classifier_to_the_bit(ran: Ran) -> None:
    assert ran.scores("memoriser") == ran.scores("oversample")
    assert ran.scores("memoriser") != ran.scores("baseline")


def test_no_set_of_known_frames_may_be_released(ran: Ran, tmp_path: Path) -> None:
    reported = Reported(tmp_path, ran.study, ran.plan, ran.store, str)
    outcomes = collect_outcomes(reported, {})
    collected = Collected(reported=reported, sections=SECTIONS, outcomes=outcomes)
    cards = collected.table("memorisation")
    tables.write(tmp_path / "memorisation.parquet", cards, tables.MEMORISATION)
    copies = [row for row in cards.to_pylist() if row["gan"] == "copies"]
    assert [(row["class"], row["verdict"]) for row in copies] == [("pos", "refused")] * 2
    assert [row["copy_share"] for row in copies] == [1.0, 1.0]
    everything = matching_sets(tmp_path, {"class": "neg"}, ran.store)
    assert {row["gan"] for row in everything} == {"simulated"}, "there are no others"
    with_others = [*cards.to_pylist(), copies[0] | {"gan": "base"}]
    (tmp_path / "other").mkdir()
    tables.write(tmp_path / "other" / "memorisation.parquet", with_others, tables.MEMORISATION)
    (row,) = matching_sets(tmp_path / "other", {"class": "pos", "replicate": 1}, ran.store)
    assert row["gan"] == "base", "a set of known worth is taken only if it is named"
    for gate in (MemorisationSpec().release_gate, None):
        origin = Origin(name="a", seed=1, memorisation=MemorisationSpec(release_gate=gate))
        for source, label in (("copies", "pos"), ("simulated", "neg")):
            chosen = {"gan": source, "class": label, "replicate": 1}
            sets = matching_sets(tmp_path, chosen, ran.store)
            assert len(sets) == 1
            with pytest.raises(InputError, match=f"n=3 r=1 {label} {source} must not be exported"):
                release(sets, origin, ran.store, tmp_path / "out", "png")
    assert not (tmp_path / "out").exists()


# --- masks and other seeds ------------------------------------------------------------------


def test_a_classifier_of_masks_cannot_tell_frames_of_one_patient_apart(ran: Ran) -> None:
    by_patient: dict[str, set[float]] = {}
    for row in ran.scores("mask_only"):
        by_patient.setdefault(row["patient_id"], set()).add(row["score"])
    assert {len(scores) for scores in by_patient.values()} == {1}
    assert len(set().union(*by_patient.values())) == len(by_patient) == 8


def test_other_seeds_train_another_classifier_on_the_same_frames(ran: Ran) -> None:
    summaries = [
        ran.store.record(ran.cell(name).refs["search"])["summary"] for name in ("baseline", "again")
    ]
    assert summaries[0]["patients"] == summaries[1]["patients"]
    assert summaries[0]["counts"] == summaries[1]["counts"]
    assert ran.scores("baseline") != ran.scores("again")


def test_the_table_of_results_counts_frames_of_known_worth(ran: Ran, tmp_path: Path) -> None:
    rows = collect_outcomes(Reported(tmp_path, ran.study, ran.plan, ran.store, str), {}).to_pylist()
    n_frames = len(ran.cohort("pos"))
    (doubled,) = [r for r in rows if (r["variant"], r["replicate"]) == ("doubled", 1)]
    names_of = [
        f"n_{label}_{source}" for label in ("pos", "neg") for source in ("real", "simulated")
    ]
    assert [doubled[name] for name in names_of] == [n_frames] * 4
    assert doubled["gan"] == "simulated"
    assert len(patient_ids(of_class(cohort_table(ran), "pos"))) == 3


def cohort_table(ran: Ran):
    return tables.read_frames(ran.store.open(ran.cell("baseline").refs["cohort"]) / names.COHORT)
