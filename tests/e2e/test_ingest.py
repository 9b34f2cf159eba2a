"""Bringing in videos: faults, a stop, a second command; in a folder and in a bucket."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from e2e.test_cli import write_videos
from lussweep.backend.choose import backend_of_ingest
from lussweep.data.readers import decode
from lussweep.run.lease import LEASE_FILE, Owner
from lussweep.store.remote import RemoteFolder
from support.bucket import Server
from support.commands import environment, invoke, refusal, succeed

WITHOUT_RAY = "import sys; sys.modules['ray'] = None; from lussweep.cli.app import app; app()"
INGEST = ("--image-size", "64", "--backend", "inline")


@pytest.fixture
def on_read(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], list[str]]:
    """Do something at the n-th reading of a video; the names of those read."""

    def install(n: int, happens: Callable[[], None]) -> list[str]:
        names: list[str] = []
        read = decode.read_loop

        def reading(path: Path, *rest: Any) -> Any:
            names.append(path.name)
            if len(names) == n:
                happens()
            return read(path, *rest)

        monkeypatch.setattr(decode, "read_loop", reading)
        return names

    return install


def test_one_process_decodes_unless_an_option_is_for_ray(tmp_path: Path) -> None:
    manifest = write_videos(tmp_path, n_patients=1)
    found = {name: value for name, value in environment().items() if name != "RAY_ADDRESS"}
    for out, options, finds in (("a", (), "store: "), ("b", ("--cpus", "1"), "ray")):
        ended = subprocess.run(
            [sys.executable, "-c", WITHOUT_RAY, "ingest", manifest, "--out", tmp_path / out,
             "--image-size", "64", *options],
            env=found, capture_output=True, text=True,
        )  # fmt: skip
        assert finds in ended.stdout + ended.stderr
        assert (ended.returncode == 0) == (tmp_path / out / "store.json").exists() == (out == "a")


@pytest.mark.parametrize(
    ("address", "cpus", "step_minutes", "variable", "expected"),
    [
        (None, None, None, None, "inline"),
        ("auto", None, None, None, "ray"),
        (None, 2, None, None, "ray"),
        (None, None, 5.0, None, "ray"),
        (None, None, None, "10.0.0.1:6379", "ray"),
    ],
)
def test_what_only_ray_has_chooses_ray(
    monkeypatch: pytest.MonkeyPatch, address: str | None, cpus: int | None,
    step_minutes: float | None, variable: str | None, expected: str,
) -> None:  # fmt: skip
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if variable:
        monkeypatch.setenv("RAY_ADDRESS", variable)
    assert backend_of_ingest(address, cpus, step_minutes) == expected


def test_a_fault_is_tried_again(tmp_path: Path, on_read: Any) -> None:
    manifest = write_videos(tmp_path, n_patients=2)

    def fail() -> None:
        raise OSError("the disk is away")

    names = on_read(3, fail)
    succeed("ingest", manifest, "--out", tmp_path / "store", *INGEST)
    assert len(names) == 12 + 1
    text = refusal("ingest", manifest, "--out", tmp_path / "other", *INGEST, "--step-timeout", "1")
    assert "--step-timeout" in text


def test_a_stop_keeps_whole_patients_and_the_same_command_goes_on(
    tmp_path: Path, s3: Server, own_cache: Path, on_read: Any
) -> None:
    manifest, url = write_videos(tmp_path, n_patients=2), s3.url()
    names = on_read(3, lambda: signal.raise_signal(signal.SIGTERM))
    code, output = invoke("ingest", manifest, "--out", url, *INGEST)
    assert code == 130, output
    assert "interrupted: run the same command again to go on" in output
    assert RemoteFolder(url).read(LEASE_FILE) == b"{}", "given back"
    assert RemoteFolder(url).read("store.json") is None
    assert "is not a frame store" in refusal("plan", "quickstart", "--data", url)
    shutil.rmtree(own_cache)  # from another machine
    assert 3 <= len(names) <= 4, "what was being read is kept, and nothing else begins"
    succeed("ingest", manifest, "--out", url, *INGEST)
    assert len(names) == len(set(names)) == 12, "no video is read twice"


def test_a_second_command_is_refused(tmp_path: Path) -> None:
    manifest, store = write_videos(tmp_path, n_patients=1), tmp_path / "store"
    store.mkdir()
    other = replace(Owner.this(), pid=os.getppid())
    (store / LEASE_FILE).write_text(other.text())
    text = refusal("ingest", manifest, "--out", store, *INGEST)
    assert f"{store} is in use by process {other.pid} on " in text


def test_a_grid_reads_frames_from_a_bucket(
    tmp_path: Path, tiny_yaml: Path, s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, url = write_videos(tmp_path), f"{s3.url()}/frames"
    monkeypatch.setenv("LUSSWEEP_CACHE", str(tmp_path / "one"))
    assert f"store: {url}" in succeed("ingest", manifest, "--out", url, *INGEST)
    monkeypatch.setenv("LUSSWEEP_CACHE", str(tmp_path / "other"))
    cell = ("--only", "variant=baseline,n_patients=3", "--backend", "inline")
    succeed("grid", tiny_yaml, "--data", url, "--out", tmp_path / "run", *cell)
    assert not (tmp_path / "run" / "artifacts" / "shard").exists(), "decoded a second time"
    (row,) = pq.read_table(tmp_path / "run" / "results.parquet").to_pylist()
    assert (row["status"], row["n_holdout_patients"]) == ("done", 8)
