"""Looking at a run in a bucket and stopping it, with its URL alone."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from lussweep.cli import cancel
from lussweep.run.mirror import Mirror
from lussweep.store.remote import RemoteFolder
from support.bucket import Server
from support.commands import command, environment, invoke, refusal, succeed

if TYPE_CHECKING:
    from support.gcs_bucket import GcsServer

CELL = "variant=pure_synthetic,n_patients=2"
LONG_GAN = ("--only", CELL, "--set", "gan.n_epochs=100000", "--set", "gan.snapshot_every=100000")
COLLAPSE = ("--only", CELL, "--set", "gan.health.policy=stop", "--set", "gan.health.patience=1",
            "--set", "gan.health.diversity_floor=1e9")  # fmt: skip
WAIT_S = 200.0


def status(url: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(succeed("status", url, "--json"))
    return found


def test_a_driver_is_watched_and_stopped_through_the_bucket(
    s3: Server, tiny_yaml: Path, tmp_path: Path, own_cache: Path
) -> None:
    url = f"{s3.url()}/run"
    RemoteFolder(url).write("cancel", b"")  # of yesterday: void
    driver = subprocess.Popen(
        command("grid", tiny_yaml, "--out", url, "--backend", "inline", *LONG_GAN),
        env={**environment(), "LUSSWEEP_CACHE": str(tmp_path / "of-the-driver")}, cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + WAIT_S
        told: dict[str, Any] = {}
        while not (told.get("running") and "of 100000" in told["running"][0]["progress"]):
            assert driver.poll() is None and time.monotonic() < deadline
            time.sleep(1)
            if RemoteFolder(url).read("state.json"):
                told = status(url)
        assert (told["driver"], told["pid"], told["ended"]) == ("works", driver.pid, None)
        assert "running (epoch" in succeed("logs", url, CELL).replace("\n", " ")
        assert f"pid {driver.pid} on {os.uname().nodename} stops" in succeed("cancel", url)
        output, _ = driver.communicate(timeout=WAIT_S)
    finally:
        driver.kill()
    assert driver.returncode == 130, output
    assert (status(url)["ended"], status(url)["running"]) == ("interrupted", [])
    assert RemoteFolder(url).read("cancel") is None
    work = RemoteFolder(f"{url}/artifacts/.work").listing()
    assert any("checkpoints/checkpoint_" in name for name in work), "the GAN has left one"
    assert "the last one was interrupted" in refusal("cancel", url)
    assert not (own_cache / "runs").exists(), "nothing was copied to look at it"


def test_why_a_cell_failed_is_told_from_the_bucket(
    s3: Server, tiny_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{s3.url()}/run"
    monkeypatch.setenv("LUSSWEEP_CACHE", str(tmp_path / "of-the-driver"))
    s3.requests.clear()
    code, output = invoke("grid", tiny_yaml, "--out", url, "--backend", "inline", *COLLAPSE)
    assert code == 1, output
    put = [r.partition("/run/")[2] for r in s3.requests if r.startswith("PUT")]
    logs = [name for name in put if name.startswith("logs/gan-")]
    assert len(logs) == 4, "both at once, and again with the report"
    assert "plan.json" not in [p.name for p in (tmp_path / "of-the-driver").rglob("*")]
    monkeypatch.setenv("LUSSWEEP_CACHE", str(tmp_path / "elsewhere"))
    assert status(url)["n_failed"] == 2
    text = succeed("logs", url, CELL)
    assert text.count("Collapse: ") >= 2
    assert "Traceback (most recent call last)" in text
    assert f"{url}/artifacts/cohort/" in text, "where an artifact lies is its place in the bucket"
    assert " low_diversity: " in text, "events of a GAN without an artifact"


def test_what_is_no_run_is_one_clear_line(s3: Server, own_cache: Path) -> None:
    for name, *cell in (("status",), ("cancel",), ("logs", "variant=baseline")):
        url = s3.url()
        assert f"{url} is not a run folder" in refusal(name, url, *cell)
        RemoteFolder(url).write("run.json", b"{}")
        assert "`lussweep grid` command again, which writes it" in refusal(name, url, *cell)
        RemoteFolder(url).write("state.json", b"{half")
        RemoteFolder(url).write("plan.json", b"{half")
        assert "cannot be read" in refusal(name, url, *cell)


def test_a_driver_that_does_not_answer_is_told(
    s3: Server, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancel, "REMOTE_OBEYED_S", 0.2)
    url = s3.url()
    gone = {"host": "node7", "pid": 4711, "written": time.time() - 7200, "ended": None}
    RemoteFolder(url).write("state.json", json.dumps(gone).encode())
    code, text = invoke("cancel", url)
    assert code == 1
    assert "pid 4711 on node7 does not answer; its last report was 2 h ago" in text
    assert RemoteFolder(url).read("cancel") == b"", "the request stays"


def test_a_run_in_google_cloud_storage(
    gcs: GcsServer, tiny_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{gcs.url()}/run"
    monkeypatch.setenv("LUSSWEEP_CACHE", str(tmp_path / "of-the-driver"))
    grid = ("grid", tiny_yaml, "--out", url, "--backend", "inline")
    succeed(*grid, "--only", "variant=baseline,n_patients=2")
    monkeypatch.setenv("LUSSWEEP_CACHE", str(tmp_path / "elsewhere"))
    assert status(url)["driver"] == "ended"
    assert "blocked" not in succeed("logs", url, "variant=baseline")
    run = Mirror(url).pulled()
    assert pq.read_table(run / "results.parquet")["status"].to_pylist() == ["done"]
    before = RemoteFolder(f"{url}/artifacts").listing()
    assert "AUC-ROC" in succeed(*grid, "--only", "variant=baseline,n_patients=2")
    after = RemoteFolder(f"{url}/artifacts").listing()
    assert {n: i["generation"] for n, i in after.items()} == {
        n: i["generation"] for n, i in before.items()
    }
