"""The training of one DCGAN as a plain PyTorch function, in one process or as one of several."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from lussweep.errors import InputError
from lussweep.metrics.spectral_gap import RealPattern
from lussweep.models.generators.checkpoint import Checkpoints, Stopped
from lussweep.models.generators.dcgan.gang import CheckpointClock, Gang
from lussweep.models.generators.dcgan.health import (
    N_COMPARED,
    Collapse,
    Event,
    GanEpoch,
    largest_gap,
    learning_events,
    mean_distance,
    new_events,
    sampled_distance,
)
from lussweep.models.generators.dcgan.networks import Discriminator, Generator
from lussweep.models.generators.dcgan.step import SUMS, GanStep, scale
from lussweep.models.training.capture import StepCall, captured
from lussweep.models.training.pool import FramePool
from lussweep.models.training.precision import check_precision, full_precision
from lussweep.study.keys import derive_seed
from lussweep.study.spec import CLASSES, GanSpec

OnEpoch = Callable[[GanEpoch, Generator, bool], None]
"""Called after every epoch with its row, the generator to sample from, and whether a snapshot
is due."""
NO_PATTERNS: Mapping[int, RealPattern] = {}


@dataclass
class TrainedGan:
    """The generator to sample from, a row for each epoch, and the events of the training."""

    generator: Generator
    rows: list[GanEpoch] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    how: str = "eager"
    """How steps ran: `captured` as one CUDA graph, or `eager`."""


def train_gan(
    frames_NSS: np.ndarray,
    spec: GanSpec,
    *,
    seed: int,
    device: torch.device,
    on_epoch: OnEpoch = lambda row, generator, snapshot_due: None,
    label_N: np.ndarray | None = None,
    rank: int = 0,
    world_size: int = 1,
    checkpoints: Checkpoints | None = None,
    patterns: Mapping[int, RealPattern] = NO_PATTERNS,
) -> TrainedGan:
    """Train on uint8 frames (N, S, S) of one class (paper section 2.2: BCE, one D and one G step).

    A conditional GAN takes frames of both classes and `label_N` (0 or 1). With `world_size` > 1
    a process group must be initialised. All ranks draw the same permutation and latent vectors,
    and each takes its share. Gradients are summed. BatchNorm normalises each rank's own share or,
    with `sync_batchnorm`, the whole batch. A last batch smaller than `world_size` is left out.

    After the last epoch, images are compared with `patterns` (by class) to see whether the GAN has
    learned. Without patterns they are not.

    With `checkpoints`, training resumes from the latest one and ends with the same weights (on a
    CPU, to the bit). Raises ValueError for too few frames, InputError for what the device cannot
    do, Collapse if the spec's policy says so, and Stopped after the checkpoint that a stop asks
    for.
    """
    if len(frames_NSS) < max(2, world_size):
        raise ValueError(f"a GAN needs at least {max(2, world_size)} frames, got {len(frames_NSS)}")
    assert spec.conditional == (label_N is not None), "labels belong to conditional GANs"
    check_device(spec, device)
    pool, gang = FramePool(frames_NSS, label_N, device), Gang(rank, world_size)
    saved = gang.latest(checkpoints) if checkpoints else None
    rows = [GanEpoch(**row) for row in saved["rows"]] if saved else []
    events = [Event(**event) for event in saved["events"]] if saved else []
    attempt, n_attempts = saved["attempt"] if saved else 1, spec.health.n_attempts()
    with _own_randomness(device):
        while True:
            try:
                return _attempt(
                    pool, spec, seed, device, attempt, gang, checkpoints, saved, rows, events,
                    on_epoch, patterns,
                )  # fmt: skip
            except Collapse as collapse:
                if attempt == n_attempts:
                    raise Collapse(collapse.event, rows, events) from None
            saved, attempt = None, attempt + 1


def _attempt(
    pool: FramePool,
    spec: GanSpec,
    seed: int,
    device: torch.device,
    attempt: int,
    gang: Gang,
    checkpoints: Checkpoints | None,
    saved: dict[str, Any] | None,
    rows: list[GanEpoch],
    events: list[Event],
    on_epoch: OnEpoch,
    patterns: Mapping[int, RealPattern],
) -> TrainedGan:
    """Train one attempt to its end, from the checkpoint `saved` if there is one.

    Adds to `rows` and `events`, which hold those of earlier attempts. Raises Collapse without them.
    """
    # --- set up: networks, optimisers, random order and latents, the images to compare, dropout
    seed = seed if attempt == 1 else derive_seed(seed, "attempt", attempt)
    image_size = pool.frames.shape[1]
    step = GanStep(*_networks(spec, image_size, seed, gang), spec, device, gang.size)
    rng = torch.Generator().manual_seed(derive_seed(seed, "order and latents"))
    watched = _watched_images(pool, spec, seed, device)
    torch.manual_seed(derive_seed(seed, "dropout", gang.rank))
    clock = CheckpointClock(checkpoints, gang, device)
    first_epoch, n_done, n_images_seen, seconds = 1, 0, 0, 0.0
    if saved:
        first_epoch, n_done = saved["epoch"], saved["n_batches"]
        n_images_seen, seconds = saved["n_images_seen"], saved["seconds"]
        rng.set_state(saved["rng_at_epoch"])
        step.load_state(saved.pop("step"))  # `pop` frees the saved networks and moments
        _restore_rank(saved["of_ranks"][gang.rank], step)
    run_step: StepCall = step
    how = "eager"
    if gang.size == 1:  # messages between workers cannot be captured
        run_step, how = captured(step, step.example(image_size))

    for epoch in range(first_epoch, spec.n_epochs + 1):
        # --- draw the epoch: the same order of frames and latents for all workers
        started = time.perf_counter() - seconds
        rng_at_epoch = rng.get_state()
        order, z = _draw_epoch(len(pool), spec, rng)
        order, z = pool.place(order), z.to(device)
        batches = list(_batches(len(order), spec.batch_size, gang.size))

        for start, n_batch in batches[n_done:]:
            # --- discriminator step, then generator step (GanStep)
            share = gang.share(start, n_batch)
            frames, label = pool.take(order[share])
            run_step(frames, z[share], label, n_batch)
            n_done += 1

            # --- checkpoint: all workers take part, and the first one writes
            must_stop = clock.stop_is_asked()
            if clock.is_due() or must_stop:
                assert checkpoints is not None
                of_ranks = gang.gathered(_state_of_rank(step))
                if gang.rank == 0:
                    state = {
                        "attempt": attempt,
                        "epoch": epoch,
                        "n_batches": n_done,
                        "n_images_seen": n_images_seen,
                        "seconds": time.perf_counter() - started,
                        "rng_at_epoch": rng_at_epoch,
                        "of_ranks": of_ranks,
                        "step": step.state(),
                        "rows": [asdict(row) for row in rows],
                        "events": [asdict(event) for event in events],
                    }
                    checkpoints.save(state)
                checkpoints.saved_at = time.monotonic()
            if must_stop:
                raise Stopped(f"stopped in epoch {epoch}, with a checkpoint")

        # --- end of epoch: the process waits for the device and the other workers
        n_images = sum(n_batch for _, n_batch in batches)
        means = (gang.summed(step.sums) / n_images).tolist()
        diversity = float(gang.of_first(_diversity(step.sampler, watched)))
        n_images_seen += n_images
        row = GanEpoch(
            attempt=attempt,
            epoch=epoch,
            n_images_seen=n_images_seen,
            **dict(zip(SUMS, means, strict=True)),
            diversity=diversity,
            seconds=time.perf_counter() - started,
        )
        rows.append(row)
        step.sums.zero_()
        n_done, seconds = 0, 0.0

        # --- health: an event may end the attempt
        new = new_events([row for row in rows if row.attempt == attempt], spec.health)
        if patterns and epoch == spec.n_epochs:
            look = derive_seed(seed, "has learned")
            gap = largest_gap(step.sampler, patterns, spec.batch_size, look, device)
            new += learning_events(row, float(gang.of_first(gap)), spec.health)
        events += new
        for event in new:
            if event.kind == "not_finite" or spec.health.policy != "warn":
                raise Collapse(event)

        # --- snapshot
        on_epoch(row, step.sampler, epoch in spec.snapshot_epochs())
    return TrainedGan(step.sampler, rows, events, how)


# --- set up ---------------------------------------------------------------------------------


def check_device(spec: GanSpec, device: torch.device) -> None:
    """Raise InputError if the spec asks for something that the device cannot do."""
    if spec.sync_batchnorm and device.type != "cuda":
        raise InputError(
            "gan.sync_batchnorm needs GPUs, PyTorch has no SyncBatchNorm on the CPU: set it to "
            "false, then each worker normalises its own share of the batch"
        )
    check_precision(spec.precision, device, "gan.precision")


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """Keep the caller's random states as they are, and compute fp32 convolutions in fp32."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), full_precision():
        yield


