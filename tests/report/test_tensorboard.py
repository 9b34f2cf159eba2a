import math
import subprocess
import sys

import pyarrow as pa
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

from lussweep.errors import InputError
from lussweep.report.sections.results import RESULTS
from lussweep.report.tensorboard import write_tensorboard
from lussweep.store import tables
from support.commands import with_helpers


def trial_rows(variant, epoch, n_trials=2, replicate=1):
    return [
        {
            "n_patients": 6,
            "replicate": replicate,
            "variant": variant,
            "gan_epoch": epoch,
            "trial": trial,
            "epoch": i,
            "learning_rate": 0.001 * trial,
            "channels": 3,
            "dropout": 0.25,
            "n_images_seen": 100 * i,
            "train_loss": 1 / i,
            "val_loss": 2 / i,
            "val_accuracy": (0.5, 0.75, 0.625)[i - 1] + trial / 64,
            "val_correct": 60,
            "selected": (trial, i) == (n_trials, 2),
            "seconds": 2.0,
        }
        for trial in range(1, n_trials + 1)
        for i in (1, 2, 3)
    ]


def made_tables(epochs=(10,)):
    draw = {"n_patients": 6, "replicate": 1, "class": "pos", "gan": "base"}
    losses = [
        {**draw, "attempt": 1, "epoch": e, "name": name, "value": value, "seconds": 1.5}
        for e in (1, 2, 3)
        for name, value in (("loss_d_fake", 0.25), ("loss_g", math.nan if e == 3 else 2.0 / e),
                            ("diversity", 1.25), ("loss", 4.0 * e))
    ]  # fmt: skip
    scores = [
        {**draw, "epoch": e, "metric": "kmmd", "embedder": embedder, "space": space,
         "value": 1.0 / e, "n_images": 60, "saw_all_train_patients": embedder == "detector"}
        for e in (5, 10)
        for embedder, space in (("imagenet", "conv"), ("detector", "softmax"), ("none", "pixel"))
    ]  # fmt: skip
    cells = [("baseline", None), *(("combined", epoch) for epoch in epochs)]
    trials = [row for cell in cells for row in trial_rows(*cell)]
    results = [
        {"n_patients": 6, "replicate": 1, "variant": v, "gan_epoch": e, "status": "done",
         "auroc": 0.875 + (e or 0) / 1024}
        for v, e in cells
    ]  # fmt: skip
    schemas = (tables.GAN_LOSSES, tables.GAN_SCORES, tables.TRIALS, RESULTS)
    return [
        pa.Table.from_pylist(rows, schema=schema)
        for rows, schema in zip((losses, scores, trials, results), schemas, strict=True)
    ]


def read(run):
    found = EventAccumulator(str(run))
    found.Reload()
    return found


def scalars(run, tag):
    return [(event.step, event.value) for event in read(run).Scalars(tag)]


def run_names(logdir):
    return sorted(str(p.parent.relative_to(logdir)) for p in logdir.rglob("*tfevents*"))


def snapshot(folder):
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


def test_a_run_per_gan_and_per_trial(tmp_path):
    assert write_tensorboard(tmp_path / "tb", *made_tables())
    assert run_names(tmp_path / "tb") == [
        "gan/n006_r1_pos",
        "trials/n006_r1_baseline_t01",
        "trials/n006_r1_baseline_t02",
        "trials/n006_r1_combined_t01",
        "trials/n006_r1_combined_t02",
    ]


