"""GANs, the features and scores of what they make, and synthetic sets."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load_file, save_file

from lussweep import tables
from lussweep.data.cohort import CLASS_LABEL
from lussweep.data.frames import load_masks, load_pixels
from lussweep.errors import InputError
from lussweep.gan.checkpoint import Checkpoints
from lussweep.gan.health import EpochRow
from lussweep.gan.memory import memory_advice
from lussweep.gan.sample import load_snapshot, sample, save_snapshot
from lussweep.gan.select import select_epoch
from lussweep.gan.train import train_gan
from lussweep.metrics.comparison import Reference, compare
from lussweep.metrics.confidence import mean_confidence
from lussweep.metrics.features import embed, pixels
from lussweep.metrics.frechet import fid
from lussweep.metrics.kid import kid
from lussweep.metrics.permutation import kmmd_test
from lussweep.models.dcgan import Generator
from lussweep.plan import BOTH_CLASSES, Step
from lussweep.spec import GanSpec, ScoreSpec, SelectSpec, SynthSpec
from lussweep.stages.context import (
    EVENTS,
    LOSSES,
    SCORES,
    SYNTHETIC,
    Context,
    Summary,
    cohort_class,
    load_classifier,
)
from lussweep.store import PROGRESS

FEATURES = "features.safetensors"
TRAINED = ("snapshots", LOSSES, EVENTS)
NO_EMBEDDER = "none"
WIDE_SPACES = ("conv",)
"""Where the customary scores of the literature are taken."""


# --- training -----------------------------------------------------------------------------


def run_gan(step: Step, context: Context, out: Path) -> Summary:
    """Train in this process; several workers are a matter of the cluster backend."""
    assert step.spec["gan"]["n_workers"] == 1, "a gang needs the cluster backend"
    with context.store.workplace(step.ref) as work:
        summary = train_gan_into(step, context, work)
        hand_over(work, out)
    return summary


def train_gan_into(
    step: Step, context: Context, work: Path, rank: int = 0, world_size: int = 1
) -> Summary:
    """Train one rank in a workplace, going on from what lies there; rank 0 writes."""
    spec = GanSpec.model_validate(step.spec["gan"])
    cohort = cohort_class(step, context)
    frames = load_pixels(context.store, cohort)
    is_conditional = step.spec["class"] == BOTH_CLASSES

    def on_epoch(row: EpochRow, generator: Generator, snapshot_due: bool) -> None:
        if rank:
            return
        if snapshot_due:
            save_snapshot(generator, work, row.epoch)
        again = f", attempt {row.attempt}" if row.attempt > 1 else ""
        write_progress(work, f"epoch {row.epoch} of {spec.n_epochs}{again}")

    device = context.torch_device()
    try:
        trained = train_gan(
            frames,
            spec,
            seed=step.spec["seed"],
            device=device,
            on_epoch=on_epoch,
            label_N=cohort["label"].to_numpy() if is_conditional else None,
            rank=rank,
            world_size=world_size,
            checkpoints=Checkpoints(
                work / "checkpoints", step.key, context.checkpoint_minutes, context.keep_checkpoints
            ),
        )
    except torch.OutOfMemoryError as error:
        raise InputError(memory_advice(spec, frames.shape[1], device)) from error
    if rank == 0:
        tables.write(work / LOSSES, [asdict(row) for row in trained.rows], tables.GAN_LOSSES)
        tables.write(work / EVENTS, [asdict(event) for event in trained.events], tables.GAN_EVENTS)
    return {
        "n_frames": len(frames),
        "n_images_seen": trained.rows[-1].n_images_seen,
        "n_attempts": trained.rows[-1].attempt,
        "n_events": len(trained.events),
        "step": trained.how,
    }


def hand_over(work: Path, out: Path) -> None:
    """A training's results into the artifact; the workplace stays until that is committed."""
    for name in TRAINED:
        if (work / name).is_dir():
            shutil.copytree(work / name, out / name, copy_function=_link)
        else:
            _link(work / name, out / name)


def write_progress(work: Path, text: str) -> None:
    scratch = work / f"{PROGRESS}.partial"
    scratch.write_text(text)
    scratch.replace(work / PROGRESS)


