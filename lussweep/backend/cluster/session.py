"""Joins or starts Ray, without its output, and closes it to other users."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Ray reads these when it is imported or started, so they are set before.
ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # Tune's thread must not start a Ray of its own after ours
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",
    "RAY_preload_python_modules": "torch",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "600",
    "TUNE_MAX_PENDING_TRIALS_PG": "16",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**31),
    "MALLOC_TOP_PAD_": str(2**26),
}
"""Settings of glibc for worker processes. They make it keep the memory of large activations. By
default it returns that memory to the kernel after each training step. The page faults then take up
to half of a classifier's step on a virtual machine (tests/benchmarks/bench_allocator.py)."""
for name, value in {**ENVIRONMENT, **ALLOCATOR}.items():
    os.environ.setdefault(name, value)  # the workers of a local Ray inherit it

import ray  # noqa: E402  (after its environment)
from ray.exceptions import RayError  # noqa: E402

from lussweep.backend.cluster.reach import check_reachable  # noqa: E402
from lussweep.errors import InputError, one_line  # noqa: E402


def token_file() -> Path:
    """The file in which Ray keeps its token."""
    return Path("~/.ray/auth_token").expanduser()


def show_token() -> None:
    """Make Ray send the token, if there is one, to the cluster that is joined next.

    Ray sends it only if $RAY_AUTH_MODE says so. It has read its environment at import, so it reads
    it again here.
    """
    if token_file().exists() and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        ray._raylet.Config.initialize("")


@contextmanager
def ray_session(
    address: str | None, *, n_cpus: int | None = None, dashboard: bool = True
) -> Iterator[str]:
    """Connect to Ray at `address`, and disconnect at the end of the block.

    "local" starts a Ray on this machine. None stands for $RAY_ADDRESS, or local. Yields the URL of
    the dashboard, empty if there is none. Raises InputError if no cluster answers at the address.
    """
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    local = address == "local"
    if not local:
        show_token()
    if not local and address != "auto":
        check_reachable(address)
    try:
        context = ray.init(
            address=address,
            num_cpus=n_cpus if local else None,
            include_dashboard=dashboard if local else None,
            runtime_env=None if local else {"env_vars": ALLOCATOR},
            log_to_driver=False,
            logging_level="ERROR",
            configure_logging=True,
        )
    except (RayError, ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(
            f"no Ray cluster answers at {address}, or not with this token ({token_file()}): "
            f"{one_line(error)}"
        ) from None
    if local:
        _close_token_file()
    try:
        yield f"http://{context.dashboard_url}" if context.dashboard_url else ""
    finally:
        ray.shutdown()


def _close_token_file() -> None:
    """Make the token readable for its owner alone. Ray writes it readable for everyone."""
    if token_file().exists():
        token_file().chmod(0o600)
        token_file().parent.chmod(0o700)
