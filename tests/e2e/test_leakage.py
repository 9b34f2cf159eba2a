"""Patients are the unit: what goes wrong when they are not, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from scipy import stats

from lussweep.data.phantom import phantom_manifest, render_video
from lussweep.errors import LeakageError
from lussweep.metrics.auroc import auroc
from lussweep.models.classifiers.dataset import TrainSet
from lussweep.models.classifiers.search_space import TrialConfig
from lussweep.models.classifiers.step import predict
from lussweep.models.classifiers.train import train_classifier
from lussweep.models.classifiers.vgg import ReducedVGG
from lussweep.models.training.pool import FramePool
from lussweep.stages import Context, run_evaluate, run_score, run_trial
from lussweep.store import tables
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.keys import derive_seed
from lussweep.study.plan import Step
from lussweep.study.spec import ClassifierSpec, PhantomSpec

pytestmark = pytest.mark.any_processor

CPU = torch.device("cpu")
SIZE = 64
BUDGET = ClassifierSpec(n_epochs=3, images_per_epoch=512, batchnorm_momentum=0.1)
CONFIG = TrialConfig(0.005, {"channels": 2, "dropout": 0.0})


def phantom_frames(
    split: str, n_patients: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames, labels and patient numbers of n patients a class."""
    spec = PhantomSpec(train_patients=n_patients, val_patients=n_patients,
                       holdout_patients=n_patients, frames_per_video=8)  # fmt: skip
    images, labels, patients = [], [], []
    videos = phantom_manifest(spec, seed).patients(split)
    for number, patient in enumerate(videos.values()):
        for video in patient:
            images.append(render_video(video, spec.frames_per_video, SIZE, seed))
            labels += [video.label] * spec.frames_per_video
            patients += [number] * spec.frames_per_video
    return np.concatenate(images), np.array(labels), np.array(patients)


def train_and_score(
    images: np.ndarray,
    labels: np.ndarray,
    val: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    seed: int,
) -> float:
    """AUC-ROC on `test` of a classifier trained on `images`, selected on `val`."""
    n_neg = int((labels == 0).sum())
    order = np.argsort(labels, kind="stable")
    train_set = TrainSet(images[order], n_neg, {}, min(n_neg, len(images) - n_neg))
    val_pool = FramePool(val[0], None, CPU)
    trained = train_classifier(train_set, val_pool, val[1], CONFIG, BUDGET, seed=seed)
    model = ReducedVGG(SIZE, **CONFIG.hyperparameters)
    model.load_state_dict(trained.weights)
    return auroc(test[1], predict(model, FramePool(test[0], None, CPU), 64))


def test_splitting_by_frame_flatters_the_classifier() -> None:
    """Frames of a patient whose other frames were trained on are recognised, not diagnosed."""
    torch.set_num_threads(1)
    images, labels, _ = phantom_frames("train", 8, seed=31)
    holdout = phantom_frames("holdout", 30, seed=31)[:2]
    held_out = np.arange(len(images)) % 4 == 3
    train_images, train_labels = images[~held_out], labels[~held_out]
    same_patients = images[held_out], labels[held_out]
    by_frame = train_and_score(train_images, train_labels, same_patients, same_patients, seed=1)
    by_patient = train_and_score(train_images, train_labels, same_patients, holdout, seed=1)
    assert by_frame > by_patient + 0.1, (by_frame, by_patient)


@pytest.mark.slow
def test_permuted_labels_teach_nothing() -> None:
    """Labels permuted over patients, validation's too, since it selects: chance on holdout."""
    torch.set_num_threads(1)
    holdout = phantom_frames("holdout", 30, seed=32)[:2]
    train = phantom_frames("train", 20, seed=32)
    val = phantom_frames("val", 10, seed=32)

    def permuted(split: tuple[np.ndarray, np.ndarray, np.ndarray], seed: int) -> np.ndarray:
        labels, patients = split[1], split[2]
        n = patients.max() + 1
        of_patient = np.array([labels[patients == p].max() for p in range(n)])
        return np.random.default_rng(seed).permutation(of_patient)[patients]

    aurocs = [
        train_and_score(
            train[0],
            permuted(train, derive_seed(seed, "train")),
            (val[0], permuted(val, derive_seed(seed, "val"))),
            holdout,
            seed,
        )
        for seed in range(20)
    ]
    low, high = stats.t.interval(0.95, len(aurocs) - 1, np.mean(aurocs), stats.sem(aurocs))
    assert low <= 0.5 <= high, (low, high, aurocs)


