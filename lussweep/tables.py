"""Every Parquet table: its schema in one place, and the only way to read or write one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lussweep.errors import InputError

CELL = (("n_patients", pa.int32()), ("replicate", pa.int32()))


def _schema(*fields: tuple[str, pa.DataType] | tuple[str, pa.DataType, str]) -> pa.Schema:
    """Fields of (name, type) or (name, type, unit); the unit goes into the field's metadata."""
    return pa.schema(
        [
            pa.field(name, kind, metadata={"unit": unit[0]} if unit else None)
            for name, kind, *unit in fields
        ]
    )


FRAMES = _schema(
    ("patient_id", pa.string()),
    ("video_id", pa.string()),
    ("frame", pa.int32(), "index in the preprocessed video, from 0"),
    ("label", pa.int8(), "1 positive, 0 negative, null unusable"),
    ("patient_class", pa.int8(), "1 if any video of the patient is positive"),
    ("split", pa.string()),
    ("shard", pa.string(), "artifact that holds the pixels"),
    ("row", pa.int32(), "row in the shard's frames.npy"),
    ("mask_row", pa.int32(), "row in the shard's masks.npy"),
)
COHORTS = pa.schema([*_schema(*CELL), *FRAMES])
GAN_LOSSES = _schema(
    *CELL,
    ("class", pa.string()),
    ("epoch", pa.int32()),
    ("n_images_seen", pa.int64(), "images"),
    ("loss_d_real", pa.float64(), "nats"),
    ("loss_d_fake", pa.float64(), "nats"),
    ("loss_g", pa.float64(), "nats"),
    ("seconds", pa.float64(), "s"),
)
GAN_SCORES = _schema(
    *CELL,
    ("class", pa.string()),
    ("epoch", pa.int32()),
    ("metric", pa.string()),
    ("embedder", pa.string(), "imagenet, detector, or none for pixels"),
    ("space", pa.string()),
    ("value", pa.float64()),
    ("n_images", pa.int32(), "real frames, and as many synthetic ones"),
    ("saw_all_train_patients", pa.bool_(), "true where the detector stands behind the value"),
)
TRIALS = _schema(
    *CELL,
    ("variant", pa.string()),
    ("gan_epoch", pa.int32()),
    ("trial", pa.int32()),
    ("epoch", pa.int32()),
    ("learning_rate", pa.float64()),
    ("channels", pa.int32(), "channel multiplier c"),
    ("dropout", pa.float64()),
    ("n_images_seen", pa.int64(), "images"),
    ("train_loss", pa.float64(), "nats"),
    ("val_loss", pa.float64(), "nats"),
    ("val_accuracy", pa.float64()),
    ("val_correct", pa.int32(), "frames"),
    ("selected", pa.bool_(), "the checkpoint judged on holdout"),
    ("seconds", pa.float64(), "s"),
)
FRAME_SCORES = _schema(
    *CELL,
    ("variant", pa.string()),
    ("gan_epoch", pa.int32()),
    ("patient_id", pa.string()),
    ("video_id", pa.string()),
    ("frame", pa.int32()),
    ("label", pa.int8()),
    ("score", pa.float64(), "probability of consolidation"),
)
RESULTS = _schema(
    *CELL,
    ("variant", pa.string()),
    ("gan_epoch", pa.int32(), "epoch of the snapshot that made the synthetic frames"),
    ("status", pa.string(), "done, failed, blocked or missing"),
    ("reason", pa.string()),
    ("auroc", pa.float64()),
    ("auroc_low", pa.float64(), "patient-clustered bootstrap interval"),
    ("auroc_high", pa.float64(), "patient-clustered bootstrap interval"),
    ("confidence", pa.float64()),
    ("n_resamples", pa.int32(), "bootstrap resamples with both classes"),
    ("accuracy", pa.float64(), "at threshold 0.5"),
    ("sensitivity", pa.float64(), "at threshold 0.5"),
    ("specificity", pa.float64(), "at threshold 0.5"),
    ("f1", pa.float64(), "at threshold 0.5"),
    ("n_holdout_patients", pa.int32()),
    ("n_holdout_frames", pa.int32()),
    ("n_pos_real", pa.int32(), "training frames"),
    ("n_pos_synthetic", pa.int32(), "training frames"),
    ("n_pos_noise", pa.int32(), "training frames"),
    ("n_neg_real", pa.int32(), "training frames"),
    ("n_neg_synthetic", pa.int32(), "training frames"),
    ("n_neg_noise", pa.int32(), "training frames"),
    ("images_per_epoch", pa.int32(), "images"),
    ("best_trial", pa.int32()),
    ("best_epoch", pa.int32()),
    ("learning_rate", pa.float64()),
    ("channels", pa.int32()),
    ("dropout", pa.float64()),
    ("val_accuracy", pa.float64()),
    ("kmmd_pos", pa.float64(), "softmax space of the first embedder"),
    ("kmmd_neg", pa.float64(), "softmax space of the first embedder"),
    ("one_nn_pos", pa.float64(), "softmax space of the first embedder"),
    ("one_nn_neg", pa.float64(), "softmax space of the first embedder"),
    ("confidence_pos", pa.float64(), "mean detector probability of synthetic positives"),
    ("score_embedder", pa.string(), "of kmmd and one_nn; the detector saw all training patients"),
    ("n_score_images", pa.int32(), "real frames, and as many synthetic ones"),
    ("seed", pa.int64(), "study seed"),
    ("cohort_key", pa.string()),
    ("search_key", pa.string()),
    ("evaluate_key", pa.string()),
    ("seconds", pa.float64(), "s, of the cell's own trials and evaluation"),
)
FAILURES = _schema(
    ("stage", pa.string()),
    ("key", pa.string()),
    ("step", pa.string(), "with hashed patient ids"),
    ("error", pa.string()),
    ("n_blocked", pa.int32(), "steps that wait for this one"),
)
SKIPPED = _schema(("patient_id", pa.string()), ("video_id", pa.string()), ("reason", pa.string()))


def write(path: Path, rows: pa.Table | Sequence[Mapping[str, Any]], schema: pa.Schema) -> None:
    """Write rows in exactly this schema; a missing field is null, an unknown one is an error."""
    known = set(schema.names)
    if isinstance(rows, pa.Table):
        unknown = set(rows.column_names) - known
        assert not unknown, f"unknown fields {sorted(unknown)}"
        table = with_columns(rows, {}, schema)
    else:
        for row in rows:
            assert set(row) <= known, f"unknown fields {sorted(set(row) - known)}"
        table = pa.Table.from_pylist(list(rows), schema=schema)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.partial")
    pq.write_table(table, scratch)
    scratch.replace(path)


def read(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a table and insist on its schema. Raises InputError naming the file."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"cannot read the table {path}: {error}") from None
    if not table.schema.equals(schema):
        raise InputError(f"{path} has another schema than this version of lussweep writes")
    return table


def with_columns(table: pa.Table, constants: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    """The table in `schema`, with constant columns set and absent ones null."""
    columns = []
    for field in schema:
        if field.name in constants:
            column = pa.repeat(pa.scalar(constants[field.name], field.type), len(table))
        elif field.name in table.column_names:
            column = table[field.name].cast(field.type)
        else:
            column = pa.nulls(len(table), field.type)
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


def concat(tables: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
    """One table out of many, or an empty one."""
    found = list(tables)
    return pa.concat_tables(found) if found else schema.empty_table()
