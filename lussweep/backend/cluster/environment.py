"""Settings in the environment, which Ray and its workers read when they start."""

from __future__ import annotations

import os

from lussweep.backend.cluster import private

ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "600",
    "TUNE_MAX_PENDING_TRIALS_PG": "16",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    **private.ENVIRONMENT,
}
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**31),
    "MALLOC_TOP_PAD_": str(2**26),
}
"""Settings of glibc for worker processes. They make it keep the memory of large activations. By
default it returns that memory to the kernel after each training step. The page faults then take up
to half of a classifier's step on a virtual machine (tests/benchmarks/bench_allocator.py)."""


def set_environment() -> None:
    """Set what is not set yet. The workers of a local Ray inherit it."""
    for name, value in {**ENVIRONMENT, **ALLOCATOR}.items():
        os.environ.setdefault(name, value)
