"""The reduced VGG of the paper (section 2.4), built of separable convolutions."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from lussweep.models.classifiers.network import Network, standardise
from lussweep.models.training.dropout import Dropout

PAPER_SIZE = 256
BATCHNORM_EPS = 1e-3
BATCHNORM_MOMENTUM = 0.01
"""Keras's defaults (epsilon 1e-3, momentum 0.99) in PyTorch's terms."""


class ReducedVGG(Network):
    """Maps images (N, S, S) in grey levels to logits (N, 2); class 1 is consolidation.

    With channel multiplier c, the blocks have widths [4c,4c] [8c,8c] [16c,16c] [32c,32c] [64c]
    [64c]. Max-pooling and dropout follow each block. At 256 pixels convolutions are unpadded, as
    in the paper. At smaller sizes unpadded convolutions would leave nothing of the image, so
    there they are padded. The depth is the same.
    """

    def __init__(self, image_size: int, channels: int, dropout: float) -> None:
        super().__init__()
        padding = 0 if image_size >= PAPER_SIZE else 1
        layers: list[nn.Module] = []
        before = 1
        for widths in ((4, 4), (8, 8), (16, 16), (32, 32), (64,), (64,)):
            for width in widths:
                layers += _separable(before, width * channels, padding)
                before = width * channels
            layers += [nn.MaxPool2d(2), Dropout(dropout)]
        self.layers = nn.Sequential(*layers)
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(before, 2)
        _glorot(self.head.weight, before, 2)
        nn.init.zeros_(self.head.bias)

    def embed(self, images_NSS: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Global-average-pooled features (N, 64c) and logits (N, 2)."""
        maps = self.layers(standardise(images_NSS)[:, None].to(memory_format=torch.channels_last))
        pooled = maps.mean(dim=(2, 3))
        return pooled, self.head(self.dropout(pooled))


def build(hyperparameters: Mapping[str, Any], image_size: int) -> ReducedVGG:
    """The network of a trial; `hyperparameters` are those of VggSearchSpec."""
    return ReducedVGG(image_size, **hyperparameters)


def _separable(before: int, after: int, padding: int) -> list[nn.Module]:
    depthwise = nn.Conv2d(before, before, 3, padding=padding, groups=before, bias=False)
    pointwise = nn.Conv2d(before, after, 1)
    _glorot(depthwise.weight, 9 * before, 9)
    _glorot(pointwise.weight, before, after)
    assert pointwise.bias is not None
    nn.init.zeros_(pointwise.bias)
    norm = nn.BatchNorm2d(after, eps=BATCHNORM_EPS, momentum=BATCHNORM_MOMENTUM)
    return [depthwise, pointwise, nn.ReLU(inplace=True), norm]


def _glorot(weight: torch.Tensor, fan_in: int, fan_out: int) -> None:
    """Initialise by Glorot uniform, with fans as Keras counts them: 9 out of a depthwise kernel."""
    limit = math.sqrt(6 / (fan_in + fan_out))
    nn.init.uniform_(weight, -limit, limit)
