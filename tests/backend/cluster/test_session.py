"""Workers start with the allocator's settings, on a Ray of our own and on one that was there."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lussweep.backend.cluster import reach
from lussweep.errors import InputError
from support.commands import environment, invoke, refusal

JOIN = """
import json, os
from ray.cluster_utils import Cluster
cluster = Cluster(
    initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
)  # before ours is imported: its processes have no such settings
import ray
from lussweep.backend.cluster.environment import ALLOCATOR
from lussweep.backend.cluster.session import ray_session
with ray_session(cluster.address):
    found = ray.get(ray.remote(lambda: dict(os.environ)).remote())
    print(json.dumps([{name: found.get(name) for name in ALLOCATOR}, ALLOCATOR]))
cluster.shutdown()
"""


def test_workers_of_a_cluster_that_was_there_get_the_allocators_settings() -> None:
    done = subprocess.run(
        [sys.executable, "-c", JOIN], env=environment(), capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    found, expected = json.loads(done.stdout.splitlines()[-1])
    assert found == expected


def test_workers_of_a_local_ray_inherit_them(
    local_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    from lussweep.backend.cluster.environment import ALLOCATOR

    @ray.remote(num_cpus=0)
    def settings() -> dict[str, str | None]:
        import os

        return {name: os.environ.get(name) for name in ALLOCATOR}

    for name in ALLOCATOR:
        monkeypatch.delenv(name)  # the driver's own are not what is asked for
    assert ray.get(settings.remote()) == ALLOCATOR


@pytest.fixture
def mute() -> Iterator[str]:
    """The address of something that takes a connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def free(mute: str) -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def test_an_address_where_nothing_listens_is_one_line(free: str, tiny_yaml: Path) -> None:
    line = refusal("grid", tiny_yaml, "--address", free, "--out", tiny_yaml.parent / "none")
    assert f"nothing answers at {free} (Connection refused): see that the cluster runs" in line
    code, output = invoke("doctor", "--address", free)
    assert code == 1 and output.startswith("problem  cluster: nothing answers at")


def test_an_address_of_the_environment_is_called_so(
    free: str, tiny_yaml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", free)
    line = refusal("grid", tiny_yaml, "--out", tiny_yaml.parent / "none")
    assert f"nothing answers at {free}, the value of RAY_ADDRESS, (Connection refused)" in line
    assert "or unset RAY_ADDRESS for a Ray of this machine" in line
    monkeypatch.setenv("RAY_ADDRESS", "head")
    line = refusal("grid", tiny_yaml, "--out", tiny_yaml.parent / "none")
    assert "RAY_ADDRESS head is not of the form HOST:PORT" in line
    assert "--address" not in line


def test_what_is_no_ray_is_told_apart_from_one(mute: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "REACH_S", 0.5)
    with pytest.raises(InputError, match=f"what answers at {mute} is not a Ray: give HOST:PORT"):
        reach.check_reachable(mute)
    assert reach.strangers_may_enter(mute) is None


def test_a_machine_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(place: tuple[str, int], timeout: float) -> None:
        assert place == ("192.0.2.1", 6379) and timeout == reach.REACH_S <= 5
        raise TimeoutError("timed out")

    monkeypatch.setattr(reach.socket, "create_connection", connect)
    with pytest.raises(InputError, match=r"nothing answers at 192\.0\.2\.1:6379 \(timed out\)"):
        reach.check_reachable("192.0.2.1:6379")


@pytest.mark.parametrize("address", ["head", "head:", ":6379", "head:x", "http://head:8265", "::1"])
def test_what_is_no_address_is_said_to_be_none(address: str) -> None:
    with pytest.raises(InputError, match="not of the form HOST:PORT"):
        reach.check_reachable(address)


def test_rays_client_is_not_for_tune() -> None:
    with pytest.raises(InputError, match="lussweep submit"):
        reach.check_reachable("ray://head:10001")


def test_a_ray_is_reached_with_its_token(local_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    address = ray.get_runtime_context().gcs_address
    reach.check_reachable(address)
    assert reach.strangers_may_enter(address) is False
    monkeypatch.setattr(reach, "control_service_answer", lambda address, **_: "closed")
    with pytest.raises(InputError, match="does not take our token: copy"):
        reach.check_reachable(address)
