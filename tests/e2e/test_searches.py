"""Searches that learn, controls by name, and where their trials can be looked at."""

from __future__ import annotations

import shutil
from pathlib import Path

import optuna
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from safetensors.torch import load_file, save_file

from e2e.test_backends import TABLES, assert_same_tables
from lussweep.backend.driver import Executor, run_plan
from lussweep.backend.inline import InlineExecutor
from lussweep.data.phantom import phantom_manifest
from lussweep.report.write import write_report
from lussweep.run.folder import Run, claim, open_run
from lussweep.run.mirror import WorkFolder
from lussweep.stages import Context, run_evaluate
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import Step
from lussweep.study.spec import load_study

pytestmark = pytest.mark.any_processor

LEARNING = """
name: learning
data:
  phantom: {train_patients: 4, val_patients: 2, holdout_patients: 3, frames_per_video: 4}
  preprocess: {image_size: 64}
gan: {n_epochs: 2, ngf: 2, ndf: 2, snapshot_every: 1}
score: {n_images: 8}
classifier: {n_epochs: 3, patience: 3, batchnorm_momentum: 0.1}
search:
  {n_trials: 6, channels: [1, 2], learning_rates: [0.003, 0.001], dropouts: [0.25],
   select_by: auroc, sampler: tpe, pruner: asha, reduction_factor: 2, n_concurrent: 2}
analysis: {n_resamples: 100}
variants:
  classic: {pos: [real], neg: [real], augment: {probability: 0.8, rotate_degrees: 10, shift: 0.1}}
  shuffled: {pos: [real], neg: [real], labels: shuffled}
grid: {n_patients: [2], replicates: 2, variants: [baseline, classic, shuffled, combined]}
"""


def opened(folder: Path) -> Run:
    study = load_study(LEARNING).with_embedders(False)
    assert study.data.phantom is not None
    run = open_run(
        WorkFolder(folder), study, phantom_manifest(study.data.phantom, study.seed), phantom=True
    )
    claim(run)
    return run


def carry_out(run: Run, executor: Executor) -> None:
    progress = run_plan(run.requested, run.store, executor)
    assert not progress.failed, [o.error for o in progress.failed.values()]
    written = write_report(run.reported(), {}, {})
    assert write_report(run.reported(), {}, {}) == written, (
        "read from the files once they are there"
    )


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = opened(tmp_path_factory.mktemp("learning") / "run")
    carry_out(run, InlineExecutor(run.requested, Context(run.store, "cpu")))
    return run.folder.path


def test_on_ray_too_a_trial_knows_what_it_would_know_in_one_process(
    learned: Path, tmp_path: Path, local_ray: None
) -> None:
    from lussweep.backend.cluster.executor import ClusterExecutor

    run = opened(tmp_path / "run")
    with ClusterExecutor(
        run.requested, Context(run.store, "cpu"), run.folder.path / "ray"
    ) as executor:
        carry_out(run, executor)
    # One patient count has no curve that a worth could be read from.
    assert_same_tables(run.folder.path, learned, tuple(name for name in TABLES if name != "worth"))


def test_trials_are_given_up_and_selection_goes_by_auroc(learned: Path) -> None:
    trials = pq.read_table(learned / "trials.parquet").to_pylist()
    ended = [row["ended"] for row in trials if row["ended"]]
    assert "pruned" in ended
    assert "epochs" in ended
    pruned = {
        (t["n_patients"], t["replicate"], t["variant"], t["trial"])
        for t in trials
        if t["ended"] == "pruned"
    }
    lengths = {
        place: sum(
            (t["n_patients"], t["replicate"], t["variant"], t["trial"]) == place for t in trials
        )
        for place in pruned
    }
    assert set(lengths.values()) <= {1, 2}, "rungs lie at epochs 1 and 2"
    for replicate in (1, 2):
        rows = [t for t in trials if (t["replicate"], t["variant"]) == (replicate, "baseline")]
        best = max(rows, key=lambda t: (t["val_auroc"], -t["val_loss"]))
        assert best["selected"]
        assert sum(t["selected"] for t in rows) == 1


def test_optuna_reads_the_whole_grid_from_one_file(learned: Path) -> None:
    storage = JournalStorage(JournalFileBackend(str(learned / "optuna.log")))
    study = optuna.load_study(study_name="learning", storage=storage)
    assert len(study.trials) == 6 * (2 * 4 + 1)
    assert {t.params["variant"] for t in study.trials} == {
        "baseline", "classic", "shuffled", "combined", "detector",
    }  # fmt: skip


def test_shuffled_labels_reach_training_and_validation_but_never_holdout(learned: Path) -> None:
    def labels(name: str, variant: str) -> dict[str, set[int]]:
        table = pq.read_table(learned / f"{name}.parquet")
        mine = table.filter(
            pc.and_(pc.equal(table["variant"], variant), pc.equal(table["replicate"], 1))
        )
        found: dict[str, set[int]] = {}
        for patient, label in zip(
            mine["patient_id"].to_pylist(), mine["label"].to_pylist(), strict=True
        ):
            found.setdefault(patient, set()).add(label)
        return found

    assert labels("frame_scores", "shuffled") == labels("frame_scores", "baseline")
    of_val = labels("val_scores", "shuffled")
    assert all(len(called) == 1 for called in of_val.values())
    assert sum(called == {1} for called in of_val.values()) == len(of_val) / 2
    results = pq.read_table(learned / "results.parquet").to_pylist()
    keys = {r["search_key"] for r in results if r["replicate"] == 1}
    assert len(keys) == 4, "every variant has a classifier of its own"


def test_two_permutations_are_no_verdict(learned: Path) -> None:
    (row,) = pq.read_table(learned / "controls.parquet").to_pylist()
    assert (row["variant"], row["n_permutations"]) == ("shuffled", 2)
    assert row["status"] == "withheld"
    assert row["verdict"] is None


def test_a_classifier_that_diverged_is_judged_by_saying_so(learned: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(learned, run)
    store = ArtifactStore(run / "artifacts")
    folder = sorted((run / "artifacts" / "evaluate").iterdir())[0]
    record = store.record(f"evaluate/{folder.name}")
    step = Step("evaluate", record["version"], record["spec"], record["inputs"], record["name"])
    weights = store.open(step.inputs["search"]) / "best.safetensors"
    broken = {
        name: torch.full_like(tensor, torch.nan) if tensor.is_floating_point() else tensor
        for name, tensor in load_file(weights).items()
    }
    save_file(broken, weights)
    (tmp_path / "out").mkdir()
    summary = run_evaluate(step, Context(store, "cpu"), tmp_path / "out")
    assert summary["auroc"] is summary["accuracy"] is summary["f1"] is None
    assert summary["n_holdout_patients"] == record["summary"]["n_holdout_patients"]
    scores = pq.read_table(tmp_path / "out" / "frame_scores.parquet")["score"].to_pylist()
    assert all(score != score for score in scores), "every score is NaN, and kept"
