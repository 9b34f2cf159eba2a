"""Dropout with a cheap mask on the CPU."""

from __future__ import annotations

import torch
from torch import nn


class Dropout(nn.Dropout):
    """nn.Dropout with a cheaper mask on the CPU.

    The mask of nn.Dropout takes as long as a convolution on a CPU. Here one 64-bit draw decides
    four values, so `p` is rounded to a multiple of 1/65536. On other devices this is nn.Dropout.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if not self.training or not self.p or input.device.type != "cpu":
            return super().forward(input)
        n = input.numel()
        words = torch.empty(-(-n // 4), dtype=torch.int64).random_(-(2**63), None)
        n_dropped = round(self.p * 65536)
        is_kept = words.view(torch.int16)[:n] >= n_dropped - 32768
        mask = is_kept.to(input.dtype).mul_(65536 / (65536 - n_dropped))
        # Activations are dense in any memory format, so the mask can take their strides.
        return input * mask.as_strided(input.shape, input.stride())
