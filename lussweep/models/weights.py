"""Whether tensors from a file are those of a network, told by the first that is not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def first_mismatch(expected: Mapping[str, torch.Tensor], found: Any) -> str | None:
    """The first tensor that is missing, misshapen or unknown, in words; None if all fit.

    BatchNorm's counters of batches may be missing: files older than PyTorch 0.4.1 lack them.
    """
    tensors = found if isinstance(found, Mapping) else {}
    for name, tensor in expected.items():
        if name not in tensors and is_counter(name):
            continue
        if (shape := _shape(tensors.get(name))) != _shape(tensor):
            return f"{name} should be {_shape(tensor)}, found {shape}"
    for name in tensors:
        if name not in expected:
            return f"{name} should be absent, found {_shape(tensors[name])}"
    return None


def is_counter(name: str) -> bool:
    return name.endswith(".num_batches_tracked")


def _shape(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return str(tuple(value.shape))
    return "nothing" if value is None else f"a {type(value).__name__}"
