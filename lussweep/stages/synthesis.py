"""Stage that makes synthetic sets, from a snapshot of a GAN, external images or known frames."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa

from lussweep.data.cohort import CLASS_LABEL, largest_remainder, patient_ids
from lussweep.data.frames import load_masks, load_pixels
from lussweep.errors import InputError
from lussweep.models.generators.seam import kept_snapshot
from lussweep.models.generators.select import select_epoch
from lussweep.models.training.precision import full_precision
from lussweep.stages.context import Context, Summary, cohort_class, refuse_overlap
from lussweep.store import names, tables
from lussweep.store.arrays import read_array
from lussweep.study.plan import BOTH_CLASSES, Step
from lussweep.study.plan.step_specs import DrawnStep, SynthStep
from lussweep.study.spec import (
    GENERATORS,
    GeneratorSpec,
    ScoreSpec,
    SynthSpec,
    generator_spec,
)


def run_synth(step: Step, context: Context, out: Path) -> Summary:
    """Makes the cell's synthetic frames, or frames of known worth in their place.

    A frame of a generator gets the sector mask of a real frame.
    """
    synth_step = SynthStep.of(step)
    if synth_step.source is not None:
        frames, patients = known_frames(step, context, synth_step)
        np.save(out / names.SYNTHETIC, frames)
        return {"epoch": None, "n_frames": len(frames), "patients": patients}
    masks = load_masks(context.store, cohort_class(step, context, synth_step.label))
    n_images = synth_step.synth.n_frames(len(masks))
    if "external" in step.inputs:
        epoch, frames = None, external_images(step, context, synth_step.seed, n_images)
    else:
        epoch = _selected_epoch(step, context, synth_step)
        frames = sampled(
            step, context, synth_step, synth_step.synth, epoch, n_images, masks.shape[1]
        )
    if len(frames) < n_images:
        raise InputError(
            f"the external set has {len(frames)} images, the cell needs {n_images}: make more, or "
            "lower synth.ratio or synth.n_images"
        )
    frames *= masks[np.arange(len(frames)) % len(masks)]
    np.save(out / names.SYNTHETIC, frames)
    return {"epoch": epoch, "n_frames": len(frames)}


def known_frames(
    step: Step, context: Context, synth_step: SynthStep
) -> tuple[np.ndarray, list[str]]:
    """The F frames of a source of known worth, uint8 (F, S, S), and the patients whom they show."""
    cohort = cohort_class(step, context, synth_step.label)
    if synth_step.simulated is None:
        return load_pixels(context.store, cohort), patient_ids(cohort)
    from lussweep.data.phantom import fresh_videos, render_video

    new = synth_step.simulated
    videos = fresh_videos(new.n_patients, new.replicate, synth_step.label, new.n_videos, new.seed)
    refuse_overlap("cohort and new patients", patient_ids(cohort), {v.patient_id for v in videos})
    # F frames, equally many of every video. Frame t of a video does not depend on their number.
    n_frames = largest_remainder([Fraction(len(cohort), len(videos))] * len(videos), len(cohort))
    frames = [
        render_video(video, n, new.image_size, new.seed)
        for video, n in zip(videos, n_frames, strict=True)
        if n
    ]
    return np.concatenate(frames), sorted({video.patient_id for video in videos})


def _selected_epoch(step: Step, context: Context, synth_step: SynthStep) -> int:
    scores = (
        tables.read(context.store.open(step.inputs["score"]) / names.SCORES, tables.SNAPSHOT_SCORES)
        if "score" in step.inputs
        else tables.SNAPSHOT_SCORES.empty_table()
    )
    assert synth_step.select is not None, "a generator has snapshots to select from"
    gan, _ = trained_gan(step, context)
    return select_epoch(
        synth_step.select, gan.n_epochs, scores.to_pylist(), gap_ceiling=gan.gap_ceiling()
    )


def sampled(
    step: Step,
    context: Context,
    drawn_step: DrawnStep,
    how: ScoreSpec | SynthSpec,
    epoch: int,
    n_images: int,
    image_size: int,
) -> np.ndarray:
    """Samples images of the step's class from one snapshot of its GAN: uint8 (n_images, S, S)."""
    gan, folder = trained_gan(step, context)
    kind, path = GENERATORS[gan.kind], kept_snapshot(folder, epoch)
    generator = kind.load(path, gan, image_size, context.torch_device())
    with full_precision():
        images: np.ndarray = kind.sample(
            generator, n_images, CLASS_LABEL[drawn_step.label], drawn_step.seed, how
        )
    wanted = (n_images, image_size, image_size)
    if images.dtype != np.uint8 or images.shape != wanted:
        raise RuntimeError(
            f"the generator {gan.kind} made {images.dtype} images {images.shape}: its `sample` "
            f"must make uint8 images {wanted}"
        )
    return images


def trained_gan(step: Step, context: Context) -> tuple[GeneratorSpec, Path]:
    """The spec of the step's generator, and the folder of its artifact."""
    record = context.store.record(step.inputs["gan"])
    return generator_spec(record["spec"]["gan"]), context.store.open(step.inputs["gan"])


def external_images(step: Step, context: Context, seed: int, n_images: int) -> np.ndarray:
    """The first `n_images` images of a seeded permutation, or all if there are fewer.

    uint8 (N, S, S).
    """
    images = read_array(context.store.open(step.inputs["external"]) / names.SYNTHETIC, np.uint8)
    chosen = np.random.default_rng(seed).permutation(len(images))[:n_images]
    return np.ascontiguousarray(images[chosen])


def generator_frames(synth_ref: str, step: Step, context: Context) -> pa.Table:
    """The cohort's frames that the generator of a synthetic set saw, or may have seen.

    Those of the set's class, if no generator made the set.
    """
    record = context.store.record(synth_ref)
    inputs, label = record["inputs"], BOTH_CLASSES
    if "gan" in inputs:
        label = context.store.record(inputs["gan"])["spec"]["class"]
    elif "source" in record["spec"]:
        label = record["spec"]["class"]
    return cohort_class(step, context, label)
