"""Handing a command to a cluster through Ray's job submission, over HTTP."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from lussweep.backend.cluster.session import show_token, token_file
from lussweep.backend.kept import KEPT
from lussweep.errors import InputError, one_line

from ray.exceptions import AuthenticationError  # isort: skip

OVERRIDES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Where these are set, Ray's client goes there, whatever address it is given."""
STOP_S = 60
"""How long `ray job stop` waits between SIGTERM and SIGKILL. Ray's own 3 s are too short for GANs
to leave their checkpoints, and for the report."""
CHATTY = ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging")


class JobClient(Protocol):
    """What is used of ray.job_submission.JobSubmissionClient."""

    def submit_job(self, *, entrypoint: str, runtime_env: dict[str, Any]) -> str: ...


def submit(address: str, command: Sequence[str], working_dir: Path) -> str:
    """Ship `working_dir` to the cluster and run `command` there; returns the job's id.

    Raises InputError if no job server answers at `address`, or it refuses the token.
    """
    try:
        with _without_overrides():
            return submit_to(_connect(address), command, working_dir)
    except ConnectionError:
        raise InputError(
            f"no Ray job server answers at {address}: give the address of the cluster's dashboard "
            "(`ray dashboard cluster.yaml` makes it http://127.0.0.1:8265)"
        ) from None
    except AuthenticationError as error:
        raise InputError(
            f"{address} does not take this token ({token_file()}): {one_line(error)}"
        ) from None
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"{address} does not take the job: {one_line(error)}") from None


def submit_to(client: JobClient, command: Sequence[str], working_dir: Path) -> str:
    """`submit` through a client that is connected. What a job prints, Ray keeps."""
    return client.submit_job(
        entrypoint=shlex.join(command),
        runtime_env={
            "working_dir": str(working_dir),
            "env_vars": {KEPT: "1", "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_S)},
        },
    )


def _connect(address: str) -> JobClient:
    """The client adds `Authorization: Bearer TOKEN` itself where the mode says token: the token is
    $RAY_AUTH_TOKEN, the file $RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token."""
    show_token()
    from ray.job_submission import JobSubmissionClient

    for name in CHATTY:  # each sets a level of its own when it is imported
        logging.getLogger(name).setLevel(logging.WARNING)
    client: JobClient = JobSubmissionClient(address)
    return client


@contextmanager
def _without_overrides() -> Iterator[None]:
    before = {name: os.environ.pop(name) for name in OVERRIDES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)
