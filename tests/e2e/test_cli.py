"""The command line as a user meets it."""

from __future__ import annotations

import csv
import itertools
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer.main
import yaml

from lussweep.cli.app import app
from support.commands import ROOT, environment, invoke, lussweep, refusal, refused, succeed

SURFACE = ROOT / "tests" / "golden" / "cli_surface.json"
IGNORED_BY_PLAN = (
    "--address", "--backend", "--cpus", "--dashboard", "--retries", "--step-timeout",
    "--reveal-ids", "--quiet", "--json",
)  # fmt: skip


# --- the main job --------------------------------------------------------------------------


def test_grid_from_an_empty_folder_runs_the_built_in_experiment_on_ray(tmp_path: Path) -> None:
    done = lussweep(
        "grid", "--replicates", "1", "--only", "variant=baseline,n_patients=6",
        "--set", "search.n_trials=1", "--set", "classifier.n_epochs=1",
        "--set", "detector.search={n_trials: 1}", "--cpus", "2", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = tmp_path / "lussweep-runs" / "quickstart"
    rows = pq.read_table(run / "results.parquet").to_pylist()
    assert [(r["n_patients"], r["variant"], r["status"]) for r in rows] == [(6, "baseline", "done")]
    assert "AUC-ROC on holdout" in done.stdout
    for path in ("summary.csv", "figures/auroc.png", "results.parquet", "tensorboard"):
        assert str(run / path) in done.stdout
        assert (run / path).exists()
    assert "steps done" in done.stderr
    assert "Ray dashboard: http://127.0.0.1" in done.stderr
    assert "warning: whoever" not in done.stderr  # a Ray of our own is closed


def test_the_quickstart_is_the_grid_of_the_readme() -> None:
    output = succeed("plan", "--replicates", "3", "--out", "none")
    assert "quickstart: 75 cells" in output


def plan_rows(output: str) -> dict[str, list[str]]:
    """The cells of a printed plan by stage."""
    lines = [line.split("│") for line in output.splitlines() if "│" in line]
    return {cells[1].strip(): cells for cells in lines}


def test_plan_counts_steps_and_does_nothing(tmp_path: Path, tiny_yaml: Path) -> None:
    rows = plan_rows(succeed("plan", tiny_yaml, "--out", tmp_path / "run"))
    assert not (tmp_path / "run").exists()
    assert [cell.strip() for cell in rows["GANs"][2:6]] == ["4", "4", "0", "4"]
    # The detector's 2 trials serve 6 cells with synthetic frames; 8 cells have 2 of their own.
    assert [cell.strip() for cell in rows["trials"][2:6]] == ["18", "10", "0", "18"]


def test_plan_knows_what_is_done(finished: Path, tiny_yaml: Path) -> None:
    output = succeed("plan", tiny_yaml, "--out", finished)
    rows = plan_rows(output[output.index("tiny: ") :])
    assert all(cells[5].strip() == "0" for cells in rows.values())


def test_plan_counts_what_a_cell_trains_on(finished: Path, tiny_yaml: Path) -> None:
    """The phantom is counted before it is drawn, and the numbers are those of the cohorts."""
    cohorts = pq.read_table(finished / "cohorts.parquet").to_pandas()
    output = succeed("plan", tiny_yaml, "--out", "none")
    table = output[: output.index("tiny: ")]
    for n, cohort in cohorts[cohorts.n_patients > 0].groupby("n_patients"):
        positive = cohort[cohort.label == 1]
        cells = [int(cell) for cell in plan_rows(table)[str(int(n))][1:6]]
        assert cells[:3] == [n, n, positive.video_id.nunique()]
        assert cells[4] == len(positive)


def test_plan_says_that_videos_that_are_not_decoded_have_no_count_yet(tmp_path: Path) -> None:
    manifest = write_videos(tmp_path)
    output = succeed("plan", "pocus", "--data", manifest, "--set", "grid.n_patients=1",
                     "--set", "data.label=label", "--out", "none")  # fmt: skip
    assert "not yet known" in output
    assert "The frames are counted when the videos are decoded." in output


def test_plan_takes_every_argument_of_grid() -> None:
    commands = typer.main.get_command(app).commands
    grid, plan = ({o for p in commands[n].params for o in p.opts} for n in ("grid", "plan"))
    assert grid <= plan


def test_plan_imports_neither_torch_nor_ray(tmp_path: Path, tiny_yaml: Path) -> None:
    code = (
        "import sys\nfrom lussweep.cli.app import app\n"
        f"app(['plan', {str(tiny_yaml)!r}, '--out', 'none'], standalone_mode=False)\n"
        "print('heavy:', {'torch', 'ray'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.endswith("heavy: set()\n")


def test_help_imports_neither_torch_nor_ray() -> None:
    program = (
        "import sys\nfrom typer.testing import CliRunner\nfrom lussweep.cli.app import app\n"
        "for arguments in (['--help'], ['grid', '--help'], ['plan', '--help'], ['--version']):\n"
        "    assert CliRunner().invoke(app, arguments).exit_code == 0\n"
        "heavy = {'torch', 'ray', 'numpy', 'cv2', 'optuna', 'pyarrow', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_the_surface_of_the_command_line_is_frozen() -> None:
    """Change it on purpose: `python tests/e2e/test_cli.py` writes the golden file anew."""
    assert surface() == json.loads(SURFACE.read_text())


def surface() -> dict[str, dict[str, Any]]:
    """Every command's options, then what stands before a command, the panels, what is hidden."""
    group = typer.main.get_command(app)
    commands = sorted(group.commands.items())
    return {
        **{name: _spellings(sub.params) for name, sub in commands},
        "lussweep": _spellings(group.params),
        "lussweep panels": {name: panels(sub) for name, sub in commands if panels(sub)},
        "lussweep hidden": {
            name: [p.name for p in sub.params if is_hidden(p)]
            for name, sub in commands
            if any(map(is_hidden, sub.params))
        },
    }


def _spellings(parameters: Iterable[Any]) -> dict[str, list[str]]:
    return {p.name: sorted([*p.opts, *p.secondary_opts]) for p in parameters}


def panels(command: Any) -> dict[str, list[str]]:
    """The options that the help of a command shows in each named panel."""
    found: dict[str, list[str]] = {}
    for parameter in command.params:
        if parameter.rich_help_panel and not is_hidden(parameter):
            found.setdefault(parameter.rich_help_panel, []).append(parameter.name)
    return found


def is_hidden(parameter: Any) -> bool:
    return bool(parameter.hidden)


def test_the_help_of_plan_leaves_out_what_plan_has_no_use_for() -> None:
    in_grid, in_plan = (
        {option for option in IGNORED_BY_PLAN if option in succeed(command, "--help")}
        for command in ("grid", "plan")
    )
    assert in_grid == set(IGNORED_BY_PLAN)
    assert in_plan == set()


def test_plan_refuses_what_grid_refuses_of_hidden_options() -> None:
    for command in ("grid", "plan"):
        code, output = invoke(command, "--retries", "-1")
        assert code == 2
        assert "--retries" in output


def test_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert succeed("--version") == f"lussweep {project['version']}\n"


# --- bad input -----------------------------------------------------------------------------


def test_an_unknown_key_names_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "e.yaml"
    path.write_text("name: e\ngan: {n_epoch: 3}\nserch: {}\nclassifier: {batch_size: -1}\n")
    text = "\n".join(refused("grid", path))
    assert "unknown key gan.n_epoch: did you mean n_epochs?" in text
    assert "unknown key serch: did you mean search?" in text
    assert "classifier.batch_size" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuch"], "no experiment nosuch: give a YAML file, or one of controls, gan_ablation, "),
        (["nosuch.yaml"], "cannot read nosuch.yaml"),
        (["--set", "gan.ngf"], "--set 'gan.ngf' is not of the form section.key=value"),
        (["--only", "variant"], "--only 'variant' is not of the form axis=value"),
        (["--only", "patients=6"], "--only knows n_patients, replicate, variant, gan_epoch"),
        (["--only", "variant=basline"], "did you mean baseline?"),
        (["--set", "grid.n_patients=[6,500]"], "cohort of 500 positive patients needed, 120 in"),
        (["--set", "grid.variants=[basline]"], "'basline': did you mean baseline?"),
        (["--device", "tpu"], "--device tpu is none of auto, cpu, cuda"),
        (["--backend", "slurm"], "--backend slurm is neither ray nor inline"),
        (["--data", "nosuch.csv"], "nosuch.csv"),
        (["--weights", "nosuch.pth"], "nosuch.pth"),
    ],
)  # fmt: skip
def test_bad_arguments_are_one_clear_line(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    lines = refused("grid", *arguments, "--out", tmp_path / "run")
    assert any(message in line for line in lines)


def test_every_cohort_larger_than_its_pool_is_named_at_once(tmp_path: Path) -> None:
    text = "\n".join(
        refused("grid", "--set", "grid.n_patients=[130, 140]", "--out", tmp_path / "run")
    )
    assert text.count("in the train split") == 4


def test_a_folder_of_another_experiment_is_refused(finished: Path, tiny_yaml: Path) -> None:
    before = (finished / "results.parquet").read_bytes()
    text = refusal("grid", tiny_yaml, "--out", finished, "--set", "gan.n_epochs=3")
    assert "belongs to an experiment with other gan" in text
    assert (finished / "results.parquet").read_bytes() == before


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, tiny_yaml: Path) -> None:
    (tmp_path / "thesis.doc").write_text("precious")
    assert "is not empty and not a run folder" in refusal("grid", tiny_yaml, "--out", tmp_path)


def test_a_place_that_cannot_be_written_is_found_at_the_start(
    tmp_path: Path, tiny_yaml: Path
) -> None:
    (tmp_path / "file").write_text("")
    text = refusal("grid", tiny_yaml, "--out", tmp_path / "file" / "run", "--backend", "inline")
    assert "cannot write to" in text


def test_no_disk_space_is_found_at_the_start(
    tmp_path: Path, tiny_yaml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 1000))
    text = refusal("grid", tiny_yaml, "--out", tmp_path / "run", "--backend", "inline")
    assert "free some, choose another --out" in text


