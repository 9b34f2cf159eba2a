"""Each check of who gets in, both ways."""

from __future__ import annotations

import pytest

from lussweep.backend.doctor.security import (
    check_addresses,
    check_authentication,
    check_own_ray,
    check_ray_version,
    check_token_files,
)
from lussweep.backend.machine import Listening, TokenFile

PORTS = {"control service": 6379, "client server": 10001, "dashboard": 8265}


def listening(**addresses: str) -> list[Listening]:
    """By the first word of a service's name."""
    ports = {name.split()[0]: port for name, port in PORTS.items()}
    return [Listening(address, ports[name]) for name, address in addresses.items()]


@pytest.mark.parametrize("version", ["2.59.0", "2.60.0", "3.0.0.dev0"])
def test_a_ray_with_authentication(version: str) -> None:
    assert check_ray_version({"a": version}).status == "ok"


@pytest.mark.parametrize("version", ["2.58.9", "2.9.0", "1.13.0"])
def test_a_ray_before_authentication_is_named_with_its_node(version: str) -> None:
    found = check_ray_version({"a": "2.60.0", "b": version})
    assert found.status == "problem"
    assert f"{version} on b" in found.found and " on a" not in found.found
    assert "2.59" in found.remedy


@pytest.mark.parametrize(
    ("control_open", "status"), [(True, 401), (True, None), (False, 200), (None, 200), (True, 200)]
)
def test_one_open_door_is_a_problem(control_open: bool | None, status: int | None) -> None:
    found = check_authentication(control_open, status, "token")
    assert found.status == "problem"
    assert "RAY_AUTH_MODE=token" in found.remedy


@pytest.mark.parametrize(
    ("control_open", "status"), [(False, 401), (False, None), (None, 401), (None, 403)]
)
def test_closed_doors(control_open: bool | None, status: int | None) -> None:
    assert check_authentication(control_open, status, "token").status == "ok"


@pytest.mark.parametrize("status", [None, 404, 500])
def test_doors_that_could_not_be_tried_are_no_closed_doors(status: int | None) -> None:
    found = check_authentication(None, status, "")
    assert found.status == "warning"
    assert "RAY_AUTH_MODE=unset" in found.found


@pytest.mark.parametrize(("mode", "status"), [("", "ok"), ("token", "ok"), ("disabled", "problem")])
def test_the_ray_that_grid_would_start(mode: str, status: str) -> None:
    assert check_own_ray(mode).status == status


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("is_closed", [True, False])
def test_services_on_localhost(address: str, is_closed: bool) -> None:
    found = check_addresses(
        PORTS, listening(control=address, client=address, dashboard=address), is_closed
    )
    assert found.status == "ok"


@pytest.mark.parametrize("name", ["control", "client", "dashboard"])
@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.7"])
def test_an_open_service_that_others_reach_is_a_problem(name: str, address: str) -> None:
    found = check_addresses(PORTS, listening(**{name: address}), is_closed=False)
    assert found.status == "problem"
    assert name in found.found
    assert ("every address" if address != "192.0.2.7" else address) in found.found


def test_behind_a_token_only_the_dashboard_should_be_on_localhost() -> None:
    fine = listening(control="::", client="192.0.2.7", dashboard="127.0.0.1")
    assert check_addresses(PORTS, fine, is_closed=True).status == "ok"
    found = check_addresses(PORTS, listening(control="::", dashboard="0.0.0.0"), is_closed=True)
    assert found.status == "warning"
    assert found.found == "dashboard (8265) on every address"


def test_a_service_that_does_not_run_is_not_spoken_of() -> None:
    found = check_addresses(PORTS, listening(control="127.0.0.1"), is_closed=True)
    assert found.found == "control service on localhost"


def test_ports_of_others_are_no_matter_of_ours() -> None:
    others = [Listening("0.0.0.0", 22), *listening(control="127.0.0.1")]
    assert check_addresses(PORTS, others, is_closed=False).status == "ok"


def test_unknown_ports_are_said_to_be_unknown() -> None:
    assert check_addresses(PORTS, None, is_closed=True).status == "warning"


@pytest.mark.parametrize(
    ("mode", "folder_mode", "status"),
    [
        (0o600, 0o700, "ok"), (0o400, 0o700, "ok"), (0o600, 0o755, "warning"),
        (0o644, 0o700, "problem"), (0o640, 0o755, "problem"),
    ],
)  # fmt: skip
def test_the_token_is_for_its_owner(mode: int, folder_mode: int, status: str) -> None:
    file = TokenFile("/home/a/.ray/auth_token", mode, folder_mode)
    found = check_token_files({"a": file, "b": None})
    assert found.status == status
    if status != "ok":
        assert found.remedy == "chmod 700 /home/a/.ray && chmod 600 /home/a/.ray/auth_token"
        assert " on a " in found.found


def test_no_token_yet() -> None:
    assert check_token_files({"a": None}).status == "ok"
