"""Stage that trains a generator, in a workplace that outlives a killed process."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lussweep.data.frames import load_masks, load_pixels
from lussweep.metrics.spectral_gap import N_COMPARED, RealPattern
from lussweep.models.generators.checkpoint import Checkpoints
from lussweep.models.generators.seam import TrainingEnded, TrainingReport, snapshot_path
from lussweep.stages.context import Context, Summary, cohort_class
from lussweep.store import names, tables
from lussweep.study.keys import derive_seed
from lussweep.study.plan import BOTH_CLASSES, Step
from lussweep.study.plan.step_specs import GanStep
from lussweep.study.spec import GENERATORS

TRAINED = ("snapshots", names.LOSSES, names.EVENTS)


def run_gan(step: Step, context: Context, out: Path) -> Summary:
    """Trains a generator in this process. Several workers need the cluster backend."""
    assert step.workers.n == 1, "a gang needs the cluster backend"
    with context.store.workplace(step.ref) as work:
        summary = train_into(step, context, work)
        hand_over(work, out)
    return summary


def train_into(
    step: Step, context: Context, work: Path, rank: int = 0, world_size: int = 1
) -> Summary:
    """Trains one rank in the workplace `work`, and continues an earlier attempt if the kind can.

    Only rank 0 writes. Raises TrainingEnded if the training cannot succeed, and RuntimeError if a
    snapshot is missing at its end.
    """
    gan_step = GanStep.of(step)
    cohort = cohort_class(step, context, gan_step.label)
    frames = load_pixels(context.store, cohort)
    label = cohort["label"].to_numpy() if gan_step.label == BOTH_CLASSES else None
    report = TrainingReport(
        gan_step.gan.n_epochs,
        show=lambda text: context.link.tell(step.ref, text),
        checkpoints=Checkpoints(
            work / "checkpoints",
            step.key,
            context.checkpoint_minutes,
            context.keep_checkpoints,
            on_saved=lambda: context.store.keep_workplace(step.ref, work),
            asked_to_stop=context.link.stop_is_asked,
            end_is_near=context.link.end_is_near,
        ),
        rank=rank,
        world_size=world_size,
        patterns=_patterns(context, cohort, gan_step.seed),
    )
    snapshot_path(work, 1).parent.mkdir(parents=True, exist_ok=True)
    train, device = GENERATORS[gan_step.gan.kind].train, context.torch_device()
    try:
        train(frames, label, gan_step.gan, gan_step.seed, device, work, report)
    except TrainingEnded:  # there will be no artifact, so the report reads the workplace
        if rank == 0:
            _write_history(work, report)
            context.store.keep_workplace(step.ref, work)
        raise
    if rank == 0:
        _write_history(work, report)
        for epoch in gan_step.gan.snapshot_epochs():
            if not snapshot_path(work, epoch).exists():
                raise RuntimeError(
                    f"the generator {gan_step.gan.kind} has left no snapshot of epoch {epoch}: its "
                    "`train` must write one for each of spec.snapshot_epochs()"
                )
    return {"n_frames": len(frames), **report.summary}


def _patterns(context: Context, cohort: pa.Table, seed: int) -> dict[int, RealPattern]:
    """The spectra of the cohort's frames by class, from at most N_COMPARED frames of each."""
    patterns = {}
    for label in sorted(set(cohort["label"].to_pylist())):
        frames = cohort.filter(pc.equal(cohort["label"], label))
        rng = np.random.default_rng(derive_seed(seed, "pattern", label))
        chosen = frames.take(rng.permutation(len(frames))[:N_COMPARED])
        real, masks = (load(context.store, chosen) for load in (load_pixels, load_masks))
        patterns[label] = RealPattern.of(real, masks, seed)
    return patterns


def _write_history(work: Path, report: TrainingReport) -> None:
    """Writes the values of every epoch of every attempt, and the events."""
    tables.write(work / names.LOSSES, report.losses, tables.GAN_LOSSES)
    tables.write(work / names.EVENTS, report.events, tables.GAN_EVENTS)


def hand_over(work: Path, out: Path) -> None:
    """Puts the results of a training into the artifact.

    The workplace keeps them until the artifact is committed. Hidden files are left there: they are
    what killed writers had begun.
    """
    for name in TRAINED:
        if (work / name).is_dir():
            begun = shutil.ignore_patterns(".*")
            shutil.copytree(work / name, out / name, ignore=begun, copy_function=_link)
        else:
            _link(work / name, out / name)


def _link(source: str | Path, target: str | Path) -> None:
    """Gives a file a second name, or copies it if the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
