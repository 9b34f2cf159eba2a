"""Nodes that cannot use the store are named before anything is submitted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lussweep.store.artifacts import ArtifactStore
from lussweep.store.object_store import ObjectStore
from support.bucket import Server
from support.commands import environment

WORD = ".probe-of-the-driver"


def problems(*stores: ArtifactStore) -> list[str]:
    from lussweep.backend.cluster.probe import problems_here

    marks = {i: WORD for i, store in enumerate(stores) if not isinstance(store, ObjectStore)}
    return problems_here(stores, marks)


def test_a_folder_with_the_drivers_probe_is_fine_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / WORD).touch()
    assert problems(ArtifactStore(tmp_path)) == []
    assert [p.name for p in tmp_path.iterdir()] == [WORD]


def test_another_nodes_disk_is_told_from_shared_storage(tmp_path: Path) -> None:
    (line,) = problems(ArtifactStore(tmp_path / "elsewhere"))
    assert str(tmp_path / "elsewhere") in line
    assert "mount shared storage" in line
    assert not (tmp_path / "elsewhere").exists()


def test_an_object_store_is_used_from_the_node(s3: Server, own_cache: Path) -> None:
    assert problems(ObjectStore(s3.url())) == []
    (line,) = problems(ObjectStore("s3://no-such-bucket/store"))
    assert "make the bucket first" in line


def test_a_single_node_is_not_asked_again(local_ray: None, tmp_path: Path) -> None:
    from lussweep.backend.cluster.probe import check_nodes

    check_nodes([ArtifactStore(tmp_path / "nothing-is-written")])
    assert list(tmp_path.iterdir()) == []


NODES = """
import json, os, sys
from pathlib import Path
from ray.cluster_utils import Cluster

folder = sys.argv[1]
cluster = Cluster()
for name in ("head", "worker"):
    cluster.add_node(num_cpus=1, env_vars={"DISK": f"{folder}/{name}"}, include_dashboard=False)
os.environ["DISK"] = f"{folder}/head"

from lussweep.backend.cluster.probe import check_nodes
from lussweep.backend.cluster.session import ray_session
from lussweep.errors import InputError
from lussweep.store.artifacts import ArtifactStore


class Disk(ArtifactStore):
    '''What lies at one path on every node, and is another disk on each.'''

    root = property(lambda self: Path(os.environ["DISK"]))


with ray_session(cluster.address):
    told = []
    for stores in ([ArtifactStore(Path(folder) / "shared")], [Disk(Path(folder))]):
        try:
            check_nodes(stores)
            told.append([])
        except InputError as error:
            told.append(error.problems)
print(json.dumps(told))
cluster.shutdown()
"""


@pytest.mark.slow
def test_only_the_node_with_a_disk_of_its_own_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NODES, str(tmp_path)], env=environment(), capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shared, apart = json.loads(done.stdout.splitlines()[-1])
    assert shared == []
    assert len(apart) == 1
    assert apart[0].startswith(f"node {os.uname().nodename}")
    assert str(tmp_path / "worker") in apart[0]
    left = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert left == []
