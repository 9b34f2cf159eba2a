"""Precision of the convolutions, apart from that of weights and losses."""

from __future__ import annotations

import torch


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """`bf16` computes convolutions and matrix products in bfloat16; `fp32` changes nothing.

    Without the cache of cast weights, which would outlive the optimiser's step, and which a
    captured step may not use.
    """
    return torch.autocast(
        device.type, dtype=torch.bfloat16, enabled=precision == "bf16", cache_enabled=False
    )
