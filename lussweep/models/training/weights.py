"""Safe reading of tensors from files: no code runs, and claimed sizes are checked first."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from lussweep.errors import InputError, first_line

MAX_HEADER_BYTES = 2**20
"""Largest header of a safetensors file. That of a ResNet-34 has 22 kB."""
MAX_MEMBERS = 10_000
"""Most members of an archive that torch.save wrote. It has about one per tensor."""
MAX_ENTRY_BYTES = 500
"""Most bytes per entry in the archive's list of members, on average."""


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


def read_state(path: Path, *, archives_only: bool = False) -> Any:
    """Read what torch.save wrote, on the CPU. Only tensors and plain values are accepted.

    Three checks are made that torch.load leaves out: of the checksums that torch.save writes (a
    changed weight would pass), of the unpacked size of an archive, and of each tensor's size
    against its storage. Files from before PyTorch 1.6 are not archives;
    `archives_only` refuses them. Raises ValueError with the reason, or OSError.
    """
    n_bytes = path.stat().st_size
    with path.open("rb") as file:
        is_archive = file.read(4) == b"PK\3\4"  # the test that torch.load makes
    if is_archive:
        _check_archive(path, n_bytes)
    elif archives_only:
        raise ValueError("it is not an archive")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        held = [_n_bytes(tensor) for tensor in _tensors(state, set())]
    except OSError:
        raise
    except Exception as error:
        # Hostile bytes can make an unpickler raise any exception.
        raise ValueError(first_line(error)) from error
    if max(held, default=0) > n_bytes:
        raise ValueError(f"a tensor of {max(held)} bytes in a file of {n_bytes}")
    return state


def _check_archive(path: Path, n_bytes: int) -> None:
    """Raise ValueError if a member is damaged or compressed; torch.save never compresses."""
    _check_directory(path, n_bytes)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS or sum(m.file_size for m in members) > n_bytes:
                raise ValueError("it unpacks to more than its size")
            if any(m.compress_type != zipfile.ZIP_STORED for m in members):
                raise ValueError("its members are compressed")
            if damaged := archive.testzip():
                raise ValueError(f"its member {damaged} is damaged")
    except (zipfile.BadZipFile, EOFError, LookupError, RuntimeError) as error:
        raise ValueError(str(error)) from None


def _check_directory(path: Path, n_bytes: int) -> None:
    """Raise ValueError if the list of members is too large, because zipfile reads it at once.

    Its size stands in the end record in the last 22 bytes, or in the 64-bit end record before
    (APPNOTE 4.3.14 to 4.3.16).
    """
    with path.open("rb") as file:
        file.seek(max(0, n_bytes - 98))
        tail = file.read().rjust(98, b"\0")
    end, end64 = tail[-22:], tail[:56]
    if end[:4] != b"PK\5\6":
        raise ValueError("it is cut, or has a comment")
    size = int.from_bytes(end[12:16], "little")
    if tail[56:60] == b"PK\6\7" and end64[:4] == b"PK\6\6":
        size = max(0 if size == 2**32 - 1 else size, int.from_bytes(end64[40:48], "little"))
    if size > MAX_MEMBERS * MAX_ENTRY_BYTES:
        raise ValueError(f"its list of members claims {size} bytes")


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
