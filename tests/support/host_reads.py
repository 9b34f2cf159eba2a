"""Whether something waits for the device: on a GPU, every value read from it does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

METHODS = ("item", "tolist", "numpy", "cpu", "__float__", "__int__", "__bool__", "__index__")


class HostReads(TorchDispatchMode):
    """Counts what would make the host wait for a GPU: a tensor's value read as a number."""

    READS = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "equal")

    def __init__(self):
        super().__init__()
        self.n = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        name = function.overloadpacket.__name__
        self.n += any(name.startswith(read) for read in self.READS)
        return function(*arguments, **(options or {}))


def host_reads(action: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of everything in `action` that would wait."""
    calls: list[str] = []
    for name in METHODS:
        monkeypatch.setattr(torch.Tensor, name, lambda *a, name=name, **k: calls.append(name))
    with HostReads() as reads:
        action()
    monkeypatch.undo()
    return calls + ["dispatched"] * reads.n
