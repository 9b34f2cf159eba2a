"""slurm.sh run through, with executables in Slurm's and Ray's place that write down what they are
told: nothing here needs Slurm."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lussweep.backend.cluster.session import ENVIRONMENT
from support import ROOT, STANDING

SCRIPT = ROOT / "experiments" / "clusters" / "slurm.sh"
NODES = ["node7", "node8"]

NOTE = f"""#!{sys.executable}
import json, os, pathlib, subprocess, sys
def note(program, arguments):
    names = ("RAY_", "SLURM_NODEID", "HOME")
    kept = {{k: v for k, v in os.environ.items() if k.startswith(names)}}
    entry = {{"program": program, "arguments": arguments, "environment": kept}}
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(json.dumps(entry) + chr(10))
program, arguments = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
note(program, arguments)
"""
FAKES = {
    "scontrol": "print(os.environ['SLURM_JOB_NODELIST'].replace(',', chr(10)))",
    "hostname": "print('192.0.2.7 198.51.100.7')",
    "lussweep": "sys.exit(int(os.environ['GRID_ENDS_WITH']))",
    # One process a task, in turn, with the number of its node.
    "srun": """
at = next(i for i, a in enumerate(arguments) if not a.startswith("--"))
options = dict(a.removeprefix("--").split("=", 1) for a in arguments[:at])
codes = [
    subprocess.run(arguments[at:], env={**os.environ, "SLURM_NODEID": str(node)}).returncode
    for node in range(int(options["ntasks"]))
]
sys.exit(max(codes))
""",
    # As Ray's: the entrypoint runs on the head alone; a Ray that does not start is no failure.
    "ray": """
if arguments[:1] == ["get-auth-token"]:
    folder = pathlib.Path.home() / ".ray"
    folder.mkdir(exist_ok=True)
    if not (folder / "auth_token").exists():
        (folder / "auth_token").write_text("secret")
    print("secret")
elif os.environ["SLURM_NODEID"] == "0" and not os.environ.get("RAY_DOES_NOT_START"):
    sys.exit(subprocess.run(arguments[arguments.index("--") + 1:]).returncode)
""",
}


class Dry:
    """A job on two nodes whose programs only write down what they were told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes = folder / "notes"
        bin_folder = folder / "venv" / "bin"
        bin_folder.mkdir(parents=True)
        (folder / "home").mkdir()
        for name, body in FAKES.items():
            path = bin_folder / name
            path.write_text(NOTE + body)
            path.chmod(0o755)
        (bin_folder / "activate").write_text(f'export PATH="{bin_folder}:$PATH"\n')

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(SCRIPT), *arguments],
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder / "home"),
                "LUSSWEEP_VENV": str(self.folder / "venv"),
                "NOTES": str(self.notes),
                "SLURM_JOB_ID": "4711",
                "SLURM_JOB_NODELIST": ",".join(NODES),
                "SLURM_JOB_NUM_NODES": str(len(NODES)),
                "SLURM_CPUS_PER_TASK": "16",
                "SLURM_GPUS_ON_NODE": "2",
                "GRID_ENDS_WITH": "0",
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=60,
        )

    def told(self, program: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.notes.read_text().splitlines()]
        return [line for line in lines if line["program"] == program]


@pytest.fixture
def dry(tmp_path: Path) -> Dry:
    return Dry(tmp_path)


def test_every_node_starts_ray_and_the_head_alone_the_grid(dry: Dry) -> None:
    done = dry.run("paper", "--out", "/shared/a run")
    assert done.returncode == 0, done.stderr
    assert dry.told("scontrol")[0]["arguments"] == ["show", "hostnames", ",".join(NODES)]
    asked, started = dry.told("srun")
    assert asked["arguments"] == [
        "--nodes=1", "--ntasks=1", "--nodelist=node7", "hostname", "--all-ip-addresses",
    ]  # fmt: skip
    assert started["arguments"][:3] == ["--nodes=2", "--ntasks=2", "--cpus-per-task=16"]
    rays = [told for told in dry.told("ray") if told["arguments"][0] == "symmetric-run"]
    assert [told["environment"]["SLURM_NODEID"] for told in rays] == ["0", "1"]
    for told in rays:
        words = told["arguments"]
        assert words[: words.index("--")] == [
            "symmetric-run", "--address", "192.0.2.7:6379", "--min-nodes", "2",
            "--num-cpus=16", "--num-gpus=2", "--dashboard-host=127.0.0.1",
        ]  # fmt: skip
    (grid,) = dry.told("lussweep")
    assert grid["arguments"] == ["grid", "--address", "auto", "paper", "--out", "/shared/a run"]
    assert grid["environment"]["SLURM_NODEID"] == "0"


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
    for told in dry.told("ray")[1:]:
        found = {name: told["environment"].get(name) for name in STANDING}
        assert found == {name: ENVIRONMENT[name] for name in STANDING}
        assert told["environment"]["RAY_TMPDIR"] == "/tmp/ray-4711"


@pytest.mark.parametrize("code", ["0", "1", "2", "130"])
def test_the_job_ends_as_the_grid_ended(dry: Dry, code: str) -> None:
    assert dry.run("paper", GRID_ENDS_WITH=code).returncode == int(code)
    assert not list(dry.folder.glob(".lussweep-*"))


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
