"""Training one DCGAN: a plain PyTorch function, in one process or as one rank of several."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from lussweep.keys import derive_seed
from lussweep.models.dcgan import Discriminator, Generator
from lussweep.spec import GanSpec

GREY_HALF = 127.5


@dataclass(frozen=True)
class EpochLosses:
    """Mean losses of one epoch (nats), over images."""

    epoch: int
    n_images_seen: int
    loss_d_real: float
    loss_d_fake: float
    loss_g: float
    seconds: float


OnEpoch = Callable[[EpochLosses, Generator, bool], None]
"""Called after every epoch with its losses, the generator, and whether a snapshot is due."""


def train_gan(
    frames_NSS: np.ndarray,
    spec: GanSpec,
    *,
    seed: int,
    device: torch.device,
    on_epoch: OnEpoch,
    rank: int = 0,
    world_size: int = 1,
) -> Generator:
    """Train on uint8 frames of one class (paper section 2.2: BCE, one D step and one G step).

    With `world_size` > 1 an initialised process group is expected: the permutation and the
    latent vectors are drawn once for all ranks and shared out, gradients are summed, BatchNorm
    normalises each rank's own share. A last batch smaller than the world is left out.
    """
    if len(frames_NSS) < max(2, world_size):
        raise ValueError(f"a GAN needs at least {max(2, world_size)} frames, got {len(frames_NSS)}")
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(derive_seed(seed, "initialisation"))
        generator = Generator(frames_NSS.shape[1], spec.latent_size, spec.ngf)
        discriminator = Discriminator(frames_NSS.shape[1], spec.ndf, spec.dropout)
        torch.manual_seed(derive_seed(seed, "dropout", rank))
        generator = generator.to(device, memory_format=torch.channels_last)
        discriminator = discriminator.to(device, memory_format=torch.channels_last)
        return _train(
            generator, discriminator, frames_NSS, spec, seed, device, on_epoch, rank, world_size
        )


def _train(
    generator: Generator,
    discriminator: Discriminator,
    frames_NSS: np.ndarray,
    spec: GanSpec,
    seed: int,
    device: torch.device,
    on_epoch: OnEpoch,
    rank: int,
    world_size: int,
) -> Generator:
    frames = torch.from_numpy(np.ascontiguousarray(frames_NSS)).to(device)
    rng = torch.Generator().manual_seed(derive_seed(seed, "order and latents"))
    g_optimiser = _adam(generator, spec.lr_generator, spec)
    d_optimiser = _adam(discriminator, spec.lr_discriminator, spec)
    snapshot_epochs = spec.snapshot_epochs()
    n_images_seen = 0

    for epoch in range(1, spec.n_epochs + 1):
        started = time.perf_counter()
        sums = torch.zeros(3, dtype=torch.float64, device=device)
        n_epoch_images = 0
        for batch in _batches(len(frames), spec, rng):
            if len(batch) < world_size:
                continue
            n_batch = len(batch)
            z = torch.randn(n_batch, spec.latent_size, generator=rng)[rank::world_size]
            real = _scale(frames[batch[rank::world_size].to(device)])

            # Discriminator: real and fake pass apart, so BatchNorm sees them apart.
            d_optimiser.zero_grad(set_to_none=True)
            fake = generator(z.to(device))
            loss_real = _bce(discriminator(real), 1.0, n_batch)
            loss_real.backward()
            loss_fake = _bce(discriminator(fake.detach()), 0.0, n_batch)
            loss_fake.backward()
            _sum_gradients(discriminator, world_size)
            d_optimiser.step()

            # Generator: the same fakes again, judged by the discriminator just updated.
            g_optimiser.zero_grad(set_to_none=True)
            discriminator.requires_grad_(False)
            loss_g = _bce(discriminator(fake), 1.0, n_batch)
            loss_g.backward()
            discriminator.requires_grad_(True)
            _sum_gradients(generator, world_size)
            g_optimiser.step()

            losses = torch.stack([loss_real.detach(), loss_fake.detach(), loss_g.detach()])
            sums += losses * n_batch
            n_epoch_images += n_batch

        if world_size > 1:
            dist.all_reduce(sums)
        n_images_seen += n_epoch_images
        means = (sums / n_epoch_images).tolist()
        if not all(map(math.isfinite, means)):
            raise ValueError(
                f"the GAN's losses are no longer finite in epoch {epoch}: lower gan.lr_generator "
                "and gan.lr_discriminator"
            )
        seconds = time.perf_counter() - started
        row = EpochLosses(epoch, n_images_seen, *means, seconds=seconds)
        on_epoch(row, generator, epoch in snapshot_epochs)
    return generator


def _batches(n_frames: int, spec: GanSpec, rng: torch.Generator) -> Iterator[torch.Tensor]:
    """Indices of one epoch's batches: a permutation, or as many as `images_per_epoch` needs."""
    n_images = spec.images_per_epoch or n_frames
    n_rounds = -(-n_images // n_frames)
    order = torch.cat([torch.randperm(n_frames, generator=rng) for _ in range(n_rounds)])
    yield from order[:n_images].split(spec.batch_size)


def _scale(frames_NSS: torch.Tensor) -> torch.Tensor:
    images = frames_NSS[:, None].to(torch.float32) / GREY_HALF - 1
    return images.contiguous(memory_format=torch.channels_last)


def _bce(logits_N: torch.Tensor, target: float, n_batch: int) -> torch.Tensor:
    """This rank's part of the mean over the whole batch, so that ranks add up to it."""
    targets = torch.full_like(logits_N, target)
    return binary_cross_entropy_with_logits(logits_N, targets, reduction="sum") / n_batch


def _adam(module: nn.Module, learning_rate: float, spec: GanSpec) -> torch.optim.Adam:
    return torch.optim.Adam(
        module.parameters(), lr=learning_rate, betas=(spec.beta1, spec.beta2), fused=True
    )


def _sum_gradients(module: nn.Module, world_size: int) -> None:
    if world_size == 1:
        return
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    dist.all_reduce(flat)
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
