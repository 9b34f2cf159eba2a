"""kill -9 of nodes, workers and drivers of a standing cluster, and instances that are taken back.

No driver here is given more than `--retries 0`: what is lost is tried again by itself.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from e2e.test_backends import TABLES, assert_same_tables, snapshot_records
from lussweep.store.artifacts import ArtifactStore
from support.commands import lussweep
from support.drivers import Driver, checkpoint_epoch
from support.faults import workers_of
from support.nodes import Nodes, cluster

ONE_CELL = ("--only", "n_patients=2,variant=pure_synthetic")
LONG = (
    *ONE_CELL, "--set", "gan.n_epochs=400", "--set", "gan.snapshot_every=200",
    "--set", "gan.checkpoint_minutes=0",
)  # fmt: skip
CHECKPOINTS = "artifacts/.work/gan-*/checkpoints/checkpoint_*.pt"
EMPTY = ("contrasts", "worth")
"""Tables that need more than one variant."""
OF_ONE_CELL = tuple(name for name in TABLES if name not in EMPTY)
pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")


@pytest.fixture(scope="module")
def long_gan(tiny_yaml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cell whose GANs take a while, in one go by the reference backend."""
    folder = tmp_path_factory.mktemp("long")
    done = lussweep(
        "grid", tiny_yaml, *LONG, "--out", folder / "run", "--backend", "inline", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture
def two_nodes(tmp_path: Path) -> Iterator[Nodes]:
    with cluster(tmp_path, 2) as nodes:
        yield nodes


def to(nodes: Nodes) -> tuple[str, ...]:
    return ("--address", nodes.address, "--retries", "0")


def ended(driver: Driver) -> None:
    code, err = driver.end()
    assert code == 0, driver.printed + err
    assert "Traceback" not in err


def n_begun(run: Path, stage: str) -> dict[str, int]:
    """How often each step of the stage was begun, of those that faults were meant for."""
    store = ArtifactStore(run / "artifacts")
    found = (store.root / ".faults").glob(f"{stage}-*")
    return Counter(path.stem for path in found)


# --- a node that goes ----------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_goes_on_without_the_node_of_a_step_and_without_that_of_its_inputs(
    uninterrupted: Path, tiny_yaml: Path, tmp_path: Path, two_nodes: Nodes
) -> None:
    """The first node goes in mid-step, and is replaced; the second one when its step is just
    committed, and is not. The driver joins the closed cluster with the token of this home."""
    run = tmp_path / "run"
    cell = "n=2 r=1 baseline"
    faults = {f"trial 1 {cell}": ("lose node", 1), f"trial 2 {cell}": ("lose node when done", 1)}
    only = ("--only", "n_patients=2,variant=baseline")
    driver = Driver(run, tiny_yaml, *to(two_nodes), *only, faults=faults)
    driver.until(lambda: len(n_begun(run, "trial")) == 2)
    two_nodes.add()
    ended(driver)
    assert sorted(n_begun(run, "trial").values()) == [1, 2], "what is committed is not begun again"
    rows = {name: pq.read_table(folder / "results.parquet").to_pylist()
            for name, folder in (("here", run), ("whole", uninterrupted))}  # fmt: skip
    (mine,) = rows["here"]
    (same,) = (r for r in rows["whole"] if (r["n_patients"], r["variant"]) == (2, "baseline"))
    clock = {"seconds"}
    assert {k: v for k, v in mine.items() if k not in clock} == {
        k: v for k, v in same.items() if k not in clock
    }


@pytest.mark.slow
def test_a_gan_goes_on_from_its_checkpoint_where_its_node_was_killed_in_mid_epoch(
    long_gan: Path, tiny_yaml: Path, tmp_path: Path, two_nodes: Nodes
) -> None:
    run = tmp_path / "run"
    driver = Driver(run, tiny_yaml, *LONG, *to(two_nodes))
    driver.until(lambda: driver.gan_epoch() >= 5)
    reached = driver.gan_epoch()
    for raylet in list(two_nodes.alive):  # whichever it is on
        two_nodes.kill(raylet)
    assert reached < 400, "it was killed too late to say anything"
    two_nodes.add()
    told = driver.gan_epoch()
    driver.until(lambda: driver.gan_epoch() > told or list(run.glob("artifacts/gan/*")))
    ended(driver)
    assert_same_tables(run, long_gan, OF_ONE_CELL)