def _link(source: str | Path, target: str | Path) -> None:
    """A second name for a file, or a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


# --- scoring ------------------------------------------------------------------------------


def run_features(step: Step, context: Context, out: Path) -> Summary:
    """Real frames of one cohort and class as one embedder sees them: drawn and embedded once."""
    real = _real_frames(step, context, step.spec["n_images"])
    found = embed(
        real,
        _embedder(step.spec["embedder"], step, context),
        batch_size=step.spec["batch_size"],
        device=context.torch_device(),
    )
    save_file({space: torch.from_numpy(values) for space, values in found.items()}, out / FEATURES)
    return {"n_images": len(real)}


def run_score(step: Step, context: Context, out: Path) -> Summary:
    """Every snapshot of one GAN, or an external set, against real frames of its own cohort."""
    spec = ScoreSpec.model_validate(step.spec["score"])
    label, device = step.spec["class"], context.torch_device()
    embedders = {
        name: _embedder(name, step, context) for name in {*spec.embedders, "detector"}
    }  # the detector's confidence is wanted whatever the features are
    real = _real_frames(step, context, _n_scored(step, context, spec))
    real_features = {(NO_EMBEDDER, "pixel"): pixels(real)}
    for name in spec.embedders:
        known = load_file(context.store.open(step.inputs[f"real_{name}"]) / FEATURES)
        real_features |= {(name, space): v.numpy()[: len(real)] for space, v in known.items()}
    references = {
        place: Reference.of(values, k=spec.n_neighbours, device=device)
        for place, values in real_features.items()
    }
    rows: list[dict[str, Any]] = []
    for epoch, fake in _fakes(step, context, spec, len(real), real.shape[1]):
        fake_features = {(NO_EMBEDDER, "pixel"): pixels(fake)}
        for name, network in embedders.items():
            found = embed(fake, network, batch_size=spec.batch_size, device=device)
            fake_features |= {(name, space): values for space, values in found.items()}
        for place, reference in references.items():
            values = {
                **compare(reference, fake_features[place])._asdict(),
                **_customary(place, real_features, fake_features, spec, step.spec["seed"], device),
            }
            rows += [_score_row(label, epoch, m, place, v, len(real)) for m, v in values.items()]
        if label == "pos":
            place = ("detector", "softmax")
            confidence = mean_confidence(fake_features[place][:, 1])
            rows.append(_score_row(label, epoch, "confidence", place, confidence, len(real)))
    tables.write(out / SCORES, rows, tables.GAN_SCORES)
    return {"n_images": len(real), "embedders": list(spec.embedders)}


def _customary(
    place: tuple[str, str],
    real: dict[tuple[str, str], np.ndarray],
    fake: dict[tuple[str, str], np.ndarray],
    spec: ScoreSpec,
    seed: int,
    device: torch.device,
) -> dict[str, float]:
    """FID, KID and the kernel test, in the wide spaces alone."""
    if place[1] not in WIDE_SPACES:
        return {}
    test = kmmd_test(
        real[place], fake[place], n_permutations=spec.n_permutations, seed=seed, device=device
    )
    spread = kid(real[place], fake[place], seed=seed, n_subsets=spec.n_kid_subsets)
    return {
        "fid": fid(real[place], fake[place]),
        "kid": spread.mean,
        "kid_low": spread.low,
        "kid_high": spread.high,
        "mmd2_unbiased": test.mmd2_unbiased,
        "mmd2_p_value": test.p_value,
    }


def _real_frames(step: Step, context: Context, n_images: int) -> np.ndarray:
    """The first n of a seeded permutation: the same frames for whoever asks for fewer."""
    cohort = cohort_class(step, context)
    chosen = np.random.default_rng(step.spec["seed"]).permutation(len(cohort))[:n_images]
    return load_pixels(context.store, cohort.take(chosen))


def _n_scored(step: Step, context: Context, spec: ScoreSpec) -> int:
    """N, which an external set with fewer images lowers."""
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
    """Epoch and images of every snapshot, or the images of an external set without an epoch."""
    if "external" in step.inputs:
        yield None, _external_images(step, context, n_images)
        return
    gan_spec, folder = _trained_gan(step, context)
    for epoch in gan_spec.snapshot_epochs():
        device = context.torch_device()
        yield (
            epoch,
            sample(
                load_snapshot(folder, epoch, gan_spec, image_size, device),
                n_images,
                batchnorm=spec.batchnorm,
                batch_size=spec.batch_size,
                seed=step.spec["seed"],
                device=device,
                class_label=CLASS_LABEL[step.spec["class"]],
            ),
        )


def _embedder(name: str, step: Step, context: Context) -> Any:
    """The detector or ImageNet's ResNet-34, on the context's device, in evaluation mode."""
    if name == "detector":
        return load_classifier(step.inputs["detector"], context)
    from lussweep.models.resnet import load_resnet34

    return load_resnet34(context.weights).to(context.torch_device())


def _score_row(
    label: str, epoch: int | None, metric: str, place: tuple[str, str], value: float, n_images: int
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


# --- sampling -----------------------------------------------------------------------------


def run_synth(step: Step, context: Context, out: Path) -> Summary:
    """The cell's synthetic frames; each gets the sector mask of a real one."""
    masks = load_masks(context.store, cohort_class(step, context))
    n_images = SynthSpec.model_validate(step.spec["synth"]).n_frames(len(masks))
    if "external" in step.inputs:
        epoch, frames = None, _external_images(step, context, n_images)
    else:
        epoch, frames = _sampled(step, context, n_images, masks.shape[1])
    if len(frames) < n_images:
        raise InputError(
            f"the external set has {len(frames)} images, the cell needs {n_images}: make more, or "
            "lower synth.ratio or synth.n_images"
        )
    frames *= masks[np.arange(len(frames)) % len(masks)]
    np.save(out / SYNTHETIC, frames)
    return {"epoch": epoch, "n_frames": len(frames)}