def test_an_experiment_without_a_phantom_wants_data(tmp_path: Path) -> None:
    text = refusal("grid", "paper", "--out", tmp_path / "run")
    assert "the experiment paper needs data: give --data MANIFEST" in text


def test_a_folder_named_like_an_experiment_does_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "quickstart").mkdir()
    monkeypatch.chdir(tmp_path)
    assert "75 cells" in succeed("plan", "quickstart")


def test_what_cannot_work_is_refused_before_training(tmp_path: Path, tiny_yaml: Path) -> None:
    lines = refused(
        "grid", tiny_yaml, "--out", tmp_path / "run", "--set", "val.n_patients=50",
        "--set", "select={best: kmmd}", "--only", "variant=combine",
    )  # fmt: skip
    text = "\n".join(lines)
    assert "validation of 50 positive patients needed, 2 in the val split" in text
    assert "select takes kmmd in imagenet features" in text
    assert "--only variant=combine: the grid has no such value: did you mean combined?" in text


def test_a_gang_needs_ray(tmp_path: Path, tiny_yaml: Path) -> None:
    text = refusal(
        "grid", tiny_yaml, "--out", tmp_path / "run", "--backend", "inline",
        "--set", "gan.n_workers=2",
    )  # fmt: skip
    assert "gan.n_workers 2 needs Ray" in text


