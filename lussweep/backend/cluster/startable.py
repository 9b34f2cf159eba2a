"""Checks that a Ray can start on this machine, before it is started.

Ray waits for minutes for a network that it cannot use, and reports a folder that it cannot use with
a traceback. Each check takes less than `ANSWER_S` seconds.
"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from pathlib import Path

from lussweep.backend.cluster.private import session_socket, temporary_folder
from lussweep.errors import InputError, one_line

ANSWER_S = 5.0
"""Seconds within which this machine must answer itself."""
LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107
"""Most bytes in the path of a Unix socket."""
TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
"""Variables that give Ray a token from elsewhere than HOME."""


def check_startable(token: Path) -> None:
    """Raises InputError, with a line for each obstacle, unless a local Ray can start.

    `token` is the file in HOME in which Ray keeps its token.
    """
    obstacles = [_folder_obstacle(), _home_obstacle(token), _loopback_obstacle()]
    found = [obstacle for obstacle in obstacles if obstacle]
    if found:
        raise InputError(found)


def _folder_obstacle() -> str:
    """Why Ray cannot use its temporary folder. Empty if it can."""
    folder = temporary_folder()
    longest = session_socket(folder)
    n_bytes = len(os.fsencode(longest))
    if n_bytes > LONGEST_SOCKET:
        return (
            f"Ray cannot start in {folder}: the path of its sockets has {n_bytes} bytes, and the "
            f"system allows {LONGEST_SOCKET}: set RAY_TMPDIR to a folder with a shorter path, such "
            "as /tmp"
        )
    if reason := _unwritable(folder):
        return (
            f"Ray cannot start in {folder} ({reason}): set RAY_TMPDIR to a folder that you can "
            "write to"
        )
    return ""


def _home_obstacle(token: Path) -> str:
    """Why Ray cannot keep its token in HOME. Empty if it can, or need not."""
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token":
        return ""
    if any(map(os.environ.get, TOKEN_VARIABLES)) or token.is_file():
        return ""
    if reason := _unwritable(token.parent):
        return (
            f"Ray cannot write its token to {token} ({reason}): set HOME to a folder that you can "
            "write to, or use --backend inline, which needs no Ray"
        )
    return ""


def _loopback_obstacle() -> str:
    """Why processes of this machine cannot talk to each other. Empty if they can."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=ANSWER_S).close()
    except OSError as error:
        return (
            f"Ray cannot start: this machine cannot connect to itself at 127.0.0.1 "
            f"({_reason(error)}): switch the loopback device on (ip link set lo up), allow "
            "connections to 127.0.0.1, or use --backend inline, which needs no Ray"
        )
    return ""


def _unwritable(folder: Path) -> str:
    """Why no file can be written to a folder, which is made if need be. Empty if it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return _reason(error)


def _reason(error: OSError) -> str:
    return error.strerror or one_line(error)
