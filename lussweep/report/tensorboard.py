"""Writes a TensorBoard folder from the tables: a run per GAN and per trial, and the HParams grid.

Event files are written whole. They hold seconds of training, not the time of day, so the same
tables give the same bytes.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from lussweep.errors import InputError
from lussweep.report.cells import Row, coordinates_of, epoch_is_axis, parameters_of
from lussweep.store import tables
from lussweep.store.files import whole_folder
from lussweep.study.coordinates import AXES

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary


COMPLETE = "complete"
LAYOUT_VERSION = 2
BEST = "best/val_accuracy"
HOLDOUT = "holdout/auroc"
TRIAL_TAGS = {
    "train_loss": "loss/train",
    "val_loss": "loss/val",
    "val_accuracy": "accuracy/val",
    "val_auroc": "auroc/val",
    "n_images_seen": "n_images_seen",
}


def write_tensorboard(
    logdir: Path,
    gan_losses: pa.Table,
    gan_scores: pa.Table,
    trials: pa.Table,
    results: pa.Table,
) -> bool:
    """Writes the whole folder, or nothing if it already holds exactly these tables.

    The tables are in the schemas GAN_LOSSES, GAN_SCORES, TRIALS and RESULTS. The folder is built
    beside `logdir` and renamed into place. Returns whether it was written. Raises InputError if
    `logdir` holds files that this function has not written.
    """
    digest = tables_digest(gan_losses, gan_scores, trials, results)
    marker = logdir / COMPLETE
    if marker.exists() and marker.read_text(encoding="utf-8") == digest:
        return False
    if logdir.exists() and not marker.exists() and any(logdir.iterdir()):
        raise InputError(f"{logdir} holds other files: move them, TensorBoard's logs go there")
    runs = {**gan_runs(gan_losses, gan_scores), **trial_runs(trials, results)}
    with whole_folder(logdir) as scratch:
        for name, events in runs.items():
            _write_run(scratch / name, events)
        (scratch / COMPLETE).write_text(digest, encoding="utf-8")
        if logdir.exists():
            shutil.rmtree(logdir)
    return True


def tables_digest(*tables: pa.Table) -> str:
    """The sha256 of the values, including NaN. The chunks of the tables do not count."""
    sha256 = hashlib.sha256(str(LAYOUT_VERSION).encode())
    for table in tables:
        sha256.update(repr(table.to_pydict()).encode())
    return sha256.hexdigest()


# --- GANs ---------------------------------------------------------------------------------


def gan_runs(gan_losses: pa.Table, gan_scores: pa.Table) -> dict[str, list[Event]]:
    """Events by run, one run for each GAN: losses of every epoch, scores of every snapshot."""
    of_gans = gan_scores.filter(pc.is_valid(gan_scores["gan"]))
    losses, scores = _by_run(gan_losses, _gan_name), _by_run(of_gans, _gan_name)
    return {
        name: [*_loss_events(losses.get(name, [])), *_score_events(scores.get(name, []))]
        for name in sorted({*losses, *scores})
    }


def _gan_name(row: Row) -> str:
    """`gan/n006_r1_pos`, then what differs from the study's GAN, then the number of a retry."""
    which = "" if row["gan"] == "base" else f"_{quote(row['gan'], safe='=+')}"
    again = f"_attempt{row['attempt']}" if row.get("attempt", 1) > 1 else ""
    return f"gan/{_draw(row)}_{row['class']}{which}{again}"


def _loss_events(rows: Sequence[Row]) -> Iterator[Event]:
    elapsed = 0.0
    for epoch, of_epoch in groupby(rows, key=lambda row: row["epoch"]):
        values = {}
        for row in of_epoch:
            values[_loss_tag(row["name"])] = row["value"]
        elapsed += row["seconds"] or 0.0  # every row of an epoch has the seconds of the epoch
        yield _scalars(values, epoch, elapsed)


def _loss_tag(name: str) -> str:
    """`loss/g` for `loss_g`, and `health/diversity` for a value that is not a loss."""
    return f"loss/{name.removeprefix('loss_')}" if name.startswith("loss") else f"health/{name}"


def _score_events(rows: Sequence[Row]) -> Iterator[Event]:
    by_epoch: dict[int, dict[str, float]] = {}
    for row in rows:
        # An external set has no epochs: its scores stand at 0.
        by_epoch.setdefault(row["epoch"] or 0, {})[_score_tag(row)] = row["value"]
    for epoch, values in sorted(by_epoch.items()):
        yield _scalars(values, epoch, 0.0)


def _score_tag(row: Row) -> str:
    """`kmmd/imagenet_softmax`, with a mark if the value depends on the detector."""
    features = row["space"] if row["embedder"] == "none" else f"{row['embedder']}_{row['space']}"
    marked = ".saw_all_train_patients" if row["saw_all_train_patients"] else ""
    return f"{row['metric']}/{features}{marked}"


# --- trials -------------------------------------------------------------------------------


