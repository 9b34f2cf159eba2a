"""The order of a network's weights in memory."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


def channels_last(network: Network, device: torch.device) -> Network:
    """Move the network to the device, with the weights of convolutions in the order (N, H, W, C).

    Convolutions of images in the same order then need no copy. Changes the network in place, and
    returns it.
    """
    moved: Network = network.to(  # type: ignore[call-overload]  # its types lack memory_format
        device, memory_format=torch.channels_last
    )
    return moved
