"""One contract for every backend: the same tables, and only what is missing is done."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lussweep.backend.driver import run_plan
from lussweep.data.phantom import phantom_manifest
from lussweep.stages import Context
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import make_plan
from lussweep.study.spec import load_study
from support.commands import TINY, command, environment, lussweep

pytestmark = pytest.mark.any_processor

TABLES = (
    "results", "trials", "frame_scores", "gan_scores", "gan_losses", "cohorts", "frames",
    "memorisation", "contrasts", "worth", "aurocs", "val_scores", "operating",
)  # fmt: skip


def read(run: Path, name: str) -> pa.Table:
    """A table without its clock readings."""
    table = pq.read_table(run / f"{name}.parquet")
    return table.drop_columns([c for c in ("seconds",) if c in table.column_names])


def assert_same_tables(first: Path, second: Path, names: tuple[str, ...] = TABLES) -> None:
    for name in names:
        one, other = read(first, name), read(second, name)
        assert len(one), name
        assert one.equals(other), name


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Modification time and content of every file but the log, which every command writes."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "driver.log"
    }


def test_ray_gives_the_tables_of_inline(
    uninterrupted: Path, tmp_path: Path, local_ray: None
) -> None:
    from lussweep.backend.cluster.executor import ClusterExecutor
    from lussweep.report.write import write_report
    from lussweep.run.folder import claim, open_run
    from lussweep.run.mirror import WorkFolder

    study = load_study(TINY).with_embedders(False)
    manifest = phantom_manifest(study.data.phantom, study.seed)
    run = open_run(WorkFolder(tmp_path / "run"), study, manifest, phantom=True)
    claim(run)
    context = Context(run.store, "cpu")
    with ClusterExecutor(run.requested, context, run.folder.path / "ray") as executor:
        progress = run_plan(run.requested, run.store, executor)
    assert not progress.failed
    write_report(run.reported(), {}, {})
    assert_same_tables(run.folder.path, uninterrupted)


def test_a_rerun_changes_no_file_but_its_log(
    finished: Path, tiny_yaml: Path, tmp_path: Path
) -> None:
    before = snapshot(finished)
    done = lussweep("grid", tiny_yaml, "--out", finished, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "AUC-ROC" in done.stdout
    assert snapshot(finished) == before


def test_a_killed_run_goes_on_to_the_same_tables(
    uninterrupted: Path, tiny_yaml: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    process = subprocess.Popen(
        command("grid", tiny_yaml, "--out", run, "--backend", "inline"),
        cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while len(list(run.glob("artifacts/trial/*/record.json"))) < 3:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    survivors = snapshot_records(run)
    done = lussweep("grid", tiny_yaml, "--out", run, "--backend", "inline", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_tables(run, uninterrupted)
    after = snapshot_records(run)
    assert {name: after[name] for name in survivors} == survivors, "a finished step was redone"


def snapshot_records(run: Path) -> dict[str, tuple[int, bytes]]:
    return {k: v for k, v in snapshot(run / "artifacts").items() if k.endswith("record.json")}


def test_only_what_is_missing_is_done(finished: Path, tiny_yaml: Path, tmp_path: Path) -> None:
    results = pq.read_table(finished / "results.parquet").to_pylist()
    victim = f"evaluate/{results[0]['evaluate_key']}"
    shutil.rmtree(finished / "artifacts" / victim)
    (finished / "results.parquet").unlink()
    (finished / "report.json").unlink()
    before = snapshot_records(finished)
    done = lussweep("grid", tiny_yaml, "--out", finished, "--backend", "inline", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    after = snapshot_records(finished)
    assert set(after) - set(before) == {f"{victim}/record.json"}
    assert {name: after[name] for name in before} == before


def test_other_statistics_train_nothing(finished: Path, tiny_yaml: Path, tmp_path: Path) -> None:
    before, table = snapshot_records(finished), read(finished, "contrasts")
    assert set(table["margin"].to_pylist()) == {0.02}
    done = lussweep(
        "grid", tiny_yaml, "--out", finished, "--backend", "inline",
        "--set", "analysis.margin=0.03", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert snapshot_records(finished) == before
    after = read(finished, "contrasts")
    assert set(after["margin"].to_pylist()) == {0.03}
    assert after["difference"] == table["difference"]


def test_more_replicates_extend_the_run(finished: Path, tiny_yaml: Path, tmp_path: Path) -> None:
    before = read(finished, "results")
    done = lussweep(
        "grid", tiny_yaml, "--out", finished, "--backend", "inline", "--replicates", "2",
        "--only", "variant=baseline,n_patients=2", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    after = read(finished, "results")
    assert len(after) == len(before) + 1
    rows = after.to_pylist()
    assert [row for row in rows if row["replicate"] == 1] == before.to_pylist()


def test_a_failed_step_leaves_the_other_cells_alone(
    uninterrupted: Path, finished: Path, tiny_yaml: Path, tmp_path: Path
) -> None:
    """A GAN without its snapshots cannot be sampled: only the cells that need it are missing."""
    plan = make_plan(load_study(TINY).with_embedders(False), _tiny_manifest(), phantom=True)
    store = ArtifactStore(finished / "artifacts")
    broken = next(ref for ref, step in plan.steps.items() if step.name == "GAN neg n=2 r=1")
    for ref, step in plan.steps.items():
        if broken in plan.ancestors(ref) and step.stage in ("synth", "trial", "search", "evaluate"):
            shutil.rmtree(store.open(ref))
    shutil.rmtree(store.open(broken) / "snapshots")
    done = lussweep("grid", tiny_yaml, "--out", finished, "--backend", "inline", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    status = {
        (row["n_patients"], row["variant"]): row["status"]
        for row in read(finished, "results").to_pylist()
    }
    assert status.pop((2, "pure_synthetic")) == "blocked"
    assert set(status.values()) == {"done"}
    failures = pq.read_table(finished / "failures.parquet").to_pylist()
    assert [row["stage"] for row in failures] == ["synth"]
    assert "dropped after scoring" in failures[0]["error"]
    assert "dropped after scoring" in done.stdout
    assert list((finished / "logs").glob("synth-*.txt"))


def _tiny_manifest():
    study = load_study(TINY)
    return phantom_manifest(study.data.phantom, study.seed)


def test_holdout_scores_are_kept_by_patient_and_video(uninterrupted: Path) -> None:
    scores = read(uninterrupted, "frame_scores").to_pandas()
    frames = read(uninterrupted, "frames").to_pandas()
    holdout = frames[frames.split == "holdout"]
    assert len(scores) == 8 * len(holdout)
    assert set(scores.patient_id) == set(holdout.patient_id)
    assert scores.score.between(0, 1).all()


def test_validation_scores_are_those_that_chose_the_checkpoint(uninterrupted: Path) -> None:
    scores = read(uninterrupted, "val_scores").to_pandas()
    frames = read(uninterrupted, "frames").to_pandas()
    assert set(scores.patient_id) == set(frames[frames.split == "val"].patient_id)
    for row in read(uninterrupted, "results").to_pylist():
        mine = scores[(scores.n_patients == row["n_patients"]) & (scores.variant == row["variant"])]
        accuracy = ((mine.score >= 0.5) == (mine.label == 1)).mean()
        assert accuracy == pytest.approx(row["val_accuracy"])


def test_every_result_can_be_computed_again_from_its_frame_scores(uninterrupted: Path) -> None:
    from sklearn.metrics import f1_score, roc_auc_score

    scores = read(uninterrupted, "frame_scores").to_pandas()
    for row in read(uninterrupted, "results").to_pylist():
        mine = scores[(scores.n_patients == row["n_patients"]) & (scores.variant == row["variant"])]
        assert row["auroc"] == pytest.approx(roc_auc_score(mine.label, mine.score), abs=1e-12)
        assert row["f1"] == pytest.approx(f1_score(mine.label, mine.score >= 0.5), abs=1e-12)
        assert row["auroc_low"] is row["auroc_high"] is None  # three patients of a class
        assert "an interval needs 5" in row["reason"]


def test_counts_by_source_follow_the_recipes(uninterrupted: Path) -> None:
    for row in read(uninterrupted, "results").to_pylist():
        f = row["n_neg_real"] + row["n_neg_synthetic"]
        expected = {
            "baseline": (f, 0, f, 0),
            "combined": (f, f, f, 0),
            "positive_synthetic": (0, f, f, 0),
            "pure_synthetic": (0, f, 0, f),
        }[row["variant"]]
        names = ("n_pos_real", "n_pos_synthetic", "n_neg_real", "n_neg_synthetic")
        assert tuple(row[name] for name in names) == expected


def test_synthetic_frames_are_black_outside_the_sector(uninterrupted: Path) -> None:
    from lussweep.data.cohort import of_class
    from lussweep.data.frames import load_masks
    from lussweep.store.tables import FRAMES
    from lussweep.store.tables import read as read_table

    store = ArtifactStore(uninterrupted / "artifacts")
    synths = list((uninterrupted / "artifacts" / "synth").iterdir())
    assert synths
    for folder in synths:
        record = store.record(f"synth/{folder.name}")
        cohort = read_table(store.open(record["inputs"]["cohort"]) / "cohort.parquet", FRAMES)
        masks = load_masks(store, of_class(cohort, record["spec"]["class"]))
        frames = np.load(folder / "synthetic.npy")
        assert len(frames) == len(masks)
        assert not frames[~masks].any()
        assert frames[masks].any()


def test_only_selected_snapshots_stay(uninterrupted: Path) -> None:
    for gan in (uninterrupted / "artifacts" / "gan").iterdir():
        assert [p.name for p in (gan / "snapshots").iterdir()] == ["epoch_0002.safetensors"]
