"""slurm.sh run through, with executables in Slurm's and Ray's place that write down what they are
told: nothing here needs Slurm."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
import signal
import stat
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from lussweep.backend.cluster.environment import ENVIRONMENT
from lussweep.backend.stop import GRACE_S
from support.commands import ROOT, STANDING

SCRIPT = ROOT / "experiments" / "clusters" / "slurm.sh"
N_NODES = 2

NOTE = f"""#!{sys.executable} -IS
import json, os, pathlib, signal, subprocess, sys, time
def note(program, arguments):
    names = ("RAY_", "LUSSWEEP_", "SLURM_NODEID", "HOME")
    kept = {{k: v for k, v in os.environ.items() if k.startswith(names)}}
    entry = {{"program": program, "arguments": arguments, "environment": kept}}
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(json.dumps(entry) + chr(10))
program, arguments = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
note(program, arguments)
"""
FAKES = {
    "hostname": "print('192.0.2.7 198.51.100.7' if arguments else 'node7')",
    "lussweep": "sys.exit(int(os.environ['GRID_ENDS_WITH']))",
    # One process a task, all at once, with the number of its node; the step's output is a file. The
    # signal that ends a step is for its tasks.
    "srun": """
signal.signal(signal.SIGTERM, lambda *_: None)
at = next(i for i, a in enumerate(arguments) if not a.startswith("--"))
options = dict(a.removeprefix("--").split("=", 1) for a in arguments[:at])
with open(options["output"], "a") as output:
    tasks = [
        subprocess.Popen(
            arguments[at:], env={**os.environ, "SLURM_NODEID": str(node)}, stdout=output
        )
        for node in range(int(options["ntasks"]))
    ]
sys.exit(max(task.wait() for task in tasks))
""",
    # As Ray's: the entrypoint runs on the head alone, when all nodes are there; a worker stays
    # until it is ended; a Ray that does not start is no failure.
    "ray": """
if arguments[:1] == ["get-auth-token"]:
    folder = pathlib.Path.home() / ".ray"
    folder.mkdir(exist_ok=True)
    if not (folder / "auth_token").exists():
        (folder / "auth_token").write_text("secret")
    print("secret")
elif arguments[:1] == ["symmetric-run"] and not os.environ.get("RAY_DOES_NOT_START"):
    pathlib.Path(os.environ["RAY_TMPDIR"]).mkdir(exist_ok=True)
    if os.environ["SLURM_NODEID"] != "0":
        time.sleep(600)
    while pathlib.Path(os.environ["NOTES"]).read_text().count("symmetric-run") < 2:
        time.sleep(0.01)
    sys.exit(subprocess.run(arguments[arguments.index("--") + 1:]).returncode)
""",
}


class Dry:
    """A job on two nodes whose programs only write down what they were told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes = folder / "notes"
        self.job = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"  # the script's own folder is in /tmp
        bin_folder = folder / "venv" / "bin"
        bin_folder.mkdir(parents=True)
        (folder / "home").mkdir()
        for name, body in FAKES.items():
            path = bin_folder / name
            path.write_text(NOTE + body)
            path.chmod(0o755)
        (bin_folder / "activate").write_text(f'export PATH="{bin_folder}:$PATH"\n')

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        still_there, inherited = os.pipe()  # ends when the last process of the job has
        process = subprocess.Popen(
            ["bash", str(SCRIPT), *arguments],
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder / "home"),
                "LUSSWEEP_VENV": str(self.folder / "venv"),
                "NOTES": str(self.notes),
                "SLURM_JOB_ID": self.job,
                "SLURM_JOB_NAME": "lussweep",
                "SLURM_JOB_NUM_NODES": str(N_NODES),
                "SLURM_CPUS_PER_TASK": "16",
                "SLURM_GPUS_ON_NODE": "2",
                "GRID_ENDS_WITH": "0",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            pass_fds=[inherited],
        )
        os.close(inherited)
        try:
            out, err = process.communicate(timeout=60)
        finally:
            # As Slurm when a job's script ends: SIGTERM for what is left of the job's step.
            _tell(process.pid, signal.SIGTERM)
            with open(still_there, "rb") as last:
                ended, _, _ = select.select([last], [], [], 30)
            _tell(process.pid, signal.SIGKILL)
        assert ended, "the step outlives the job"
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def told(self, program: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.notes.read_text().splitlines()]
        return [line for line in lines if line["program"] == program]


