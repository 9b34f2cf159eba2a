"""Submits a command to a cluster as a job, over HTTP."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from ray.exceptions import AuthenticationError

from lussweep.backend.cluster.private import CHATTY_LOGGERS, JOB_STOP_WAIT_S
from lussweep.backend.cluster.session import show_token, token_file
from lussweep.backend.kept import KEPT
from lussweep.errors import InputError, one_line

OVERRIDES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
"""Environment variables that override the address that Ray's client is given."""
STOP_S = 60
"""Seconds that `ray job stop` waits between SIGTERM and SIGKILL. Ray's default of 3 s is too short
for the checkpoints of GANs and for the report."""


class JobClient(Protocol):
    """The part of ray.job_submission.JobSubmissionClient that is used."""

    def submit_job(self, *, entrypoint: str, runtime_env: dict[str, Any]) -> str: ...


def submit(address: str, command: Sequence[str], working_dir: Path) -> str:
    """Ship `working_dir` to the cluster and run `command` there. Returns the job's id.

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
    """`submit` through a connected client. Sets KEPT, because Ray keeps the output of a job."""
    return client.submit_job(
        entrypoint=shlex.join(command),
        runtime_env={
            "working_dir": str(working_dir),
            "env_vars": {KEPT: "1", JOB_STOP_WAIT_S: str(STOP_S)},
        },
    )


def _connect(address: str) -> JobClient:
    """Connect a client. It sends the token itself if $RAY_AUTH_MODE is token.

    It takes the token from $RAY_AUTH_TOKEN, the file $RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token.
    """
    show_token()
    from ray.job_submission import JobSubmissionClient

    for name in CHATTY_LOGGERS:  # each sets a level of its own when it is imported
        logging.getLogger(name).setLevel(logging.WARNING)
    client: JobClient = JobSubmissionClient(address)
    return client


@contextmanager
def _without_overrides() -> Iterator[None]:
    """Unset OVERRIDES inside this block."""
    before = {name: os.environ.pop(name) for name in OVERRIDES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)
