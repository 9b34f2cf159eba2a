"""What goes wrong on the way: steps that fail, hang, die; signals, kills, a second driver."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from e2e.test_backends import assert_same_tables, snapshot_records
from lussweep.backend.driver import Progress, run_plan
from lussweep.backend.inline import InlineExecutor
from lussweep.data.phantom import phantom_manifest
from lussweep.run.lease import LEASE_FILE
from lussweep.stages import Context
from lussweep.study.plan import Plan, make_plan
from lussweep.study.spec import load_study
from support import faults
from support.commands import TINY, lussweep, refusal
from support.drivers import Driver, checkpoint_epoch
from support.faults import ALWAYS, FaultyStore, await_end, descendants, workers_of

LONG_GAN = ("--only", "variant=pure_synthetic,n_patients=2", "--set", "gan.n_epochs=3000",
            "--set", "gan.snapshot_every=3000")  # fmt: skip


def tiny_plan() -> Plan:
    study = load_study(TINY).with_embedders(False)
    return make_plan(study, phantom_manifest(study.data.phantom, study.seed), phantom=True)


def judgements(finished: Path) -> tuple[Plan, list[str]]:
    """The plan, and its `evaluate` steps, whose artifacts are gone from the run: cheap to make."""
    plan = tiny_plan()
    refs = [ref for ref, step in plan.steps.items() if step.stage == "evaluate"]
    for ref in refs:
        shutil.rmtree(finished / "artifacts" / ref)
    return plan, refs


# --- steps that fail -----------------------------------------------------------------------


def test_steps_that_fail_hang_and_die_on_ray_are_tried_again_and_leave_the_others_alone(
    uninterrupted: Path, finished: Path, local_ray: None
) -> None:
    from ray import cloudpickle

    from lussweep.backend.cluster.executor import ClusterExecutor

    cloudpickle.register_pickle_by_value(faults)  # Ray's workers cannot import it
    plan, refs = judgements(finished)
    kinds = [("fail", 1), ("fail", ALWAYS), ("hang", ALWAYS), ("die", 1), ("die", ALWAYS),
             ("leak", ALWAYS), ("eat", ALWAYS), ("fill disk", ALWAYS)]  # fmt: skip
    of = dict(zip(kinds, refs, strict=True))
    store = FaultyStore(finished / "artifacts", {ref: kind for kind, ref in of.items()})
    context = Context(store, "cpu")
    with ClusterExecutor(plan, context, finished / "ray", step_minutes=0.1) as executor:
        progress = run_plan(plan, store, executor, retries=1, lost_again=1)
    assert progress.finished
    errors = {ref: outcome.error for ref, outcome in progress.failed.items()}
    assert set(errors) == {of[kind] for kind in kinds if kind[1] == ALWAYS}
    assert errors[of["fail", ALWAYS]] == "OSError: the disk is away (2 attempts)"
    assert errors[of["hang", ALWAYS]] == "TimeLimit: no end within 0.1 min (2 attempts)"
    assert "time.sleep" in _line_of(progress, of["hang", ALWAYS]), "where it hung is told"
    assert errors[of["die", ALWAYS]].startswith("WorkerLost: ")
    assert errors[of["die", ALWAYS]].endswith(" (2 attempts)")
    assert errors[of["eat", ALWAYS]] == "MemoryError: no message (2 attempts)"
    assert errors[of["fill disk", ALWAYS]].startswith(f"DiskFull: {store.root} has no room left (")
    assert errors[of["leak", ALWAYS]] == "LeakageError: patient P1 is on both sides"
    assert {kind: store.turns(ref) for kind, ref in of.items()} == dict.fromkeys(kinds, 2) | {
        ("leak", ALWAYS): 1
    }
    for ref in set(refs) - set(errors):  # as if nothing had happened
        path = Path("artifacts", ref, "frame_scores.parquet")
        assert pq.read_table(finished / path).equals(pq.read_table(uninterrupted / path))


def _line_of(progress: Progress, ref: str) -> str:
    """The innermost frame of a traceback, in words: the source of that line."""
    text = progress.failed[ref].traceback
    found = re.search(r'File "(.*faults\.py)", line (\d+) in hang', text)
    assert found, text
    return Path(found[1]).read_text().splitlines()[int(found[2]) - 1]


def test_a_step_that_exhausts_memory_fails_and_the_next_ones_do_not(finished: Path) -> None:
    plan, refs = judgements(finished)
    greedy, hungry = refs[:2]
    store = FaultyStore(finished / "artifacts", {greedy: ("eat", ALWAYS), hungry: ("eat", 1)})
    progress = run_plan(plan, store, InlineExecutor(plan, Context(store, "cpu")), retries=1)
    assert {r: o.error for r, o in progress.failed.items()} == {
        greedy: "MemoryError: no message (2 attempts)"
    }
    assert set(refs) - {greedy} <= progress.done


def test_a_time_limit_needs_processes_to_end(tiny_yaml: Path, tmp_path: Path) -> None:
    line = refusal("grid", tiny_yaml, "--out", tmp_path / "run", "--backend", "inline",
                   "--step-timeout", "5")  # fmt: skip
    assert "--step-timeout" in line
    assert "inline" in line
    assert "more than 0" in refusal("grid", tiny_yaml, "--out", tmp_path, "--step-timeout", "0")


# --- signals and a second driver -----------------------------------------------------------


def assert_tidy(run: Path) -> None:
    assert not (run / LEASE_FILE).exists()


@pytest.mark.skipif(not Path("/proc").exists(), reason="reads /proc")
def test_ctrl_c_leaves_a_checkpoint_and_a_second_driver_is_refused(
    tiny_yaml: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    first = Driver(run, tiny_yaml, "--backend", "inline", *LONG_GAN)
    first.until(lambda: first.gan_epoch() >= 3)

    line = refusal("grid", tiny_yaml, "--backend", "inline", *LONG_GAN, "--out", run)
    assert f"in use by process {first.process.pid} on " in line
    assert "lussweep grid" in line

    first.signal_all(signal.SIGINT)
    code, err = first.end()
    assert code == 130, err
    assert f"\nlussweep grid {tiny_yaml} --backend inline" in err, "what goes on is printed"
    assert "Traceback" not in err
    assert_tidy(run)
    reached = checkpoint_epoch(run)
    assert reached >= 3
    assert not list(run.glob("artifacts/gan/*"))

    second = Driver(run, tiny_yaml, "--backend", "inline", *LONG_GAN)
    second.until(lambda: second.gan_epoch() > reached)
    second.process.send_signal(signal.SIGTERM)
    code, err = second.end()
    assert code == 130, err
    assert checkpoint_epoch(run) > reached, "it went on from there"
    assert_tidy(run)


def test_a_second_ctrl_c_ends_at_once_and_the_next_command_goes_on(
    tiny_yaml: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    driver = Driver(run, tiny_yaml, "--backend", "inline", *LONG_GAN)
    driver.until(lambda: driver.gan_epoch() >= 1)
    driver.process.send_signal(signal.SIGSTOP)  # both arrive before the GAN has looked once
    driver.process.send_signal(signal.SIGINT)
    driver.process.send_signal(signal.SIGTERM)
    driver.process.send_signal(signal.SIGCONT)
    code, err = driver.end()
    assert code == 130
    assert "ended at once" in err
    owner = json.loads((run / LEASE_FILE).read_text())
    assert owner["pid"] == driver.process.pid, "nothing was given back"
    again = Driver(run, tiny_yaml, "--backend", "inline", *LONG_GAN)
    again.until(lambda: json.loads((run / LEASE_FILE).read_text())["pid"] == again.process.pid)
    again.process.kill()
    again.end()


# --- Ray, at length ------------------------------------------------------------------------

RAY = ("--cpus", "2", "--no-dashboard")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_on_ray_leaves_a_checkpoint_and_no_process(
    number: int, tiny_yaml: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    driver = Driver(run, tiny_yaml, *RAY, *LONG_GAN)
    driver.until(lambda: driver.gan_epoch() >= 3)
    processes = descendants(driver.process.pid)
    driver.signal_all(number) if number == signal.SIGINT else driver.process.send_signal(number)
    code, err = driver.end()
    assert code == 130, err
    assert "\nlussweep grid " in err
    assert_tidy(run)
    assert checkpoint_epoch(run) >= 3
    await_end(processes)


@pytest.mark.slow
def test_a_killed_driver_on_ray_is_followed_by_one_that_makes_the_same_tables(
    uninterrupted: Path, tiny_yaml: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    driver = Driver(run, tiny_yaml, *RAY)
    driver.until(lambda: len(list(run.glob("artifacts/trial/*/record.json"))) >= 3)
    processes = descendants(driver.process.pid)
    driver.process.kill()
    driver.end()
    await_end(processes)
    before = snapshot_records(run)
    done = lussweep("grid", tiny_yaml, "--out", run, *RAY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert_same_tables(run, uninterrupted)
    after = snapshot_records(run)
    assert {name: after[name] for name in before} == before, "a finished step was done again"


@pytest.mark.slow
def test_random_kills_of_drivers_and_workers_end_in_the_same_tables(
    uninterrupted: Path, tiny_yaml: Path, tmp_path: Path
) -> None:
    """Half of the kills hit the driver, with which its Ray goes, half a worker at some step."""
    rng, run = random.Random(0), tmp_path / "run"
    known: dict[str, tuple[int, bytes]] = {}
    n_killed = {"driver": 0, "worker": 0}
    driver = Driver(run, tiny_yaml, *RAY, "--retries", "0")
    for _ in range(6):
        wait_until = time.monotonic() + rng.uniform(1, 8)
        n_done = len(known)
        while driver.process.poll() is None and (
            time.monotonic() < wait_until or len(snapshot_records(run)) <= n_done
        ):
            time.sleep(0.1)
        if driver.process.poll() is not None:
            break
        found = snapshot_records(run)
        assert {name: found[name] for name in known} == known, "a finished step was done again"
        known = found
        processes = descendants(driver.process.pid)
        workers = workers_of(driver.process.pid)
        if workers and rng.random() < 0.5:
            try:
                os.kill(rng.choice(workers), signal.SIGKILL)
                n_killed["worker"] += 1
            except ProcessLookupError:
                continue
        else:
            driver.process.kill()
            driver.end()
            await_end(processes)
            n_killed["driver"] += 1
            driver = Driver(run, tiny_yaml, *RAY, "--retries", "0")
    code, err = driver.end()
    if code:  # a step was hit more often than it is tried
        done = lussweep("grid", tiny_yaml, "--out", run, *RAY, cwd=tmp_path)
        assert done.returncode == 0, err + done.stderr
    assert sum(n_killed.values()) >= 3, n_killed
    found = snapshot_records(run)
    assert {name: found[name] for name in known} == known, "a finished step was done again"
    assert_same_tables(run, uninterrupted)