# --- steps re-check the patients that they were given ---------------------------------------


def planned(run: Path, stage: str) -> tuple[Step, ArtifactStore]:
    """A finished step of a stage, read back from its record."""
    store = ArtifactStore(run / "artifacts")
    folder = sorted((run / "artifacts" / stage).iterdir())[0]
    record = store.record(f"{stage}/{folder.name}")
    step = Step(stage, record["version"], record["spec"], record["inputs"], record["name"])
    assert step.key == folder.name
    return step, store


def rewrite(path: Path, change: dict[str, str]) -> None:
    """Set columns of a frame index to a constant."""
    table = tables.read(path, tables.FRAMES)
    tables.write(path, tables.with_columns(table, change, tables.FRAMES), tables.FRAMES)


def test_a_trial_refuses_a_cohort_of_another_split(finished: Path, tmp_path: Path) -> None:
    step, store = planned(finished, "trial")
    rewrite(store.open(step.inputs["cohort"]) / "cohort.parquet", {"split": "holdout"})
    with pytest.raises(LeakageError, match="phantom-train"):
        run_trial(step, Context(store, "cpu"), tmp_path)


def test_a_trial_refuses_patients_that_validation_has_too(finished: Path, tmp_path: Path) -> None:
    step, store = planned(finished, "trial")
    cohort = store.open(step.inputs["cohort"]) / "cohort.parquet"
    stolen = tables.read(cohort, tables.FRAMES)["patient_id"][0].as_py()
    rewrite(store.open(step.inputs["val"]) / "frames.parquet", {"patient_id": stolen})
    with pytest.raises(LeakageError, match=f"both training and validation: {stolen}"):
        run_trial(step, Context(store, "cpu"), tmp_path)


def test_scores_refuse_a_cohort_with_strangers(finished: Path, tmp_path: Path) -> None:
    step, store = planned(finished, "score")
    rewrite(store.open(step.inputs["cohort"]) / "cohort.parquet", {"patient_id": "stranger"})
    with pytest.raises(LeakageError, match="outside the train split: stranger"):
        run_score(step, Context(store, "cpu"), tmp_path)


def test_evaluation_refuses_a_holdout_patient_who_was_trained_on(
    finished: Path, tmp_path: Path
) -> None:
    step, store = planned(finished, "evaluate")
    holdout = store.open(step.inputs["holdout"]) / "frames.parquet"
    patient = tables.read(holdout, tables.FRAMES)["patient_id"][0].as_py()
    record_path = store.open(step.inputs["search"]) / "record.json"
    record = json.loads(record_path.read_text())
    record["summary"]["patients"]["train"].append(patient)
    record_path.write_text(json.dumps(record))
    with pytest.raises(LeakageError, match=f"both train and holdout: {patient}"):
        run_evaluate(step, Context(store, "cpu"), tmp_path)


def test_files_name_no_patient_but_the_tables_of_frames(
    finished: Path, tiny_yaml: Path, tmp_path: Path
) -> None:
    """A failing step's log, the failure table and the results carry hashed ids."""
    from support.commands import lussweep

    step, store = planned(finished, "evaluate")
    shutil.rmtree(store.open(f"evaluate/{step.key}"))
    (finished / "report.json").unlink()
    record_path = store.open(step.inputs["search"]) / "record.json"
    record = json.loads(record_path.read_text())
    holdout = tables.read(store.open(step.inputs["holdout"]) / "frames.parquet", tables.FRAMES)
    patient = holdout["patient_id"][0].as_py()
    record["summary"]["patients"]["val"].append(patient)
    record_path.write_text(json.dumps(record))
    done = lussweep("grid", tiny_yaml, "--out", finished, "--backend", "inline", cwd=tmp_path)
    assert done.returncode == 1
    assert patient in done.stdout, "the terminal names the patient"
    written = [*(finished / "logs").iterdir(), finished / "summary.csv"]
    texts = [path.read_text() for path in written]
    for name in ("failures", "results"):
        texts.append(str(pq.read_table(finished / f"{name}.parquet").to_pylist()))
    assert any("LeakageError" in text for text in texts)
    assert not any(patient in text for text in texts)
