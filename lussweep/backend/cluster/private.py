"""Every private part of Ray that this package uses: what its documentation does not promise.

Any release of Ray may move or remove these parts. tests/backend/cluster/test_private.py names those
that are gone. The bounds of ray in pyproject.toml follow from the versions that were tried:

- Ray 2.60.0, with the whole test suite.
- Ray 2.59.0, with tests/backend/cluster and tests/e2e/test_training_workers.py.

Older releases do not fit. A Ray that starts on this machine asks for no token before 2.59, the
setting RAY_TRAIN_ENABLE_PREEMPTION_WATCHER does not exist before 2.57, and a result of Train has no
return value before 2.56.

Functions import Ray themselves, because ENVIRONMENT must be set before Ray is imported.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

ENVIRONMENT = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # Tune's thread must not start a Ray of its own after ours
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",
    "RAY_preload_python_modules": "torch",
}
"""Settings of Ray that its documentation does not list."""
JOB_STOP_WAIT_S = "RAY_JOB_STOP_WAIT_TIME_S"
"""The setting of a job for the seconds between SIGTERM and SIGKILL."""
CHATTY_LOGGERS = ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging")
"""Loggers that print while a job is submitted. Ray names them after its modules."""
HEAD_RESOURCE = "node:__internal_head__"
"""The resource that only the head node has."""


def read_environment_again() -> None:
    """Make Ray read its settings in the environment again. It reads them when it is imported."""
    from ray._raylet import Config  # type: ignore[attr-defined]  # its stub leaves Config out

    Config.initialize("")


def temporary_folder() -> Path:
    """The folder in which a local Ray makes the folder of its session."""
    from ray._common.utils import get_default_ray_temp_dir

    return Path(get_default_ray_temp_dir()).absolute()


def session_socket(folder: Path) -> str:
    """The longest path of a socket that a local Ray makes below its temporary folder."""
    session = f"session_2026-01-01_00-00-00_000000_{os.getpid()}"
    return str(folder / session / "sockets" / "plasma_store")


def leaving_nodes() -> set[str]:
    """Ids of nodes that will be taken away, as Ray was notified, such as spot instances."""
    from ray._private.state import state

    return set(state.get_draining_nodes())


def put_in_head(key: str, value: bytes) -> None:
    """Store a value in the memory of Ray's head. Replaces an earlier value of the key."""
    from ray.experimental.internal_kv import _internal_kv_put

    _internal_kv_put(key.encode(), value, overwrite=True)


def get_from_head(key: str) -> bytes:
    """The value of a key in the memory of Ray's head; empty if there is none."""
    from ray.experimental.internal_kv import _internal_kv_get

    value: bytes | None = _internal_kv_get(key.encode())
    return value or b""


def delete_from_head(key: str, *, is_prefix: bool = False) -> None:
    """Delete a key, or all keys with a prefix, from the memory of Ray's head."""
    from ray.experimental.internal_kv import _internal_kv_del

    _internal_kv_del(key.encode(), del_by_prefix=is_prefix)


def cause_of(failure: Exception) -> Exception:
    """The reason why a training worker is unhealthy; any other failure is its own cause."""
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

    if isinstance(failure, WorkerHealthCheckFailedError):
        return failure.health_check_failure
    return failure


def control_service_answer(
    address: str, *, own_token: bool, timeout_s: float
) -> Literal["open", "closed", "silent"]:
    """Whether Ray's control service at HOST:PORT is open, closed or silent to a caller.

    The caller has our token and TLS if `own_token`, otherwise neither.
    """
    import grpc
    from ray._private.grpc_utils import init_grpc_channel
    from ray.core.generated import gcs_service_pb2
    from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub

    request = gcs_service_pb2.CheckAliveRequest()  # type: ignore[attr-defined]  # made at import
    options = [("grpc.enable_http_proxy", 0)]
    open_channel: Any = init_grpc_channel if own_token else grpc.insecure_channel
    with open_channel(address, options=options) as channel:
        service = NodeInfoGcsServiceStub(channel)
        try:
            service.CheckAlive(request, timeout=timeout_s)
        except grpc.RpcError as error:
            refused = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
            return "closed" if error.code() in refused else "silent"
    return "open"
