"""Joining or starting Ray, quietly and closed to others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Read by Ray when it is imported or started, so they are set before that.
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
"""For worker processes: glibc keeps large activations instead of giving them back to the kernel
after every step, whose page faults cost up to half of a classifier's training step on a virtual
machine (tests/benchmarks/bench_allocator.py)."""
for name, value in {**ENVIRONMENT, **ALLOCATOR}.items():
    os.environ.setdefault(name, value)  # the workers of a local Ray inherit it

import ray  # noqa: E402  (after its environment)
from ray.exceptions import RayError  # noqa: E402

from lussweep.backend.cluster.reach import check_reachable  # noqa: E402
from lussweep.errors import InputError, one_line  # noqa: E402


def token_file() -> Path:
    """Where Ray keeps the secret that lets a driver in."""
    return Path("~/.ray/auth_token").expanduser()


def show_token() -> None:
    """Let the token, where there is one, be shown to the cluster that is joined next.

    Ray does so only if it is told to, and has read its environment when it was imported.
    """
    if token_file().exists() and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        ray._raylet.Config.initialize("")


@contextmanager
def ray_session(
    address: str | None, *, n_cpus: int | None = None, dashboard: bool = True
) -> Iterator[str]:
    """Ray at `address` ("local" starts one here, by default $RAY_ADDRESS or local).

    Yields the dashboard's URL, empty where there is none. Raises InputError if no cluster
    answers there.
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
    """Ray writes its token readable for everyone; it is a secret."""
    if token_file().exists():
        token_file().chmod(0o600)
        token_file().parent.chmod(0o700)
