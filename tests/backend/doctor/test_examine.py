"""`lussweep doctor` on this machine, on a Ray of the tests', and on an open one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lussweep.backend.doctor import Finding, examine, judge_cluster
from lussweep.errors import InputError
from support.bucket import Server
from support.commands import environment, invoke

# An open Ray that nobody can reach: in a network of its own, which has localhost alone.
OPEN = """
import fcntl, json, os, socket, struct, subprocess, sys
UP, GET_FLAGS, SET_FLAGS = 1, 0x8913, 0x8914
with socket.socket() as any_socket:
    request = struct.pack("16sh14x", b"lo", 0)
    flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, GET_FLAGS, request))[1]
    fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", flags | UP))
os.environ["RAY_AUTH_MODE"] = sys.argv[1]
from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled
from ray.cluster_utils import Cluster
ensure_token_if_auth_enabled()
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "dashboard_port": 0})
lussweep = [sys.executable, "-m", "lussweep"]
doctor = [*lussweep, "doctor", "--json", "--address", cluster.address, "--store", sys.argv[2]]
grid = [*lussweep, "grid", sys.argv[3], "--address", cluster.address, "--out", sys.argv[2] + "/run",
        "--set", "compute.n_threads=2"]  # refused: the cluster has 1 CPU
commands = (doctor, grid)[: int(sys.argv[4])]
done = [subprocess.run(c, capture_output=True, text=True, timeout=150) for c in commands]
print(json.dumps([[d.returncode, d.stdout, d.stderr] for d in done]))
cluster.shutdown()
"""


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings}


@pytest.fixture
def closed_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "home" / ".ray").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_without_a_cluster_the_machine_is_checked(closed_home: Path) -> None:
    found = by_check(examine(None, [closed_home / "run"]))
    assert list(found) == [
        "ray", "authentication", "token file", "gpu", "disk", "memory", "storage",
    ]  # fmt: skip
    assert "grid starts its own closed Ray" in found["authentication"].found
    for check in ("ray", "authentication", "token file", "storage"):
        assert found[check].status == "ok", found[check]
    assert not (closed_home / "run").exists()


def test_the_command_says_it_in_lines_and_in_json(closed_home: Path) -> None:
    _, lines = invoke("doctor", "--out", closed_home)
    _, text = invoke("doctor", "--out", closed_home, "--json")
    findings = [Finding(**entry) for entry in json.loads(text)]
    # Free room changes from one call to the next.
    assert [line.split()[:2] for line in lines.splitlines()] == [
        str(finding).split()[:2] for finding in findings
    ]


def test_a_problem_is_an_exit_code(closed_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = closed_home / "home" / ".ray" / "auth_token"
    token.write_text("secret")
    token.chmod(0o644)
    code, output = invoke("doctor")
    assert code == 1
    assert f"chmod 600 {token}" in output
    token.chmod(0o600)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    code, output = invoke("doctor")
    assert code == 1
    assert "problem  authentication: RAY_AUTH_MODE=disabled" in output


def test_buckets_are_checked_as_a_grid_would(
    closed_home: Path, s3: Server, own_cache: Path
) -> None:
    url = s3.url()
    _, text = invoke("doctor", "--out", url, "--store", "s3://no-such-bucket/store", "--json")
    store, out = (Finding(**f) for f in json.loads(text) if f["check"] == "storage")
    assert (out.status, out.found) == ("ok", f"{url}: written and read by 1 node")
    assert store.status == "problem"
    assert "make the bucket first" in store.found
    assert "credentials" in store.remedy
    assert any(r.startswith("PUT") and ".probe-" in r for r in s3.requests)


def test_it_imports_neither_torch_nor_ray_where_there_is_no_cluster(closed_home: Path) -> None:
    program = (
        "import sys; from lussweep.backend.doctor import examine; examine(None, []);"
        "print({'ray', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True
    )
    assert done.stdout.strip() == "set()", done.stderr


@pytest.mark.unhurried
def test_a_cluster_that_does_not_answer_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    from lussweep.backend.cluster import session

    def refuse(address: str | None) -> None:
        assert address is None, "the session says that the address is that of RAY_ADDRESS"
        raise InputError("no Ray cluster answers at 192.0.2.1:6379")

    monkeypatch.setattr(session, "ray_session", refuse)
    monkeypatch.setenv("RAY_ADDRESS", "192.0.2.1:6379")
    (found,) = examine(None, [])
    assert (found.status, found.found) == ("problem", "no Ray cluster answers at 192.0.2.1:6379")
    assert found.remedy


def test_a_local_ray_is_closed(local_ray: None, tmp_path: Path) -> None:
    from lussweep.backend.cluster.inspection import inspect, is_open

    assert not is_open()
    facts = inspect("", [tmp_path])
    found = by_check(judge_cluster(facts, [tmp_path]))
    assert facts.control_open is False
    for check in ("nodes", "ray", "authentication", "addresses", "clocks", "versions", "storage"):
        assert found[check].status == "ok", found[check]
    assert found["token file"].status != "problem"  # a session closes its file
    assert list(facts.machines) == list(facts.clocks) == [facts.head]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_no_node_can_write(local_ray: None) -> None:
    from lussweep.backend.cluster.inspection import inspect

    folder = Path("/proc/no/such")
    found = by_check(judge_cluster(inspect("", [folder]), [folder]))
    assert found["storage"].status == "problem"


def test_every_node_is_asked_for_a_url(local_ray: None) -> None:
    from lussweep.backend.cluster.inspection import inspect

    facts = inspect("", [], ["memory://probe/store", "nosuch://probe/store"])
    fine, broken = (f for f in judge_cluster(facts, []) if f.check == "storage")
    assert fine.status == "ok", fine
    assert broken.status == "problem"
    for asked in (facts.head, "this process"):
        assert f"{asked}: nosuch://probe/store" in broken.found


@pytest.mark.unhurried
def test_a_service_that_is_not_ray_is_neither_open_nor_closed() -> None:
    from lussweep.backend.cluster.inspection import dashboard_status, strangers_may_enter

    assert strangers_may_enter("127.0.0.1:9") is None
    assert dashboard_status("http://127.0.0.1:9") is None


def _alone(mode: str, folder: Path, experiment: str, n: int) -> list[tuple[int, str, str]]:
    """Exit code and output of `doctor`, and of `grid` if n is 2, with a Ray in a network of its
    own."""
    try:
        subprocess.run(["unshare", "-rn", "true"], check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("this system lets nobody make a network of their own; nothing else needs it")
    arguments = [sys.executable, "-c", OPEN, mode, str(folder), experiment, str(n)]
    done = subprocess.run(
        ["unshare", "-rn", *arguments],
        env=environment(), capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [tuple(entry) for entry in json.loads(done.stdout.splitlines()[-1])]


@pytest.mark.unhurried
def test_an_open_ray_is_found_insecure_and_grid_says_so(tmp_path: Path, tiny_yaml: Path) -> None:
    doctor, grid = _alone("disabled", tmp_path, str(tiny_yaml), 2)
    assert doctor[0] == 1
    found = by_check([Finding(**entry) for entry in json.loads(doctor[1])])
    assert found["authentication"].status == "problem"
    assert "the control service answers without a token" in found["authentication"].found
    assert "the dashboard answers without a token" in found["authentication"].found
    assert found["storage"].status == found["nodes"].status == "ok"
    assert grid[0] == 2 and "lower gan.n_workers or compute.n_threads" in grid[2]
    warnings = [line for line in grid[2].splitlines() if line.startswith("warning: whoever")]
    assert len(warnings) == 1
    assert "lussweep doctor" in warnings[0]


@pytest.mark.slow
def test_a_closed_ray_is_found_closed(tmp_path: Path) -> None:
    (doctor,) = _alone("token", tmp_path, "", 1)
    found = by_check([Finding(**entry) for entry in json.loads(doctor[1])])
    assert found["authentication"].status == "ok"
    assert "the dashboard (401)" in found["authentication"].found
    assert found["addresses"].status == "ok"
