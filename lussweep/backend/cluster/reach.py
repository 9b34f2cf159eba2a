"""Checks quickly whether a Ray answers at an address, because Ray itself waits for a minute."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from lussweep.backend.cluster.private import control_service_answer
from lussweep.errors import InputError

REACH_S = 5.0
"""Seconds within which a machine, and then Ray's control service, must answer."""


def check_reachable(address: str, given: str = "--address") -> None:
    """Raises InputError unless HOST:PORT is the control service of a Ray that accepts our token.

    `given` is the option or the variable that holds the address. Waits for 2 * REACH_S at most.
    """
    is_option = given == "--address"
    place_text = address if is_option else f"{address}, the value of {given},"
    left_out = f"leave out {given}" if is_option else f"unset {given}"
    if address.startswith("ray://"):
        raise InputError(
            f"{given} {address} is of Ray's client, which Ray Tune does not work through: give "
            "HOST:PORT of the head (6379), or use lussweep submit"
        )
    try:
        place = urlsplit(f"//{address}")
        host, port = place.hostname, place.port
    except ValueError:
        host = port = None
    if not host or not port:
        raise InputError(f"{given} {address} is not of the form HOST:PORT, local or auto")
    try:
        socket.create_connection((host, port), timeout=REACH_S).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"nothing answers at {place_text} ({reason}): see that the cluster runs, that the port "
            f"of its head (6379) is open from here, or {left_out} for a Ray of this machine"
        ) from None
    answer = control_service_answer(address, own_token=True, timeout_s=REACH_S)
    if answer == "closed":
        raise InputError(
            f"the Ray at {place_text} does not take our token: copy ~/.ray/auth_token of its head, "
            "chmod 600, and leave RAY_AUTH_MODE unset or token"
        )
    if answer == "silent":
        raise InputError(
            f"what answers at {place_text} is not a Ray: give HOST:PORT of the head's control "
            "service (6379), not of the dashboard"
        )


def strangers_may_enter(address: str) -> bool | None:
    """Whether Ray's control service at HOST:PORT answers a request without a token.

    None if it could not be asked, for instance because it speaks TLS.
    """
    answer = control_service_answer(address, own_token=False, timeout_s=REACH_S)
    return {"open": True, "closed": False, "silent": None}[answer]
