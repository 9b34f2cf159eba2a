"""The training of one DCGAN as a plain PyTorch function, in one process or as one of several."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from lussweep.errors import InputError
from lussweep.models.generators.checkpoint import Checkpoints, Stopped
from lussweep.models.generators.dcgan.health import (
    N_COMPARED,
    Collapse,
    Event,
    GanEpoch,
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

AGREEMENTS = 10
"""How often workers compare clocks between two checkpoints."""


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
) -> TrainedGan:
    """Train on uint8 frames (N, S, S) of one class (paper section 2.2: BCE, one D and one G step).

    A conditional GAN takes frames of both classes and `label_N` (0 or 1). With `world_size` > 1
    a process group must be initialised. All ranks draw the same permutation and latent vectors,
    and each takes its share. Gradients are summed. BatchNorm normalises each rank's own share or,
    with `sync_batchnorm`, the whole batch. A last batch smaller than `world_size` is left out.

    With `checkpoints`, training resumes from the latest one and ends with the same weights (on a
    CPU, to the bit). Raises ValueError for too few frames, InputError for what the device cannot
    do, Collapse if the spec's policy says so, and Stopped after the checkpoint that a stop asks
    for.
    """
    if len(frames_NSS) < max(2, world_size):
        raise ValueError(f"a GAN needs at least {max(2, world_size)} frames, got {len(frames_NSS)}")
    assert spec.conditional == (label_N is not None), "labels belong to conditional GANs"
    check_device(spec, device)
    pool = FramePool(frames_NSS, label_N, device)
    saved = _resume_point(checkpoints, rank, world_size) if checkpoints else None
    rows = [GanEpoch(**row) for row in saved["rows"]] if saved else []
    events = [Event(**event) for event in saved["events"]] if saved else []
    n_attempts = spec.health.n_attempts()
    with _own_randomness(device):
        first = saved["attempt"] if saved else 1
        for attempt in range(first, n_attempts + 1):
            training = _Training(pool, spec, seed, device, attempt, rank, world_size, checkpoints)
            training.rows, training.events = rows, events
            if saved and saved["attempt"] == attempt:
                training.restore(saved)
            saved = None  # it holds both networks and their moments: free that memory
            try:
                return training.run(on_epoch)
            except Collapse as collapse:
                if attempt == n_attempts:
                    raise Collapse(collapse.event, rows, events) from None
    raise AssertionError("an attempt returns or raises")


def _resume_point(checkpoints: Checkpoints, rank: int, world_size: int) -> dict[str, Any] | None:
    """Load the latest checkpoint. Several ranks load the one that the first rank can read."""
    if world_size == 1:
        return checkpoints.load()
    saved = checkpoints.load() if rank == 0 else None
    number = [None if saved is None else saved["number"]]
    dist.broadcast_object_list(number, src=0)
    if rank == 0 or number[0] is None:
        return saved
    return checkpoints.load(number[0])


class _Training:
    """One attempt at a training, with the state that its checkpoints hold."""

    def __init__(
        self,
        pool: FramePool,
        spec: GanSpec,
        seed: int,
        device: torch.device,
        attempt: int,
        rank: int,
        world_size: int,
        checkpoints: Checkpoints | None,
    ) -> None:
        self.pool, self.spec, self.device, self.attempt = pool, spec, device, attempt
        self.rank, self.world_size, self.checkpoints = rank, world_size, checkpoints
        self.seed = seed if attempt == 1 else derive_seed(seed, "attempt", attempt)
        self.image_size = pool.frames.shape[1]
        self.step = GanStep(*self._networks(), spec, device, world_size)
        self.rng = torch.Generator().manual_seed(derive_seed(self.seed, "order and latents"))
        self.rng_at_epoch = self.rng.get_state()
        self.epoch, self.n_batches, self.n_images_seen, self.seconds = 1, 0, 0, 0.0
        self.rows: list[GanEpoch] = []
        self.events: list[Event] = []
        self.n_steps = self.next_agreement = 0
        self._watch = self._watched_images()
        torch.manual_seed(derive_seed(self.seed, "dropout", rank))

    def run(self, on_epoch: OnEpoch) -> TrainedGan:
        """Train every epoch that is left."""
        spec, world = self.spec, self.world_size
        run_step, how = self._captured()
        snapshot_epochs = spec.snapshot_epochs()
        for epoch in range(self.epoch, spec.n_epochs + 1):
            self.epoch = epoch
            started = time.perf_counter()
            self.rng_at_epoch = self.rng.get_state()
            order, z = self._draw_epoch()
            batches = list(_batches(len(order), spec.batch_size, world))
            for start, n_batch in batches[self.n_batches :]:
                share = slice(start + self.rank, start + n_batch, world)
                frames, label = self.pool.take(order[share])
                run_step(frames, z[share], label, n_batch)
                self.n_batches += 1
                is_stopped = self._is_stopped()
                if self._checkpoint_is_due() or is_stopped:
                    self.save(self.seconds + time.perf_counter() - started)
                if is_stopped:
                    raise Stopped(f"stopped in epoch {epoch}, with a checkpoint")
            self.n_images_seen += sum(n_batch for _, n_batch in batches)
            row = self._end_epoch(batches, started)
            self._act_on(
                new_events([r for r in self.rows if r.attempt == self.attempt], spec.health)
            )
            on_epoch(row, self.step.sampler, epoch in snapshot_epochs)
        return TrainedGan(self.step.sampler, self.rows, self.events, how)

    def _captured(self) -> tuple[StepCall, str]:
        if self.world_size > 1:
            return self.step, "eager"
        return captured(self.step, self.step.example(self.image_size))

    def save(self, seconds: float) -> None:
        """Save a checkpoint. All ranks take part, and the first one writes."""
        assert self.checkpoints is not None
        of_ranks = self._states_of_ranks()
        if self.rank == 0:
            state = {
                "attempt": self.attempt,
                "epoch": self.epoch,
                "n_batches": self.n_batches,
                "n_images_seen": self.n_images_seen,
                "seconds": seconds,
                "rng_at_epoch": self.rng_at_epoch,
                "of_ranks": of_ranks,
                "step": self.step.state(),
                "rows": [asdict(row) for row in self.rows],
                "events": [asdict(event) for event in self.events],
            }
            self.checkpoints.save(state)
        self.checkpoints.saved_at = time.monotonic()

    def restore(self, saved: dict[str, Any]) -> None:
        """Restore the state at which `save` was called."""
        self.epoch, self.n_batches = saved["epoch"], saved["n_batches"]
        self.n_images_seen, self.seconds = saved["n_images_seen"], saved["seconds"]
        self.rng.set_state(saved["rng_at_epoch"])
        self.step.load_state(saved["step"])
        sums, cpu, cuda = saved["of_ranks"][self.rank]
        self.step.sums.copy_(sums)
        torch.set_rng_state(cpu)
        if self.device.type == "cuda" and cuda is not None:  # None: it began on a CPU
            torch.cuda.set_rng_state(cuda, self.device)

    def _networks(self) -> tuple[Generator, Discriminator]:
        spec, n_classes = self.spec, len(CLASSES) if self.spec.conditional else 0
        torch.manual_seed(derive_seed(self.seed, "initialisation"))
        generator = Generator(self.image_size, spec.latent_size, spec.ngf, n_classes)
        discriminator = Discriminator(
            self.image_size, spec.ndf, spec.dropout, n_classes, spec.spectral_norm
        )
        if spec.sync_batchnorm and self.world_size > 1:
            generator = nn.SyncBatchNorm.convert_sync_batchnorm(generator)
            discriminator = nn.SyncBatchNorm.convert_sync_batchnorm(discriminator)
        return generator, discriminator

    def _draw_epoch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw the frame indices (N,) and latent vectors (N, L) of an epoch, equal on all ranks.

        The indices are whole passes over the frames, cut at `images_per_epoch`. No frame is
        therefore repeated before all others were taken.
        """
        n_frames = len(self.pool)
        n_images = self.spec.images_per_epoch or n_frames
        passes = [
            torch.randperm(n_frames, generator=self.rng) for _ in range(-(-n_images // n_frames))
        ]
        order = torch.cat(passes)[:n_images]
        z = torch.randn(n_images, self.spec.latent_size, generator=self.rng)
        return self.pool.place(order), z.to(self.device)

    def _end_epoch(self, batches: list[tuple[int, int]], started: float) -> GanEpoch:
        """Compute the row of an epoch. Here the process waits for the device and other workers."""
        sums = self.step.sums.clone()
        if self.world_size > 1:
            dist.all_reduce(sums)
        n_images = sum(n_batch for _, n_batch in batches)
        z, label, real_distance = self._watch
        # The real distance is 0 if all real frames are the same.
        diversity = sampled_distance(self.step.sampler, z, label) / (real_distance or 1.0)
        if self.world_size > 1:
            dist.broadcast(diversity, 0)  # ranks may round differently, but must decide alike
        means = [*(sums / n_images).tolist(), float(diversity)]
        seconds = self.seconds + time.perf_counter() - started
        named = dict(zip((*SUMS, "diversity"), means, strict=True))
        row = GanEpoch(
            attempt=self.attempt,
            epoch=self.epoch,
            n_images_seen=self.n_images_seen,
            seconds=seconds,
            **named,
        )
        self.rows.append(row)
        self.step.sums.zero_()
        self.n_batches, self.seconds = 0, 0.0
        return row

    def _act_on(self, events: list[Event]) -> None:
        self.events += events
        for event in events:
            if event.kind == "not_finite" or self.spec.health.policy != "warn":
                raise Collapse(event)

    def _watched_images(self) -> tuple[torch.Tensor, torch.Tensor | None, float]:
        """Draw the latents and labels whose images are compared after each epoch.

        Also returns the mean distance between real frames.
        """
        rng = torch.Generator().manual_seed(derive_seed(self.seed, "diversity"))
        z = torch.randn(N_COMPARED, self.spec.latent_size, generator=rng).to(self.device)
        label = torch.arange(N_COMPARED, device=self.device) % len(CLASSES)
        chosen = torch.randperm(len(self.pool), generator=rng)[:N_COMPARED]
        frames, _ = self.pool.take(self.pool.place(chosen))
        return z, label if self.spec.conditional else None, float(mean_distance(scale(frames)))

    def _is_stopped(self) -> bool:
        """Whether this training was asked to stop.

        Several ranks would have to agree on it, so they go by the clock only.
        """
        if self.checkpoints is None or self.world_size > 1:
            return False
        self.checkpoints.look()
        return self.checkpoints.is_asked

    def _checkpoint_is_due(self) -> bool:
        """Whether a checkpoint is due. All ranks must agree, so they compare clocks at times."""
        self.n_steps += 1
        if self.checkpoints is None:
            return False
        limit_s = 60 * self.checkpoints.minutes
        if self.world_size == 1:
            return self.checkpoints.seconds_since() >= limit_s
        if self.n_steps < self.next_agreement:
            return False
        elapsed = torch.tensor([self.checkpoints.seconds_since()], device=self.device)
        dist.all_reduce(elapsed, dist.ReduceOp.MAX)
        seconds_per_step = max(float(elapsed) / self.n_steps, 1e-6)
        is_due = float(elapsed) >= limit_s * (1 - 1 / AGREEMENTS)
        if is_due:
            self.n_steps = 0
        wait = int(limit_s / AGREEMENTS / seconds_per_step)
        self.next_agreement = self.n_steps + max(1, wait)
        return is_due

    def _states_of_ranks(self) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]]:
        """Every rank's sums, and the random states that its dropout and augmentation use."""
        cuda = torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None
        state = (self.step.sums.cpu(), torch.get_rng_state(), cuda)
        if self.world_size == 1:
            return [state]
        states: list[Any] = [None] * self.world_size
        dist.all_gather_object(states, state)
        return states


def check_device(spec: GanSpec, device: torch.device) -> None:
    """Raise InputError if the spec asks for something that the device cannot do."""
    if spec.sync_batchnorm and device.type != "cuda":
        raise InputError(
            "gan.sync_batchnorm needs GPUs, PyTorch has no SyncBatchNorm on the CPU: set it to "
            "false, then each worker normalises its own share of the batch"
        )
    check_precision(spec.precision, device, "gan.precision")


def _batches(n_images: int, batch_size: int, world_size: int) -> Iterator[tuple[int, int]]:
    """Yield first image and size of each batch. A batch below `world_size` images is left out."""
    for start in range(0, n_images, batch_size):
        n_batch = min(batch_size, n_images - start)
        if n_batch >= world_size:
            yield start, n_batch


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """Keep the caller's random states as they are, and compute fp32 convolutions in fp32."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), full_precision():
        yield
