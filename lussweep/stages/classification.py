"""Trials, the search that picks among them, and the judgement on holdout."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from safetensors.torch import load_file, save_file

from lussweep import tables
from lussweep.classifier.search_space import search_list
from lussweep.classifier.train import THRESHOLD, EpochRow, better, predict, train_classifier
from lussweep.data.cohort import limit_val, of_class, patient_ids
from lussweep.data.dataset import make_train_set
from lussweep.data.frames import load_masks, load_pixels
from lussweep.metrics.auroc import clustered_auroc
from lussweep.metrics.classification import at_threshold
from lussweep.plan import SYNTHETIC_ROLES, Step
from lussweep.spec import (
    CLASSES,
    ClassifierSpec,
    EvaluateSpec,
    SearchSpec,
    ValSpec,
)
from lussweep.stages.context import (
    FRAME_SCORES,
    SYNTHETIC,
    TRIALS,
    VAL_SCORES,
    WEIGHTS,
    Context,
    Summary,
    cohort_frames,
    load_classifier,
    refuse_overlap,
    split_index,
)


def run_trial(step: Step, context: Context, out: Path) -> Summary:
    """One configuration of the search list, trained on a recipe's frames."""
    search = SearchSpec.model_validate(step.spec["search"])
    config = search_list(search, step.spec["search_seed"])[-1]
    sources = step.spec["recipe"]
    cohort = cohort_frames(step, context)
    val = limit_val(
        split_index(step, context, "val"),
        ValSpec.model_validate(step.spec["val"]),
        step.spec["val_seed"],
    )
    refuse_overlap("training and validation", patient_ids(cohort), patient_ids(val))
    by_class = {label: of_class(cohort, label) for label in CLASSES}
    train_set = make_train_set(
        sources,
        real={label: load_pixels(context.store, rows) for label, rows in by_class.items()},
        masks={label: load_masks(context.store, rows) for label, rows in by_class.items()},
        synthetic={
            label: np.load(context.store.open(step.inputs[role]) / SYNTHETIC)
            for label, role in SYNTHETIC_ROLES.items()
            if role in step.inputs
        },
        seed=step.spec["search_seed"],
    )
    val_images = load_pixels(context.store, val)
    trained = train_classifier(
        train_set,
        val_images,
        val["label"].to_numpy(),
        config,
        ClassifierSpec.model_validate(step.spec["classifier"]),
        seed=step.spec["seed"],
        device=context.torch_device(),
    )
    save_file(dict(trained.weights), out / WEIGHTS)
    scored = val.append_column("score", pa.array(trained.val_score_N))
    tables.write(out / VAL_SCORES, _scores(scored), tables.FRAME_SCORES)
    rows = [{**asdict(row), **asdict(config), "trial": step.spec["trial"]} for row in trained.rows]
    tables.write(out / TRIALS, rows, tables.TRIALS)
    return {
        "trial": step.spec["trial"],
        "config": asdict(config),
        "best": asdict(trained.best),
        "image_size": val_images.shape[1],
        "images_per_epoch": trained.images_per_epoch,
        "counts": train_set.counts,
        "patients": {"train": patient_ids(cohort), "val": patient_ids(val)},
    }


def run_search(step: Step, context: Context, out: Path) -> Summary:
    """The best trial by validation: most correct; ties by lower loss, then by lower trial."""
    folders = [context.store.open(ref) for _, ref in sorted(step.inputs.items())]
    summaries = [context.store.record(ref)["summary"] for _, ref in sorted(step.inputs.items())]
    best = 0
    for i, summary in enumerate(summaries):
        if better(EpochRow(**summary["best"]), EpochRow(**summaries[best]["best"])):
            best = i
    chosen = summaries[best]
    rows = tables.concat(
        [tables.read(folder / TRIALS, tables.TRIALS) for folder in folders], tables.TRIALS
    )
    selected = pc.and_(
        pc.equal(rows["trial"], chosen["trial"]), pc.equal(rows["epoch"], chosen["best"]["epoch"])
    )
    position = rows.column_names.index("selected")
    rows = rows.set_column(position, "selected", selected)
    tables.write(out / TRIALS, rows, tables.TRIALS)
    save_file(load_file(folders[best] / WEIGHTS), out / WEIGHTS)
    shutil.copyfile(folders[best] / VAL_SCORES, out / VAL_SCORES)
    return chosen


def _scores(frames: pa.Table) -> pa.Table:
    """Scored frames without what the score tables leave out."""
    return tables.with_columns(frames, {}, tables.FRAME_SCORES)


def run_evaluate(step: Step, context: Context, out: Path) -> Summary:
    """Scores of every usable holdout frame, and the statistics of the cell."""
    chosen = context.store.record(step.inputs["search"])["summary"]
    holdout = split_index(step, context, "holdout")
    holdout = holdout.filter(pc.is_valid(holdout["label"]))
    for role, patients in chosen["patients"].items():
        refuse_overlap(f"{role} and holdout", patients, patient_ids(holdout))
    model = load_classifier(step.inputs["search"], context)
    images = load_pixels(context.store, holdout)
    score = predict(model, images, step.spec["batch_size"], context.torch_device())
    scored = holdout.append_column("score", pa.array(score))
    tables.write(out / FRAME_SCORES, _scores(scored), tables.FRAME_SCORES)
    labels = holdout["label"].to_numpy()
    spec = EvaluateSpec.model_validate(step.spec["evaluate"])
    interval = clustered_auroc(
        labels,
        score,
        np.array(holdout["patient_id"].to_pylist()),
        n_resamples=spec.n_resamples,
        confidence=spec.confidence,
        seed=step.spec["seed"],
    )
    confusion = at_threshold(labels, score, THRESHOLD)
    return {
        "auroc": interval.auroc,
        "auroc_low": interval.low,
        "auroc_high": interval.high,
        "confidence": spec.confidence,
        "n_resamples": interval.n_resamples - interval.n_one_class,
        "accuracy": confusion.accuracy,
        "sensitivity": confusion.sensitivity,
        "specificity": confusion.specificity,
        "f1": confusion.f1,
        "n_holdout_patients": len(patient_ids(holdout)),
        "n_holdout_frames": len(holdout),
    }
