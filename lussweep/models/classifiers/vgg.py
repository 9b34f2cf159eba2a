"""The reduced VGG of the paper (section 2.4), built of separable convolutions."""

import math

import torch
from torch import nn
from torch.nn.functional import layer_norm

from lussweep.models.training.dropout import Dropout

PAPER_SIZE = 256
STD_FLOOR = 1e-6
BATCHNORM_EPS = 1e-3
BATCHNORM_MOMENTUM = 0.01
"""Keras's defaults (epsilon 1e-3, momentum 0.99) in PyTorch's terms."""


class ReducedVGG(nn.Module):
    """Maps images (N, S, S) in grey levels to logits (N, 2); class 1 is consolidation.

    With channel multiplier c, the blocks have widths [4c,4c] [8c,8c] [16c,16c] [32c,32c] [64c]
    [64c]. Max-pooling and dropout follow each block. At 256 pixels convolutions are unpadded, as
    in the paper. At smaller sizes unpadded convolutions would leave nothing of the image, so
    there they are padded. The depth is the same.
    """

    def __init__(
        self,
        image_size: int,
        channels: int,
        dropout: float,
        batchnorm_momentum: float = BATCHNORM_MOMENTUM,
    ) -> None:
        super().__init__()
        padding = 0 if image_size >= PAPER_SIZE else 1
        layers: list[nn.Module] = []
        before = 1
        for widths in ((4, 4), (8, 8), (16, 16), (32, 32), (64,), (64,)):
            for width in widths:
                layers += _separable(before, width * channels, padding, batchnorm_momentum)
                before = width * channels
            layers += [nn.MaxPool2d(2), Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(before, 2)
        _glorot(self.head.weight, before, 2)
        nn.init.zeros_(self.head.bias)

    def forward(self, images_NSS: torch.Tensor) -> torch.Tensor:
        """Logits (N, 2); see `embed`."""
        return self.embed(images_NSS)[1]

    def embed(self, images_NSS: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Global-average-pooled features (N, 64c) and logits (N, 2)."""
        maps = self.layers(standardise(images_NSS)[:, None].to(memory_format=torch.channels_last))
        pooled = maps.mean(dim=(2, 3))
        return pooled, self.head(self.dropout(pooled))


def standardise(images_NSS: torch.Tensor) -> torch.Tensor:
    """Scale each image (N, S, S) to zero mean and unit standard deviation, in float32.

    A variance of 1e-12 is added. It matters for a constant image only, which becomes 0.
    """
    # layer_norm is one fused kernel. std() alone takes longer than the whole augmentation.
    return layer_norm(images_NSS.to(torch.float32), images_NSS.shape[1:], eps=STD_FLOOR**2)


def _separable(before: int, after: int, padding: int, momentum: float) -> list[nn.Module]:
    depthwise = nn.Conv2d(before, before, 3, padding=padding, groups=before, bias=False)
    pointwise = nn.Conv2d(before, after, 1)
    _glorot(depthwise.weight, 9 * before, 9)
    _glorot(pointwise.weight, before, after)
    assert pointwise.bias is not None
    nn.init.zeros_(pointwise.bias)
    norm = nn.BatchNorm2d(after, eps=BATCHNORM_EPS, momentum=momentum)
    return [depthwise, pointwise, nn.ReLU(inplace=True), norm]


def _glorot(weight: torch.Tensor, fan_in: int, fan_out: int) -> None:
    """Initialise by Glorot uniform, with fans as Keras counts them: 9 out of a depthwise kernel."""
    limit = math.sqrt(6 / (fan_in + fan_out))
    nn.init.uniform_(weight, -limit, limit)
