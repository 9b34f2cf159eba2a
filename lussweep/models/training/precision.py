"""Precision of the convolutions, apart from that of weights and losses."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from lussweep.errors import InputError


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """`bf16` computes convolutions and matrix products in bfloat16; `fp32` changes nothing.

    Without the cache of cast weights, which would outlive the optimiser's step, and which a
    captured step may not use.
    """
    return torch.autocast(
        device.type, dtype=torch.bfloat16, enabled=precision == "bf16", cache_enabled=False
    )


def full_precision() -> AbstractContextManager[None]:
    """On a GPU fp32 means fp32: cuDNN's convolutions round to TF32 unless told not to."""
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=True, allow_tf32=False
    )
    return flags


def check_precision(precision: str, device: torch.device, name: str) -> None:
    """Raises InputError, naming the field, for a precision that the device does not have."""
    if precision == "bf16" and not has_bfloat16(device):
        raise InputError(
            f"{name} bf16 is not supported on this {device.type} device: set it to fp32"
        )


def has_bfloat16(device: torch.device) -> bool:
    """In hardware, not emulated."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
