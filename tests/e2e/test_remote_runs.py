"""Whole runs in an object store: the tables of a local run, from any node, after any kill."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from lussweep.data.phantom import phantom_manifest
from lussweep.models.generators.dcgan.networks import Generator
from lussweep.models.generators.dcgan.sample import save_snapshot
from lussweep.run.mirror import Mirror
from lussweep.stages import Context, execute
from lussweep.store.object_store import ObjectStore
from lussweep.store.remote import RemoteFolder
from lussweep.study.plan import make_plan
from lussweep.study.spec import load_study
from support.bucket import Server
from support.commands import TINY, command, environment, invoke, lussweep, succeed

PER_CELL = ("trials", "frame_scores", "val_scores", "gan_scores", "gan_losses")
EVERY = (
    *PER_CELL, "results", "cohorts", "frames", "memorisation", "contrasts", "worth", "aurocs",
    "operating",
)  # fmt: skip


EVERYWHERE: Mapping[str, Any] = {}
CELL = {"n_patients": 2, "variant": "combined", "class": "pos"}
"""One cell of the small study and its generator."""


def rows(run: Path, name: str, where: Mapping[str, Any] = EVERYWHERE) -> pa.Table:
    """A table without its clock readings."""
    table = pq.read_table(run / f"{name}.parquet")
    for column in where.keys() & set(table.column_names):
        table = table.filter(pc.equal(table[column], where[column]))
    return table.drop_columns([c for c in ("seconds",) if c in table.column_names])


def assert_same(
    one: Path, other: Path, names: tuple[str, ...], where: Mapping[str, Any] = EVERYWHERE
) -> None:
    for name in names:
        mine = rows(one, name, where)
        assert len(mine), name
        assert mine.equals(rows(other, name, where)), name


def arguments(tiny_yaml: Path, url: str) -> list[str | Path]:
    cell = ("--only", "n_patients=2,variant=combined")
    return ["grid", tiny_yaml, "--out", f"{url}/run", *cell, "--backend", "inline"]


@pytest.fixture(scope="module")
def killed_and_resumed(
    s3: Server, tiny_yaml: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, set[str]]:
    """A run's URL, and the records that were there when its first process was killed."""
    url, folder = s3.url(), tmp_path_factory.mktemp("nodes")
    first = {**environment(), "LUSSWEEP_CACHE": str(folder / "first")}
    process = subprocess.Popen(
        command(*arguments(tiny_yaml, url)), cwd=folder, env=first,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not any(name.startswith("trial/") for name in records(url)):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    survivors = set(records(url))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUSSWEEP_CACHE", str(folder / "second"))
        done = lussweep(*arguments(tiny_yaml, url), cwd=folder)
    assert done.returncode == 0, done.stderr
    return url, survivors


def records(url: str) -> dict[str, str]:
    found = RemoteFolder(f"{url}/run/artifacts").listing()
    return {name: str(info["ETag"]) for name, info in found.items() if name.endswith("record.json")}


def test_a_killed_run_goes_on_elsewhere_to_the_tables_of_a_local_one(
    killed_and_resumed: tuple[str, set[str]], uninterrupted: Path, own_cache: Path
) -> None:
    url, survivors = killed_and_resumed
    assert survivors
    assert survivors < records(url).keys()
    run = Mirror(f"{url}/run").pulled()
    assert_same(run, uninterrupted, PER_CELL, CELL)
    written = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()}
    assert {"run.json", "experiment.yaml", "report.json", "figures/auroc.png"} <= written
    assert any(name.startswith("tensorboard/") for name in written)


def test_a_rerun_writes_its_log_alone_from_whatever_node(
    killed_and_resumed: tuple[str, set[str]], s3: Server, tiny_yaml: Path, own_cache: Path
) -> None:
    url, _ = killed_and_resumed
    s3.requests.clear()
    output = succeed(*arguments(tiny_yaml, url))
    assert "AUC-ROC" in output
    assert f"{url}/run/results.parquet" in output
    written = [r for r in s3.requests if r.startswith(("PUT", "POST", "DELETE"))]
    passing = (".probe-", "?delete", "/lease.json", "/driver.log")
    assert all(r.startswith("POST") or any(p in r for p in passing) for r in written), written
    log = RemoteFolder(f"{url}/run").read("driver.log") or b""
    assert log.count(b"started tiny: ") >= 2, "it grows, also from another node"


def test_a_plan_and_an_export_read_the_run_where_it_is(
    killed_and_resumed: tuple[str, set[str]], tiny_yaml: Path, own_cache: Path, tmp_path: Path
) -> None:
    url, _ = killed_and_resumed
    assert f"{url}/run" in succeed("plan", tiny_yaml, "--out", f"{url}/run")
    exported = ("export-synthetic", f"{url}/run", "--out", tmp_path / "images")
    succeed(*exported, "--allow-unjudged")
    assert list(tmp_path.glob("images/2/1/pos/**/*.png"))