def trial_runs(trials: pa.Table, results: pa.Table) -> dict[str, list[Event]]:
    """Events by run, one run for each trial, with its hyperparameters and its outcome.

    A trial whose checkpoint was selected also has the AUC-ROC of its cell on holdout.
    """
    axis = epoch_is_axis(trials) or epoch_is_axis(results)
    by_run = _by_run(trials, lambda row: _trial_name(row, axis))
    aurocs = {coordinates_of(row, axis): row["auroc"] for row in results.to_pylist()}
    config = _hparams_config(trials)
    return {
        name: [
            _event(config),
            *_hparams_events(rows[0], name),
            *_trial_events(rows),
            *_outcome_events(rows, aurocs.get(coordinates_of(rows[0], axis))),
        ]
        for name, rows in by_run.items()
    }


def _trial_name(row: Row, axis: bool) -> str:
    """`trials/n006_r1_baseline_t01`, with the GAN epoch if that is an axis."""
    epoch = f"_g{row['gan_epoch']:03d}" if axis and row["gan_epoch"] is not None else ""
    return f"trials/{_draw(row)}_{quote(row['variant'], safe='')}{epoch}_t{row['trial']:02d}"


def _trial_events(rows: Sequence[Row]) -> Iterator[Event]:
    for row, seconds in _with_clock(rows):
        values = {tag: row[name] for name, tag in TRIAL_TAGS.items()}
        yield _scalars(values, row["epoch"], seconds)


def _outcome_events(rows: Sequence[Row], auroc: float | None) -> Iterator[Event]:
    """The best validation accuracy, and AUC-ROC on holdout at the selected checkpoint."""
    best = max(rows, key=lambda row: (row["val_accuracy"], -row["epoch"]))
    yield _scalars({BEST: best["val_accuracy"]}, best["epoch"], 0.0)
    for row in rows:
        if row["selected"] and auroc is not None:
            yield _scalars({HOLDOUT: auroc}, row["epoch"], 0.0)


def _hparams_config(trials: pa.Table) -> Summary:
    """The columns of the HParams tab, each with every value that occurs, and its metrics."""
    from tensorboard.plugins.hparams.summary_v2 import Discrete, HParam, Metric, hparams_config_pb

    values_of: dict[str, set[Any]] = {axis: set() for axis in AXES}
    for row in trials.select([*AXES, *tables.HYPERPARAMETER_COLUMNS]).to_pylist():
        for name, value in parameters_of(row).items():
            values_of.setdefault(name, set()).add(value)
    columns = [
        # Two kinds of classifier may give one name to values of different types.
        HParam(name, Discrete(sorted(values)) if len(set(map(type, values))) == 1 else None)
        for name, values in values_of.items()
    ]
    metrics = [
        Metric(BEST, display_name="val_accuracy (best epoch)"),
        Metric(HOLDOUT, display_name="holdout AUC-ROC (selected trial)"),
    ]
    return hparams_config_pb(columns, metrics)


def _hparams_events(row: Row, name: str) -> Iterator[Event]:
    """Start and end of one session. They lie in the run, so its scalars are the metrics."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    started = hparams_pb(parameters_of(row), trial_id=name, start_time_secs=0.0)
    for value in started.value:  # a protobuf map has another order of bytes in each process
        data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
        value.metadata.plugin_data.content = data.SerializeToString(deterministic=True)
    yield _event(started)
    ended = HParamsPluginData(session_end_info=SessionEndInfo(status=STATUS_SUCCESS))
    value = Summary.Value(
        tag=metadata.SESSION_END_INFO_TAG,
        metadata=metadata.create_summary_metadata(ended),
        tensor=metadata.NULL_TENSOR,
    )
    yield _event(Summary(value=[value]))


# --- runs and events ----------------------------------------------------------------------


def _by_run(table: pa.Table, name_of: Any) -> dict[str, list[Row]]:
    """Rows by name of run. The rows of a run are in order of epoch."""
    by_run: dict[str, list[Row]] = {}
    for row in table.to_pylist():
        by_run.setdefault(name_of(row), []).append(row)
    return {name: sorted(rows, key=lambda row: row["epoch"] or 0) for name, rows in by_run.items()}


def _draw(row: Row) -> str:
    """`n006_r1`, or `all` for a network that is trained on every patient."""
    n_patients, replicate = row["n_patients"], row["replicate"]
    return "all" if n_patients is None else f"n{n_patients:03d}_r{replicate}"


def _with_clock(rows: Sequence[Row]) -> Iterator[tuple[Row, float]]:
    """Yields each row with the seconds of training up to its end."""
    elapsed = 0.0
    for row in rows:
        elapsed += row["seconds"] or 0.0
        yield row, elapsed


def _scalars(values: Mapping[str, float | None], step: int, seconds: float) -> Event:
    from tensorboard.compat.proto.summary_pb2 import Summary

    entries = [
        Summary.Value(tag=tag, simple_value=value)
        for tag, value in values.items()
        if value is not None
    ]
    return _event(Summary(value=entries), step, seconds)


def _event(summary: Summary, step: int = 0, seconds: float = 0.0) -> Event:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event(wall_time=seconds, step=step, summary=summary)


def _write_run(folder: Path, events: Iterable[Event]) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder.mkdir(parents=True)
    with (folder / "events.out.tfevents.0").open("wb") as file:
        records = RecordWriter(file)
        records.write(Event(wall_time=0.0, file_version="brain.Event:2").SerializeToString())
        for event in events:
            records.write(event.SerializeToString())