def test_what_the_device_cannot_train_is_refused_at_the_start(
    tmp_path: Path, tiny_yaml: Path
) -> None:
    text = refusal(
        "grid", tiny_yaml, "--out", tmp_path / "run", "--backend", "inline", "--device", "cpu",
        "--set", "gan.sync_batchnorm=true",
    )  # fmt: skip
    assert "gan.sync_batchnorm needs GPUs" in text
    assert not (tmp_path / "run" / "run.json").exists()


def test_a_command_that_failed_at_the_start_leaves_the_folder_free(
    tmp_path: Path, tiny_yaml: Path
) -> None:
    run = tmp_path / "run"
    refusal("grid", tiny_yaml, "--out", run, "--backend", "inline", "--set", "gan.n_workers=2")
    only = ("--only", "variant=baseline,n_patients=2")
    succeed("grid", tiny_yaml, "--out", run, "--backend", "inline", *only)


def test_epochs_that_the_grid_names_are_kept_for_later(tmp_path: Path, tiny_yaml: Path) -> None:
    arguments = ("grid", tiny_yaml, "--out", tmp_path / "run", "--backend", "inline",
                 "--set", "grid.gan_epochs=[1, 2]", "--set", "grid.n_patients=[2]",
                 "--set", "grid.variants=[pure_synthetic]")  # fmt: skip
    succeed(*arguments, "--only", "gan_epoch=1")
    succeed(*arguments)
    rows = pq.read_table(tmp_path / "run" / "results.parquet").to_pylist()
    assert [row["gan_epoch"] for row in rows] == [1, 2]
    assert (tmp_path / "run" / "figures" / "auroc_by_epoch.png").exists()