@pytest.mark.slow
def test_an_instance_that_is_taken_back_after_a_notice_costs_no_retry(
    long_gan: Path, tiny_yaml: Path, tmp_path: Path, two_nodes: Nodes
) -> None:
    """Both are, one after the other: twice what spot instances do."""
    run = tmp_path / "run"
    driver = Driver(run, tiny_yaml, *LONG, *to(two_nodes))
    for raylet in list(two_nodes.alive):
        before = driver.gan_epoch()
        driver.until(lambda before=before: driver.gan_epoch() > before)
        two_nodes.announce_preemption(raylet, 2)
        two_nodes.add()
        time.sleep(2)
        two_nodes.kill(raylet)
    ended(driver)
    assert_same_tables(run, long_gan, OF_ONE_CELL)


@pytest.mark.slow
def test_a_notice_makes_a_gan_leave_a_checkpoint_at_once(
    long_gan: Path, tiny_yaml: Path, tmp_path: Path, two_nodes: Nodes
) -> None:
    """By the clock it would leave one in an hour."""
    run = tmp_path / "run"
    driver = Driver(run, tiny_yaml, *LONG, "--set", "gan.checkpoint_minutes=60", *to(two_nodes))
    driver.until(lambda: driver.gan_epoch() >= 3)
    assert not list(run.glob(CHECKPOINTS))
    going = list(two_nodes.alive)
    for raylet in going:
        two_nodes.announce_preemption(raylet, 30)
    driver.until(lambda: list(run.glob(CHECKPOINTS)))
    assert checkpoint_epoch(run) >= 3
    for raylet in going:
        two_nodes.kill(raylet)
    two_nodes.add()
    two_nodes.add()
    ended(driver)
    assert_same_tables(run, long_gan, OF_ONE_CELL)


# --- thirty kills --------------------------------------------------------------------------

N_KILLS = 30
VICTIMS = {"worker": 18, "driver": 7, "node": 5}


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_thirty_kills_over_a_grid_end_in_the_tables_of_a_run_without_any(
    uninterrupted: Path, tiny_yaml: Path, tmp_path: Path, two_nodes: Nodes
) -> None:
    """Evenly over the grid's steps, in random order: workers, drivers, whole nodes."""
    run, rng = tmp_path / "run", random.Random(0)
    victims = [name for name, n in VICTIMS.items() for _ in range(n)]
    rng.shuffle(victims)
    n_steps = len(snapshot_records(uninterrupted))
    watch, n_killed = _Watch(run), Counter[str]()

    def start() -> Driver:
        return Driver(run, tiny_yaml, *to(two_nodes))

    driver = start()
    while sum(n_killed.values()) < N_KILLS:
        victim, due = victims[sum(n_killed.values())], sum(n_killed.values()) * 0.9 * n_steps
        while driver.process.poll() is None and watch.look() < due / N_KILLS:
            time.sleep(0.1)
        if driver.process.poll() is not None:  # a step was hit more often than it is tried again
            code, err = driver.end()
            assert code == 1, err
            assert watch.look() < n_steps, n_killed
            driver = start()
            continue
        if victim == "driver":
            driver.process.kill()
            driver.end()
            driver = start()
        elif victim == "node":
            two_nodes.kill(rng.choice(two_nodes.alive))
            two_nodes.add()
        elif not _kill_a_worker(two_nodes, rng):
            continue  # none is at work in this moment
        n_killed[victim] += 1
    while (code := driver.end()[0]) == 1:
        n_before, driver = watch.look(), start()
        assert n_before < n_steps
    assert code == 0
    assert n_killed == VICTIMS
    watch.look()
    assert watch.begun_again == set(), "a finished step was begun again"
    assert_same_tables(run, uninterrupted)


def _kill_a_worker(nodes: Nodes, rng: random.Random) -> bool:
    at_work = [pid for raylet in nodes.alive for pid in workers_of(raylet)]
    if at_work:
        os.kill(rng.choice(at_work), signal.SIGKILL)
    return bool(at_work)


class _Watch:
    """Looks often: no record may change, no step may be begun whose record was there before."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.records: dict[str, int] = {}
        """When each was written."""
        self.scratch: set[str] = set()
        self.begun_again: set[str] = set()

    def look(self) -> int:
        """How many steps are done."""
        store = self.run / "artifacts"
        scratch = {path.name for path in store.glob(".tmp/*")}
        begun = {name.rpartition("-")[0] for name in scratch - self.scratch}
        self.begun_again |= begun & self.records.keys()
        self.scratch |= scratch
        found = {
            f"{path.parts[-3]}-{path.parts[-2]}": path.stat().st_mtime_ns
            for path in store.glob("[!.]*/*/record.json")
        }
        assert {name: found.get(name) for name in self.records} == self.records
        self.records = found
        return len(found)
