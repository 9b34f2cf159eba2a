"""The schemas of Parquet tables, and the only functions that read or write one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lussweep.errors import InputError, one_line
from lussweep.store import parquet
from lussweep.store.files import whole_file
from lussweep.study.coordinates import AXES, DRAW_AXES
from lussweep.study.keys import canonical

REMEDY = "restore it, or delete it so that it is made again"
AXIS_TYPES = {
    "n_patients": pa.int32(),
    "replicate": pa.int32(),
    "variant": pa.string(),
    "gan_epoch": pa.int32(),
}
Column = tuple[str, pa.DataType] | tuple[str, pa.DataType, str]
"""Name, type and, for some, unit."""
DRAW: tuple[Column, ...] = tuple((axis, AXIS_TYPES[axis]) for axis in DRAW_AXES)
"""The columns that name a draw."""
CELL: tuple[Column, ...] = tuple((axis, AXIS_TYPES[axis]) for axis in AXES)
"""The columns that name a cell."""


def make_schema(*fields: Column) -> pa.Schema:
    """A schema of the given columns. The unit goes into the metadata of the field."""
    return pa.schema(
        [
            pa.field(name, kind, metadata={"unit": unit[0]} if unit else None)
            for name, kind, *unit in fields
        ]
    )


def cell_columns(epoch: str) -> tuple[Column, ...]:
    """The columns that name a cell. `epoch` says what the GAN epoch means in this table."""
    return tuple(
        (axis, AXIS_TYPES[axis], epoch) if axis == "gan_epoch" else (axis, AXIS_TYPES[axis])
        for axis in AXES
    )


HYPERPARAMETERS: tuple[Column, ...] = (
    ("learning_rate", pa.float64()),
    ("channels", pa.int32(), "channel multiplier c"),
    ("dropout", pa.float64()),
    ("hyperparameters", pa.string(), "those without a column of their own, as canonical JSON"),
)
"""The columns of a classifier's hyperparameters. The reduced VGG has one for each."""
HYPERPARAMETER_COLUMNS = tuple(name for name, *_ in HYPERPARAMETERS)
OWN_COLUMN = {"learning_rate": float, "channels": int, "dropout": float}
"""The type of the hyperparameters that have a column."""
FRAMES = make_schema(
    ("patient_id", pa.string()),
    ("video_id", pa.string()),
    ("frame", pa.int32(), "index in the preprocessed video, from 0"),
    ("label", pa.int8(), "1 positive, 0 negative, null unusable"),
    ("patient_class", pa.int8(), "1 if any video of the patient is positive"),
    ("split", pa.string()),
    ("shard", pa.string(), "artifact that holds the pixels"),
    ("row", pa.int32(), "row in the artifact's frames.npy"),
    ("mask_row", pa.int32(), "row in the artifact's masks.npy"),
    ("source_frame", pa.int32(), "number of the frame in its source, from 0"),
    (
        "seconds",
        pa.float64(),
        "s since the first frame of the source; null where the source has no times",
    ),
)
"""The columns of an index of frames, and of a cohort."""
SOURCE_COLUMNS = ("source_frame", "seconds")
"""Columns of FRAMES that tables of earlier versions lack. They are null there."""
GAN = (
    *DRAW,
    ("class", pa.string(), "pos, neg, or both for a conditional GAN"),
    ("gan", pa.string(), "base, what differs from the study's GAN, or external"),
)
GAN_LOSSES = make_schema(
    *GAN,
    ("attempt", pa.int32(), "from 1; more than one after a collapse with retries"),
    ("epoch", pa.int32()),
    ("name", pa.string(), "a loss, or another value that the kind of generator reports"),
    ("value", pa.float64()),
    ("seconds", pa.float64(), "s, of the epoch; the same in each of its rows"),
)
GAN_EVENTS = make_schema(
    *GAN,
    ("attempt", pa.int32()),
    ("epoch", pa.int32()),
    ("kind", pa.string(), "what is wrong in a word, such as low_diversity"),
    ("message", pa.string()),
)
_SCORE: tuple[Column, ...] = (
    *GAN,
    ("epoch", pa.int32(), "null for an external set"),
    ("metric", pa.string()),
    ("embedder", pa.string(), "such as imagenet or detector; none for pixels"),
    ("space", pa.string()),
    ("value", pa.float64()),
    ("n_images", pa.int32(), "real frames, and as many synthetic ones"),
    ("saw_all_train_patients", pa.bool_(), "true where the embedder has, as the detector has"),
)
SNAPSHOT_SCORES = make_schema(*_SCORE)
"""The scores of one generator's snapshots."""
GAN_SCORES = make_schema(
    *_SCORE,
    (
        "floor_draw",
        pa.int32(),
        "from 1, in rows of the floor: real frames of other training patients in the place of "
        "synthetic ones; null in rows of a GAN",
    ),
    ("floor_withheld", pa.string(), "why there is no floor; null otherwise"),
)
"""The scores of every generator, and their floors, which have no GAN and no replicate."""
CARD = (*GAN, ("gan_epoch", pa.int32(), "null for an external set"))
SYNTH_SET = (*DRAW_AXES, "class", "gan", "gan_epoch")
"""The columns that name one synthetic set of a run."""
MEMORISATION = make_schema(
    *CARD,
    ("n_synthetic", pa.int32(), "frames looked at"),
    ("n_train", pa.int32(), "frames that the generator saw"),
    ("n_holdout_patients", pa.int32(), "with a frame that was compared"),
    (
        "copy_threshold",
        pa.float64(),
        "structure that the nearest holdout frame leaves unexplained over that of the nearest "
        "training frame; null if no threshold can be told",
    ),
    ("caught_share", pa.float64(), "of disguised training frames that the threshold catches"),
    ("copy_share", pa.float64(), "of synthetic frames above the threshold"),
    ("frame_share", pa.float64(), "copies of the training frame with most, over synthetic frames"),
    ("most_copies_of_a_patient", pa.int32(), "synthetic frames"),
    ("recognisable_share", pa.float64(), "of training patients: those with a copy"),
    ("n_compared", pa.int32(), "training frames, and as many holdout frames"),
    ("ratio_median", pa.float64(), "distance to the nearest training over nearest holdout frame"),
    ("nearer_train_share", pa.float64(), "of synthetic frames; 0.5 without memorisation"),
    ("authenticity", pa.float64(), "Alaa et al. 2022"),
    ("authenticity_across_patients", pa.float64(), "with distances between patients alone"),
    ("verdict", pa.string(), "of the release gate: passed, refused, unjudged; passed without one"),
    ("verdict_because", pa.string()),
    ("synth_key", pa.string()),
    ("memorisation_key", pa.string()),
)
COPIES = make_schema(
    *CARD,
    ("patient_id", pa.string()),
    ("n_copies", pa.int32(), "synthetic frames"),
)
EARLIER_PAIRS = "; null in a card that an earlier version of lussweep made"
PAIRS = make_schema(
    *CARD,
    ("synthetic_row", pa.int32(), "row in the set's synthetic.npy"),
    (
        "ratio",
        pa.float64(),
        "structure that the nearest holdout frame leaves unexplained over that of the training "
        "frame",
    ),
    ("is_copy", pa.bool_()),
    ("patient_id", pa.string(), "of the training frame"),
    ("video_id", pa.string(), "of the training frame"),
    ("frame", pa.int32(), "of the training frame"),
    ("holdout_patient_id", pa.string(), f"of the nearest holdout frame{EARLIER_PAIRS}"),
    ("holdout_video_id", pa.string(), f"of the nearest holdout frame{EARLIER_PAIRS}"),
    ("holdout_frame", pa.int32(), f"of the nearest holdout frame{EARLIER_PAIRS}"),
)
TRIALS = make_schema(
    *CELL,
    ("trial", pa.int32()),
    ("epoch", pa.int32()),
    *HYPERPARAMETERS,
    ("n_images_seen", pa.int64(), "images"),
    ("train_loss", pa.float64(), "nats"),
    ("val_loss", pa.float64(), "nats"),
    ("val_accuracy", pa.float64()),
    ("val_correct", pa.int32(), "frames"),
    ("val_auroc", pa.float64(), "of frames; null where a score is not finite"),
    ("ended", pa.string(), "of the last epoch: epochs, patience or pruned"),
    ("selected", pa.bool_(), "the checkpoint judged on holdout"),
    ("seconds", pa.float64(), "s"),
)
FRAME_SCORES = make_schema(
    *CELL,
    ("patient_id", pa.string()),
    ("video_id", pa.string()),
    ("frame", pa.int32()),
    ("label", pa.int8(), "shuffled on validation, where the variant's labels are"),
    ("score", pa.float64(), "probability of consolidation"),
)
SKIPPED = make_schema(
    ("patient_id", pa.string()), ("video_id", pa.string()), ("reason", pa.string())
)


