"""Judges from facts who can enter a Ray cluster."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping

from lussweep.backend.doctor.findings import Finding, judge
from lussweep.backend.machine import Listening, TokenFile

OLDEST_RAY = (2, 59)
"""The first version that asks for a token wherever it starts (`backend/cluster/private.py`)."""
CLOSE_IT = "end it, and start every node with RAY_AUTH_MODE=token and one token (see cluster.yaml)"


def check_ray_version(by_node: Mapping[str, str]) -> Finding:
    """Judge Ray's versions, by node."""
    old = {
        node: version
        for node, version in by_node.items()
        if tuple(int(n) for n in re.findall(r"\d+", version)[:2]) < OLDEST_RAY
    }
    return judge(
        "ray",
        ", ".join(sorted(set(by_node.values()))),
        [],
        [f"{version} on {node} does not always ask for a token" for node, version in old.items()],
        "install Ray 2.59 or newer, the same on all nodes",
    )


def check_authentication(
    control_open: bool | None, dashboard_status: int | None, mode: str
) -> Finding:
    """Judge whether the cluster refuses callers without a token.

    `control_open` says whether Ray's control service answered such a caller; None if it could not
    be asked. `dashboard_status` is the dashboard's HTTP status for such a caller. `mode` is
    $RAY_AUTH_MODE.
    """
    reasons = []
    if control_open:
        reasons.append("the control service answers without a token")
    if dashboard_status == 200:
        reasons.append("the dashboard answers without a token")
    if reasons:
        who = "whoever reaches the cluster can run code on all its nodes"
        return Finding("authentication", "problem", f"{' and '.join(reasons)}: {who}", CLOSE_IT)
    if control_open is None and dashboard_status not in (401, 403):
        return Finding(
            "authentication",
            "warning",
            "neither the control service nor the dashboard could be asked without a token "
            f"(RAY_AUTH_MODE={mode or 'unset'})",
            "run this on the head node",
        )
    closed = ["the control service"] if control_open is False else []
    closed += [f"the dashboard ({dashboard_status})"] if dashboard_status in (401, 403) else []
    return Finding(
        "authentication", "ok", f"{' and '.join(closed)} refuse a caller without a token"
    )


def check_own_ray(mode: str) -> Finding:
    """Judge the Ray that `grid` would start on this machine. `mode` is $RAY_AUTH_MODE."""
    if mode.lower() not in ("", "token"):
        return Finding(
            "authentication",
            "problem",
            f"RAY_AUTH_MODE={mode}: a Ray that starts here is open to whoever reaches this machine",
            "unset RAY_AUTH_MODE",
        )
    return Finding("authentication", "ok", "no cluster given: grid starts its own closed Ray here")


def check_addresses(
    ports: Mapping[str, int], listening: Collection[Listening] | None, is_closed: bool
) -> Finding:
    """Judge the addresses on which the head's services listen.

    `ports` holds the services' ports by name. `listening` holds the head's open ports, None if they
    are unknown. `is_closed` says whether the cluster asks for a token.
    """
    if listening is None:
        return Finding(
            "addresses", "warning", "this system does not tell which ports are open",
            "see with the system's own tools that the dashboard listens on localhost",
        )  # fmt: skip
    ports = {name: port for name, port in ports.items() if port in {one.port for one in listening}}
    outside = {
        name: sorted({one.address for one in listening if one.port == port and not _is_own(one)})
        for name, port in ports.items()
    }
    reached = {
        name: f"{name} ({ports[name]}) on {_words(addresses)}"
        for name, addresses in outside.items()
        if addresses
    }
    if not reached:
        return Finding("addresses", "ok", f"{', '.join(ports)} on localhost")
    if not is_closed:
        return judge("addresses", "", [], [f"open: {', '.join(reached.values())}"], CLOSE_IT)
    # Other nodes must reach the other services, which ask for the token.
    return judge(
        "addresses",
        f"{', '.join(reached.values())}; the token closes them, but encrypts nothing",
        [reached["dashboard"]] if "dashboard" in reached else [],
        [],
        "start the head with --dashboard-host=127.0.0.1 (not on Kubernetes, whose operator needs "
        "the dashboard) and reach it through SSH",
    )


def check_token_files(by_node: Mapping[str, TokenFile | None]) -> Finding:
    """Judge the token files: whoever can read one can enter the cluster."""
    files = {node: file for node, file in by_node.items() if file is not None}
    problems = [
        f"{file.path} on {node} is readable for others ({file.mode:04o})"
        for node, file in files.items()
        if file.mode & 0o077
    ]
    warnings = [
        f"the folder of {file.path} on {node} is open to others ({file.folder_mode:04o})"
        for node, file in files.items()
        if file.folder_mode & 0o077
    ]
    paths = sorted({file.path for file in files.values()})
    fine = f"{', '.join(paths)}: for its owner alone" if paths else "none yet: Ray makes it"
    remedy = "; ".join(f"chmod 700 {path.rsplit('/', 1)[0]} && chmod 600 {path}" for path in paths)
    return judge("token file", fine, warnings, problems, remedy)


def _is_own(one: Listening) -> bool:
    return ipaddress.ip_address(one.address).is_loopback


def _words(addresses: list[str]) -> str:
    every = {"0.0.0.0", "::"}
    return "every address" if every & set(addresses) else ", ".join(addresses)
