"""What a kind of generator takes and returns: the functions of an entry in GENERATORS.

    train(frames_NSS, label_N, spec, seed, device, folder, report) -> None
        Trains on uint8 frames (N, S, S) of one class. A conditional generator gets frames of both
        classes and their labels (N,), 0 or 1; for others `label_N` is None. Writes a snapshot to
        `snapshot_path(folder, epoch)` for each of `spec.snapshot_epochs()`, and calls
        `report.epoch` after each epoch. It begins anew if it is called again with the same folder.
    load(path, spec, image_size, device) -> generator
        Reads a snapshot. The generator may be any object.
    sample(generator, n_images, label, seed, how) -> np.ndarray
        Makes uint8 images (n_images, S, S) of the class `label`, 0 or 1. The same arguments give
        the same images, and fewer images are the first of more. `how` has a `batch_size` and
        `batchnorm`, which a generator without BatchNorm ignores.
    check(spec, device) -> None
        Raises InputError for what the device cannot do. It may be left out.

The seconds of a training are estimated from `spec.work`. Random numbers come from `seed` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lussweep.errors import InputError
from lussweep.models.generators.checkpoint import Checkpoints
from lussweep.models.training.progress import epoch_text

if TYPE_CHECKING:
    from lussweep.metrics.spectral_gap import RealPattern

Row = dict[str, Any]


class TrainingEnded(ValueError):
    """A training cannot succeed. The same step would end in the same way, so it is not retried."""


def snapshot_path(folder: Path, epoch: int) -> Path:
    """The file of a snapshot in the folder of a training; epochs count from 1."""
    return folder / "snapshots" / f"epoch_{epoch:04d}.safetensors"


def kept_snapshot(folder: Path, epoch: int) -> Path:
    """The file of a snapshot of a finished training. Raises InputError if it was deleted."""
    path = snapshot_path(folder, epoch)
    if not path.exists():
        raise InputError(
            f"snapshot {epoch} of {folder.name} was dropped after scoring: delete the folder "
            f"{folder} to train this generator again with keep_snapshots: all"
        )
    return path


@dataclass
class TrainingReport:
    """Takes what a training reports, and offers what the process that runs it provides.

    A small generator only calls `epoch`.
    """

    n_epochs: int
    show: Callable[[str], None] = lambda text: None
    """Shows a text as the progress of the step."""
    checkpoints: Checkpoints | None = None
    """The files in which a training can save its state. They also say when it must stop."""
    rank: int = 0
    """The number of this worker among `world_size`. Only the worker 0 writes files."""
    world_size: int = 1
    patterns: Mapping[int, RealPattern] = field(default_factory=dict)
    """By class (0 or 1), what images are compared with to see whether the generator has learned."""
    losses: list[Row] = field(default_factory=list)
    """The rows of `losses.parquet`: one for each value of each epoch."""
    events: list[Row] = field(default_factory=list)
    """The rows of `events.parquet`: attempt, epoch, kind and message of each problem."""
    summary: dict[str, Any] = field(default_factory=dict)
    """What the record of the step says about the training."""

    def epoch(self, epoch: int, values: Mapping[str, float], seconds: float | None = None) -> None:
        """Report the end of an epoch (from 1), with any values by name, such as losses."""
        self.add(epoch, values, seconds)
        self.progress(epoch)

    def add(
        self,
        epoch: int,
        values: Mapping[str, float],
        seconds: float | None = None,
        attempt: int = 1,
    ) -> None:
        """Add the rows of an epoch, without a change of the progress text."""
        self.losses += [
            {"attempt": attempt, "epoch": epoch, "name": name, "value": v, "seconds": seconds}
            for name, v in values.items()
        ]

    def progress(self, epoch: int, attempt: int = 1, images_per_s: float | None = None) -> None:
        """Show how far the training is, and the images a second of the epoch, if they are known."""
        self.show(epoch_text(epoch, self.n_epochs, attempt=attempt, images_per_s=images_per_s))
