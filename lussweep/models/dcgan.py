"""The DCGAN of the paper (section 2.2), its depth following the image size."""

import torch
from torch import nn

KERNEL = 4
SMALLEST = 4
"""Pixels a side of the first and of the last feature map."""


class Generator(nn.Module):
    """Latent vectors (N, latent_size) to images (N, 1, S, S) in [-1, 1].

    At 256 pixels: channels 32, 16, 8, 4, 2, 1 x ngf, then 1; fewer doublings when smaller.
    """

    def __init__(self, image_size: int, latent_size: int, ngf: int) -> None:
        super().__init__()
        self.latent_size = latent_size
        widths = [ngf * 2**k for k in reversed(range(_n_doublings(image_size)))]
        layers: list[nn.Module] = [_up(latent_size, widths[0], stride=1, padding=0)]
        for before, after in zip(widths, [*widths[1:], None], strict=True):
            layers += [nn.BatchNorm2d(before), nn.ReLU(inplace=True), _up(before, after or 1)]
        self.layers = nn.Sequential(*layers, nn.Tanh())
        self.apply(_initialise)

    def forward(self, z_NL: torch.Tensor) -> torch.Tensor:
        images: torch.Tensor = self.layers(z_NL[:, :, None, None])
        return images


class Discriminator(nn.Module):
    """Images (N, 1, S, S) to logits (N,)."""

    def __init__(self, image_size: int, ndf: int, dropout: float) -> None:
        super().__init__()
        widths = [ndf * 2**k for k in range(_n_doublings(image_size))]
        layers: list[nn.Module] = []
        for k, (before, after) in enumerate(zip([1, *widths], widths, strict=False)):
            layers.append(nn.Conv2d(before, after, KERNEL, stride=2, padding=1, bias=False))
            if k:
                layers.append(nn.BatchNorm2d(after))
            layers += [nn.LeakyReLU(0.2, inplace=True), nn.Dropout(dropout)]
        layers.append(nn.Conv2d(widths[-1], 1, SMALLEST, bias=False))
        self.layers = nn.Sequential(*layers)
        self.apply(_initialise)

    def forward(self, images_N1SS: torch.Tensor) -> torch.Tensor:
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
