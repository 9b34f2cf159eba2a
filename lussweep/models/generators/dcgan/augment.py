"""Differentiable augmentation of the discriminator's images (Zhao et al. 2020, 2006.10738)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

SHIFT = 0.125
"""Largest translation, as a share of the image's side."""
HOLE = 0.5
"""Side of the square that is cut out, as a share of the image's side."""


def augment(x_N1SS: torch.Tensor, names: Sequence[str]) -> torch.Tensor:
    """Augment images (N, 1, S, S) in [-1, 1], each with its own draws; differentiable in pixels.

    Draws come from the default random generator of the images' device.
    """
    for name in names:
        x_N1SS = _AUGMENTATIONS[name](x_N1SS)
    return x_N1SS


def brightness(x_N1SS: torch.Tensor) -> torch.Tensor:
    """Add a grey level drawn from -0.5 to 0.5."""
    return x_N1SS + (_draw(x_N1SS) - 0.5).to(x_N1SS.dtype)[:, None, None, None]


def translation(x_N1SS: torch.Tensor) -> torch.Tensor:
    """Shift by up to SHIFT of the side along each axis; black comes in."""
    size = x_N1SS.shape[-1]
    most = round(size * SHIFT)
    row_NSS, column_NSS = _positions(x_N1SS)
    row_NSS = row_NSS + _whole(x_N1SS, -most, most)
    column_NSS = column_NSS + _whole(x_N1SS, -most, most)
    inside = (row_NSS >= 0) & (row_NSS < size) & (column_NSS >= 0) & (column_NSS < size)
    source = row_NSS.clamp(0, size - 1) * size + column_NSS.clamp(0, size - 1)
    moved = x_N1SS.flatten(1).gather(1, source.flatten(1)).view(x_N1SS.shape)
    return torch.where(inside[:, None], moved, -1.0)


def cutout(x_N1SS: torch.Tensor) -> torch.Tensor:
    """Blank a square to mid-grey. Its side is HOLE of the image's, its centre anywhere in it."""
    size = x_N1SS.shape[-1]
    half = round(size * HOLE) // 2
    row_NSS, column_NSS = _positions(x_N1SS)
    row_NSS = row_NSS - _whole(x_N1SS, 0, size - 1)
    column_NSS = column_NSS - _whole(x_N1SS, 0, size - 1)
    hole = (row_NSS >= -half) & (row_NSS < half) & (column_NSS >= -half) & (column_NSS < half)
    return torch.where(hole[:, None], 0.0, x_N1SS)


_AUGMENTATIONS = {"brightness": brightness, "translation": translation, "cutout": cutout}


def _draw(x_N1SS: torch.Tensor) -> torch.Tensor:
    """One number in [0, 1) for each image."""
    return torch.rand(len(x_N1SS), device=x_N1SS.device)


def _whole(x_N1SS: torch.Tensor, low: int, high: int) -> torch.Tensor:
    """One whole number from low to high for each image, shape (N, 1, 1)."""
    return (low + _draw(x_N1SS) * (high - low + 1)).floor().long()[:, None, None]


def _positions(x_N1SS: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Row and column of every pixel, shape (N, S, S)."""
    n, _, size, _ = x_N1SS.shape
    line = torch.arange(size, device=x_N1SS.device)
    return line[None, :, None].expand(n, size, size), line[None, None, :].expand(n, size, size)
