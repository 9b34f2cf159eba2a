"""What several tests share: the small study, the real videos where they are, one local Ray."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.bucket import Server, running
from support.commands import POCUS, TINY, lussweep
from support.once import made_once

if TYPE_CHECKING:
    from support.gcs_bucket import GcsServer


pytest_plugins = ("support.quick", "support.skips", "support.workers")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a GPU")


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Ray's token and our cache of file digests go to a folder of the tests' own."""
    home = tmp_path_factory.mktemp("home")
    before = os.environ.get("HOME")
    os.environ["HOME"] = str(home)
    os.environ.pop("RAY_ADDRESS", None)
    yield home
    if before is not None:
        os.environ["HOME"] = before


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small forwards on a busy machine are slowed by threads that wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_yaml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def pocus() -> Path:
    """The manifest of the real lung-ultrasound videos, which are no part of the project."""
    manifest = POCUS / "manifest.csv"
    if not manifest.exists():
        pytest.skip("the POCUS videos are not here (../shared/data/pocus); nothing else needs them")
    return manifest


@pytest.fixture(scope="session")
def s3() -> Iterator[Server]:
    """An S3 server on this machine; the environment says where."""
    with running() as server:
        yield server


@pytest.fixture(scope="session")
def gcs() -> Iterator[GcsServer]:
    """A Google Cloud Storage server on this machine; the environment says where."""
    from support import gcs_bucket

    with gcs_bucket.running() as server:
        yield server


@pytest.fixture(params=["s3", "gcs"])
def bucket(request: pytest.FixtureRequest) -> Server | GcsServer:
    """Each of the object stores that know conditional writes."""
    server: Server | GcsServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This test's node has copied nothing yet."""
    monkeypatch.setenv("LUSSWEEP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """One Ray of two CPUs for all tests, never somebody else's cluster."""
    from lussweep.backend.cluster.session import ray_session

    with ray_session("local", n_cpus=2, dashboard=False):
        yield


@pytest.fixture(scope="session")
def uninterrupted(tiny_yaml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of the small study, done in one go by the reference backend."""

    def make(folder: Path) -> None:
        done = lussweep("grid", tiny_yaml, "--out", folder / "run", "--backend", "inline",
                        cwd=folder)  # fmt: skip
        assert done.returncode == 0, done.stderr

    return made_once("uninterrupted", make, tmp_path_factory) / "run"


@pytest.fixture
def finished(uninterrupted: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to be changed at will."""
    return Path(shutil.copytree(uninterrupted, tmp_path / "run"))
