"""slurm.sh under a Slurm of two nodes, which are namespaces of this machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from support.commands import ROOT, TINY
from support.machines import Machines, lacking, machines

SCRIPT = ROOT / "experiments" / "clusters" / "slurm.sh"
NODES = ("node1", "node2")
CONFIGURATION = """
ClusterName=test
SlurmctldHost=login
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
ReturnToService=2
StateSaveLocation=/run/slurmctld
SlurmdSpoolDir=/run/slurmd
SlurmctldLogFile=/run/slurmctld.log
SlurmdLogFile=/run/slurmd.log
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
NodeName=node1,node2 CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")

missing = lacking("munged", "slurmctld", "slurmd", "sbatch", "srun", "hostname")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(missing is not None, reason=f"two machines with Slurm: {missing}"),
    pytest.mark.timeout(1800),
]


class Slurm:
    """A cluster with a login node, on which the tests are a user."""

    def __init__(self, cluster: Machines) -> None:
        self.cluster, self.folder = cluster, cluster.folder

    def submit(self, *arguments: str) -> int:
        """The number of the job."""
        line = f"sbatch --parsable --cpus-per-task=2 --gpus-per-node=0 --time=20 {SCRIPT}"
        settings = f"LUSSWEEP_VENV={self.folder}/venv"
        return int(self.cluster.run("login", f"{settings} {line} {' '.join(arguments)}"))

    def log(self, job: int) -> str:
        path = self.folder / f"lussweep-{job}.log"
        return path.read_text() if path.exists() else ""

    def until(self, job: int, word: str, timeout_s: float = 600) -> None:
        """Until the job's log has the word."""
        deadline = time.monotonic() + timeout_s
        while word not in self.log(job):
            assert time.monotonic() < deadline, self.log(job)
            time.sleep(1)

    def ended(self, job: int, timeout_s: float = 600) -> dict[str, str]:
        """What Slurm says of a job that has left every node."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            text = self.cluster.run("login", f"scontrol show job {job}")
            told = dict(word.split("=", 1) for word in text.split() if "=" in word)
            if told["JobState"] in ENDED and not self.cluster.run("login", f"squeue -h -j {job}"):
                return told
            time.sleep(1)
        pytest.fail(f"job {job} did not end: {self.log(job)}")

    def left_behind(self) -> list[str]:
        """Processes of Ray, and its files, on the nodes."""
        look = "find /tmp -maxdepth 1 -name 'ray-*'; ps -eo comm= | grep -xE 'raylet|gcs_server'"
        told = (self.cluster.run(node, f"{look} || true") for node in NODES)
        return [line for lines in told for line in lines.splitlines()]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    folder = tmp_path_factory.mktemp("slurm")
    (folder / "slurm.conf").write_text(CONFIGURATION)
    (folder / "tiny.yaml").write_text(TINY)
    many = TINY.replace("n_epochs: 2, ngf: 2", "n_epochs: 2000, ngf: 8", 1)
    assert many != TINY
    (folder / "long.yaml").write_text(many)
    programs = folder / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text(
        f'export PATH="{programs}:{Path(sys.executable).parent}:$PATH" PYTHONPATH="{ROOT}"\n'
    )
    (programs / "lussweep").write_text(f'#!/bin/sh\nexec {sys.executable} -m lussweep "$@"\n')
    (programs / "lussweep").chmod(0o755)
    kept = (tmp_path_factory.getbasetemp(), ROOT, Path(sys.prefix))
    with machines(folder, "login", NODES, kept) as cluster:
        for name in ("login", *NODES):
            cluster.run(name, """
                mkdir -p /etc/slurm /run/munge /var/log/munge /run/slurmd /run/slurmctld
                cp slurm.conf /etc/slurm/slurm.conf
                chown munge: /run/munge /var/log/munge
                su -s /bin/sh munge -c munged
            """)  # fmt: skip
        cluster.run("login", "slurmctld")
        for name in NODES:
            cluster.run(name, "slurmd")
        yield Slurm(cluster)


def test_a_job_on_two_nodes_makes_the_tables_and_leaves_nothing_behind(slurm: Slurm) -> None:
    job = slurm.submit("tiny.yaml", "--out", "tiny")
    told = slurm.ended(job)
    assert (told["JobState"], told["ExitCode"]) == ("COMPLETED", "0:0"), slurm.log(job)
    status = pq.read_table(slurm.folder / "tiny" / "results.parquet")["status"].to_pylist()
    assert status == ["done"] * 8
    assert "Ray runtime started" not in slurm.log(job)
    assert slurm.left_behind() == []


def test_a_signal_to_the_script_leaves_checkpoints_and_the_next_job_goes_on(slurm: Slurm) -> None:
    first = slurm.submit("long.yaml", "--out", "long")
    slurm.until(first, ": epoch ")
    slurm.cluster.run("login", f"scancel --batch --signal=TERM {first}")
    assert slurm.ended(first)["ExitCode"] == "130:0", slurm.log(first)
    assert "GANs leave a checkpoint" in slurm.log(first)
    assert "ended at once" not in slurm.log(first)
    assert slurm.left_behind() == []
    work = slurm.folder / "long" / "artifacts" / ".work"
    before = {path.parent.parent.name for path in work.glob("gan-*/checkpoints/*.pt")}
    assert before
    reached = max(map(_epoch, work.glob("gan-*/progress.txt")))

    second = slurm.submit("long.yaml", "--out", "long")
    slurm.until(second, ": epoch ")
    assert max(map(_epoch, work.glob("gan-*/progress.txt"))) >= reached
    slurm.cluster.run("login", f"scancel {second}")  # Ray ends below the grid
    assert slurm.ended(second)["JobState"] == "CANCELLED"
    assert slurm.left_behind() == []


def _epoch(progress: Path) -> int:
    return int(progress.read_text().split()[1])
