"""A classifier: logistic regression on the mean grey levels of squares of a frame."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from lussweep.models.classifiers.network import Network, standardise


class Pixels(Network):
    def __init__(self, image_size: int, side: int) -> None:
        super().__init__()
        self.average = nn.AvgPool2d(side)
        self.head = nn.Linear((image_size // side) ** 2, 2)

    def embed(self, images_NSS: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        squares_ND = self.average(standardise(images_NSS)[:, None]).flatten(1)
        return squares_ND, self.head(squares_ND)


def build(hyperparameters: Mapping[str, Any], image_size: int) -> Pixels:
    return Pixels(image_size, **hyperparameters)