def _networks(
    spec: GanSpec, image_size: int, seed: int, gang: Gang
) -> tuple[Generator, Discriminator]:
    n_classes = len(CLASSES) if spec.conditional else 0
    torch.manual_seed(derive_seed(seed, "initialisation"))
    generator = Generator(image_size, spec.latent_size, spec.ngf, n_classes)
    discriminator = Discriminator(image_size, spec.ndf, spec.dropout, n_classes, spec.spectral_norm)
    if spec.sync_batchnorm and gang.size > 1:
        generator = nn.SyncBatchNorm.convert_sync_batchnorm(generator)
        discriminator = nn.SyncBatchNorm.convert_sync_batchnorm(discriminator)
    return generator, discriminator


# --- epochs ---------------------------------------------------------------------------------


def _draw_epoch(
    n_frames: int, spec: GanSpec, rng: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the frame indices (N,) and latent vectors (N, L) of an epoch.

    The indices are whole passes over the frames, cut at `images_per_epoch`. No frame is
    therefore repeated before all others were taken.
    """
    n_images = spec.images_per_epoch or n_frames
    passes = [torch.randperm(n_frames, generator=rng) for _ in range(-(-n_images // n_frames))]
    order = torch.cat(passes)[:n_images]
    return order, torch.randn(n_images, spec.latent_size, generator=rng)


def _batches(n_images: int, batch_size: int, world_size: int) -> Iterator[tuple[int, int]]:
    """Yield first image and size of each batch. A batch below `world_size` images is left out."""
    for start in range(0, n_images, batch_size):
        n_batch = min(batch_size, n_images - start)
        if n_batch >= world_size:
            yield start, n_batch


# --- images that are compared after each epoch ------------------------------------------------


@dataclass(frozen=True)
class _Watched:
    """The latents and labels whose images are compared after each epoch."""

    z_NL: torch.Tensor
    label_N: torch.Tensor | None
    real_distance: float
    """The mean distance between as many real frames; 0 if all are the same."""


def _watched_images(pool: FramePool, spec: GanSpec, seed: int, device: torch.device) -> _Watched:
    rng = torch.Generator().manual_seed(derive_seed(seed, "diversity"))
    z = torch.randn(N_COMPARED, spec.latent_size, generator=rng).to(device)
    label = torch.arange(N_COMPARED, device=device) % len(CLASSES)
    chosen = torch.randperm(len(pool), generator=rng)[:N_COMPARED]
    frames, _ = pool.take(pool.place(chosen))
    real_distance = float(mean_distance(scale(frames)))
    return _Watched(z, label if spec.conditional else None, real_distance)


def _diversity(generator: Generator, watched: _Watched) -> torch.Tensor:
    """Mean distance between two synthetic images, divided by that between two real images."""
    distance = sampled_distance(generator, watched.z_NL, watched.label_N)
    return distance / (watched.real_distance or 1.0)


# --- checkpoints ------------------------------------------------------------------------------

RankState = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]
"""A rank's sums, and the random states that its dropout and augmentation use."""


def _state_of_rank(step: GanStep) -> RankState:
    cuda = torch.cuda.get_rng_state(step.device) if step.device.type == "cuda" else None
    return step.sums.cpu(), torch.get_rng_state(), cuda


def _restore_rank(state: RankState, step: GanStep) -> None:
    sums, cpu, cuda = state
    step.sums.copy_(sums)
    torch.set_rng_state(cpu)
    if step.device.type == "cuda" and cuda is not None:  # None: it began on a CPU
        torch.cuda.set_rng_state(cuda, step.device)
