"""What can be wrong with a GAN: its signals by epoch, and when they become an event.

It diverges (its losses are not finite), collapses (the discriminator wins, or its images are all
alike), or has not learned when its training ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lussweep.metrics.spectral_gap import RealPattern
from lussweep.models.generators.dcgan.networks import Generator
from lussweep.models.generators.dcgan.sample import sample
from lussweep.models.generators.seam import TrainingEnded
from lussweep.study.spec import HealthSpec

N_COMPARED = 32
"""Number of images whose pairwise distances are averaged."""


@dataclass(frozen=True)
class GanEpoch:
    """One epoch of one attempt: means over its images, losses in nats (BCE) or margins (hinge)."""

    attempt: int
    epoch: int
    n_images_seen: int
    loss_d_real: float
    loss_d_fake: float
    loss_g: float
    r1: float
    d_accuracy_real: float
    d_accuracy_fake: float
    g_gradient_norm: float
    diversity: float
    """Mean distance between two synthetic images, divided by that between two real images."""
    seconds: float


@dataclass(frozen=True)
class Event:
    """A problem of a training, at the epoch at which it was seen."""

    attempt: int
    epoch: int
    kind: str
    """not_finite, discriminator_won, low_diversity or not_learned."""
    message: str


class Collapse(TrainingEnded):
    """The policy ends a training. Holds the training's rows and events so far."""

    def __init__(
        self, event: Event, rows: Sequence[GanEpoch] = (), events: Sequence[Event] = ()
    ) -> None:
        super().__init__(f"epoch {event.epoch}: {event.message}")
        self.event, self.rows, self.events = event, rows, events

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return (type(self), (self.event, self.rows, self.events))


def new_events(rows: Sequence[GanEpoch], health: HealthSpec) -> list[Event]:
    """Return the events that occur at the last of these epochs, which belong to one attempt.

    A lasting signal is one event, at the epoch at which it has lasted for `patience` epochs.
    """
    last = rows[-1]
    if not _is_finite(last):
        message = "the losses are no longer finite: lower gan.lr_generator and gan.lr_discriminator"
        return [Event(last.attempt, last.epoch, "not_finite", message)]
    first_norm = rows[0].g_gradient_norm

    def won(row: GanEpoch) -> bool:
        right = row.d_accuracy_real == 1.0 and row.d_accuracy_fake == 1.0
        return right and row.g_gradient_norm < health.gradient_floor * first_norm

    def alike(row: GanEpoch) -> bool:
        return row.diversity < health.diversity_floor

    events = []
    if _has_just_lasted(rows, won, health.patience):
        share = last.g_gradient_norm / first_norm if first_norm else 0.0
        message = (
            "the discriminator is right about every image and the generator's gradient has "
            f"vanished ({share:.1e} of the first epoch's): lower gan.lr_discriminator, or "
            "gan.lr_generator if its images are black and white"
        )
        events.append(Event(last.attempt, last.epoch, "discriminator_won", message))
    if _has_just_lasted(rows, alike, health.patience):
        message = (
            f"synthetic images differ {last.diversity:.2g} times as much as real ones: "
            "the generator has collapsed"
        )
        events.append(Event(last.attempt, last.epoch, "low_diversity", message))
    return events


def learning_events(last: GanEpoch, gap: float, health: HealthSpec) -> list[Event]:
    """Return the event of a GAN whose training ends with this epoch and spectral gap, if any.

    A gap that is NaN makes no event: the real frames have no pattern to learn.
    """
    if not gap > health.spectral_gap_ceiling:
        return []
    message = (
        f"the images are nearer to noise than to real frames (spectral gap {gap:.2g}, above "
        f"{health.spectral_gap_ceiling:g}): the generator has not learned; raise gan.n_epochs or "
        "gan.images_per_epoch, or change the learning rates"
    )
    return [Event(last.attempt, last.epoch, "not_learned", message)]


def _is_finite(row: GanEpoch) -> bool:
    values = (row.loss_d_real, row.loss_d_fake, row.loss_g, row.r1, row.diversity)
    return all(map(math.isfinite, values))


def _has_just_lasted(
    rows: Sequence[GanEpoch], holds: Callable[[GanEpoch], bool], patience: int
) -> bool:
    n = 0
    for row in reversed(rows):
        if not holds(row):
            break
        n += 1
    return n == patience


def mean_distance(images_N1SS: torch.Tensor) -> torch.Tensor:
    """Mean Euclidean distance over all pairs of images (N, 1, S, S), a scalar on their device."""
    flat = images_N1SS.flatten(1).double()
    return torch.pdist(flat).mean()


def largest_gap(
    generator: Generator,
    patterns: Mapping[int, RealPattern],
    batch_size: int,
    seed: int,
    device: torch.device,
) -> torch.Tensor:
    """The largest spectral gap of the classes in `patterns`, a float64 scalar on `device`.

    A class has as many images as frames to compare with, and they have batch statistics. Without a
    gap that is a number, it is NaN.
    """
    gaps = [
        pattern.gap(
            sample(
                generator,
                len(pattern.mask_NSS),
                batchnorm="batch",
                batch_size=max(batch_size, 2),
                seed=seed,
                device=device,
                class_label=label,
            )
        )
        for label, pattern in patterns.items()
    ]
    known = [gap for gap in gaps if math.isfinite(gap)]
    return torch.tensor(max(known, default=math.nan), dtype=torch.float64, device=device)


@torch.no_grad()
def sampled_distance(
    generator: Generator, z_NL: torch.Tensor, label_N: torch.Tensor | None
) -> torch.Tensor:
    """`mean_distance` of images sampled with batch statistics; running statistics do not change."""
    before = [buffer.clone() for buffer in generator.buffers()]
    was_training = generator.training
    images = generator.train()(z_NL, label_N)
    generator.train(was_training)
    for buffer, old in zip(generator.buffers(), before, strict=True):
        buffer.copy_(old)
    return mean_distance(images)
