"""The generator of docs/extending.md beside a DCGAN: two kinds in one grid."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lussweep.store import tables
from support.packages import run_inline

DCGAN = "kind=dcgan, n_epochs=2, ngf=2, ndf=2"
EXPERIMENT = """
name: kinds
plugins: [blurred]
data:
  phantom: {train_patients: 4, val_patients: 3, holdout_patients: 4, frames_per_video: 4}
  preprocess: {image_size: 64}
gan: {kind: blurred, n_epochs: 3, snapshot_every: 2, blur: 8}
score: {n_images: 8}
classifier: {n_epochs: 2}
search: {n_trials: 2, channels: [1], learning_rates: [0.003, 0.001], dropouts: [0.25]}
variants:
  dcgan: {pos: [synthetic], neg: [real], gan: {kind: dcgan, n_epochs: 2, ngf: 2, ndf: 2}}
grid: {n_patients: [3], replicates: 1, variants: [baseline, combined, dcgan]}
"""


@pytest.fixture(scope="module")
def ran(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a grid with both kinds."""
    return run_inline("kinds", EXPERIMENT, folder=tmp_path_factory.mktemp("kinds"), site=site)


def rows(run: Path, name: str) -> list[dict[str, Any]]:
    return tables.read_any(run / f"{name}.parquet").to_pylist()


def records(run: Path, stage: str) -> dict[Path, dict[str, Any]]:
    found = run.glob(f"artifacts/{stage}/*/record.json")
    return {path.parent: json.loads(path.read_text()) for path in found}


def test_every_cell_is_done_with_the_generator_of_its_variant(ran: Path) -> None:
    results = {row["variant"]: row for row in rows(ran, "results")}
    assert {row["status"] for row in results.values()} == {"done"}
    generators = {variant: row["gan"] for variant, row in results.items()}
    assert generators == {"baseline": None, "combined": "base", "dcgan": DCGAN}


def test_losses_of_both_kinds_are_rows_of_one_table(ran: Path) -> None:
    losses = rows(ran, "gan_losses")
    blurred = [row for row in losses if row["gan"] == "base"]
    assert {row["name"] for row in blurred} == {"loss"}
    assert [row["epoch"] for row in blurred] == [1, 2, 3]
    values = [row["value"] for row in blurred]
    assert values == sorted(values, reverse=True) and values[0] > values[-1] > 0
    assert {"loss_g", "diversity"} < {row["name"] for row in losses if row["gan"] == DCGAN}
    shown = EventAccumulator(str(ran / "tensorboard" / "gan" / "n003_r1_pos")).Reload()
    assert [event.value for event in shown.Scalars("loss/loss")] == pytest.approx(values)


def test_the_generator_that_has_not_learned_is_an_event_and_marks_its_cell(ran: Path) -> None:
    """Blurred copies are no noise. Two epochs on few frames teach a DCGAN nothing."""
    results = {row["variant"]: row for row in rows(ran, "results")}
    learned = {variant: row["has_learned"] for variant, row in results.items()}
    assert learned == {"baseline": None, "combined": True, "dcgan": False}
    assert results["combined"]["spectral_gap_pos"] < 0.5 < results["dcgan"]["spectral_gap_pos"]
    assert results["dcgan"]["spectral_gap_neg"] is None
    last = {"base": 3, DCGAN: 2}
    gaps = {
        row["gan"]: row["value"]
        for row in rows(ran, "gan_scores")
        if (row["metric"], row["epoch"]) == ("spectral_gap", last.get(row["gan"], -1))
    }
    assert gaps == {
        "base": results["combined"]["spectral_gap_pos"],
        DCGAN: results["dcgan"]["spectral_gap_pos"],
    }
    events = [(row["gan"], row["epoch"], row["kind"]) for row in rows(ran, "gan_events")]
    assert events == [(DCGAN, 2, "not_learned")]
    assert results["dcgan"]["events_pos"] == "not_learned at epoch 2"
    assert "not_learned: the images are nearer to noise" in (ran / "events.log").read_text()
    with (ran / "summary.csv").open() as file:
        counts = {row["variant"]: row["n_not_learned"] for row in csv.DictReader(file)}
    assert counts == {"baseline": "0", "combined": "0", "dcgan": "1"}


def test_synthetic_frames_are_blurred_frames_of_the_cohort(ran: Path) -> None:
    """Those of the last epoch, with the sector mask of the frame that each stands for."""
    (trained,) = (
        folder for folder, record in records(ran, "gan").items()
        if record["spec"]["gan"].get("kind") == "blurred"
    )  # fmt: skip
    (made,) = (
        folder for folder, record in records(ran, "synth").items()
        if record["inputs"]["gan"] == f"gan/{trained.name}"
    )  # fmt: skip
    blurred = load_file(trained / "snapshots" / "epoch_0003.safetensors")["frames"]
    frames = np.load(made / "synthetic.npy")
    assert len(frames) == len(blurred)
    for frame in frames:
        inside = frame > 0
        assert any((frame[inside] == other[inside]).all() for other in blurred)
        assert inside.any()


def test_its_snapshots_are_scored_and_the_unused_ones_deleted(ran: Path) -> None:
    scored = {row["epoch"] for row in rows(ran, "gan_scores") if row["gan"] == "base"}
    assert scored == {2, 3}
    for folder, record in records(ran, "gan").items():
        kind = record["spec"]["gan"].get("kind", "dcgan")
        last = {"blurred": 3, "dcgan": 2}[kind]
        names = [path.name for path in (folder / "snapshots").iterdir()]
        assert names == [f"epoch_{last:04d}.safetensors"]
