"""The schema of every Parquet table, and the only functions that read or write one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lussweep.errors import InputError
from lussweep.store import parquet
from lussweep.store.files import whole_file
from lussweep.study.coordinates import AXES, DRAW_AXES

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


def _schema(*fields: Column) -> pa.Schema:
    """Fields of (name, type) or (name, type, unit); the unit goes into the field's metadata."""
    return pa.schema(
        [
            pa.field(name, kind, metadata={"unit": unit[0]} if unit else None)
            for name, kind, *unit in fields
        ]
    )


def _cell(epoch: str) -> tuple[Column, ...]:
    """The columns that name a cell. `epoch` says what the GAN epoch means in this table."""
    return tuple(
        (axis, AXIS_TYPES[axis], epoch) if axis == "gan_epoch" else (axis, AXIS_TYPES[axis])
        for axis in AXES
    )


def _interval(name: str, unit: str) -> tuple[Column, Column]:
    """The two columns of an interval's ends. `name` is the beginning of theirs."""
    return (f"{name}low", pa.float64(), unit), (f"{name}high", pa.float64(), unit)


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
COHORTS = pa.schema([*_schema(*DRAW), *FRAMES])
GAN = (
    *DRAW,
    ("class", pa.string(), "pos, neg, or both for a conditional GAN"),
    ("gan", pa.string(), "base, what differs from the study's GAN, or external"),
)
GAN_LOSSES = _schema(
    *GAN,
    ("attempt", pa.int32(), "from 1; more than one after a collapse with retries"),
    ("epoch", pa.int32()),
    ("n_images_seen", pa.int64(), "images"),
    ("loss_d_real", pa.float64(), "nats, or margins for the hinge loss"),
    ("loss_d_fake", pa.float64(), "nats, or margins for the hinge loss"),
    ("loss_g", pa.float64(), "nats, or margins for the hinge loss"),
    ("r1", pa.float64(), "penalty, gamma included"),
    ("d_accuracy_real", pa.float64(), "share of real images that the discriminator calls real"),
    ("d_accuracy_fake", pa.float64(), "share of synthetic images that it calls synthetic"),
    ("g_gradient_norm", pa.float64(), "mean over images, of the generator's gradient"),
    ("diversity", pa.float64(), "mean pixel distance between two synthetic images, real ones' 1"),
    ("seconds", pa.float64(), "s"),
)
GAN_EVENTS = _schema(
    *GAN,
    ("attempt", pa.int32()),
    ("epoch", pa.int32()),
    ("kind", pa.string(), "not_finite, discriminator_won or low_diversity"),
    ("message", pa.string()),
)
GAN_SCORES = _schema(
    *GAN,
    ("epoch", pa.int32(), "null for an external set"),
    ("metric", pa.string()),
    ("embedder", pa.string(), "imagenet, detector, or none for pixels"),
    ("space", pa.string()),
    ("value", pa.float64()),
    ("n_images", pa.int32(), "real frames, and as many synthetic ones"),
    ("saw_all_train_patients", pa.bool_(), "true where the detector stands behind the value"),
)
CARD = (*GAN, ("gan_epoch", pa.int32(), "null for an external set"))
SYNTH_SET = (*DRAW_AXES, "class", "gan", "gan_epoch")
"""The columns that name one synthetic set of a run."""
MEMORISATION = _schema(
    *CARD,
    ("n_synthetic", pa.int32(), "frames looked at"),
    ("n_train", pa.int32(), "frames that the generator saw"),
    ("n_compared", pa.int32(), "training frames, and as many holdout frames"),
    ("ratio_median", pa.float64(), "distance to the nearest training over nearest holdout frame"),
    ("nearer_train_share", pa.float64(), "of synthetic frames; 0.5 without memorisation"),
    (
        "copy_threshold",
        pa.float64(),
        "grey levels, a quantile of holdout frames' distances to the nearest training one",
    ),
    ("copy_share", pa.float64(), "of synthetic frames within the threshold of a training frame"),
    ("most_copies_of_a_patient", pa.int32(), "synthetic frames"),
    ("authenticity", pa.float64(), "Alaa et al. 2022"),
    ("authenticity_across_patients", pa.float64(), "with distances between patients alone"),
    ("passed", pa.bool_(), "the experiment's release gate; true without one"),
    ("failed_because", pa.string()),
    ("synth_key", pa.string()),
    ("memorisation_key", pa.string()),
)
COPIES = _schema(*CARD, ("patient_id", pa.string()), ("n_copies", pa.int32(), "synthetic frames"))
PAIRS = _schema(
    *CARD,
    ("synthetic_row", pa.int32(), "row in the set's synthetic.npy"),
    (
        "distance",
        pa.float64(),
        "grey levels, Euclidean over the shrunk frames, to the nearest training frame",
    ),
    ("is_copy", pa.bool_()),
    ("patient_id", pa.string(), "of the training frame"),
    ("video_id", pa.string(), "of the training frame"),
    ("frame", pa.int32(), "of the training frame"),
)
TRIALS = _schema(
    *CELL,
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
    ("val_auroc", pa.float64(), "of frames; null where a score is not finite"),
    ("ended", pa.string(), "of the last epoch: epochs, patience or pruned"),
    ("selected", pa.bool_(), "the checkpoint judged on holdout"),
    ("seconds", pa.float64(), "s"),
)
FRAME_SCORES = _schema(
    *CELL,
    ("patient_id", pa.string()),
    ("video_id", pa.string()),
    ("frame", pa.int32()),
    ("label", pa.int8(), "shuffled on validation, where the variant's labels are"),
    ("score", pa.float64(), "probability of consolidation"),
)
RESULTS = _schema(
    *_cell("epoch of the snapshot that made the synthetic frames"),
    ("gan", pa.string(), "base, what differs from the study's GAN, or external"),
    ("status", pa.string(), "done, failed, blocked, missing, or refused: scores without an AUC"),
    ("reason", pa.string(), "why it is not done, or has no interval"),
    ("auroc", pa.float64()),
    *_interval("auroc_", "95 % over patients: BCa, expanded; null while a run goes on"),
    ("n_resamples", pa.int32(), "bootstrap resamples of the interval"),
    ("accuracy", pa.float64(), "at threshold 0.5"),
    ("sensitivity", pa.float64(), "at threshold 0.5"),
    ("specificity", pa.float64(), "at threshold 0.5"),
    ("f1", pa.float64(), "at threshold 0.5"),
    ("n_holdout_patients", pa.int32()),
    ("n_holdout_frames", pa.int32()),
    *(
        (f"n_{label}_{source}", pa.int32(), "training frames")
        for label in ("pos", "neg")
        for source in ("real", "synthetic", "external", "noise")
    ),
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
    ("events_pos", pa.string(), "what went wrong in the GAN's training, and at which epoch"),
    ("events_neg", pa.string(), "what went wrong in the GAN's training, and at which epoch"),
    ("copy_share_pos", pa.float64(), "of the memorisation card"),
    ("copy_share_neg", pa.float64(), "of the memorisation card"),
    ("score_embedder", pa.string(), "of kmmd and one_nn; the detector saw all training patients"),
    ("n_score_images", pa.int32(), "real frames, and as many synthetic ones"),
    ("seed", pa.int64(), "study seed"),
    *((f"{role}_key", pa.string()) for role in ("cohort", "search", "evaluate")),
    ("seconds", pa.float64(), "s, of the cell's own trials and evaluation"),
)
OUTCOME = (
    (
        "status",
        pa.string(),
        "done; withheld: an estimate stands, an interval, test or verdict is not given; "
        "missing: cells are not there; refused: the input has no such statistic",
    ),
    ("reason", pa.string(), "why something is not given, and which cells are left out"),
)
WHO = _cell("where it is an axis")
AUROCS = _schema(
    *WHO,
    ("level", pa.string(), "frame, or mean, maximum or highest scores of a video or a patient"),
    ("top_k", pa.int32(), "video_top and patient_top: the mean of the k highest frame scores"),
    ("n_units", pa.int32(), "frames, videos or patients"),
    ("auroc", pa.float64()),
    *_interval("", "95 % over patients: BCa, expanded for the scarcer class"),
    *_interval("percentile_", "95 % over patients, plain percentiles: somewhat narrow"),
    ("standard_error", pa.float64(), "over patients"),
    ("n_resamples", pa.int32()),
    ("n_one_class", pa.int32(), "resamples with a single class, left out"),
    ("n_pos_patients", pa.int32()),
    ("n_neg_patients", pa.int32()),
    *OUTCOME,
)
QUALITY = _schema(
    *WHO,
    ("average_precision", pa.float64(), "area under precision and recall; chance: prevalence"),
    ("prevalence", pa.float64(), "share of positive frames of the holdout"),
    ("brier", pa.float64()),
    ("calibration_slope", pa.float64(), "of the label on the score's logit; 1 is calibrated"),
    ("calibration_intercept", pa.float64(), "of the label on the score's logit; 0 is calibrated"),
    ("calibration_error", pa.float64(), "expected, over 10 bins of equal mass"),
    *OUTCOME,
)
OPERATING = _schema(
    *WHO,
    ("wanted", pa.float64(), "specificity that the threshold reaches on validation"),
    ("threshold", pa.float64(), "inf where no validation score reaches it"),
    ("val_sensitivity", pa.float64(), "on validation, which chose the threshold"),
    ("sensitivity", pa.float64(), "on holdout"),
    *_interval("sensitivity_", "95 % over holdout patients, for this threshold"),
    ("specificity", pa.float64(), "on holdout"),
    *_interval("specificity_", "95 % over holdout patients, for this threshold"),
    *OUTCOME,
)
DELONG = _schema(
    *DRAW,
    ("gan_epoch", pa.int32(), "where it is an axis"),
    ("variant", pa.string()),
    ("reference", pa.string()),
    ("auroc", pa.float64(), "one score a patient, the mean over frames"),
    ("reference_auroc", pa.float64(), "one score a patient, the mean over frames"),
    ("difference", pa.float64()),
    *_interval("", "95 %"),
    ("standard_error", pa.float64()),
    ("p_value", pa.float64(), "two-sided, not adjusted"),
    *OUTCOME,
)
CONTRASTS = _schema(
    ("n_patients", pa.int32()),
    ("gan_epoch", pa.int32(), "where it is an axis"),
    ("variant", pa.string()),
    ("reference", pa.string()),
    ("n_replicates", pa.int32(), "that both have"),
    ("auroc", pa.float64(), "mean over replicates"),
    ("reference_auroc", pa.float64(), "mean over replicates"),
    ("difference", pa.float64(), "mean over replicates"),
    *_interval("", "95 % over holdout patients, for these trained models"),
    *_interval("percentile_", "the same, not expanded: somewhat narrow"),
    *_interval("replicate_", "95 % t interval over replicates, for these patients"),
    *_interval("two_level_", "95 % over patients and replicates, from 10 replicates on"),
    ("p_value", pa.float64(), "two-sided, over holdout patients"),
    ("p_holm", pa.float64(), "adjusted for every contrast of this table that has a p_value"),
    ("rank_p_value", pa.float64(), "signed-rank test over replicates, from 6 on"),
    ("margin", pa.float64()),
    ("non_inferior", pa.bool_(), "whether low lies above -margin: one-sided, 0.025"),
    ("standard_error", pa.float64(), "of the difference, over holdout patients"),
    ("detectable", pa.float64(), "smallest true difference found with power 0.8 at 0.05"),
    ("n_resamples", pa.int32()),
    ("n_one_class", pa.int32(), "resamples with a single class, left out"),
    *OUTCOME,
)
CONTROLS = _schema(
    ("n_patients", pa.int32()),
    ("variant", pa.string(), "trained with shuffled labels"),
    ("n_permutations", pa.int32(), "replicates with scores, each one permutation of the labels"),
    ("auroc", pa.float64(), "mean over permutations"),
    *_interval("", "95 % t interval over permutations, for these holdout patients"),
    ("verdict", pa.string(), "chance where the interval contains 0.5, else not chance"),
    *OUTCOME,
)
WORTH = _schema(
    ("variant", pa.string()),
    ("n_patients", pa.int32()),
    ("n_replicates", pa.int32()),
    ("auroc", pa.float64(), "mean over replicates"),
    ("worth", pa.string(), "patients per class of the baseline that are as good"),
    ("interval", pa.string(), "95 %, over holdout patients"),
    ("k_low", pa.float64(), "patients per class; -inf below the smallest count"),
    ("k_high", pa.float64(), "patients per class; inf above the largest count"),
    *_interval("interval_", "patients per class"),
    ("share_below", pa.float64(), "of resamples, below the smallest count"),
    ("share_above", pa.float64(), "of resamples, above the largest count"),
    *OUTCOME,
)
_CORRELATIONS = tuple(
    (f"{name}{end}", pa.float64(), unit)
    for name, unit in (
        ("spearman", "over cells; positive: the better metric, the larger gain"),
        ("kendall", "over cells; positive: the better metric, the larger gain"),
        ("spearman_within", "between cells of one patient count"),
        ("kendall_within", "between cells of one patient count"),
    )
    for end in ("", "_low", "_high")
)
USEFULNESS = _schema(
    ("variant", pa.string()),
    ("metric", pa.string(), "of the positives' generator"),
    ("embedder", pa.string()),
    ("space", pa.string()),
    ("n_cells", pa.int32()),
    ("n_cohorts", pa.int32()),
    *_CORRELATIONS,
    *OUTCOME,
)
FAILURES = _schema(
    ("stage", pa.string()),
    ("key", pa.string()),
    ("step", pa.string(), "with hashed patient ids"),
    ("error", pa.string()),
    ("n_blocked", pa.int32(), "steps that wait for this one"),
)
SKIPPED = _schema(("patient_id", pa.string()), ("video_id", pa.string()), ("reason", pa.string()))


def write(path: Path, rows: pa.Table | Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Writes rows in exactly this schema, and returns the table that `read` would give.

    A missing field is null. An unknown field is an AssertionError.
    """
    known = set(schema.names)
    if isinstance(rows, pa.Table):
        unknown = set(rows.column_names) - known
        assert not unknown, f"unknown fields {sorted(unknown)}"
        table = with_columns(rows, {}, schema)
    else:
        for row in rows:
            assert set(row) <= known, f"unknown fields {sorted(set(row) - known)}"
        table = pa.Table.from_pylist(list(rows), schema=schema)
    with whole_file(path) as scratch:
        pq.write_table(table, scratch)
    return table


def read(path: Path, schema: pa.Schema) -> pa.Table:
    """Reads a table. Raises InputError that names the file, also if it has another schema."""
    try:
        return parquet.read_table(path, schema=schema)
    except parquet.OtherSchemaError:
        raise InputError(
            f"{path} has another schema than this version of lussweep writes"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the table {path}: {error}") from None


def read_any(path: Path) -> pa.Table:
    """Reads a table of any schema. Raises InputError that names the file."""
    try:
        return parquet.read_table(path)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the table {path}: {error}") from None


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