def test_an_interrupt_before_training_leaves_a_folder_that_goes_on(
    tmp_path: Path, tiny_yaml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lussweep.run import drive

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    arguments = ("grid", tiny_yaml, "--out", tmp_path / "run", "--backend", "inline",
                 "--only", "variant=baseline,n_patients=2")  # fmt: skip
    with monkeypatch.context() as patched:
        patched.setattr(drive, "execute_data", interrupted)
        code, output = invoke(*arguments)
        assert code == 130
        assert "run the same command again" in output
    succeed(*arguments)


def test_more_gan_epochs_keep_the_cells_that_are_there(finished: Path, tiny_yaml: Path) -> None:
    """Its snapshots were dropped, so the new cells fail; the old ones stay in the tables."""
    before = pq.read_table(finished / "results.parquet")
    code, output = invoke(
        "grid", tiny_yaml, "--out", finished, "--backend", "inline",
        "--set", "grid.gan_epochs=[1]", "--only", "variant=pure_synthetic,n_patients=2",
    )  # fmt: skip
    assert code == 1, output
    after = pq.read_table(finished / "results.parquet").to_pylist()
    assert len(after) == len(before) + 1
    assert [row for row in after if row["status"] == "done"] == before.to_pylist()
    assert "dropped after scoring" in output


def test_a_lost_table_is_written_again(finished: Path, tiny_yaml: Path) -> None:
    before = (finished / "results.parquet").read_bytes()
    (finished / "results.parquet").unlink()
    succeed("grid", tiny_yaml, "--out", finished, "--backend", "inline")
    assert (finished / "results.parquet").read_bytes() == before


# --- ImageNet weights ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def resnet_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-34 of random weights in torchvision's format."""
    import torch

    from lussweep.models.resnet import ImageNetResNet34

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet34.pth"
    torch.save(ImageNetResNet34().net.state_dict(), path)
    return path


def test_scores_in_imagenet_features_choose_the_snapshot_and_run_again(
    tmp_path: Path, tiny_yaml: Path, resnet_weights: Path
) -> None:
    arguments = (
        "grid", tiny_yaml, "--out", tmp_path / "run", "--backend", "inline",
        "--weights", resnet_weights, "--set", "select={best: kmmd, space: conv}",
        "--only", "variant=positive_synthetic,n_patients=2",
    )  # fmt: skip
    output = succeed(*arguments)
    assert "GANs scored in imagenet features." in output
    scores = pq.read_table(tmp_path / "run" / "gan_scores.parquet").to_pandas()
    assert (scores.floor_draw.notna() | scores.floor_withheld.notna()).any()
    scores = scores[scores.gan.notna()]
    assert set(scores.embedder) == {"imagenet", "detector", "none"}
    assert set(scores.space) == {"pixel", "conv", "logit", "softmax"}
    conv = scores[(scores.metric == "kmmd") & (scores.space == "conv")]
    conv = conv[conv.embedder == "imagenet"].set_index("epoch").value
    row = pq.read_table(tmp_path / "run" / "results.parquet").to_pylist()[0]
    assert row["gan_epoch"] == conv.idxmin()
    assert (row["score_embedder"], row["n_score_images"]) == ("imagenet", 8)
    succeed(*arguments)


def test_weights_that_are_no_resnet_are_refused_before_training(
    tmp_path: Path, tiny_yaml: Path
) -> None:
    import torch

    path = tmp_path / "w.pth"
    torch.save({"conv1.weight": torch.zeros(3)}, path)
    text = refusal("grid", tiny_yaml, "--out", tmp_path / "run", "--backend", "inline",
                   "--weights", path)  # fmt: skip
    assert str(path) in text
    assert not (tmp_path / "run" / "artifacts" / "gan").exists()


# --- own data ------------------------------------------------------------------------------


def test_a_store_of_another_size_is_refused(tmp_path: Path, tiny_yaml: Path) -> None:
    manifest = write_videos(tmp_path)
    invoke("ingest", manifest, "--out", tmp_path / "s", "--image-size", "128",
           "--backend", "inline")  # fmt: skip
    text = refusal("grid", tiny_yaml, "--data", tmp_path / "s", "--out", tmp_path / "run")
    assert "holds frames of image_size 128, and 64 is asked" in text
    assert "--set data.preprocess.image_size=128" in text
    size = ("--set", "data.preprocess.image_size=128")
    text = refusal("plan", tiny_yaml, "--data", tmp_path / "s", "--label", "x", *size)
    assert "--label belongs to `lussweep ingest`" in text
    share = ("--set", "data.split.val=0.1")
    text = refusal("plan", tiny_yaml, "--data", tmp_path / "s", *share, *size)
    assert "--set data.split.val=0.1 belongs to `lussweep ingest`" in text


def test_frames_of_another_stride_are_refused_in_a_grid_and_by_ingest(
    tmp_path: Path, tiny_yaml: Path
) -> None:
    manifest, store = write_videos(tmp_path), tmp_path / "s"
    options = ("--out", store, "--image-size", "64", "--backend", "inline")
    output = succeed("ingest", manifest, *options, "--frame-stride", "2")
    assert "splits: read from the manifest" in output
    frames = (store / "frames.parquet").read_bytes()
    stride = ("--set", "data.preprocess.frame_stride=3")
    text = refusal("grid", tiny_yaml, "--data", store, "--out", tmp_path / "run", *stride)
    assert f"{store} holds frames of frame_stride 2, and 3 is asked: " in text
    assert "or --set data.preprocess.frame_stride=2" in text
    text = refusal("ingest", manifest, *options, "--frame-stride", "3")
    assert f"{store} holds frames of frame_stride 2, and 3 is asked: give another --out" in text
    assert (store / "frames.parquet").read_bytes() == frames
    output = succeed("plan", tiny_yaml, "--data", store, "--set", "data.preprocess.frame_stride=2")
    assert "splits: read from the manifest" in output
    row = next(line for line in output.splitlines() if "frames" in line and "│" in line)
    assert [cell.strip() for cell in row.split("│")[2:8]] == ["12"] * 6


def test_a_plan_says_what_was_read_and_what_is_left_out(tmp_path: Path, tiny_yaml: Path) -> None:
    manifest = write_videos(tmp_path)
    words = {"0": "normal", "1": "pneumonia", "label": "Label"}
    with manifest.open(newline="") as file:
        rows = [[*row[:3], words[row[3]], row[4]] for row in csv.reader(file)]
    rows[1][3] = ""
    with manifest.open("w", newline="") as file:
        csv.writer(file, delimiter=";").writerows(rows)
    grid = ("plan", tiny_yaml, "--data", manifest, "--out", tmp_path / "run")
    assert "is 'normal', not 0 or 1" in refused(*grid)[0]
    positive = ("--positive", "pneumonia")
    assert "label is empty in row 1 (video v00)" in refusal(*grid, *positive)
    output = succeed(*grid, *positive, "--skip-unlabelled")
    lines = output.splitlines()
    for line in (
        "manifest.csv: its columns are separated by semicolons",
        "manifest.csv: column 'Label' is read as label",
        "labels: 'pneumonia' (12) positive; 'normal' (11) negative",
        "splits: read from the manifest",
    ):
        assert line in lines
    counts = next(line for line in lines if "patients" in line and "│" in line)
    assert [cell.strip() for cell in counts.split("│")[2:8]] == ["3", "4", "4", "4", "4", "4"]
    assert "1 video is left out, because it has no label" in lines
    assert "v00" not in output and "P000" not in output, "ids are hidden"
    plain = succeed(*grid, *positive, "--skip-unlabelled", "--reveal-ids")
    assert "1 video is left out (v00 of P000), because it has no label" in plain


def test_init_writes_what_plan_accepts(tmp_path: Path) -> None:
    flat, tree = tmp_path / "flat", tmp_path / "study"
    flat.mkdir()
    write_videos(flat)
    for video in flat.glob("*.avi"):
        place = (
            tree
            / ("normal", "ards")[int(video.stem[1])]
            / f"{video.stem[1]}-{video.stem[2:]}"
            / video.name
        )
        place.parent.mkdir(parents=True)
        video.rename(place)
    text = refusal("init", tree)
    assert "the labels are ards (12), normal (12): say which are positive with --positive" in text
    assert not (tree / "manifest.csv").exists()
    output = succeed("init", tree, "--positive", "ards")
    lines = output.splitlines()
    assert "pattern: {label}/{patient}/* (--pattern gives another)" in lines
    assert "24 videos of 24 patients" in lines
    assert "for example ards/1-0/v10.avi: patient 1-0, label ards" in lines
    assert lines[-1] == f"lussweep plan {tree / 'experiment.yaml'} --data {tree / 'manifest.csv'}"
    output = succeed(*lines[-1].split()[1:], "--out", tmp_path / "run")
    assert "study: 36 cells" in output
    assert yaml.safe_load((tree / "experiment.yaml").read_text())["grid"]["n_patients"] == [1, 3, 6]
    assert f"{tree / 'manifest.csv'} exists" in refusal("init", tree, "--positive", "ards")


def test_ingest_says_what_a_store_no_longer_lists(tmp_path: Path) -> None:
    manifest, store = write_videos(tmp_path), tmp_path / "s"
    options = ("--out", store, "--image-size", "64", "--backend", "inline")
    succeed("ingest", manifest, *options)
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join(lines[:-1]))
    assert "1 videos of the store are not in this manifest" in succeed("ingest", manifest, *options)


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = lussweep("grid", "nosuch", "--debug", cwd=tmp_path)
    assert "Traceback" in done.stderr


