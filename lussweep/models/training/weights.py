"""Reads tensors from files. No code runs, and claimed sizes are checked first.

Files of our own are read in this process, because workers read them often: a safetensors file has
a short header, and its loader checks that the tensors fill the file. A checkpoint is checked in a
child process before torch.load reads it here. A weights file that a user gives is read in a child
process (`models/resnet.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from lussweep.errors import InputError, first_line
from lussweep.models.training.archive import check_archive
from lussweep.store import child

MAX_HEADER_BYTES = 2**20
"""Largest header of a safetensors file. That of a ResNet-34 has 22 kB."""


def read_weights(path: Path, remedy: str = "") -> dict[str, torch.Tensor]:
    """Read the tensors of a safetensors artifact, by name. Raises InputError with the remedy."""
    try:
        return read_safetensors(path)
    except (OSError, ValueError) as error:
        remedy = remedy or f"delete the folder {path.parent}, and it is made again"
        raise InputError(f"{path} cannot be read: {str(error)[:200]}: {remedy}") from None


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """Read every tensor of the file, by name. Raises ValueError with the reason, or OSError."""
    with path.open("rb") as file:
        claimed = int.from_bytes(file.read(8), "little")
    if claimed > min(MAX_HEADER_BYTES, path.stat().st_size):
        raise ValueError(f"its header claims {claimed} bytes")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def read_state(path: Path) -> Any:
    """Read an archive that torch.save wrote, on the CPU. Only tensors and plain values pass.

    A child process checks it first (`check_archive`). Raises ValueError with the reason, or
    OSError.
    """
    child.call(path, check_archive, path)
    return load_state(path)


def load_state(path: Path) -> Any:
    """What torch.load gives of a file whose archive was checked. Raises as `read_state` does.

    torch.load does not compare the size of a tensor with that of its storage. That is done here.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        held = [_n_bytes(tensor) for tensor in _tensors(state, set())]
    except OSError:
        raise
    except Exception as error:
        # Hostile bytes can make an unpickler raise any exception.
        raise ValueError(first_line(error)) from error
    if max(held, default=0) > (n_bytes := path.stat().st_size):
        raise ValueError(f"a tensor of {max(held)} bytes in a file of {n_bytes}")
    return state


def _tensors(value: Any, seen: set[int]) -> Iterator[torch.Tensor]:
    """Yield every tensor in nested dicts, lists and tuples. These may contain themselves."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(item, seen)


def _n_bytes(tensor: torch.Tensor) -> int:
    """Bytes of a tensor, or of its storage if that is larger."""
    return max(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def first_mismatch(expected: Mapping[str, torch.Tensor], state: Any) -> str | None:
    """Describe the first tensor that is missing, misshapen or unknown; None if all fit.

    BatchNorm's counters of batches may be missing, because files older than PyTorch 0.4.1 lack
    them.
    """
    tensors = state if isinstance(state, Mapping) else {}
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
    """Whether a tensor's name is that of a BatchNorm's counter of batches."""
    return name.endswith(".num_batches_tracked")


def _shape(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return str(tuple(value.shape))
    return "nothing" if value is None else f"a {type(value).__name__}"
