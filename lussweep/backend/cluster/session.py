"""Joins or starts Ray, without its output, and closes it to other users."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from lussweep.backend.cluster.environment import ALLOCATOR
from lussweep.backend.cluster.private import read_environment_again, temporary_folder
from lussweep.backend.cluster.reach import check_reachable
from lussweep.backend.cluster.startable import check_startable
from lussweep.errors import InputError, one_line


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
        read_environment_again()


@contextmanager
def ray_session(
    address: str | None, *, n_cpus: int | None = None, dashboard: bool = True
) -> Iterator[str]:
    """Connect to Ray at `address`, and disconnect at the end of the block.

    "local" starts a Ray on this machine. None stands for $RAY_ADDRESS, or local. Yields the URL of
    the dashboard, empty if there is none. Raises InputError if no cluster answers at the address,
    or if no Ray can start here.
    """
    given = "--address" if address else "RAY_ADDRESS"
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    local = address == "local"
    if not local:
        show_token()
    if local:
        check_startable(token_file())
    elif address != "auto":
        check_reachable(address, given)
    try:
        context = ray.init(
            address=address,
            num_cpus=n_cpus if local else None,
            include_dashboard=dashboard if local else None,
            runtime_env=None if local else {"env_vars": ALLOCATOR},
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
        )
    except (ray.exceptions.RayError, OSError, ValueError, RuntimeError) as error:
        if local:
            raise InputError(
                f"no Ray starts on this machine, with its files in {temporary_folder()} and its "
                f"token in {token_file()}: {one_line(error)}: try --backend inline"
            ) from None
        raise InputError(
            f"no Ray cluster answers at {address} ({given}), or not with this token "
            f"({token_file()}): {one_line(error)}"
        ) from None
    try:
        if local:
            _close_token_file()
        yield f"http://{context.dashboard_url}" if context.dashboard_url else ""
    finally:
        ray.shutdown()


def _close_token_file() -> None:
    """Make the token readable for its owner alone. Ray writes it readable for everyone.

    Raises InputError if that cannot be changed.
    """
    for path, mode in ((token_file(), 0o600), (token_file().parent, 0o700)):
        if path.exists() and path.stat().st_mode & 0o077:
            try:
                path.chmod(mode)
            except OSError as error:
                raise InputError(
                    f"others may read Ray's token in {path} ({error.strerror}): set HOME to a "
                    "folder of your own"
                ) from None