def write_videos(folder: Path, n_patients: int = 4) -> Path:
    """Small AVI files of a sector with and without a bright blob, and their manifest."""
    import cv2
    import numpy as np

    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:96, :128]
    sector = (np.hypot(xx - 64, yy + 20) < 100) & (np.abs(xx - 64) < 0.6 * (yy + 20))
    rows = []
    for label in (0, 1):
        for patient in range(3 * n_patients):
            name = f"v{label}{patient}"
            writer = cv2.VideoWriter(
                str(folder / f"{name}.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (128, 96), False
            )
            for _ in range(6):
                frame = rng.integers(60, 120, (96, 128))
                if label:
                    frame[40:60, 50:80] = 230
                writer.write((frame * sector).astype(np.uint8))
            writer.release()
            split = ("train", "val", "holdout")[patient % 3]
            rows.append([f"P{label}{patient:02}", name, f"{name}.avi", label, split])
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["patient_id", "video_id", "path", "label", "split"])
        writer.writerows(rows)
    return folder / "manifest.csv"


def test_ingest_makes_a_store_that_grid_accepts(tmp_path: Path, tiny_yaml: Path) -> None:
    manifest = write_videos(tmp_path)
    store = tmp_path / "store"
    output = succeed(
        "ingest", manifest, "--out", store, "--image-size", "64", "--backend", "inline",
        "--frame-stride", "2", "--crop", "10,0,118,96",
    )  # fmt: skip
    cells = next(line for line in output.splitlines() if "│ patients" in line).split("│")
    assert [c.strip() for c in cells[2:8]] == ["4"] * 6
    frames = pq.read_table(store / "frames.parquet")
    assert len(frames) == 24 * 3
    succeed(
        "grid", tiny_yaml, "--data", store, "--out", tmp_path / "run", "--backend", "inline",
        "--only", "variant=baseline,n_patients=3",
    )  # fmt: skip
    assert not (tmp_path / "run" / "artifacts" / "shard").exists(), "decoded a second time"
    row = pq.read_table(tmp_path / "run" / "results.parquet").to_pylist()[0]
    assert (row["status"], row["n_holdout_patients"]) == ("done", 8)