def test_gan_losses_and_scores_by_epoch(tmp_path):
    write_tensorboard(tmp_path / "tb", *made_tables())
    run = tmp_path / "tb" / "gan" / "n006_r1_pos"
    assert scalars(run, "loss/d_fake") == [(1, 0.25), (2, 0.25), (3, 0.25)]
    assert scalars(run, "loss/loss") == [(1, 4.0), (2, 8.0), (3, 12.0)]
    assert scalars(run, "loss/g")[:2] == [(1, 2.0), (2, 1.0)]
    assert math.isnan(scalars(run, "loss/g")[2][1])
    assert scalars(run, "kmmd/imagenet_conv") == [(5, pytest.approx(0.2)), (10, pytest.approx(0.1))]
    assert [event.wall_time for event in read(run).Scalars("loss/g")] == [1.5, 3.0, 4.5]
    assert {tag for tag in read(run).Tags()["scalars"] if tag.startswith("kmmd")} == {
        "kmmd/imagenet_conv",
        "kmmd/detector_softmax.saw_all_train_patients",
        "kmmd/pixel",
    }


def test_gans_that_differ_and_later_attempts_are_runs_of_their_own(tmp_path):
    losses, scores, trials, results = made_tables()
    hinge = [{**row, "gan": "loss=hinge"} for row in losses.to_pylist()]
    again = [{**row, "attempt": 2} for row in losses.to_pylist()]
    losses = pa.Table.from_pylist([*losses.to_pylist(), *hinge, *again], schema=losses.schema)
    external = [{**row, "gan": "external", "epoch": None} for row in scores.to_pylist()[:3]]
    scores = pa.Table.from_pylist([*scores.to_pylist(), *external], schema=scores.schema)
    write_tensorboard(tmp_path / "tb", losses, scores, trials, results)
    assert [name for name in run_names(tmp_path / "tb") if name.startswith("gan/")] == [
        "gan/n006_r1_pos",
        "gan/n006_r1_pos_attempt2",
        "gan/n006_r1_pos_external",
        "gan/n006_r1_pos_loss=hinge",
    ]
    run = tmp_path / "tb" / "gan" / "n006_r1_pos"
    assert scalars(run, "health/diversity") == [(1, 1.25), (2, 1.25), (3, 1.25)]


def test_trial_scalars_and_what_the_trial_came_to(tmp_path):
    write_tensorboard(tmp_path / "tb", *made_tables())
    first, second = (tmp_path / "tb" / "trials" / f"n006_r1_combined_t0{t}" for t in (1, 2))
    assert scalars(first, "accuracy/val") == [(1, 0.515625), (2, 0.765625), (3, 0.640625)]
    assert scalars(first, "loss/val") == [(1, 2.0), (2, 1.0), (3, pytest.approx(2 / 3))]
    assert scalars(first, "best/val_accuracy") == [(2, 0.765625)]
    assert scalars(second, "holdout/auroc") == [(2, 0.875 + 10 / 1024)]
    assert "holdout/auroc" not in read(first).Tags()["scalars"]


def test_hparams_are_in_the_run_itself_with_every_coordinate(tmp_path):
    write_tensorboard(tmp_path / "tb", *made_tables())
    run = tmp_path / "tb" / "trials" / "n006_r1_combined_t02"
    content = read(run).PluginTagToContent(metadata.PLUGIN_NAME)
    started = metadata.parse_session_start_info_plugin_data(
        content[metadata.SESSION_START_INFO_TAG]
    )
    values = started.hparams
    names = ["n_patients", "replicate", "variant", "gan_epoch"]
    names += ["learning_rate", "channels", "dropout"]
    assert set(values) == set(names)
    assert values["variant"].string_value == "combined"
    assert [values[k].number_value for k in ("n_patients", "replicate", "gan_epoch")] == [6, 1, 10]
    assert values["learning_rate"].number_value == 0.002
    experiment = metadata.parse_experiment_plugin_data(content[metadata.EXPERIMENT_TAG])
    assert [info.name for info in experiment.hparam_infos] == names
    assert [m.name.tag for m in experiment.metric_infos] == ["best/val_accuracy", "holdout/auroc"]
    baseline = read(run.with_name("n006_r1_baseline_t01"))
    content = baseline.PluginTagToContent(metadata.PLUGIN_NAME)[metadata.SESSION_START_INFO_TAG]
    assert "gan_epoch" not in metadata.parse_session_start_info_plugin_data(content).hparams


