"""Stages that train trials, choose the best one, and judge it on holdout."""

from __future__ import annotations

import shutil
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from safetensors.torch import save_file

from lussweep.data.cohort import limit_val, of_class, patient_ids, shuffle_labels, usable_frames
from lussweep.data.frames import load_masks, load_pixels
from lussweep.metrics.auroc import auroc
from lussweep.metrics.classification import at_threshold
from lussweep.models.classifiers.dataset import make_train_set
from lussweep.models.classifiers.search_space import KnownTrial, TrialConfig, propose, pruner
from lussweep.models.classifiers.step import predict
from lussweep.models.classifiers.train import THRESHOLD, TrialEpoch, better, train_classifier
from lussweep.models.training.pool import FramePool
from lussweep.models.training.progress import epoch_text
from lussweep.models.training.weights import read_weights
from lussweep.stages.context import (
    Context,
    Summary,
    cohort_frames,
    load_classifier,
    refuse_overlap,
    split_index,
)
from lussweep.store import names, tables
from lussweep.store.arrays import read_array
from lussweep.study.keys import derive_seed
from lussweep.study.plan import SYNTHETIC_ROLES, Step
from lussweep.study.plan.step_specs import EvaluateStep, SearchStep, ShownFrames, TrialStep
from lussweep.study.spec import CLASSES, SearchSpec


def run_trial(step: Step, context: Context, out: Path) -> Summary:
    """Trains one configuration of the search list on a recipe's frames."""
    spec = TrialStep.of(step)
    classifier, search = spec.classifier, spec.search_spec()
    known_trials = [_known_trial(ref, search, context) for ref in _trials(step)]
    config = propose(search, spec.search_seed, known_trials)
    is_hopeless = pruner(search, known_trials)
    cohort = cohort_frames(step, context)
    val = limit_val(split_index(step, context, "val"), spec.val, spec.val_seed)
    fresh = _fresh_patients(step, cohort, context)
    refuse_overlap("training and validation", [*patient_ids(cohort), *fresh], patient_ids(val))
    if spec.labels_seed is not None:
        cohort = shuffle_labels(cohort, derive_seed(spec.labels_seed, "train"))
        val = shuffle_labels(val, derive_seed(spec.labels_seed, "val"))
    by_class = {label: of_class(cohort, label) for label in CLASSES}
    train_set = make_train_set(
        spec.recipe,
        real={label: _shown(rows, spec.frames, context) for label, rows in by_class.items()},
        masks={
            label: load_masks(context.store, rows)
            for label, rows in by_class.items()
            if "noise" in spec.recipe[label]
        },
        synthetic={
            label: read_array(context.store.open(step.inputs[role]) / names.SYNTHETIC, np.uint8)
            for label, role in SYNTHETIC_ROLES.items()
            if role in step.inputs
        },
        seed=spec.search_seed,
    )
    # If a GPU holds the validation frames, the host does not keep them.
    val_pool = FramePool(_shown(val, spec.frames, context), None, context.torch_device())

    def show(row: TrialEpoch) -> None:
        rate = row.n_images_seen / row.epoch / max(row.seconds, 1e-9)
        text = epoch_text(row.epoch, classifier.n_epochs, images_per_s=rate)
        context.link.tell(step.ref, text)

    trained = train_classifier(
        train_set,
        val_pool,
        val["label"].to_numpy(),
        config,
        classifier,
        seed=spec.seed,
        select_by=search.select_by,
        is_hopeless=lambda row: is_hopeless(row.epoch, _finite_merit(row, search)),
        show=show,
    )
    save_file(dict(trained.weights), out / names.WEIGHTS)
    scored = val.append_column("score", pa.array(trained.val_score_N))
    tables.write(out / names.VAL_SCORES, _scores(scored), tables.FRAME_SCORES)
    place = {**tables.hyperparameter_columns(config.values()), "trial": spec.trial}
    rows = [{**asdict(row), **place} for row in trained.rows]
    rows[-1]["ended"] = trained.ended
    tables.write(out / names.TRIALS, rows, tables.TRIALS)
    return {
        "trial": spec.trial,
        "kind": classifier.kind,
        "config": config.values(),
        "best": asdict(trained.best),
        "ended": trained.ended,
        "how": trained.how,
        "image_size": val_pool.frames.shape[1],
        "images_per_epoch": trained.images_per_epoch,
        "counts": train_set.counts,
        "patients": {
            "train": patient_ids(cohort),
            "val": patient_ids(val),
            **({"simulated": fresh} if fresh else {}),
        },
    }


def _fresh_patients(step: Step, cohort: pa.Table, context: Context) -> list[str]:
    """The patients outside the cohort whom the step's training frames show."""
    made = [step.inputs[role] for role in SYNTHETIC_ROLES.values() if role in step.inputs]
    shown = {p for ref in made for p in context.store.record(ref)["summary"].get("patients", ())}
    return sorted(shown - set(patient_ids(cohort)))


