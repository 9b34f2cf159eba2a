"""Looking at runs and steering them, as a user does."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lussweep.backend.kept import KEPT
from lussweep.backend.stop import GRACE_S
from lussweep.cli import cancel
from lussweep.data.phantom import phantom_manifest
from lussweep.run.lease import Owner
from lussweep.run.measuring import ENOUGH_STEPS, differences, measured_run, scaled_to
from lussweep.study.costs.work import work
from lussweep.study.plan import make_plan
from lussweep.study.spec import load_study
from support.commands import TINY, command, environment, invoke, refusal, refused, succeed

CELL = "variant=combined,n_patients=2,replicate=1"
WAIT_S = 120.0


def rewritten_state(run: Path, **changes: Any) -> None:
    state = json.loads((run / "state.json").read_text())
    (run / "state.json").write_text(json.dumps(state | changes))


# --- status -------------------------------------------------------------------------------


def test_a_finished_run_says_so_without_its_artifacts(uninterrupted: Path, tmp_path: Path) -> None:
    """From the small file alone: nothing else of the folder is there."""
    run = tmp_path / "run"
    run.mkdir()
    shutil.copyfile(uninterrupted / "state.json", run / "state.json")
    text = succeed("status", run)
    assert "tiny: the driver has ended " in text
    assert "run the same command again" not in text
    assert "8 cells: 8 done, 0 failed, 0 running, 0 waiting" in text
    status = json.loads(succeed("status", run, "--json"))
    assert status["driver"] == "ended"
    counts = {"done": 18, "running": 0, "failed": 0, "blocked": 0, "of": 18}
    assert status["stages"]["trial"] == counts
    places = [(c["n_patients"], c["variant"], c["done"]) for c in status["cells"]]
    variants = ("baseline", "combined", "positive_synthetic", "pure_synthetic")
    assert places == [(n, variant, 1) for n in (2, 3) for variant in variants]


def test_no_patient_is_named_in_what_others_read(uninterrupted: Path) -> None:
    study = load_study(TINY)
    assert study.data.phantom is not None
    videos = phantom_manifest(study.data.phantom, study.seed).videos
    text = (uninterrupted / "state.json").read_text() + (uninterrupted / "plan.json").read_text()
    assert "frames of #" in text
    assert not [v.patient_id for v in videos if f"frames of {v.patient_id}" in text]


def test_a_driver_that_was_killed_may_be_gone(finished: Path) -> None:
    rewritten_state(finished, ended=None, written=time.time() - 3 * 3600, left_s=[7.0, 9.0])
    text = succeed("status", finished)
    assert "written 3 h ago by pid" in text
    assert "the driver may be gone; run the same command again" in text
    assert "left" not in text
    assert json.loads(succeed("status", finished, "--json"))["driver"] == "may be gone"


def test_a_lease_that_is_fresher_says_that_the_driver_works(finished: Path) -> None:
    rewritten_state(finished, ended=None, written=time.time() - 3600)
    owner = replace(Owner.this(), host="node7", pid=4711)
    (finished / "lease.json").write_text(owner.text())
    assert "driver pid 4711 on node7, last report " in succeed("status", finished)
    (finished / "lease.json").write_text("{}")
    assert "may be gone" in succeed("status", finished)


def test_a_rerun_settles_the_state_of_a_driver_killed_at_the_end(
    finished: Path, tiny_yaml: Path
) -> None:
    rewritten_state(finished, ended=None, written=time.time() - 3600)
    succeed("grid", tiny_yaml, "--out", finished, "--backend", "inline")
    assert "the driver has ended" in succeed("status", finished)
    before = (finished / "state.json").stat().st_mtime_ns
    succeed("grid", tiny_yaml, "--out", finished, "--backend", "inline")
    assert (finished / "state.json").stat().st_mtime_ns == before


# --- logs ---------------------------------------------------------------------------------


def test_the_steps_of_a_cell_with_their_seconds_keys_and_artifacts(finished: Path) -> None:
    text = succeed("logs", finished, CELL)
    key = json.loads((finished / "plan.json").read_text())["cells"][1]["refs"]["search"]
    assert key.partition("/")[2] in text
    assert str(finished / "artifacts" / key) in text
    assert "18 done" in text, "shards are told by their number"
    assert "waiting" not in text


def test_a_cell_is_named_by_as_little_as_tells_it_apart(finished: Path) -> None:
    whole = succeed("logs", finished, CELL)
    assert succeed("logs", finished, "variant=comb,n_patients=2") == whole
    assert "variant=combined,n_patients=2" in whole


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("variant=combined", "2 cells match (variant=combined,n_patients=2,replicate=1; "),
        ("variant=p,n_patients=2", "has no cell of variant=p"),
        ("variant=combned", "did you mean combined?"),
        ("n_patients=7", "has no cell of n_patients=7: known are 2, 3"),
        ("patients=2", "a cell has variant, n_patients, replicate, gan_epoch, not patients"),
        ("combined", "the cell 'combined' is not of the form axis=value"),
    ],
)  # fmt: skip
def test_a_cell_that_is_none_is_one_clear_line(
    cell: str, message: str, uninterrupted: Path
) -> None:
    assert message in refusal("logs", uninterrupted, cell)


def test_why_a_step_failed_and_what_waits_for_it(finished: Path, tiny_yaml: Path) -> None:
    """Both ways of failing below are told by the same files: the log's text, the state's line."""
    plan = json.loads((finished / "plan.json").read_text())
    cell = next(c for c in plan["cells"] if (c["variant"], c["n_patients"]) == ("combined", 2))
    for role in ("synth_pos", "search", "evaluate"):
        shutil.rmtree(finished / "artifacts" / cell["refs"][role])
    for ref in plan["steps"][cell["refs"]["search"]]["inputs"]:
        shutil.rmtree(finished / "artifacts" / ref)
    shutil.rmtree(finished / "artifacts" / cell["refs"]["gan_pos"] / "snapshots")
    code, _ = invoke("grid", tiny_yaml, "--out", finished, "--backend", "inline")
    assert code == 1
    status = json.loads(succeed("status", finished, "--json"))
    assert (status["n_failed"], status["failures"][0]["ref"]) == (1, cell["refs"]["synth_pos"])
    failed = {(c["n_patients"], c["variant"]): c["failed"] for c in status["cells"]}
    assert failed == {place: int(place == (2, "combined")) for place in failed}
    assert "failed: synthetic pos n=2 r=1: " in succeed("status", finished)
    text = succeed("logs", finished, CELL)
    assert "Traceback (most recent call last)" in text
    rows = [line for line in text.splitlines() if "blocked" in line]
    assert len(rows) == 4, "two trials, the search and the judgement"


# --- cancel -------------------------------------------------------------------------------


def test_cancel_stops_a_driver_that_is_deaf_to_ctrl_c(tmp_path: Path) -> None:
    """A shell starts background commands with SIGINT ignored; a request of yesterday is void."""
    run = tmp_path / "run"
    run.mkdir()
    experiment = tmp_path / "long.yaml"
    experiment.write_text(TINY.replace("gan: {n_epochs: 2", "gan: {n_epochs: 100000"))
    (run / "cancel").touch()
    driver = subprocess.Popen(
        command("grid", experiment, "--out", run, "--backend", "inline",
                "--set", "gan.snapshot_every=100000"),
        env=environment(), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    try:
        status: dict[str, Any] = {}
        started = time.monotonic()
        while not (status.get("running") and "of 100000" in status["running"][0]["progress"]):
            assert driver.poll() is None and time.monotonic() < started + WAIT_S
            time.sleep(0.3)
            if (run / "state.json").exists():
                status = json.loads(succeed("status", run, "--json"))
        assert (status["driver"], status["pid"]) == ("works", driver.pid)
        assert status["running"][0]["name"].startswith("GAN ")
        assert sum(cell["running"] for cell in status["cells"]) >= 2
        n, r = re.search(r" n=(\d+) r=(\d+)", status["running"][0]["name"]).groups()
        cell = f"variant=combined,n_patients={n},replicate={r}"
        assert "running (epoch" in succeed("logs", run, cell).replace("\n", " ")
        assert f"pid {driver.pid} on {os.uname().nodename} stops" in succeed("cancel", run)
        output, _ = driver.communicate(timeout=WAIT_S)
    finally:
        driver.kill()
    assert driver.returncode == 130, output
    assert "interrupted: run the same command again to go on" in output
    assert not (run / "cancel").exists()
    status = json.loads(succeed("status", run, "--json"))
    assert (status["ended"], status["running"]) == ("interrupted", [])
    assert "the last one was interrupted" in refusal("cancel", run)


def test_cancel_says_when_no_driver_is_there(finished: Path) -> None:
    assert "no driver works in" in refusal("cancel", finished)
    assert not (finished / "cancel").exists()


def test_a_driver_that_does_not_answer_is_told(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cancel, "OBEYED_S", 0.2)
    rewritten_state(finished, ended=None, written=time.time() - 7200)
    code, text = invoke("cancel", finished)
    assert code == 1
    assert "does not answer; its last report was 2 h ago" in text


# --- folders that are none -----------------------------------------------------------------


@pytest.mark.parametrize("arguments", [("status",), ("cancel",), ("logs", "variant=baseline")])
def test_what_is_no_run_folder_is_one_clear_line(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    name, *cell = arguments
    assert "there is no run folder" in refusal(name, tmp_path / "nosuch", *cell)
    (tmp_path / "thesis.doc").write_text("precious")
    assert "is not a run folder" in refusal(name, tmp_path, *cell)
    (tmp_path / "run.json").write_text("{}")
    assert "`lussweep grid` command again, which writes it" in refusal(name, tmp_path, *cell)
    for file in ("state.json", "plan.json"):
        (tmp_path / file).write_text("{half")
    assert "cannot be read" in refusal(name, tmp_path, *cell)


# --- plan: what it costs ------------------------------------------------------------------


def record_seconds(run: Path) -> None:
    """Gives each step of a run the seconds of a quiet machine: a start, and a share of its work."""
    measured = measured_run(run)
    for ref, step in measured.steps.items():
        path = run / "artifacts" / ref / "record.json"
        record = json.loads(path.read_text())
        seconds = 0.01 + work(step, measured.steps, measured.frames) / 1000
        record["circumstances"]["seconds"] = seconds + (ref in measured.starts)
        path.write_text(json.dumps(record))


def test_costs_come_from_an_earlier_run(finished: Path, tiny_yaml: Path, tmp_path: Path) -> None:
    """The same study again, on one worker, takes what its GPU steps took together.

    The first step of each kind paid for the start of its process: the cost lies between the sums
    without it and with it, about.
    """
    record_seconds(finished)
    plan = ("plan", tiny_yaml, "--out", tmp_path / "again", "--from", finished)
    text = succeed(*plan, "--gpus", "1", "--price", "3600")
    recorded = sum(
        json.loads(path.read_text())["circumstances"]["seconds"]
        for path in finished.glob("artifacts/*/*/record.json")
        if path.parts[-3] not in ("shard", "ingest", "cohort", "search")
    )
    cost = float(text.partition("cost: ")[2].split()[0])
    measured = measured_run(finished)
    without_starts = sum(
        seconds
        for ref, seconds in measured.seconds.items()
        if ref.split("/")[0] not in ("shard", "ingest", "cohort", "search")
        and ref not in measured.starts
    )
    # Stages whose cells differ are fitted by a line, and shards stand before them: nearly the same.
    assert 0.75 * without_starts < cost < 1.25 * recorded
    assert "measured on a CPU" in text
    assert "saved by sharing" in text
    ten = succeed(*plan, "--set", "gan.n_epochs=20", "--set", "classifier.n_epochs=20",
                  "--gpus", "1", "--price", "3600")  # fmt: skip
    assert float(ten.partition("cost: ")[2].split()[0]) > 3 * cost
    assert "another " not in ten
    assert "another gan.ngf" in succeed(*plan, "--set", "gan.ngf=4", "--gpus", "1")


def test_what_is_done_costs_nothing_more(finished: Path, tiny_yaml: Path) -> None:
    text = succeed("plan", tiny_yaml, "--out", finished, "--from", finished, "--price", "3")
    assert "1 GPU: about 0 s" in text
    assert "cost: 0.00" in text


def test_the_step_that_pays_for_the_start_of_a_run_is_no_measure(finished: Path) -> None:
    measured = measured_run(finished)
    started = {
        ref: json.loads((finished / "artifacts" / ref / "record.json").read_text())["circumstances"]
        for ref in measured.steps
        if ref.startswith("gan/")
    }
    assert len(started) > ENOUGH_STEPS
    (left_out,) = started.keys() & measured.starts
    assert all(started[left_out]["started"] <= one["started"] for one in started.values())


def test_costs_of_another_phantom_are_in_proportion_to_its_frames(finished: Path) -> None:
    """The measured run has 4 frames a video: longer videos make longer epochs and more to judge."""
    study = load_study(TINY)
    measured = measured_run(finished)
    assert study.data.phantom is not None
    manifest = phantom_manifest(study.data.phantom, study.seed)
    plan = make_plan(study, manifest, phantom=True)
    assert scaled_to(measured, finished, study, plan).target == measured.frames
    longer = load_study(TINY, overrides=["data.phantom.frames_per_video=12"])
    target = scaled_to(measured, finished, longer, plan).target
    times = {n: target.of_cohort(n) / measured.frames.of_cohort(n) for n in (2, 3, None)}
    assert times == {2: 3, 3: 3, None: 3}
    assert (target.val, target.holdout) == (3 * measured.frames.val, 3 * measured.frames.holdout)
    for text in ("evaluate: {of: an earlier version}", "[no, experiment]", "{half"):
        (finished / "experiment.yaml").write_text(text)
        assert scaled_to(measured, finished, longer, plan) == measured
    assert differences(finished, study) == []
    (finished / "experiment.yaml").write_text(TINY)
    more = ["data.phantom.train_patients=8", "data.phantom.val_patients=4"]
    target = scaled_to(measured, finished, load_study(TINY, overrides=more), plan).target
    assert target.of_cohort(None) == 2 * measured.frames.of_cohort(None)
    assert target.of_cohort(3) == measured.frames.of_cohort(3)
    assert (target.val, target.holdout) == (2 * measured.frames.val, measured.frames.holdout)


def test_a_few_short_steps_tell_the_costs_too(tmp_path: Path, tiny_yaml: Path) -> None:
    text = succeed("plan", tiny_yaml, "--out", tmp_path / "run", "--calibrate", "--gpus", "2",
                   "--device", "cpu", "--set", "grid.variants=[pure_synthetic]",
                   "--set", "search.n_trials=1", "--set", "gan.batch_size=4",
                   "--set", "classifier.batch_size=2")  # fmt: skip
    assert "GPU-hours, from short steps of this study (cpu of " in text
    assert "2 GPUs: about " in text
    assert not (tmp_path / "run").exists()


def test_nothing_is_known_without_records(tmp_path: Path, tiny_yaml: Path) -> None:
    for asked in (("--gpus", "8"), ("--price", "2.5")):
        text = refusal("plan", tiny_yaml, "--out", tmp_path / "run", *asked)
        assert "give either --from RUN, an earlier run with records, or --calibrate" in text
    assert "is not a run folder" in refusal("plan", tiny_yaml, "--from", tmp_path)
    (tmp_path / "run.json").write_text("{}")
    assert "has no cell that is done" in refusal("plan", tiny_yaml, "--from", tmp_path)


# --- submit -------------------------------------------------------------------------------


class FakeClient:
    """Keeps what a job server would be given, while it is there."""

    def submit_job(self, *, entrypoint: str, runtime_env: dict[str, Any]) -> str:
        self.entrypoint = entrypoint
        self.given = runtime_env["env_vars"]
        folder = Path(runtime_env["working_dir"])
        self.shipped = {path.name: path.read_text() for path in folder.iterdir()}
        return "raysubmit_7"


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    from lussweep.backend.cluster import jobs

    client = FakeClient()
    monkeypatch.setattr(jobs, "_connect", lambda address: client)
    return client


def test_submit_ships_the_experiment_alone(
    client: FakeClient, tiny_yaml: Path, tmp_path: Path
) -> None:
    out = tmp_path / "my run"
    options = ("--out", out, "--replicates", "2", "--set", "gan.n_epochs=1")
    text = succeed("submit", tiny_yaml, "--address", "http://head:8265", "--", *options)
    assert client.shipped == {"tiny.yaml": TINY}
    assert client.entrypoint == (
        f"python -m lussweep grid tiny.yaml --out '{out}' --replicates 2 --set gan.n_epochs=1 "
        "--address auto"
    )
    for word in ("status", "logs --follow", "stop"):
        assert f"ray job {word} --address http://head:8265 raysubmit_7" in text
    assert client.given[KEPT] == "1", "what the job prints would name patients"
    # GANs leave their checkpoints, and there is a report
    assert int(client.given["RAY_JOB_STOP_WAIT_TIME_S"]) > 2 * GRACE_S
    text = succeed("submit", tiny_yaml, "--", "--out", "s3://bucket/run")
    assert text.endswith("  lussweep status s3://bucket/run\n")


def test_submit_ships_a_folder_that_is_named(client: FakeClient, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(TINY)
    (tmp_path / "manifest.csv").write_text("x")
    options = ("--", "--out", "/shared/run")
    succeed("submit", tmp_path / "a.yaml", "--working-dir", tmp_path, *options)
    assert client.shipped.keys() == {"a.yaml", "manifest.csv"}
    assert "grid a.yaml --out" in client.entrypoint
    (tmp_path / "empty").mkdir()
    text = refusal("submit", tmp_path / "a.yaml", "--working-dir", tmp_path / "empty", *options)
    assert "is not in --working-dir" in text
    succeed("submit", "quickstart", *options)
    assert (client.shipped, "grid quickstart " in client.entrypoint) == ({}, True)


def test_what_a_job_could_not_do_is_refused_here(client: FakeClient, tiny_yaml: Path) -> None:
    lines = refused("submit", tiny_yaml, "--", "--address", "auto", "--backend", "inline")
    assert len(lines) == 3
    assert "--out with an absolute path that all nodes share" in lines[2]
    assert "no experiment nosuch" in refusal("submit", "nosuch", "--", "--out", "/shared")
    wrong = ("--", "--out", "/shared", "--set", "gan.n_epoch=1")
    assert "did you mean n_epochs?" in refusal("submit", tiny_yaml, *wrong)
    assert "is not of the form http://HOST:8265" in refusal(
        "submit", tiny_yaml, "--address", "head:8265", "--", "--out", "/shared"
    )
    code, text = invoke("submit", tiny_yaml, "--", "--nosuch")
    assert code == 2
    assert "No such option" in text
    assert not hasattr(client, "entrypoint")


def test_an_address_where_nobody_answers(tiny_yaml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's client would go to $RAY_ADDRESS in spite of what it is told."""
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:1")
    text = refusal("submit", tiny_yaml, "--address", "http://127.0.0.1:9", "--", "--out", "/x")
    assert "no Ray job server answers at http://127.0.0.1:9" in text
    assert os.environ["RAY_ADDRESS"] == "http://127.0.0.1:1"


