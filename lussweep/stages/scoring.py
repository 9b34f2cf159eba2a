"""Stages that embed a cohort's real frames and score the images of a generator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from lussweep.data.frames import load_pixels
from lussweep.metrics.comparison import Reference, compare
from lussweep.metrics.confidence import mean_confidence
from lussweep.metrics.features import embed, pixels
from lussweep.metrics.frechet import fid
from lussweep.metrics.kid import kid
from lussweep.metrics.permutation import kmmd_test
from lussweep.models.training.weights import read_weights
from lussweep.stages.context import SCORES, Context, Summary, cohort_class, load_classifier
from lussweep.stages.synthesis import external_images, sampled, trained_gan
from lussweep.store import tables
from lussweep.study.plan import DrawnStep, FeaturesStep, ScoreStep, Step
from lussweep.study.spec import ScoreSpec

FEATURES = "features.safetensors"
Place = tuple[str, str]
"""Where features come from: the embedder, and the space of it."""
NO_EMBEDDER = "none"
WIDE_SPACES = ("conv",)
"""The spaces of FID, KID and the kernel test, as the literature computes them."""


def run_features(step: Step, context: Context, out: Path) -> Summary:
    """Embeds real frames of one cohort and class, once for all generators."""
    own = FeaturesStep.of(step)
    real = _real_frames(step, context, own.n_images)
    features_of = embed(
        real,
        _embedder(own.embedder, step, context),
        batch_size=own.batch_size,
        device=context.torch_device(),
    )
    save_file(
        {space: torch.from_numpy(values) for space, values in features_of.items()}, out / FEATURES
    )
    return {"n_images": len(real)}


def run_score(step: Step, context: Context, out: Path) -> Summary:
    """Scores each snapshot of a GAN, or an external set, against real frames of its cohort."""
    own = ScoreStep.of(step)
    spec, label, device = own.score, own.label, context.torch_device()
    embedders = {
        name: _embedder(name, step, context) for name in {*spec.embedders, "detector"}
    }  # the confidence comes from the detector, whichever embedders there are
    real = _real_frames(step, context, _n_scored(step, context, spec))
    real_features: dict[Place, np.ndarray] = {(NO_EMBEDDER, "pixel"): pixels(real)}
    for name in spec.embedders:
        real_of = read_weights(context.store.open(step.inputs[f"real_{name}"]) / FEATURES)
        real_features |= {(name, space): v.numpy()[: len(real)] for space, v in real_of.items()}
    references = {
        place: Reference.of(values, k=spec.n_neighbours, device=device)
        for place, values in real_features.items()
    }
    rows: list[dict[str, Any]] = []
    for epoch, fake in _fakes(step, context, spec, len(real), real.shape[1]):
        fake_features: dict[Place, np.ndarray] = {(NO_EMBEDDER, "pixel"): pixels(fake)}
        for name, network in embedders.items():
            features_of = embed(fake, network, batch_size=spec.batch_size, device=device)
            fake_features |= {(name, space): values for space, values in features_of.items()}
        for place, reference in references.items():
            values = {
                **compare(reference, fake_features[place])._asdict(),
                **_customary(place, real_features, fake_features, spec, own.seed, device),
            }
            rows += [_score_row(label, epoch, m, place, v, len(real)) for m, v in values.items()]
        if label == "pos":
            place = ("detector", "softmax")
            confidence = mean_confidence(fake_features[place][:, 1])
            rows.append(_score_row(label, epoch, "confidence", place, confidence, len(real)))
    tables.write(out / SCORES, rows, tables.GAN_SCORES)
    return {"n_images": len(real), "embedders": list(spec.embedders)}


def _customary(
    place: Place,
    real: dict[Place, np.ndarray],
    fake: dict[Place, np.ndarray],
    spec: ScoreSpec,
    seed: int,
    device: torch.device,
) -> dict[str, float]:
    """FID, KID and the kernel test in the wide spaces. Other spaces have none."""
    if place[1] not in WIDE_SPACES:
        return {}
    test = kmmd_test(
        real[place], fake[place], n_permutations=spec.n_permutations, seed=seed, device=device
    )
    spread = kid(real[place], fake[place], seed=seed, n_subsets=spec.n_kid_subsets, device=device)
    return {
        "fid": fid(real[place], fake[place]),
        "kid": spread.mean,
        "kid_low": spread.low,
        "kid_high": spread.high,
        "mmd2_unbiased": test.mmd2_unbiased,
        "mmd2_p_value": test.p_value,
    }


def _real_frames(step: Step, context: Context, n_images: int) -> np.ndarray:
    """The first `n_images` frames of a seeded permutation, uint8 (N, S, S).

    A smaller number gives the first of the same frames.
    """
    cohort = cohort_class(step, context)
    chosen = np.random.default_rng(DrawnStep.of(step).seed).permutation(len(cohort))[:n_images]
    return load_pixels(context.store, cohort.take(chosen))


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
    step: Step, context: Context, spec: ScoreSpec, n_images: int, image_size: int
) -> Iterator[tuple[int | None, np.ndarray]]:
    """Yields epoch and images of every snapshot, or None and the images of an external set."""
    if "external" in step.inputs:
        yield None, external_images(step, context, n_images)
        return
    for epoch in trained_gan(step, context)[0].snapshot_epochs():
        yield epoch, sampled(step, context, spec, epoch, n_images, image_size)


def _embedder(name: str, step: Step, context: Context) -> Any:
    """The detector or ImageNet's ResNet-34, on the context's device, in evaluation mode."""
    if name == "detector":
        return load_classifier(step.inputs["detector"], context)
    from lussweep.models.resnet import load_resnet34

    return load_resnet34(context.weights).to(context.torch_device())


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
        "saw_all_train_patients": embedder == "detector",
    }
