"""Whole commands whose steps fail to the end: cells with their reason, exit code 1, and the rerun.

A full disk is one where no file may grow (RLIMIT_FSIZE), exhausted memory an address space that
may not (RLIMIT_AS): neither fills this machine.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from e2e.test_backends import assert_same_tables
from e2e.test_remote_runs import EVERY, assert_same, records
from lussweep.backend.driver import LOST_AGAIN, Progress, run_plan
from lussweep.backend.inline import InlineExecutor
from lussweep.data.phantom import phantom_manifest
from lussweep.run.lease import LEASE_FILE
from lussweep.run.mirror import Mirror
from lussweep.stages import Context
from lussweep.store.artifacts import ArtifactStore
from lussweep.store.object_store import ObjectStore
from lussweep.study.plan import Plan, make_plan
from lussweep.study.spec import load_study
from support.bucket import Server
from support.commands import TINY, lussweep
from support.drivers import Driver
from support.faults import ALWAYS

EXPECTED = {
    "fail": "OSError: the disk is away (2 attempts)",
    "fill disk": "DiskFull: #",
    "eat": "MemoryError: no message (2 attempts)",
    "leak": "LeakageError: ",
    "hang": "TimeLimit: no end within 0.1 min (2 attempts)",
    "die": "WorkerLost: the process of this step was lost: ",
}


def tiny_plan() -> Plan:
    study = load_study(TINY).with_embedders(False)
    return make_plan(study, phantom_manifest(study.data.phantom, study.seed), phantom=True)


def with_faults(run: Path, kinds: list[str]) -> dict[str, tuple[str, int]]:
    """The judgements of as many cells are gone from a finished run, and will fail so."""
    cells = tiny_plan().cells[: len(kinds)]
    for cell in cells:
        shutil.rmtree(run / "artifacts" / cell.refs["evaluate"])
    return {c.refs["evaluate"]: (kind, ALWAYS) for c, kind in zip(cells, kinds, strict=True)}


def rows(run: Path, name: str) -> list[dict[str, Any]]:
    return list(pq.read_table(run / f"{name}.parquet").to_pylist())


def assert_marked(run: Path, kinds: list[str], code: int, out: str, err: str) -> None:
    """Each of the first cells has its reason, no other one is touched."""
    assert code == 1, out + err
    assert "Traceback" not in out + err
    marked = rows(run, "results")
    for row, kind in zip(marked, kinds, strict=False):
        assert row["status"] == "failed"
        assert row["reason"].startswith(EXPECTED[kind]), row["reason"]
        assert row["auroc"] is None
    assert {row["status"] for row in marked[len(kinds) :]} == {"done"}
    failures = {row["key"]: row["error"] for row in rows(run, "failures")}
    assert failures == {row["evaluate_key"]: row["reason"] for row in marked[: len(kinds)]}
    assert len(list((run / "logs").iterdir())) == len(kinds)
    told = [line for line in out.splitlines() if line.startswith("failed: ")]
    assert len(told) == len(kinds)
    if "fill disk" in kinds:
        (line,) = (line for line in told if "DiskFull" in line)
        assert f"DiskFull: {run / 'artifacts'} has no room left (" in line
        assert line.endswith("): free some there (2 attempts)")
    for row in marked[: len(kinds)]:
        assert not (run / "artifacts" / "evaluate" / row["evaluate_key"]).exists()
    assert not (run / LEASE_FILE).exists()


def test_a_full_disk_marks_the_cells_that_it_costs_and_a_rerun_makes_them(
    uninterrupted: Path, finished: Path, tiny_yaml: Path, tmp_path: Path
) -> None:
    kinds = ["fill disk", "fail"]
    inline = (tiny_yaml, "--backend", "inline")
    driver = Driver(finished, *inline, faults=with_faults(finished, kinds))
    code, err = driver.end()
    assert_marked(finished, kinds, code, driver.printed, err)
    done = lussweep("grid", *inline, "--out", finished, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_tables(finished, uninterrupted)
    assert not (finished / "logs").exists()


@pytest.mark.slow
def test_whatever_fails_on_ray_to_the_end_is_marked_with_its_reason(
    uninterrupted: Path, finished: Path, tiny_yaml: Path, tmp_path: Path
) -> None:
    kinds = list(EXPECTED)
    ray = (tiny_yaml, "--cpus", "2", "--no-dashboard", "--step-timeout", "0.1")
    driver = Driver(finished, *ray, faults=with_faults(finished, kinds))
    code, err = driver.end()
    assert_marked(finished, kinds, code, driver.printed, err)
    turns = {kind: _turns(finished, i) for i, kind in enumerate(kinds)}
    assert turns == dict.fromkeys(kinds, 2) | {"leak": 1, "die": LOST_AGAIN + 1}
    done = lussweep("grid", *ray[:4], "--out", finished, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_tables(finished, uninterrupted)


def _turns(run: Path, i: int) -> int:
    ref = tiny_plan().cells[i].refs["evaluate"]
    return len(list((run / "artifacts" / ".faults").glob(f"{ref.replace('/', '-')}.*")))


@pytest.mark.parametrize("n_kib", [pytest.param(1, marks=pytest.mark.slow), 19])
def test_a_driver_without_room_for_its_own_files_says_so_in_one_line(
    finished: Path, tiny_yaml: Path, tmp_path: Path, n_kib: int
) -> None:
    """Whatever file it is that no longer fits; the next command goes on."""
    shutil.rmtree(finished / "artifacts" / tiny_plan().cells[0].refs["evaluate"])
    (finished / "results.parquet").unlink()
    limited = f'ulimit -f {n_kib}; exec "$@"'
    arguments = ("grid", tiny_yaml, "--backend", "inline", "--out", finished)
    done = lussweep(*arguments, cwd=tmp_path, before=("bash", "-c", limited, "bash"))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if "has no room left" in line]
    assert len(lines) == 1, done.stderr
    assert str(finished) in lines[0]
    assert lines[0].endswith("run the same command again to go on")
    assert lussweep(*arguments, cwd=tmp_path).returncode == 0


# --- an object store in trouble ------------------------------------------------------------


def data_plan() -> Plan:
    """Steps that take no time: what the store does is all there is."""
    plan = tiny_plan()
    return plan.only(("shard", "ingest", "cohort"))


def test_a_store_that_is_slow_and_fails_now_and_then_costs_no_step(
    s3: Server, uninterrupted: Path, own_cache: Path
) -> None:
    plan, store = data_plan(), ObjectStore(s3.url())

    def one_more(progress: Progress) -> None:
        s3.n_failing += len(progress.done) % 4 == 0  # each costs the client a second of patience

    try:
        with s3.slow(0.01):
            executor = InlineExecutor(plan, Context(store, "cpu"))
            progress = run_plan(plan, store, executor, one_more)
    finally:
        s3.n_failing = 0
    assert progress.done == set(plan.steps)
    whole = ArtifactStore(uninterrupted / "artifacts")
    for ref in plan.steps:
        assert {n for n in store.files(ref) if "record" not in n} == {
            n for n in whole.files(ref) if "record" not in n
        }
        assert store.record(ref)["summary"] == whole.record(ref)["summary"]


IMPATIENT = '{"config_kwargs": {"retries": {"mode": "standard", "max_attempts": 2}}}'


@pytest.mark.slow
def test_a_store_that_goes_on_failing_is_one_line_and_the_rerun_goes_on(
    s3: Server, uninterrupted: Path, tiny_yaml: Path, tmp_path: Path, own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("FSSPEC_S3", IMPATIENT)
    url = s3.url()
    arguments = ("grid", tiny_yaml, "--backend", "inline", "--out", f"{url}/run")
    driver = Driver(tmp_path / "run", *arguments[1:4], out=f"{url}/run")
    driver.until(lambda: any("/trial/" in r and r.endswith("record.json") for r in s3.requests))
    with s3.failing(10**9):
        code, err = driver.end()
    assert code == 1, err
    assert "Traceback" not in driver.printed + err
    assert f"{url}/run" in err
    assert "run the same command again" in err
    before = records(url)
    done = lussweep(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    after = records(url)
    assert before
    assert {name: after[name] for name in before} == before
    assert_same(Mirror(f"{url}/run").pulled(), uninterrupted, EVERY)