def hyperparameter_columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters of a classifier as columns of a row: HYPERPARAMETERS."""
    with_column = {name: v for name, v in values.items() if type(v) is OWN_COLUMN.get(name)}
    others = {name: value for name, value in values.items() if name not in with_column}
    return {**with_column, "hyperparameters": canonical(others) if others else None}


def hyperparameters_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The hyperparameters by name of a row that has the columns HYPERPARAMETERS.

    A list, such as the widths of layers, is a text, because views compare and sort the values.
    """
    with_column = {name: row[name] for name in OWN_COLUMN if row[name] is not None}
    others = json.loads(row["hyperparameters"] or "{}")
    as_texts = {name: canonical(v) if isinstance(v, list) else v for name, v in others.items()}
    return {**with_column, **as_texts}


def in_schema(rows: pa.Table | Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """The rows as a table of exactly this schema.

    A missing field becomes null. An unknown field fails an assertion.
    """
    names = rows.column_names if isinstance(rows, pa.Table) else [n for row in rows for n in row]
    unknown = set(names) - set(schema.names)
    assert not unknown, f"unknown fields {sorted(unknown)}"
    if isinstance(rows, pa.Table):
        return with_columns(rows, {}, schema)
    return pa.Table.from_pylist(list(rows), schema)


def write(path: Path, rows: pa.Table | Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Writes rows in exactly this schema, and returns the table that `read` would give."""
    table = in_schema(rows, schema)
    with whole_file(path) as scratch:
        pq.write_table(table, scratch)
    return table


def read(path: Path, *schemas: pa.Schema) -> pa.Table:
    """Reads a table that has one of the schemas.

    Raises InputError that names the file, also if it has another schema.
    """
    for schema in schemas:
        with suppress(parquet.OtherSchemaError):
            return _read(path, schema)
    raise InputError(f"{path} has other columns than this version of lussweep writes")


def read_frames(path: Path) -> pa.Table:
    """Reads an index of frames or a cohort, of this version or of one without SOURCE_COLUMNS.

    The schema is FRAMES. Raises InputError as `read` does.
    """
    earlier = pa.schema([field for field in FRAMES if field.name not in SOURCE_COLUMNS])
    return with_columns(read(path, FRAMES, earlier), {}, FRAMES)


def read_any(path: Path) -> pa.Table:
    """Reads a table of any schema. Raises InputError that names the file."""
    return _read(path, None)


def _read(path: Path, schema: pa.Schema | None) -> pa.Table:
    try:
        return parquet.read_table(path, schema=schema, remedy=REMEDY)
    except (InputError, parquet.OtherSchemaError):
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the table {path}: {one_line(error)}") from None


def with_columns(table: pa.Table, constants: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    """The table in `schema`. Columns in `constants` hold that value, absent columns are null."""
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
    """Joins tables into one. Without tables, the result is an empty table."""
    parts = list(tables)
    return pa.concat_tables(parts) if parts else schema.empty_table()
