"""Workers start with the allocator's settings, on a Ray of our own and on one that was there."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from support import environment

JOIN = """
import json, os
from ray.cluster_utils import Cluster
cluster = Cluster(
    initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
)  # before ours is imported: its processes have no such settings
from lussweep.backend.cluster.session import ALLOCATOR, ray, ray_session
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

    from lussweep.backend.cluster.session import ALLOCATOR

    @ray.remote(num_cpus=0)
    def settings() -> dict[str, str | None]:
        import os

        return {name: os.environ.get(name) for name in ALLOCATOR}

    for name in ALLOCATOR:
        monkeypatch.delenv(name)  # the driver's own are not what is asked for
    assert ray.get(settings.remote()) == ALLOCATOR