def test_a_run_of_another_experiment_is_refused(
    killed_and_resumed: tuple[str, set[str]], tiny_yaml: Path, own_cache: Path
) -> None:
    url, _ = killed_and_resumed
    code, output = invoke(*arguments(tiny_yaml, url), "--set", "seed=7")
    assert code == 2
    assert f"{url}/run belongs to an experiment with other data, seed" in output


def test_what_changed_elsewhere_comes_and_what_went_goes(
    s3: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = s3.url()
    monkeypatch.setenv("LUSSWEEP_CACHE", str(tmp_path / "one"))
    one = Mirror(url)
    for name in ("kept", "changed", "dropped", "deep/er"):
        (one.pulled() / name).parent.mkdir(exist_ok=True)
        (one.folder / name).write_text("first")
    (one.folder / "ray").mkdir()
    (one.folder / "ray" / "log").write_text("of this node alone")
    one.push()
    monkeypatch.setenv("LUSSWEEP_CACHE", str(tmp_path / "other"))
    other = Mirror(url)
    other.pulled()
    (other.folder / "changed").write_text("second")
    (other.folder / "dropped").unlink()
    s3.requests.clear()
    other.push()
    assert sum(r.startswith("PUT") for r in s3.requests) == 1, "what has not changed stays"
    s3.requests.clear()
    RemoteFolder(url).write("artifacts/gan/key/record.json", b"{}")
    one.pulled()
    assert not any("artifacts" in r for r in s3.requests if r.startswith("GET"))
    found = {p.name: p.read_text() for p in one.folder.rglob("*") if p.is_file()}
    assert found == {
        "kept": "first", "changed": "second", "er": "first", "log": "of this node alone",
    }  # fmt: skip


def test_a_training_goes_on_from_its_checkpoint_on_another_node(
    killed_and_resumed: tuple[str, set[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first node dies after epoch 1 of 2; the second one trains epoch 2 alone."""
    url, _ = killed_and_resumed
    study = load_study(TINY).with_embedders(False)
    plan = make_plan(study, phantom_manifest(study.data.phantom, study.seed), phantom=True)
    context = Context(ObjectStore(f"{url}/run/artifacts"), "cpu", checkpoint_minutes=0)
    ready = {ref for ref in plan.steps if context.store.has(ref)}
    step = next(
        s for r, s in plan.steps.items()
        if s.stage == "gan" and r not in ready and ready >= set(s.inputs.values())
    )  # fmt: skip
    epochs: list[int] = []

    def note(generator: Generator, path: Path) -> None:
        epochs.append(int(path.stem.removeprefix("epoch_")))
        if epochs == [1, 2]:
            raise KeyboardInterrupt
        save_snapshot(generator, path)

    monkeypatch.setattr("lussweep.models.generators.dcgan.kind.save_snapshot", note)
    monkeypatch.setenv("LUSSWEEP_CACHE", str(tmp_path / "one"))
    with pytest.raises(KeyboardInterrupt):
        execute(step, context)
    monkeypatch.setenv("LUSSWEEP_CACHE", str(tmp_path / "other"))
    execute(step, context)
    assert epochs == [1, 2, 2]
    assert {n for n in context.store.files(step.ref) if n.startswith("snapshots/")} == {
        "snapshots/epoch_0001.safetensors", "snapshots/epoch_0002.safetensors",
    }  # fmt: skip


NODES = """
import json, os, sys
from ray.cluster_utils import Cluster

folder, yaml, *arguments = sys.argv[1:]
nodes = []
cluster = Cluster()
for name in ("head", "worker"):
    home = os.path.join(folder, name)
    os.makedirs(os.path.join(home, "tmp"))
    own = {"HOME": home, "TMPDIR": os.path.join(home, "tmp"),
           "LUSSWEEP_CACHE": os.path.join(home, "cache")}
    cluster.add_node(num_cpus=1, env_vars=own, include_dashboard=False)
os.environ["LUSSWEEP_CACHE"] = os.path.join(folder, "head", "cache")
from lussweep.cli.app import app
try:
    app(["grid", yaml, "--address", cluster.address, *arguments])
finally:
    cluster.shutdown()
"""


@contextmanager
def on_two_nodes(folder: Path, *given: str | Path) -> Iterator[subprocess.Popen[str]]:
    """A grid under way on two nodes that share no folder, with a CPU each."""
    process = subprocess.Popen(
        [sys.executable, "-c", NODES, str(folder), *map(str, given)], cwd=folder,
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and everything printed."""
    output, _ = process.communicate(timeout=500)
    return process.returncode, output


@pytest.mark.slow
def test_two_nodes_that_share_no_folder_give_the_tables_of_a_local_run(
    s3: Server, tiny_yaml: Path, uninterrupted: Path, tmp_path: Path, own_cache: Path
) -> None:
    url = s3.url()
    with on_two_nodes(tmp_path, tiny_yaml, "--out", f"{url}/run") as driver:
        code, output = ended(driver)
    assert code == 0, output
    assert_same(Mirror(f"{url}/run").pulled(), uninterrupted, EVERY)
    for node in ("head", "worker"):
        fetched = list((tmp_path / node / "cache" / "artifacts").glob("[!.]*/[!.]*/*/*"))
        assert fetched, f"{node} has done nothing"
    shutil.rmtree(tmp_path / "worker")
    records_of = [json.loads(data) for data in read_records(url)]
    assert len(records_of) == 79


LONG_GANS = ("--only", "variant=pure_synthetic,n_patients=2", "--set", "gan.n_epochs=100000",
             "--set", "gan.snapshot_every=100000")  # fmt: skip
"""Two of them, which take both nodes."""


@pytest.mark.slow
def test_a_stop_reaches_trainings_on_both_nodes_and_so_does_what_they_tell(
    s3: Server, tiny_yaml: Path, tmp_path: Path, own_cache: Path
) -> None:
    run = f"{s3.url()}/run"
    with on_two_nodes(tmp_path, tiny_yaml, "--out", run, *LONG_GANS) as driver:
        deadline = time.monotonic() + 300
        told: list[dict[str, str]] = []
        while len(told) < 2:
            assert driver.poll() is None and time.monotonic() < deadline
            time.sleep(2)
            state = json.loads(RemoteFolder(run).read("state.json") or b'{"running": []}')
            told = [step for step in state["running"] if "of 100000" in step["progress"]]
        assert " stops: " in succeed("cancel", run)
        code, output = ended(driver)
    assert code == 130, output
    for node in ("head", "worker"):
        kept = list((tmp_path / node / "cache").rglob("checkpoint_*.pt"))
        assert len(kept) == 1, "one that the stop asked for: the clock would in ten minutes"
    there = RemoteFolder(f"{run}/artifacts/.work").listing()
    assert sum("/checkpoint_" in name for name in there) == 2


@pytest.mark.slow
def test_a_time_limit_says_where_a_step_hung_on_whatever_node(
    s3: Server, tiny_yaml: Path, tmp_path: Path, own_cache: Path
) -> None:
    run = f"{s3.url()}/run"
    limit = ("--step-timeout", "0.2", "--retries", "0")
    with on_two_nodes(tmp_path, tiny_yaml, "--out", run, *LONG_GANS, *limit) as driver:
        code, output = ended(driver)
    assert code == 1, output
    state = json.loads(RemoteFolder(run).read("state.json") or b"")
    errors = [failure["error"] for failure in state["failures"]]
    assert errors == ["TimeLimit: no end within 0.2 min"] * 2
    assert succeed("logs", run, "variant=pure_synthetic").count("in run_gan") == 2
    assert not list(tmp_path.glob("*/tmp/lussweep-*")), "nothing is left behind"


GANG = ("--only", "variant=pure_synthetic,n_patients=2", "--set", "gan.n_workers=2",
        "--set", "gan.n_epochs=600", "--set", "gan.snapshot_every=600",
        "--set", "gan.checkpoint_minutes=0.03")  # fmt: skip


@pytest.mark.slow
def test_a_gang_on_two_nodes_goes_on_from_its_checkpoint_on_two_others(
    s3: Server, tiny_yaml: Path, tmp_path: Path, own_cache: Path
) -> None:
    run = f"{s3.url()}/run"

    def checkpoints() -> list[tuple[str, int]]:
        """Training and number of each that was uploaded."""
        of_run = run.removeprefix("s3:/")
        found = (re.fullmatch(rf"PUT {of_run}/artifacts/.work/(gan-\w+)/checkpoints/"
                              r"checkpoint_(\d+)\.pt", r) for r in s3.requests)  # fmt: skip
        return [(m[1], int(m[2])) for m in found if m]

    s3.requests.clear()
    (tmp_path / "first").mkdir()
    with on_two_nodes(tmp_path / "first", tiny_yaml, "--out", run, *GANG) as driver:
        deadline = time.monotonic() + 400
        while len(checkpoints()) < 2:
            assert driver.poll() is None and time.monotonic() < deadline
            time.sleep(0.5)
        succeed("cancel", run)
        code, output = ended(driver)
    assert code == 130, output
    before = checkpoints()
    s3.requests.clear()
    (tmp_path / "second").mkdir()
    training, last = before[-1]
    with on_two_nodes(tmp_path / "second", tiny_yaml, "--out", run, *GANG) as driver:
        deadline = time.monotonic() + 400
        while training not in dict(checkpoints()):
            assert driver.poll() is None and time.monotonic() < deadline
            time.sleep(0.5)
        succeed("cancel", run)
        code, output = ended(driver)
    assert code == 130, output
    assert min(n for name, n in checkpoints() if name == training) > last


def read_records(url: str) -> list[bytes]:
    return list(RemoteFolder(f"{url}/run/artifacts").read_many(records(url)).values())
