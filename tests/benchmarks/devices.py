"""What a benchmark needs to know of its device: the ceilings, and a step that is not captured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch

N_WARM_UP, N_TIMED = 3, 10


@dataclass(frozen=True)
class Ceilings:
    """The most that a device does: bf16 matrix products, and copies within its memory."""

    flop_per_s: float
    bytes_per_s: float
    """Bytes read plus bytes written."""


H200 = Ceilings(flop_per_s=790e12, bytes_per_s=4.3e12)
"""Measured on one H200; the default where a benchmark is not told the ceilings of its card."""


def measure_ceilings(device: torch.device, *, side: int, copy_bytes: int) -> Ceilings:
    """Ceilings of this device, on random data.

    `side` is that of the square matrices, `copy_bytes` the size of the buffer that is copied.
    """
    rng = torch.Generator(device).manual_seed(1)
    a, b = (
        torch.randn(side, side, generator=rng, device=device).to(torch.bfloat16) for _ in range(2)
    )
    product = torch.empty_like(a)
    product_s = median_seconds(lambda: torch.mm(a, b, out=product), device)
    source = torch.empty(copy_bytes // 4, device=device).normal_(generator=rng)
    target = torch.empty_like(source)
    copy_s = median_seconds(lambda: target.copy_(source), device)
    return Ceilings(2 * side**3 / product_s, 2 * 4 * len(source) / copy_s)


def median_seconds(job: Callable[[], object], device: torch.device) -> float:
    """Median seconds of a job, after a few runs that are not counted."""
    seconds = []
    for k in range(N_WARM_UP + N_TIMED):
        synchronize(device)
        started = time.perf_counter()
        job()
        synchronize(device)
        if k >= N_WARM_UP:
            seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def synchronize(device: torch.device) -> None:
    """Wait for the device, if it works behind our back."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def device_named(name: str) -> torch.device:
    """`auto` is a GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


@contextmanager
def never_captured(module: ModuleType) -> Iterator[None]:
    """Inside, the trainings of `module` run their steps as they are, not as a CUDA graph."""
    original = module.captured  # type: ignore[attr-defined]
    module.captured = lambda step, example: (step, "eager")  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.captured = original  # type: ignore[attr-defined]
