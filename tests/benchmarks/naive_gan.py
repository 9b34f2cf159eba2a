"""The DCGAN loop as one writes it first: what `bench_gan.py` measures the project's own against.

Single precision, eager, contiguous NCHW, frames kept as JPEG files and decoded anew every epoch by
a DataLoader, a sigmoid at the end of D and binary cross entropy on probabilities, plain Adam, six
numbers fetched from the device every step. Three passes of D and one of G a step.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from lussweep.study.spec import GanSpec

N_FETCHED = 6


def naive_generator(image_size: int, latent_size: int, ngf: int) -> nn.Sequential:
    """Latent vectors (N, L, 1, 1) to images (N, 1, S, S)."""
    widths = [ngf << k for k in reversed(range(n_halvings(image_size)))]
    layers: list[nn.Module] = [nn.ConvTranspose2d(latent_size, widths[0], 4, 1, 0, bias=False)]
    for before, after in pairwise([*widths, 1]):
        layers += [nn.BatchNorm2d(before), nn.ReLU(inplace=True)]
        layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)]
    return nn.Sequential(*layers, nn.Tanh()).apply(_initialise)


def naive_discriminator(image_size: int, ndf: int, dropout: float) -> nn.Sequential:
    """Images (N, 1, S, S) to probabilities (N, 1, 1, 1)."""
    widths = [ndf << k for k in range(n_halvings(image_size))]
    layers: list[nn.Module] = []
    for before, after in pairwise([1, *widths]):
        layers += [nn.Conv2d(before, after, 4, 2, 1, bias=False)]
        layers += [nn.BatchNorm2d(after)] if before > 1 else []
        layers += [nn.LeakyReLU(0.2, inplace=True), nn.Dropout(dropout)]
    layers += [nn.Conv2d(widths[-1], 1, 4, 1, 0, bias=False), nn.Sigmoid()]
    return nn.Sequential(*layers).apply(_initialise)


def n_halvings(image_size: int) -> int:
    """Halvings from the image down to the 4x4 map: 6 at 256 pixels."""
    return (image_size // 4).bit_length() - 1


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


class JpegFrames(Dataset[torch.Tensor]):
    """One JPEG file a frame, decoded when asked for, in [-1, 1]; an epoch may go round them."""

    def __init__(self, paths: list[Path], n_images: int) -> None:
        self.paths = paths
        self.n_images = n_images

    def __len__(self) -> int:
        return self.n_images

    def __getitem__(self, index: int) -> torch.Tensor:
        frame = cv2.imread(str(self.paths[index % len(self.paths)]), cv2.IMREAD_GRAYSCALE)
        assert frame is not None
        return torch.from_numpy(frame)[None].float() / 127.5 - 1


def write_jpegs(frames_NSS: np.ndarray, folder: Path) -> list[Path]:
    paths = [folder / f"{k:06d}.jpg" for k in range(len(frames_NSS))]
    for path, frame in zip(paths, frames_NSS, strict=True):
        cv2.imwrite(str(path), frame)
    return paths


def naive_epochs(
    paths: list[Path],
    image_size: int,
    spec: GanSpec,
    *,
    n_images: int,
    n_workers: int,
    device: torch.device,
) -> Iterator[float]:
    """Train for as long as asked, `n_images` an epoch; yields the seconds of each epoch."""
    generator = naive_generator(image_size, spec.latent_size, spec.ngf).to(device)
    discriminator = naive_discriminator(image_size, spec.ndf, spec.dropout).to(device)
    betas = (spec.beta1, spec.beta2)
    g_optimiser = torch.optim.Adam(generator.parameters(), lr=spec.lr_generator, betas=betas)
    d_optimiser = torch.optim.Adam(
        discriminator.parameters(), lr=spec.lr_discriminator, betas=betas
    )
    criterion = nn.BCELoss()
    loader = DataLoader(
        JpegFrames(paths, n_images),
        batch_size=spec.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=n_workers,
        persistent_workers=n_workers > 0,
    )
    history: list[tuple[float, ...]] = []
    while True:
        started = time.perf_counter()
        for batch in loader:
            real = batch.to(device)
            ones = torch.ones(len(real), device=device)
            zeros = torch.zeros(len(real), device=device)

            discriminator.zero_grad()
            output = discriminator(real).view(-1)
            loss_d_real = criterion(output, ones)
            loss_d_real.backward()
            d_of_real = output.mean().item()

            fake = generator(torch.randn(len(real), spec.latent_size, 1, 1, device=device))
            output = discriminator(fake.detach()).view(-1)
            loss_d_fake = criterion(output, zeros)
            loss_d_fake.backward()
            d_of_fake_before = output.mean().item()
            loss_d = loss_d_real + loss_d_fake
            d_optimiser.step()

            generator.zero_grad()
            output = discriminator(fake).view(-1)
            loss_g = criterion(output, ones)
            loss_g.backward()
            d_of_fake_after = output.mean().item()
            g_optimiser.step()

            fetched = (loss_d_real.item(), loss_d.item(), loss_g.item())
            history.append((*fetched, d_of_real, d_of_fake_before, d_of_fake_after))
        assert all(len(row) == N_FETCHED for row in history)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        yield time.perf_counter() - started