def test_grid_takes_a_manifest_and_gives_the_cells_of_its_store(
    tmp_path: Path, tiny_yaml: Path
) -> None:
    manifest = write_videos(tmp_path)
    invoke("ingest", manifest, "--out", tmp_path / "s", "--image-size", "64", "--backend", "inline")
    for name, data in (("a", manifest), ("b", tmp_path / "s")):
        output = succeed(
            "grid", tiny_yaml, "--data", data, "--out", tmp_path / name, "--backend", "inline",
            "--only", "variant=baseline,n_patients=3",
        )  # fmt: skip
        assert output.splitlines()[-1] == "splits: read from the manifest"
    tables = [pq.read_table(tmp_path / n / "results.parquet") for n in "ab"]
    assert tables[0]["evaluate_key"] == tables[1]["evaluate_key"]
    assert tables[0]["auroc"] == tables[1]["auroc"]


def test_a_video_that_breaks_while_it_is_decoded_stops_all_before_training(
    tmp_path: Path, tiny_yaml: Path
) -> None:
    manifest = write_videos(tmp_path)
    break_video(tmp_path / "v11.avi")
    run = tmp_path / "run"
    lines = refused("grid", tiny_yaml, "--data", manifest, "--out", run, "--backend", "inline")
    assert "video v11 of patient P101: " in lines[0]
    assert not (run / "artifacts" / "trial").exists()
    store = tmp_path / "store"
    output = succeed(
        "ingest", manifest, "--out", store, "--image-size", "64", "--backend", "inline",
        "--skip-unreadable",
    )  # fmt: skip
    assert "1 video is left out (v11 of P101), because " in output
    skipped = pq.read_table(store / "skipped.parquet").to_pylist()
    assert [row["video_id"] for row in skipped] == ["v11"]