def test_the_gan_epoch_is_in_the_name_where_it_is_an_axis(tmp_path):
    write_tensorboard(tmp_path / "tb", *made_tables(epochs=(10, 20)))
    trials = tmp_path / "tb" / "trials"
    assert sorted(p.name for p in trials.iterdir() if p.name.endswith("t02")) == [
        "n006_r1_baseline_t02",
        "n006_r1_combined_g010_t02",
        "n006_r1_combined_g020_t02",
    ]
    assert scalars(trials / "n006_r1_combined_g020_t02", "holdout/auroc")[0][1] == 0.89453125


def test_a_rerun_changes_nothing_and_new_tables_rewrite_the_same_bytes(tmp_path):
    logdir = tmp_path / "tb"
    write_tensorboard(logdir, *made_tables())
    before = snapshot(logdir)
    chunked = [pa.concat_tables([t.slice(0, 1), t.slice(1)]) for t in made_tables()]
    assert not write_tensorboard(logdir, *chunked)
    assert snapshot(logdir) == before
    assert write_tensorboard(logdir, *made_tables(epochs=(10, 20)))
    assert write_tensorboard(logdir, *made_tables())
    assert {p: b for p, (b, _) in snapshot(logdir).items()} == {
        p: b for p, (b, _) in before.items()
    }
    assert [p.name for p in tmp_path.iterdir()] == ["tb"]


def test_other_processes_write_the_same_bytes(tmp_path):
    write_tensorboard(tmp_path / "tb", *made_tables())
    code = (
        "import sys; from pathlib import Path; from report.test_tensorboard import made_tables;"
        "from lussweep.report.tensorboard import write_tensorboard;"
        "write_tensorboard(Path(sys.argv[1]), *made_tables())"
    )
    for name in ("one", "two", "three"):
        command = [sys.executable, "-c", code, str(tmp_path / name)]
        done = subprocess.run(command, env=with_helpers(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        for path in (tmp_path / "tb").rglob("events.*"):
            other = tmp_path / name / path.relative_to(tmp_path / "tb")
            assert other.read_bytes() == path.read_bytes()


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds other files"):
        write_tensorboard(tmp_path, *made_tables())
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_variant_names_become_one_folder_and_empty_tables_write_no_run(tmp_path):
    *rest, trials, results = made_tables()
    named = trials.set_column(2, "variant", pa.array(["a/b c"] * len(trials)))
    write_tensorboard(tmp_path / "named", *rest, named.slice(0, 3), results)
    assert "trials/n006_r1_a%2Fb%20c_t01" in run_names(tmp_path / "named")
    empty = [t.slice(0, 0) for t in (*rest, trials, results)]
    assert write_tensorboard(tmp_path / "empty", *empty)
    assert run_names(tmp_path / "empty") == []


def test_hparams_of_any_classifier_are_shown(tmp_path):
    """One name may have values of two types, where the detector is of another kind."""
    losses, scores, trials, results = made_tables()
    rows = trials.to_pylist()
    for row in rows:
        side = '{"side":2}' if row["variant"] == "baseline" else '{"side":"wide"}'
        row |= {"channels": None, "dropout": None, "hyperparameters": side}
    write_tensorboard(
        tmp_path / "tb", losses, scores, pa.Table.from_pylist(rows, tables.TRIALS), results
    )
    content = read(tmp_path / "tb" / "trials" / "n006_r1_baseline_t01").PluginTagToContent(
        metadata.PLUGIN_NAME
    )
    started = metadata.parse_session_start_info_plugin_data(
        content[metadata.SESSION_START_INFO_TAG]
    )
    assert started.hparams["side"].number_value == 2
    assert "channels" not in started.hparams
    experiment = metadata.parse_experiment_plugin_data(content[metadata.EXPERIMENT_TAG])
    assert [info.name for info in experiment.hparam_infos][-2:] == ["learning_rate", "side"]