def _shown(frames: pa.Table, what: ShownFrames, context: Context) -> np.ndarray:
    """What a classifier sees of some frames: their pixels, or their sector masks in white.

    uint8 (N, S, S).
    """
    if what == "whole":
        return load_pixels(context.store, frames)
    return load_masks(context.store, frames).astype(np.uint8) * np.uint8(255)


def run_search(step: Step, context: Context, out: Path) -> Summary:
    """Chooses the best trial by validation. Ties go to the lower loss, then the earlier trial."""
    folders = [context.store.open(ref) for ref in _trials(step)]
    summaries: list[Summary] = [context.store.record(ref)["summary"] for ref in _trials(step)]
    select_by = SearchStep.of(step).select_by
    best = 0
    for i, summary in enumerate(summaries):
        if better(TrialEpoch(**summary["best"]), TrialEpoch(**summaries[best]["best"]), select_by):
            best = i
    chosen = summaries[best]
    rows = tables.concat([_trial_rows(ref, context) for ref in _trials(step)], tables.TRIALS)
    selected = pc.and_(
        pc.equal(rows["trial"], chosen["trial"]), pc.equal(rows["epoch"], chosen["best"]["epoch"])
    )
    position = rows.column_names.index("selected")
    rows = rows.set_column(position, "selected", selected)
    tables.write(out / names.TRIALS, rows, tables.TRIALS)
    save_file(read_weights(folders[best] / names.WEIGHTS), out / names.WEIGHTS)
    shutil.copyfile(folders[best] / names.VAL_SCORES, out / names.VAL_SCORES)
    return chosen


def _trials(step: Step) -> list[str]:
    """Refs of the trials that a search chooses from, or that a later trial knows, in order."""
    roles = [role for role in step.inputs if role.startswith("trial_")]
    return [step.inputs[role] for role in sorted(roles, key=lambda role: (len(role), role))]


def _trial_rows(ref: str, context: Context) -> pa.Table:
    """The rows of one trial. A column that came after the trial was trained is null."""
    return tables.with_columns(
        tables.read_any(context.store.open(ref) / names.TRIALS), {}, tables.TRIALS
    )


def _known_trial(ref: str, search: SearchSpec, context: Context) -> KnownTrial:
    summary = context.store.record(ref)["summary"]
    rows = _trial_rows(ref, context).to_pylist()
    columns = [field.name for field in fields(TrialEpoch)]
    epochs = [TrialEpoch(**{name: row[name] for name in columns}) for row in rows]
    merits = [_finite_merit(epoch, search) for epoch in epochs]
    return KnownTrial(TrialConfig.of(summary["config"]), merits, summary["ended"] == "pruned")


def _finite_merit(row: TrialEpoch, search: SearchSpec) -> float | None:
    """The validation score that selection uses, None if it is not finite.

    Accuracy is a share of the frames, not their number, because dashboards show it.
    """
    return row.val_accuracy if search.select_by == "accuracy" else row.val_auroc


def _scores(frames: pa.Table) -> pa.Table:
    """The scored frames with the columns of FRAME_SCORES alone."""
    return tables.with_columns(frames, {}, tables.FRAME_SCORES)


def run_evaluate(step: Step, context: Context, out: Path) -> Summary:
    """Scores every usable holdout frame, and computes the metrics of the cell."""
    chosen = context.store.record(step.inputs["search"])["summary"]
    holdout = usable_frames(split_index(step, context, "holdout"))
    for role, patients in chosen["patients"].items():
        refuse_overlap(f"{role} and holdout", patients, patient_ids(holdout))
    model = load_classifier(step.inputs["search"], context)
    spec = EvaluateStep.of(step)
    pool = FramePool(_shown(holdout, spec.frames, context), None, context.torch_device())
    score = predict(model, pool, spec.batch_size, spec.precision)
    scored = holdout.append_column("score", pa.array(score))
    tables.write(out / names.FRAME_SCORES, _scores(scored), tables.FRAME_SCORES)
    return {
        **_judgement(holdout["label"].to_numpy(), score),
        "n_holdout_patients": len(patient_ids(holdout)),
        "n_holdout_frames": len(holdout),
    }


def _judgement(label_N: np.ndarray, score_N: np.ndarray) -> Summary:
    """The metrics of a cell. Returns None for every metric if any score is not finite.

    The scores themselves are kept, and the report says that they were refused.
    """
    if not np.isfinite(score_N).all():
        return dict.fromkeys(("auroc", "accuracy", "sensitivity", "specificity", "f1"))
    confusion = at_threshold(label_N, score_N, THRESHOLD)
    return {
        "auroc": auroc(label_N, score_N),
        "accuracy": confusion.accuracy,
        "sensitivity": confusion.sensitivity,
        "specificity": confusion.specificity,
        "f1": confusion.f1,
    }
