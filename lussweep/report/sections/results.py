"""The result of each cell, with the steps that it was computed from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from lussweep.report.artifacts import sampled_place, written_table
from lussweep.report.cells import DONE, REFUSED, Row, coordinates_of, epoch_is_axis
from lussweep.report.reported import Reported
from lussweep.report.sections.seam import Collected, Section
from lussweep.store import names, tables
from lussweep.store.artifacts import ArtifactStore
from lussweep.store.tables import HYPERPARAMETERS, cell_columns, make_schema
from lussweep.study.plan import Cell, Plan
from lussweep.study.spec import CLASSES, EMBEDDERS, StudySpec
from lussweep.study.spec.scores import SPECTRAL_GAP

RESULTS = make_schema(
    *cell_columns("epoch of the snapshot that made the synthetic frames"),
    ("gan", pa.string(), "base, what differs from the study's GAN, or external"),
    ("status", pa.string(), "done, failed, blocked, missing, or refused: scores without an AUC"),
    ("reason", pa.string(), "why it is not done, or has no interval"),
    ("auroc", pa.float64(), "on holdout, by frame"),
    ("auroc_low", pa.float64(), "95 %, this model and other patients; null while a run goes on"),
    ("auroc_high", pa.float64(), "95 %, this model and other patients; null while a run goes on"),
    ("accuracy", pa.float64(), "at threshold 0.5"),
    ("sensitivity", pa.float64(), "at threshold 0.5"),
    ("specificity", pa.float64(), "at threshold 0.5"),
    ("f1", pa.float64(), "at threshold 0.5"),
    ("n_holdout_patients", pa.int32()),
    ("n_holdout_frames", pa.int32()),
    ("n_pos_real", pa.int32(), "training frames"),
    ("n_pos_synthetic", pa.int32(), "training frames"),
    ("n_pos_external", pa.int32(), "training frames"),
    ("n_pos_noise", pa.int32(), "training frames"),
    ("n_neg_real", pa.int32(), "training frames"),
    ("n_neg_synthetic", pa.int32(), "training frames"),
    ("n_neg_external", pa.int32(), "training frames"),
    ("n_neg_noise", pa.int32(), "training frames"),
    ("images_per_epoch", pa.int32(), "images"),
    ("best_trial", pa.int32()),
    ("best_epoch", pa.int32()),
    *HYPERPARAMETERS,
    ("val_accuracy", pa.float64()),
    ("kmmd_pos", pa.float64(), "last space of the first embedder, such as softmax"),
    ("kmmd_neg", pa.float64(), "last space of the first embedder, such as softmax"),
    ("one_nn_pos", pa.float64(), "last space of the first embedder, such as softmax"),
    ("one_nn_neg", pa.float64(), "last space of the first embedder, such as softmax"),
    ("confidence_pos", pa.float64(), "mean detector probability of synthetic positives"),
    ("events_pos", pa.string(), "what went wrong in the GAN's training, and at which epoch"),
    ("events_neg", pa.string(), "what went wrong in the GAN's training, and at which epoch"),
    ("spectral_gap_pos", pa.float64(), "of the snapshot that made the synthetic frames"),
    ("spectral_gap_neg", pa.float64(), "of the snapshot that made the synthetic frames"),
    (
        "has_learned",
        pa.bool_(),
        "false if a spectral gap is above its ceiling; null without synthetic frames",
    ),
    ("copy_share_pos", pa.float64(), "of the memorisation card"),
    ("copy_share_neg", pa.float64(), "of the memorisation card"),
    ("score_embedder", pa.string(), "of kmmd and one_nn; the detector saw all training patients"),
    ("n_score_images", pa.int32(), "real frames, and as many synthetic ones"),
    ("seed", pa.int64(), "study seed"),
    ("cohort_key", pa.string()),
    ("search_key", pa.string()),
    ("evaluate_key", pa.string()),
    ("seconds", pa.float64(), "s, of the cell's own trials and evaluation"),
)
HEADLINE_SCORES = ("kmmd", "one_nn")
KEY_ROLES = ("cohort", "search", "evaluate")
SCALARS = ("auroc", "accuracy", "sensitivity", "specificity", "f1")
"""Columns that stay empty if the scores have no statistics."""


# --- with intervals, from the scores of all cells -------------------------------------------


def result_rows(collected: Collected) -> list[Row]:
    """The outcomes with the interval over each cell's frames, or the reason for none.

    A cell whose scores were refused loses its numbers and gets the status `refused`.
    """
    axis = epoch_is_axis(collected.outcomes)
    frames = {
        coordinates_of(row, True): row
        for row in collected.table("aurocs").to_pylist()
        if row["level"] == "frame"
    }
    return [
        row | _of_scores(frames.get(coordinates_of(row, axis)))
        for row in collected.outcomes.to_pylist()
    ]


def _of_scores(frames: Row | None) -> Row:
    if frames is None:
        return {}
    if frames["status"] == REFUSED:
        return dict.fromkeys(SCALARS) | {"status": REFUSED, "reason": frames["reason"]}
    return {
        "auroc_low": frames["low"],
        "auroc_high": frames["high"],
        "reason": frames["reason"] and f"no interval: {frames['reason']}",
    }


SECTIONS = {
    "results": Section(version=1, schema=RESULTS, rows=result_rows, order=10),
}


# --- outcomes, from records -----------------------------------------------------------------


def collect_outcomes(reported: Reported, failures: Mapping[str, str]) -> pa.Table:
    """One row for each cell, done or not, in the schema RESULTS. It holds no intervals.

    `failures` maps the refs of failed steps to their errors. Patients and files are hashed in the
    reasons.
    """
    plan, study, store = reported.plan, reported.study, reported.store
    rows = [_outcome(cell, plan, study, store, failures) for cell in plan.cells]
    reasons = {row.get("reason") for row in rows}
    redacted_of = {reason: reason and reported.redact(reason) for reason in reasons}
    redacted = [row | {"reason": redacted_of[row.get("reason")]} for row in rows]
    return pa.Table.from_pylist(redacted, RESULTS)


def _outcome(
    cell: Cell, plan: Plan, study: StudySpec, store: ArtifactStore, failures: Mapping[str, str]
) -> dict[str, Any]:
    generators = (study.generator_name(cell.recipe, label) for label in CLASSES)
    row: dict[str, Any] = {
        **sampled_place(cell, store).row(),
        "gan": " and ".join(dict.fromkeys(filter(None, generators))) or None,
        "seed": study.seed,
        **{f"{role}_key": cell.refs[role].partition("/")[2] for role in KEY_ROLES},
        **_headline_scores(cell, study, store),
        **_warnings(cell, store),
    }
    ref = cell.refs["evaluate"]
    if not store.has(ref):
        return row | _why_missing(cell, plan, failures)
    search = store.record(cell.refs["search"])
    chosen = search["summary"]
    refs = [ref, cell.refs["search"], *search["inputs"].values()]
    return row | {
        "status": DONE,
        **store.record(ref)["summary"],
        **{
            f"n_{label}_{source}": n
            for label, counts in chosen["counts"].items()
            for source, n in counts.items()
        },
        "images_per_epoch": chosen["images_per_epoch"],
        "best_trial": chosen["trial"],
        "best_epoch": chosen["best"]["epoch"],
        "val_accuracy": chosen["best"]["val_accuracy"],
        **tables.hyperparameter_columns(chosen["config"]),
        "seconds": sum(store.record(r)["circumstances"]["seconds"] for r in refs if store.has(r)),
    }


def _why_missing(cell: Cell, plan: Plan, failures: Mapping[str, str]) -> dict[str, str]:
    ref = cell.refs["evaluate"]
    if ref in failures:
        return {"status": "failed", "reason": failures[ref]}
    for ancestor in sorted(plan.ancestors(ref) & failures.keys()) if failures else ():
        reason = f"{plan.steps[ancestor].name}: {failures[ancestor]}"
        return {"status": "blocked", "reason": reason}
    return {"status": "missing", "reason": "the run ended before it"}


def _headline_scores(cell: Cell, study: StudySpec, store: ArtifactStore) -> dict[str, Any]:
    """The scores of the snapshots that were sampled."""
    columns: dict[str, Any] = {}
    embedder = study.score.embedders[0]
    headline = (embedder, EMBEDDERS[embedder].spaces[-1])
    gan = study.gan_of(cell.recipe)
    ceiling = gan.gap_ceiling()
    for label in CLASSES:
        ref = cell.refs.get(f"score_{label}")
        if not ref or not store.has(ref):
            continue
        rows = tables.read(
            store.open(ref, names.SCORES) / names.SCORES, tables.GAN_SCORES
        ).to_pylist()
        synth = cell.refs[f"synth_{label}"]
        if not store.has(synth):
            continue
        epoch = store.record(synth)["summary"]["epoch"]
        columns |= {"score_embedder": embedder, "n_score_images": rows[0]["n_images"]}
        for row in rows:
            if row["epoch"] != epoch:
                continue
            if row["metric"] == "confidence":
                columns["confidence_pos"] = row["value"]
            elif row["metric"] == SPECTRAL_GAP and math.isfinite(row["value"]):
                columns[f"{SPECTRAL_GAP}_{label}"] = row["value"]
                columns["has_learned"] = (
                    columns.get("has_learned", True) and row["value"] <= ceiling
                )
            elif (row["embedder"], row["space"]) == headline and row["metric"] in HEADLINE_SCORES:
                columns[f"{row['metric']}_{label}"] = row["value"]
    return columns


def _warnings(cell: Cell, store: ArtifactStore) -> dict[str, Any]:
    """The events of the cell's GANs, and the share of copies among its synthetic frames."""
    columns: dict[str, Any] = {}
    for label in CLASSES:
        gan, card = (cell.refs.get(f"{role}_{label}") for role in ("gan", "memorisation"))
        if gan and (path := written_table(store, gan, names.EVENTS)):
            events = tables.read(path, tables.GAN_EVENTS).to_pylist()
            texts = [f"{e['kind']} at epoch {e['epoch']}{_again(e['attempt'])}" for e in events]
            columns[f"events_{label}"] = "; ".join(texts) or None
        if card and store.has(card):
            columns[f"copy_share_{label}"] = store.record(card)["summary"].get("copy_share")
    return columns


def _again(attempt: int) -> str:
    return f" of attempt {attempt}" if attempt > 1 else ""