def _sampled(
    step: Step, context: Context, n_images: int, image_size: int
) -> tuple[int, np.ndarray]:
    """Epoch and frames of the selected snapshot."""
    spec = SynthSpec.model_validate(step.spec["synth"])
    gan_spec, folder = _trained_gan(step, context)
    scores = (
        tables.read(context.store.open(step.inputs["score"]) / SCORES, tables.GAN_SCORES)
        if "score" in step.inputs
        else tables.GAN_SCORES.empty_table()
    )
    select = SelectSpec.model_validate(step.spec["select"])
    epoch = select_epoch(select, gan_spec.n_epochs, scores.to_pylist())
    device = context.torch_device()
    frames = sample(
        load_snapshot(folder, epoch, gan_spec, image_size, device),
        n_images,
        batchnorm=spec.batchnorm,
        batch_size=spec.batch_size,
        seed=step.spec["seed"],
        device=device,
        class_label=CLASS_LABEL[step.spec["class"]],
    )
    return epoch, frames


def _external_images(step: Step, context: Context, n_images: int) -> np.ndarray:
    """The first n of a seeded permutation of a set, or all of them if they are fewer."""
    images = np.load(context.store.open(step.inputs["external"]) / SYNTHETIC)
    chosen = np.random.default_rng(step.spec["seed"]).permutation(len(images))[:n_images]
    return np.ascontiguousarray(images[chosen])


def _trained_gan(step: Step, context: Context) -> tuple[GanSpec, Path]:
    record = context.store.record(step.inputs["gan"])
    return GanSpec.model_validate(record["spec"]["gan"]), context.store.open(step.inputs["gan"])


def generator_frames(synth_ref: str, step: Step, context: Context) -> pa.Table:
    """The cohort's frames that the generator behind a synthetic set saw, or may have seen."""
    inputs = context.store.record(synth_ref)["inputs"]
    label = step.spec["class"]
    if "external" in inputs:
        label = BOTH_CLASSES
    else:
        label = context.store.record(inputs["gan"])["spec"]["class"]
    seen = Step(step.stage, step.version, {**step.spec, "class": label}, step.inputs, step.name)
    return cohort_class(seen, context)
