"""The generator of docs/extending.md: the page's file, experiment and command, as they stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lussweep.store import tables
from support.pages import run_command, section, write_block

DCGAN = "kind=dcgan, n_epochs=2, ngf=2, ndf=2"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of the page's command."""
    folder, shown = tmp_path_factory.mktemp("generators"), section("extending.md", "A generator")
    write_block(shown, "py", folder / "blurred.py")
    write_block(shown, "yaml", folder / "blurred.yaml")
    run_command(shown, folder)
    return folder / "blurred-run"


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
