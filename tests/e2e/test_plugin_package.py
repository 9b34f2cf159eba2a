"""The package in tests/plugin, which docs/extending.md shows, installed and run on Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lussweep.store import tables
from support.commands import ROOT, command, environment

PACKAGE = ROOT / "tests" / "plugin"
VARIANTS = ("baseline", "combined")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that pip has installed the package into."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    copy = tmp_path_factory.mktemp("package")  # setuptools leaves files beside what it builds
    subprocess.run(["cp", "-r", f"{PACKAGE}/.", copy], check=True)
    subprocess.run([*pip, "--no-build-isolation", "--target", folder, copy], check=True)
    return folder


def run(*arguments: str | Path, cwd: Path, site: Path | None) -> str:
    """The output of a command, with the package on the path or without it."""
    env = environment()
    if site is not None:
        env["PYTHONPATH"] = os.pathsep.join([str(site), *filter(None, [env.get("PYTHONPATH")])])
    done = subprocess.run(
        command(*arguments), cwd=cwd, env=env, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def ran(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a grid on Ray that uses every part of the package."""
    folder = tmp_path_factory.mktemp("plugin") / "run"
    given = ("--backend", "ray", "--no-dashboard", "--out", folder)
    run("grid", PACKAGE / "blurred.yaml", *given, cwd=folder.parent, site=site)
    return folder


def specs(run_folder: Path, stage: str) -> list[dict[str, object]]:
    records = run_folder.glob(f"artifacts/{stage}/*/record.json")
    return [json.loads(path.read_text())["spec"] for path in records]


def test_every_cell_has_an_auc(ran: Path) -> None:
    rows = tables.read_any(ran / "results.parquet").to_pylist()
    assert [row["variant"] for row in rows] == list(VARIANTS)
    for row in rows:
        assert row["status"] == "done"
        assert 0 <= row["auroc"] <= 1
        assert row["channels"] is None and row["dropout"] is None
        assert row["hyperparameters"] in ('{"side":2}', '{"side":8}')


def test_trials_cover_the_space_of_the_classifier(ran: Path) -> None:
    rows = tables.read_any(ran / "trials.parquet").to_pylist()
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


def test_the_losses_of_the_generator_have_rows(ran: Path) -> None:
    rows = tables.read(ran / "gan_losses.parquet", tables.GAN_LOSSES).to_pylist()
    assert {row["name"] for row in rows} == {"loss"}
    first, last = (row["value"] for row in rows)
    assert [row["epoch"] for row in rows] == [1, 2] and first > last > 0


def test_the_score_and_the_embedder_have_rows(ran: Path) -> None:
    rows = tables.read_any(ran / "gan_scores.parquet").to_pylist()
    sharpness = [row for row in rows if row["metric"] == "sharpness"]
    assert {(row["embedder"], row["space"]) for row in sharpness} == {("none", "pixel")}
    assert {row["epoch"] for row in sharpness} == {1, 2}
    kid = [row for row in rows if row["metric"] == "kid" and row["embedder"] == "thumbnails"]
    assert {row["space"] for row in kid} == {"features"}
    assert not any(row["saw_all_train_patients"] for row in kid)


def test_the_snapshot_is_chosen_by_the_score(ran: Path) -> None:
    rows = tables.read_any(ran / "gan_scores.parquet").to_pylist()
    sharpness = {row["epoch"]: row["value"] for row in rows if row["metric"] == "sharpness"}
    best = min(sharpness, key=lambda epoch: abs(sharpness[epoch] - 1))
    (result,) = [
        row
        for row in tables.read_any(ran / "results.parquet").to_pylist()
        if row["variant"] == "combined"
    ]
    (summary,) = [
        json.loads(path.read_text())["summary"]
        for path in ran.glob("artifacts/synth/*/record.json")
    ]
    assert result["n_pos_synthetic"] == result["n_pos_real"]
    assert summary["epoch"] == best


@pytest.mark.parametrize(
    ("stage", "uses_it"),
    [("gan", True), ("trial", True), ("score", True), ("cohort", False), ("evaluate", False)],
)
def test_the_version_stands_in_the_steps_that_use_the_package(
    ran: Path, stage: str, uses_it: bool
) -> None:
    found = specs(ran, stage)
    assert found
    for spec in found:
        assert spec.get("plugins") == ({"lussweep-blurred": "1.0"} if uses_it else None)


def test_a_run_is_read_without_the_package(ran: Path) -> None:
    exported = ("export-synthetic", ran, "--out", ran.parent / "exported")
    cell = "variant=combined,n_patients=3,replicate=1"
    for arguments in (("status", ran), ("logs", ran, cell), exported):
        run(*arguments, cwd=ran.parent, site=None)
    assert list((ran.parent / "exported").rglob("*.png"))


def test_a_finished_grid_is_not_computed_again(ran: Path, site: Path) -> None:
    given = ("--backend", "inline", "--out", ran)
    before = {path: path.stat().st_mtime_ns for path in ran.glob("artifacts/*/*/record.json")}
    run("grid", PACKAGE / "blurred.yaml", *given, cwd=ran.parent, site=site)
    after = {path: path.stat().st_mtime_ns for path in ran.glob("artifacts/*/*/record.json")}
    assert before == after and before


def test_without_the_package_the_experiment_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        command("plan", PACKAGE / "blurred.yaml"),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "plugins names 'blurred', which no installed package has" in done.stderr