@pytest.mark.slow
def test_a_submitted_grid_runs_on_a_real_cluster(tiny_yaml: Path, tmp_path: Path) -> None:
    """In a process of its own: a dashboard belongs to one Ray, and the tests share another. The
    agent that takes jobs has a fixed port, which another Ray of this machine may hold."""
    program = f"""
import socket, subprocess, sys, time
from ray.cluster_utils import Cluster
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
cluster = Cluster(initialize_head=True, head_node_args=dict(
    num_cpus=2, include_dashboard=True, dashboard_agent_listen_port=port))
url = "http://" + cluster.head_node.webui_url
submit = [sys.executable, "-m", "lussweep", "submit", {str(tiny_yaml)!r}, "--address", url, "--",
          "--out", {str(tmp_path / "run")!r}, "--only", "variant=baseline,n_patients=2",
          "--device", "cpu", "--no-dashboard"]
done = subprocess.run(submit, capture_output=True, text=True)
assert done.returncode == 0, done.stderr
from ray.job_submission import JobSubmissionClient
client, job = JobSubmissionClient(url), done.stdout.split()[1].rstrip(":")
while client.get_job_status(job).name in ("PENDING", "RUNNING"):
    time.sleep(1)
assert client.get_job_status(job).name == "SUCCEEDED", client.get_job_logs(job)
cluster.shutdown()
"""
    done = subprocess.run(
        [command()[0], "-c", program], env=environment(), cwd=tmp_path, capture_output=True,
        text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1 cell: 1 done" in succeed("status", tmp_path / "run")
