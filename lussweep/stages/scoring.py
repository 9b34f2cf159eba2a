"""Stages that embed a cohort's real frames and score the images of a generator."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from lussweep.data.frames import load_masks, load_pixels
from lussweep.metrics.features import Embed, features_by_space, pixels
from lussweep.metrics.pair import Pair, RealSet
from lussweep.models.training.precision import full_precision
from lussweep.models.training.weights import read_weights
from lussweep.stages.context import Context, Summary, cohort_class, load_classifier
from lussweep.stages.synthesis import external_images, sampled, trained_gan
from lussweep.store import names, tables
from lussweep.study.keys import derive_seed
from lussweep.study.plan import Step
from lussweep.study.plan.step_specs import DrawnStep, FeaturesStep, ScoreStep
from lussweep.study.spec import EMBEDDERS, NO_EMBEDDER, PIXEL, SCORES, ScoreSpec

Place = tuple[str, str]
"""The source of features: an embedder, and one of its spaces."""
FeaturesAt = dict[Place, NDArray[Any]]


def run_features(step: Step, context: Context, out: Path) -> Summary:
    """Embeds real frames of one cohort and class, once for all generators."""
    features_step = FeaturesStep.of(step)
    name = features_step.embedder
    drawn = real_frames(
        step, context, features_step, features_step.n_images, n_patients=features_step.n_patients
    )
    real = load_pixels(context.store, drawn)
    features = _features({name: _embedder(name, step, context)}, real, features_step.batch_size)
    save_file(
        {space: torch.from_numpy(x_ND) for (_, space), x_ND in features.items()},
        out / names.FEATURES,
    )
    return {"n_images": len(real)}


def run_score(step: Step, context: Context, out: Path) -> Summary:
    """Scores each snapshot of a GAN, or an external set, against real frames of its cohort."""
    score_step = ScoreStep.of(step)
    spec, label = score_step.score, score_step.label
    scores = {name: SCORES[name] for name in spec.metrics if label in SCORES[name].classes}
    # A score that is defined for the detector needs it, also if `score.embedders` leaves it out.
    needed = [*spec.embedders, *(name for score in scores.values() for name in score.embedders)]
    embedders = {name: _embedder(name, step, context) for name in dict.fromkeys(needed)}
    drawn = real_frames(step, context, score_step, _n_scored(step, context, spec))
    real, masks = (load(context.store, drawn) for load in (load_pixels, load_masks))
    real_sets = {
        place: RealSet(
            x_ND,
            spec,
            score_step.seed,
            context.torch_device(),
            masks if place == (NO_EMBEDDER, PIXEL) else None,
        )
        for place, x_ND in _real_features(step, context, spec, embedders, real).items()
    }
    computed = [
        (name, place)
        for place in real_sets
        for name, score in scores.items()
        if score.is_in(*place, tuple(spec.embedders))
    ]
    # Scores of one embedder come last.
    computed.sort(key=lambda one: bool(scores[one[0]].embedders))
    rows: list[dict[str, Any]] = []
    for epoch, fake in _fakes(step, context, score_step, len(real), real.shape[1]):
        fake_features: FeaturesAt = {(NO_EMBEDDER, PIXEL): pixels(fake)}
        fake_features |= _features(embedders, fake, spec.batch_size)
        pairs = {place: Pair(real_sets[place], x_ND) for place, x_ND in fake_features.items()}
        for name, place in computed:
            value = scores[name].function(pairs[place])
            rows.append(_score_row(label, epoch, name, place, value, len(real)))
    tables.write(out / names.SCORES, rows, tables.SNAPSHOT_SCORES)
    return {"n_images": len(real), "embedders": list(spec.embedders)}


def _real_features(
    step: Step,
    context: Context,
    spec: ScoreSpec,
    embedders: dict[str, Embed],
    real: NDArray[np.uint8],
) -> FeaturesAt:
    """The features of the real frames: those of earlier steps, and those of other embedders."""
    features: FeaturesAt = {(NO_EMBEDDER, PIXEL): pixels(real)}
    for name in spec.embedders:
        real_of = read_weights(context.store.open(step.inputs[f"real_{name}"]) / names.FEATURES)
        for space in EMBEDDERS[name].spaces:  # the rows have this order
            features[name, space] = real_of[space].numpy()[: len(real)]
    others = {name: embedder for name, embedder in embedders.items() if name not in spec.embedders}
    return features | _features(others, real, spec.batch_size)


def _features(
    embedders: dict[str, Embed], frames_NSS: NDArray[np.uint8], batch_size: int
) -> FeaturesAt:
    """The features (N, D) of frames in every space of some embedders."""
    with full_precision():
        return {
            (name, space): x_ND
            for name, embedder in embedders.items()
            for space, x_ND in features_by_space(
                name, EMBEDDERS[name].spaces, embedder, frames_NSS, batch_size=batch_size
            ).items()
        }


def real_frames(
    step: Step,
    context: Context,
    drawn: DrawnStep,
    n_images: int,
    *,
    n_patients: int | None = None,
    role: str = "cohort",
) -> pa.Table:
    """The first `n_images` rows of a seeded permutation of the class's frames.

    A smaller number gives the first of the same frames. With `n_patients` they are the frames of
    so many patients, and of further ones only if these have fewer than `n_images`.
    """
    frames = cohort_class(step, context, drawn.label, role)
    if n_patients is not None:
        patients, n_frames_P = np.unique(frames["patient_id"].to_numpy(), return_counts=True)
        rng = np.random.default_rng(derive_seed(drawn.seed, "patients"))
        order = rng.permutation(len(patients))
        n_enough = 1 + int(np.searchsorted(n_frames_P[order].cumsum(), n_images))
        of = patients[order[: max(n_patients, n_enough)]]
        frames = frames.filter(pc.is_in(frames["patient_id"], pa.array(of, pa.string())))
    chosen = np.random.default_rng(drawn.seed).permutation(len(frames))[:n_images]
    return frames.take(chosen)


def _n_scored(step: Step, context: Context, spec: ScoreSpec) -> int:
    """The number of real frames to compare. An external set with fewer images lowers it."""
    n_real: int = context.store.record(step.inputs[f"real_{spec.embedders[0]}"])["summary"][
        "n_images"
    ]
    if "external" not in step.inputs:
        return n_real
    n_external: int = context.store.record(step.inputs["external"])["summary"]["n_images"]
    return min(n_real, n_external)


def _fakes(
    step: Step, context: Context, score_step: ScoreStep, n_images: int, image_size: int
) -> Iterator[tuple[int | None, np.ndarray]]:
    """Yields epoch and images of every snapshot, or None and the images of an external set."""
    if "external" in step.inputs:
        yield None, external_images(step, context, score_step.seed, n_images)
        return
    spec = score_step.score
    for epoch in trained_gan(step, context)[0].snapshot_epochs():
        yield epoch, sampled(step, context, score_step, spec, epoch, n_images, image_size)


def _embedder(name: str, step: Step, context: Context) -> Embed:
    """The function of an embedder, with what it needs, on the context's device."""
    entry, function = EMBEDDERS[name], EMBEDDERS[name].function
    if entry.needs == "detector":
        function = function(load_classifier(step.inputs["detector"], context))
    elif entry.needs == "weights":
        function = function(context.weights)
    return partial(function, device=context.torch_device())


def _score_row(
    label: str, epoch: int | None, metric: str, place: Place, value: float, n_images: int
) -> dict[str, Any]:
    embedder, space = place
    return {
        "class": label,
        "epoch": epoch,
        "metric": metric,
        "embedder": embedder,
        "space": space,
        "value": float(value),
        "n_images": n_images,
        "saw_all_train_patients": embedder != NO_EMBEDDER and EMBEDDERS[embedder].has_seen,
    }
