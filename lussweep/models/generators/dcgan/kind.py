"""The functions of the DCGAN's entry in the table of generators; see models/generators/seam.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from lussweep.errors import InputError
from lussweep.models.generators.dcgan.health import Collapse, Event, GanEpoch
from lussweep.models.generators.dcgan.memory import memory_advice
from lussweep.models.generators.dcgan.networks import Generator
from lussweep.models.generators.dcgan.sample import load_snapshot, save_snapshot
from lussweep.models.generators.dcgan.sample import sample as sample_images
from lussweep.models.generators.dcgan.train import check_device, train_gan
from lussweep.models.generators.seam import TrainingReport, snapshot_path
from lussweep.study.spec import GanSpec, ScoreSpec, SynthSpec

check = check_device
load = load_snapshot


def train(
    frames_NSS: np.ndarray,
    label_N: np.ndarray | None,
    spec: GanSpec,
    seed: int,
    device: torch.device,
    folder: Path,
    report: TrainingReport,
) -> None:
    """Train one rank, from the latest checkpoint if there is one.

    Raises InputError with advice if the device has too little memory, Collapse if the policy ends
    a GAN that collapses or has not learned, and Stopped after the checkpoint that a stop asks for.
    """

    def on_epoch(row: GanEpoch, generator: Generator, snapshot_due: bool) -> None:
        if report.rank == 0:
            if snapshot_due:
                save_snapshot(generator, snapshot_path(folder, row.epoch))
            # All epochs of an attempt have the same number of images.
            report.progress(
                row.epoch, row.attempt, row.n_images_seen / row.epoch / max(row.seconds, 1e-9)
            )

    try:
        trained = train_gan(
            frames_NSS,
            spec,
            seed=seed,
            device=device,
            on_epoch=on_epoch,
            label_N=label_N,
            rank=report.rank,
            world_size=report.world_size,
            checkpoints=report.checkpoints,
            patterns=report.patterns,
        )
    except torch.OutOfMemoryError as error:
        raise InputError(memory_advice(spec, frames_NSS.shape[1], device)) from error
    except Collapse as collapse:
        _add_history(report, collapse.rows, collapse.events)
        raise
    _add_history(report, trained.rows, trained.events)
    report.summary |= {
        "n_images_seen": trained.rows[-1].n_images_seen,
        "n_attempts": trained.rows[-1].attempt,
        "n_events": len(trained.events),
        "step": trained.how,
    }


def _add_history(report: TrainingReport, rows: Sequence[GanEpoch], events: Sequence[Event]) -> None:
    """Report every epoch of every attempt, also those of an earlier process, and the events."""
    for row in rows:
        values = asdict(row)
        attempt, epoch, seconds = (values.pop(name) for name in ("attempt", "epoch", "seconds"))
        report.add(epoch, values, seconds, attempt)
    report.events += [asdict(event) for event in events]


def sample(
    generator: Generator, n_images: int, label: int, seed: int, how: ScoreSpec | SynthSpec
) -> np.ndarray:
    """Sample uint8 images (n_images, S, S) of a class, on the device of the generator."""
    return sample_images(
        generator,
        n_images,
        batchnorm=how.batchnorm,
        batch_size=how.batch_size,
        seed=seed,
        device=next(generator.parameters()).device,
        class_label=label,
    )
