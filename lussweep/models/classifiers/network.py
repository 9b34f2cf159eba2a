"""The interface of a classifier's network, and a function that builds one by its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.functional import layer_norm
from torch.nn.modules.batchnorm import _BatchNorm

from lussweep.study.spec import CLASSIFIERS

STD_FLOOR = 1e-6


class Network(nn.Module, ABC):
    """Maps images (N, S, S) in grey levels 0..255, of any type, to logits (N, 2).

    Class 1 is consolidation.
    """

    @abstractmethod
    def embed(self, images_NSS: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (N, D) and logits (N, 2). Scores compare the features, if it is the detector."""

    def forward(self, images_NSS: torch.Tensor) -> torch.Tensor:
        """Logits (N, 2); see `embed`."""
        return self.embed(images_NSS)[1]


def build_network(kind: str, hyperparameters: Mapping[str, Any], image_size: int) -> Network:
    """An untrained network of a kind in CLASSIFIERS, for images of `image_size` pixels a side."""
    network = CLASSIFIERS[kind].build(hyperparameters, image_size)
    if not isinstance(network, Network):
        raise TypeError(f"the classifier {kind} builds a {type(network).__name__}, not a Network")
    return network


def set_batchnorm_momentum(network: Network, momentum: float) -> None:
    """Set the weight of a new batch in the running statistics of every BatchNorm."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.momentum = momentum


def standardise(images_NSS: torch.Tensor) -> torch.Tensor:
    """Scale each image (N, S, S) to zero mean and unit standard deviation, in float32.

    A variance of 1e-12 is added. It matters for a constant image only, which becomes 0.
    """
    # layer_norm is one fused kernel. std() alone takes longer than the whole augmentation.
    return layer_norm(images_NSS.to(torch.float32), images_NSS.shape[1:], eps=STD_FLOOR**2)
