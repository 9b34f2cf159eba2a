"""The experiment of docs/extending.md, which uses every part of the plugin, on Ray."""

from __future__ import annotations

import gzip
import json
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lussweep.report.sections.results import RESULTS
from lussweep.store import tables
from support.commands import command, environment
from support.packages import GRID, PLUGIN, run, run_python

VARIANTS = ("baseline", "combined")


@pytest.fixture(scope="module")
def ran(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of the page's command."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copy(PLUGIN / "blurred.yaml", folder)
    program, *arguments = shlex.split(GRID)
    assert program == "lussweep"
    run(*arguments, "--backend", "ray", "--no-dashboard", cwd=folder, site=site)
    return folder / "blurred-run"


def specs(run_folder: Path, stage: str) -> list[dict[str, object]]:
    records = run_folder.glob(f"artifacts/{stage}/*/record.json")
    return [json.loads(path.read_text())["spec"] for path in records]


def test_every_cell_has_an_auc(ran: Path) -> None:
    rows = tables.read(ran / "results.parquet", RESULTS).to_pylist()
    assert [row["variant"] for row in rows] == list(VARIANTS)
    for row in rows:
        assert row["status"] == "done"
        assert 0 <= row["auroc"] <= 1
        assert row["channels"] is None and row["dropout"] is None
        assert row["hyperparameters"] in ('{"side":2}', '{"side":8}')


def test_trials_cover_the_space_of_the_classifier(ran: Path) -> None:
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


def test_the_detector_is_of_the_same_kind_and_scores_the_generator(ran: Path) -> None:
    rows = tables.read(ran / "gan_scores.parquet", tables.GAN_SCORES).to_pylist()
    spaces = {row["space"] for row in rows if row["embedder"] == "detector"}
    assert spaces == {"conv", "logit", "softmax"}


def test_the_losses_of_the_generator_have_rows(ran: Path) -> None:
    rows = tables.read(ran / "gan_losses.parquet", tables.GAN_LOSSES).to_pylist()
    assert {row["name"] for row in rows} == {"loss"}
    first, last = (row["value"] for row in rows)
    assert [row["epoch"] for row in rows] == [1, 2] and first > last > 0


def scores_of_gan(ran: Path) -> list[dict[str, Any]]:
    """The rows of `gan_scores` without those of the floor."""
    rows = tables.read_any(ran / "gan_scores.parquet").to_pylist()
    return [row for row in rows if row["gan"] is not None]


def test_the_score_and_the_embedder_have_rows(ran: Path) -> None:
    rows = scores_of_gan(ran)
    sharpness = [row for row in rows if row["metric"] == "sharpness"]
    assert {(row["embedder"], row["space"]) for row in sharpness} == {("none", "pixel")}
    assert {row["epoch"] for row in sharpness} == {1, 2}
    kid = [row for row in rows if row["metric"] == "kid" and row["embedder"] == "thumbnails"]
    assert {row["space"] for row in kid} == {"features"}
    assert not any(row["saw_all_train_patients"] for row in kid)


def test_the_snapshot_is_chosen_by_the_score(ran: Path) -> None:
    rows = scores_of_gan(ran)
    sharpness = {row["epoch"]: row["value"] for row in rows if row["metric"] == "sharpness"}
    best = min(sharpness, key=lambda epoch: abs(sharpness[epoch] - 1))
    (result,) = [
        row
        for row in tables.read(ran / "results.parquet", RESULTS).to_pylist()
        if row["variant"] == "combined"
    ]
    (summary,) = [
        json.loads(path.read_text())["summary"]
        for path in ran.glob("artifacts/synth/*/record.json")
    ]
    assert result["n_pos_synthetic"] == result["n_pos_real"]
    assert summary["epoch"] == best


def test_the_section_has_a_row_for_each_cell(ran: Path) -> None:
    rows = tables.read_any(ran / "mean_scores.parquet").to_pylist()
    assert [row["variant"] for row in rows] == list(VARIANTS)
    assert all(0 < row[name] < 1 for row in rows for name in ("positive", "negative"))


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
    run("grid", PLUGIN / "blurred.yaml", *given, cwd=ran.parent, site=site)
    after = {path: path.stat().st_mtime_ns for path in ran.glob("artifacts/*/*/record.json")}
    assert before == after and before


def test_reading_the_experiment_imports_neither_pytorch_nor_ray(site: Path, tmp_path: Path) -> None:
    printed = run_python(
        "import sys; from lussweep.study.spec import load_study\n"
        f"print(load_study({(PLUGIN / 'blurred.yaml').read_text()!r}).gan.kind)\n"
        "print({'blurred', 'ray', 'torch'} & sys.modules.keys())",
        cwd=tmp_path,
        site=site,
    )
    assert printed.split() == ["blurred", "{'blurred'}"]


def test_without_the_package_the_experiment_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        command("plan", PLUGIN / "blurred.yaml"),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "plugins names 'blurred', which no installed package has" in done.stderr


# --- its reader -------------------------------------------------------------------------------


@pytest.fixture
def stacks(tmp_path: Path) -> Path:
    """A manifest of compressed stacks: frame t of a video has the level 20 t in its sector."""
    rows = ["patient_id,video_id,path,label,split"]
    for i in range(18):
        split = ("train", "val", "holdout")[i % 3]
        stack_THW = np.zeros((5, 64, 64), np.uint8)
        stack_THW[:, 8:56, 8:56] = 20 * np.arange(1, 6)[:, None, None]
        stack_THW[:, 30 + i % 4, 20:40] = 250
        with gzip.open(tmp_path / f"{i}.npy.gz", "wb") as file:
            np.save(file, stack_THW)
        rows.append(f"patient-{i}x,video-{i}x,{i}.npy.gz,{i // 3 % 2},{split}")
    (tmp_path / "manifest.csv").write_text("\n".join([*rows, ""]))
    return tmp_path / "manifest.csv"


def test_a_reader_brings_in_frames_of_its_format(stacks: Path, site: Path) -> None:
    folder = stacks.parent
    given = ("--image-size", "64", "--crop", "none", "--no-mask-outside-sector")
    inline = ("--backend", "inline", "--plugin", "blurred")
    run("ingest", stacks, "--out", "store", *given, *inline, cwd=folder, site=site)
    frames = [np.load(path) for path in (folder / "store").glob("artifacts/shard/*/frames.npy")]
    assert len(frames) == 18
    for frames_TSS in frames:
        assert [int(frame[10, 10]) for frame in frames_TSS] == [20, 40, 60, 80, 100]
    for spec in specs(folder / "store", "shard"):
        assert spec["plugins"] == {"lussweep-blurred": "1.0"}


def test_a_grid_on_ray_reads_the_format_too(stacks: Path, site: Path) -> None:
    folder = stacks.parent
    shutil.copy(PLUGIN / "blurred.yaml", folder)
    one = ("--only", "variant=baseline", "--backend", "ray", "--no-dashboard", "--out", "run")
    given = ("--set", "data.preprocess={image_size: 64, crop: none}", "--data", stacks)
    run("grid", "blurred.yaml", *one, *given, cwd=folder, site=site)
    (row,) = tables.read(folder / "run" / "results.parquet", RESULTS).to_pylist()
    assert row["status"] == "done"


def test_a_broken_file_of_the_format_is_named(stacks: Path, site: Path) -> None:
    broken = stacks.with_name("3.npy.gz")
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.raises(
        AssertionError, match=r"3\.npy\.gz: is no stack of frames .*: save it again"
    ):
        run("ingest", stacks, "--out", "store", "--plugin", "blurred", cwd=stacks.parent, site=site)


def test_without_the_plugin_the_format_is_refused(stacks: Path, site: Path) -> None:
    with pytest.raises(AssertionError, match=r"0\.npy\.gz: "):
        run("ingest", stacks, "--out", "store", cwd=stacks.parent, site=site)