def test_ingest_skips_no_class_of_a_split(tmp_path: Path) -> None:
    manifest, store = write_videos(tmp_path, n_patients=1), tmp_path / "store"
    break_video(tmp_path / "v11.avi")
    first, second = refused(
        "ingest", manifest, "--out", store, "--image-size", "64", "--backend", "inline",
        "--skip-unreadable",
    )  # fmt: skip
    assert first == "error: the split val has no pos patient: give at least one"
    assert second.startswith("error: skipped v11 of P101: ")
    assert not (store / "store.json").exists()


def break_video(path: Path) -> None:
    """Its container stays whole and its first frame decodes; the frames after that are noise."""
    data = bytearray(path.read_bytes())
    starts = [i for i in range(len(data) - 4) if data[i : i + 4] == b"00dc"]
    for start, end in itertools.pairwise(starts[3:7]):
        data[start + 8 : end] = bytes(end - start - 8)
    path.write_bytes(bytes(data))


def test_an_annotation_beyond_the_end_of_a_video_is_refused(
    tmp_path: Path, tiny_yaml: Path
) -> None:
    manifest = write_videos(tmp_path)
    notes = tmp_path / "notes.csv"
    notes.write_text("video_id,frame,label\nv10,2,1\nv10,3,0\nv13,99,1\n")
    lines = refused(
        "grid", tiny_yaml, "--data", manifest, "--annotations", notes, "--out", tmp_path / "run",
        "--backend", "inline",
    )  # fmt: skip
    assert "frame 99 is annotated" in lines[0]


def test_only_annotated_frames_of_a_positive_video_are_positive(tmp_path: Path) -> None:
    manifest = write_videos(tmp_path)
    notes = tmp_path / "notes.csv"
    notes.write_text("video_id,frame,label\nv10,2,1\nv10,3,1\nv10,4,0\n")
    output = succeed(
        "ingest", manifest, "--out", tmp_path / "s", "--annotations", notes, "--image-size", "64",
        "--backend", "inline",
    )  # fmt: skip
    rows = pq.read_table(tmp_path / "s" / "frames.parquet").to_pylist()
    labels = {r["frame"]: r["label"] for r in rows if r["video_id"] == "v10"}
    assert labels == {0: None, 1: None, 2: 1, 3: 1, 4: None, 5: None}
    assert (
        "1 annotated positive videos: 2 frames annotated 1 are used, 1 annotated 0 are not, "
        "3 that are not annotated are not"
    ) in output


def test_real_videos_go_through_ingest_and_one_cell(
    pocus: Path, tmp_path: Path, tiny_yaml: Path
) -> None:
    succeed(
        "grid", tiny_yaml, "--data", pocus, "--label", "consolidation", "--out", tmp_path / "run",
        "--backend", "inline", "--only", "variant=baseline,n_patients=3",
        "--set", "data.preprocess.frame_stride=20",
    )  # fmt: skip
    row = pq.read_table(tmp_path / "run" / "results.parquet").to_pylist()[0]
    assert row["status"] == "done"
    frames = pq.read_table(tmp_path / "run" / "frames.parquet").to_pandas()
    assert frames.patient_id.nunique() == 52
    assert frames.video_id.nunique() == 86


if __name__ == "__main__":
    SURFACE.write_text(json.dumps(surface(), indent=1) + "\n")
