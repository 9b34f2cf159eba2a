"""The networks of the paper's DCGAN (section 2.2). Their depth follows the image size."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import one_hot
from torch.nn.utils.parametrizations import spectral_norm

from lussweep.models.training.dropout import Dropout

KERNEL = 4
SMALLEST = 4
"""Pixels per side of the generator's first and the discriminator's last feature map."""


class Generator(nn.Module):
    """Maps latent vectors (N, latent_size) to images (N, 1, S, S) in [-1, 1].

    At 256 pixels the channels are 32, 16, 8, 4, 2, 1 x ngf, then 1. Smaller images need fewer
    doublings. With `n_classes` it is label-conditional: the label's one-hot vector is appended to
    the latent vector (Mirza and Osindero 2014, arXiv 1411.1784).
    """

    def __init__(self, image_size: int, latent_size: int, ngf: int, n_classes: int = 0) -> None:
        super().__init__()
        self.image_size, self.latent_size, self.n_classes = image_size, latent_size, n_classes
        widths = [ngf * 2**k for k in reversed(range(_n_doublings(image_size)))]
        layers: list[nn.Module] = [_up(latent_size + n_classes, widths[0], stride=1, padding=0)]
        for before, after in zip(widths, [*widths[1:], None], strict=True):
            layers += [nn.BatchNorm2d(before), nn.ReLU(inplace=True), _up(before, after or 1)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        self.apply(_initialise)

    def forward(self, z_NL: torch.Tensor, label_N: torch.Tensor | None = None) -> torch.Tensor:
        """Images (N, 1, S, S) from latent vectors; a conditional generator needs labels (N,)."""
        if self.n_classes:
            assert label_N is not None, "a conditional generator wants labels"
            z_NL = torch.cat([z_NL, one_hot(label_N, self.n_classes).to(z_NL)], dim=1)
        images: torch.Tensor = self.layers(z_NL[:, :, None, None])
        return images


class Discriminator(nn.Module):
    """Maps images (N, 1, S, S) to logits (N,).

    With `n_classes` the label's one-hot maps are further channels of the image. With
    `spectral_norm` every convolution's largest singular value is 1 (Miyato et al. 2018, arXiv
    1802.05957). BatchNorm would undo that, so it is left out.
    """

    def __init__(
        self,
        image_size: int,
        ndf: int,
        dropout: float,
        n_classes: int = 0,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        self.n_classes = n_classes
        widths = [ndf * 2**k for k in range(_n_doublings(image_size))]
        layers: list[nn.Module] = []
        for k, (before, after) in enumerate(zip([1 + n_classes, *widths], widths, strict=False)):
            layers.append(nn.Conv2d(before, after, KERNEL, stride=2, padding=1, bias=False))
            if k and not spectral_norm:
                layers.append(nn.BatchNorm2d(after))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            if dropout:
                layers.append(Dropout(dropout))
        layers.append(nn.Conv2d(widths[-1], 1, SMALLEST, bias=False))
        self.layers = nn.Sequential(*layers)
        self.apply(_initialise)
        if spectral_norm:
            self.apply(_normalise_spectrum)

    def forward(
        self, images_N1SS: torch.Tensor, label_N: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Logits (N,) of images; a conditional discriminator needs labels (N,)."""
        if self.n_classes:
            assert label_N is not None, "a conditional discriminator wants labels"
            maps = one_hot(label_N, self.n_classes).to(images_N1SS)[:, :, None, None]
            maps = maps.expand(-1, -1, *images_N1SS.shape[2:])
            images_N1SS = torch.cat([images_N1SS, maps], dim=1)
        logits: torch.Tensor = self.layers(images_N1SS)
        return logits.flatten()


def _n_doublings(image_size: int) -> int:
    n = (image_size // SMALLEST).bit_length() - 1
    if n < 1 or SMALLEST << n != image_size:
        raise ValueError(f"image size {image_size} is not 8, 16, 32, 64, 128 or 256")
    return n


def _up(before: int, after: int, stride: int = 2, padding: int = 1) -> nn.Module:
    return nn.ConvTranspose2d(before, after, KERNEL, stride, padding, bias=False)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def _normalise_spectrum(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        spectral_norm(module)
