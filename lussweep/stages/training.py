"""Stage that trains a GAN, in a workplace that outlives a killed process."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from pathlib import Path

import torch

from lussweep.data.frames import load_pixels
from lussweep.errors import InputError
from lussweep.models.generators.dcgan.checkpoint import Checkpoints
from lussweep.models.generators.dcgan.health import Collapse, GanEpoch
from lussweep.models.generators.dcgan.memory import memory_advice
from lussweep.models.generators.dcgan.networks import Generator
from lussweep.models.generators.dcgan.sample import save_snapshot
from lussweep.models.generators.dcgan.train import TrainedGan, train_gan
from lussweep.stages.context import EVENTS, LOSSES, Context, Summary, cohort_class
from lussweep.store import tables
from lussweep.study.plan import BOTH_CLASSES, Step
from lussweep.study.spec import GanSpec

TRAINED = ("snapshots", LOSSES, EVENTS)


def run_gan(step: Step, context: Context, out: Path) -> Summary:
    """Trains a GAN in this process. Several workers need the cluster backend."""
    assert step.spec["gan"]["n_workers"] == 1, "a gang needs the cluster backend"
    with context.store.workplace(step.ref) as work:
        summary = train_gan_into(step, context, work)
        hand_over(work, out)
    return summary


def train_gan_into(
    step: Step, context: Context, work: Path, rank: int = 0, world_size: int = 1
) -> Summary:
    """Trains one rank in the workplace `work`, from where an earlier attempt ended.

    Only rank 0 writes. Raises InputError with advice if the device has too little memory, and
    Collapse if the GAN collapses.
    """
    spec = GanSpec.model_validate(step.spec["gan"])
    cohort = cohort_class(step, context)
    frames = load_pixels(context.store, cohort)
    is_conditional = step.spec["class"] == BOTH_CLASSES

    def on_epoch(row: GanEpoch, generator: Generator, snapshot_due: bool) -> None:
        if rank:
            return
        if snapshot_due:
            save_snapshot(generator, work, row.epoch)
        again = f", attempt {row.attempt}" if row.attempt > 1 else ""
        context.link.tell(step.ref, f"epoch {row.epoch} of {spec.n_epochs}{again}")

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
                work / "checkpoints",
                step.key,
                context.checkpoint_minutes,
                context.keep_checkpoints,
                on_saved=lambda: context.store.keep_workplace(step.ref, work),
                asked_to_stop=context.link.stop_is_asked,
                end_is_near=context.link.end_is_near,
            ),
        )
    except torch.OutOfMemoryError as error:
        raise InputError(memory_advice(spec, frames.shape[1], device)) from error
    except Collapse as collapse:  # there will be no artifact, so the report reads the workplace
        if rank == 0:
            _write_history(work, collapse)
            context.store.keep_workplace(step.ref, work)
        raise
    if rank == 0:
        _write_history(work, trained)
    return {
        "n_frames": len(frames),
        "n_images_seen": trained.rows[-1].n_images_seen,
        "n_attempts": trained.rows[-1].attempt,
        "n_events": len(trained.events),
        "step": trained.how,
    }


def _write_history(work: Path, history: TrainedGan | Collapse) -> None:
    """Writes every epoch of every attempt, and the events."""
    tables.write(work / LOSSES, [asdict(row) for row in history.rows], tables.GAN_LOSSES)
    tables.write(work / EVENTS, [asdict(event) for event in history.events], tables.GAN_EVENTS)


def hand_over(work: Path, out: Path) -> None:
    """Puts the results of a training into the artifact.

    The workplace keeps them until the artifact is committed.
    """
    for name in TRAINED:
        if (work / name).is_dir():
            shutil.copytree(work / name, out / name, copy_function=_link)
        else:
            _link(work / name, out / name)


def _link(source: str | Path, target: str | Path) -> None:
    """Gives a file a second name, or copies it if the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