def _tell(session: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(session, number)


@pytest.fixture
def dry(tmp_path: Path) -> Dry:
    return Dry(tmp_path)


def test_every_node_starts_ray_and_the_head_alone_the_grid(dry: Dry) -> None:
    done = dry.run("paper", "--out", "/shared/a run")
    assert done.returncode == 0, done.stderr
    (started,) = dry.told("srun")
    assert started["arguments"][:3] == ["--nodes=2", "--ntasks=2", "--cpus-per-task=16"]
    rays = [told for told in dry.told("ray") if told["arguments"][0] == "symmetric-run"]
    assert {told["environment"]["SLURM_NODEID"] for told in rays} == {"0", "1"}
    for told in rays:
        words = told["arguments"]
        assert words[: words.index("--")] == [
            "symmetric-run", "--address", "192.0.2.7:6379", "--min-nodes", "2",
            "--num-cpus=16", "--num-gpus=2", "--dashboard-host=127.0.0.1",
        ]  # fmt: skip
    (grid,) = dry.told("lussweep")
    address = ["--address", "192.0.2.7:6379"]
    assert grid["arguments"] == ["grid", *address, "paper", "--out", "/shared/a run"]
    assert "SLURM_NODEID" not in grid["environment"]  # beside the step, not in it


def test_every_node_is_left_without_a_ray_and_its_files(dry: Dry) -> None:
    assert dry.run("paper").returncode == 0
    stops = [told for told in dry.told("ray") if told["arguments"] == ["stop"]]
    assert {told["environment"]["SLURM_NODEID"] for told in stops} == {"0", "1"}
    for variable in ("RAY_TMPDIR", "LUSSWEEP_RAY_IS_UP"):
        assert not Path(stops[0]["environment"][variable]).exists()


def test_rays_words_are_kept_apart_from_the_grids(dry: Dry) -> None:
    done = dry.run("paper")
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    log = dry.folder / f"lussweep-{dry.job}.ray.log"
    assert line == f"head: node7 (192.0.2.7:6379); Ray's output: {log}"
    assert log.exists()


def test_ray_is_closed_and_the_token_readable_for_its_owner_alone(dry: Dry) -> None:
    done = dry.run("paper", RAY_AUTH_MODE="disabled", RAY_AUTH_TOKEN="mine", RAY_ADDRESS="other")
    assert done.returncode == 0, done.stderr
    for told in dry.told("ray"):
        assert told["environment"]["RAY_AUTH_MODE"] == "token"
        assert {"RAY_AUTH_TOKEN", "RAY_ADDRESS"}.isdisjoint(told["environment"])
    token = dry.folder / "home" / ".ray" / "auth_token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert stat.S_IMODE(token.parent.stat().st_mode) == 0o700
    assert "secret" not in done.stdout + done.stderr
    assert "secret" not in dry.notes.read_text()


def test_a_token_of_before_is_kept_and_closed(dry: Dry) -> None:
    token = dry.folder / "home" / ".ray" / "auth_token"
    token.parent.mkdir(mode=0o755)
    token.write_text("of before")
    token.chmod(0o644)
    assert dry.run("paper").returncode == 0
    assert token.read_text() == "of before"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_rays_processes_have_the_settings_of_a_session(dry: Dry) -> None:
    assert dry.run("paper").returncode == 0
    for told in [*dry.told("ray")[1:], *dry.told("lussweep")]:
        found = {name: told["environment"].get(name) for name in STANDING}
        assert found == {name: ENVIRONMENT[name] for name in STANDING}
        assert told["environment"]["RAY_TMPDIR"] == f"/tmp/ray-{dry.job}"


@pytest.mark.parametrize("code", ["0", "1", "2", "130"])
def test_the_job_ends_as_the_grid_ended(dry: Dry, code: str) -> None:
    assert dry.run("paper", GRID_ENDS_WITH=code).returncode == int(code)


def test_a_ray_that_does_not_start_is_a_failed_job(dry: Dry) -> None:
    done = dry.run("paper", RAY_DOES_NOT_START="1")
    assert done.returncode == 1
    assert "Ray did not start" in done.stderr
    assert dry.told("lussweep") == []


def test_nodes_without_gpus(dry: Dry) -> None:
    assert dry.run("paper", SLURM_GPUS_ON_NODE="").returncode == 0
    assert "--num-gpus=0" in dry.told("ray")[1]["arguments"]


def test_slurm_reads_its_directives_before_the_first_command() -> None:
    """sbatch ignores every directive after a line that is neither blank nor a comment."""
    lines = SCRIPT.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    directives = [line for line in lines if line.startswith("#SBATCH")]
    assert directives == [line for line in lines[:first] if line.startswith("#SBATCH")]
    options = dict(re.match(r"#SBATCH --([\w-]+)=?(.*)", line).groups() for line in directives)
    assert options["ntasks-per-node"] == "1"  # one Ray a node
    assert "exclusive" in options
    assert options["signal"].startswith("B:TERM@")  # to the grid alone, before the time limit
    assert int(options["signal"].partition("@")[2]) > 2 * GRACE_S
    assert options["open-mode"] == "append"  # a requeued job keeps the log of its first part


def test_symmetric_run_takes_these_options() -> None:
    """Ray's own reading of the line, whose unknown options go to `ray start`."""
    from ray.scripts.scripts import start
    from ray.scripts.symmetric_run import curate_and_validate_ray_start_args

    line = ["--address", "192.0.2.7:6379", "--min-nodes", "2", "--num-cpus=16", "--num-gpus=2"]
    rest = curate_and_validate_ray_start_args([*line, "--dashboard-host=127.0.0.1"])
    assert rest == ["--num-cpus=16", "--num-gpus=2", "--dashboard-host=127.0.0.1"]
    start.make_context("start", [*rest, "--address", "192.0.2.7:6379", "--block"])


def test_it_is_shell() -> None:
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True, timeout=30)
    assert os.access(SCRIPT, os.X_OK)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(SCRIPT)], check=True, timeout=60)
