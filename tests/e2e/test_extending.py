"""The classifier of docs/extending.md: the page's file, experiment and command, as they stand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lussweep.report.sections.results import RESULTS
from lussweep.store import tables
from support.pages import run_command, section, write_block

VARIANTS = ("baseline", "combined")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of the page's command."""
    folder = tmp_path_factory.mktemp("extending")
    text = section("extending.md", "A classifier")
    write_block(text, "py", folder / "pixels.py")
    write_block(text, "yaml", folder / "pixels.yaml")
    run_command(text, folder)
    return folder / "pixels-run"


def test_every_cell_has_an_auc(ran: Path) -> None:
    rows = tables.read(ran / "results.parquet", RESULTS).to_pylist()
    assert [row["variant"] for row in rows] == list(VARIANTS)
    for row in rows:
        assert row["status"] == "done"
        assert 0 <= row["auroc"] <= 1
        assert row["channels"] is None and row["dropout"] is None
        assert row["hyperparameters"] in ('{"side":2}', '{"side":8}')


def test_trials_cover_the_space(ran: Path) -> None:
    rows = tables.read(ran / "trials.parquet", tables.TRIALS).to_pylist()
    for variant in (*VARIANTS, "detector"):
        own = {row["hyperparameters"] for row in rows if row["variant"] == variant}
        assert own == {'{"side":2}', '{"side":8}'}


def test_weights_are_those_of_the_chosen_network(ran: Path) -> None:
    """One weight for each class and square of 64 x 64 pixels."""
    from safetensors.numpy import load_file

    for path in ran.glob("artifacts/search/*/record.json"):
        chosen = json.loads(path.read_text())["summary"]
        weights = load_file(path.with_name("best.safetensors"))
        assert chosen["kind"] == "pixels"
        assert weights["head.weight"].shape == (2, (64 // chosen["config"]["side"]) ** 2)


def test_the_detector_of_this_kind_scored_the_gan(ran: Path) -> None:
    rows = tables.read(ran / "gan_scores.parquet", tables.GAN_SCORES).to_pylist()
    spaces = {row["space"] for row in rows if row["embedder"] == "detector"}
    assert spaces == {"conv", "logit", "softmax"}
