"""A Ray that cannot start here is one line with the path and the remedy, and exit code 2."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from lussweep.backend.cluster import session, startable
from lussweep.backend.cluster.private import session_socket, temporary_folder
from lussweep.errors import InputError
from support.commands import command, environment


def ended(
    tiny_yaml: Path, out: Path, before: Sequence[str] = (), **changes: str | Path
) -> tuple[int, str]:
    """Exit code and standard error of a grid on a local Ray, in another environment."""
    done = subprocess.run(
        [*before, *command("grid", tiny_yaml, "--out", out, "--cpus", "1")],
        env=environment() | {name: str(value) for name, value in changes.items()},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stderr


def may_unshare(kind: str) -> bool:
    """Whether this user may make a namespace of its own."""
    tool = shutil.which("unshare")
    return tool is not None and subprocess.run([tool, kind, "true"]).returncode == 0


def test_a_path_that_is_too_long_for_a_socket(tiny_yaml: Path, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    code, told = ended(tiny_yaml, tmp_path / "run", TMPDIR=long)
    assert code == 2
    (line,) = told.splitlines()
    assert line.startswith(f"error: Ray cannot start in {long}/ray: the path of its sockets has ")
    assert line.endswith("set RAY_TMPDIR to a folder with a shorter path, such as /tmp")


def test_a_folder_that_cannot_be_made(tiny_yaml: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    folder = Path("/tmp") / f"lussweep-{os.getpid()}"  # short enough for a socket
    folder.symlink_to(tmp_path / "file")
    try:
        code, told = ended(tiny_yaml, tmp_path / "run", RAY_TMPDIR=folder)
    finally:
        folder.unlink()
    assert code == 2
    assert told == (
        f"error: Ray cannot start in {folder}/ray (Not a directory): set RAY_TMPDIR to a folder "
        "that you can write to\n"
    )


def test_a_home_that_cannot_be_written(tiny_yaml: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    if os.geteuid():
        home.chmod(0o555)
        before, reason = [], "Permission denied"
    elif may_unshare("--mount"):
        mount = f'mount -t tmpfs -o ro tmpfs "{home}" && exec "$@"'
        before, reason = ["unshare", "--mount", "sh", "-c", mount, "sh"], "Read-only file system"
    else:
        pytest.skip("root without mounts of its own writes to every folder")
    code, told = ended(tiny_yaml, tmp_path / "run", before, HOME=home)
    assert code == 2
    (line,) = told.splitlines()
    start = f"error: Ray cannot write its token to {home}/.ray/auth_token ({reason}): set HOME to"
    assert line.startswith(start)


def test_a_machine_without_loopback(tiny_yaml: Path, tmp_path: Path) -> None:
    if not may_unshare("--net"):
        pytest.skip("this user may not make a network of its own")
    code, told = ended(tiny_yaml, tmp_path / "run", ["unshare", "--net"])
    assert code == 2
    assert told.startswith(
        "error: Ray cannot start: this machine cannot connect to itself at 127.0.0.1 (Network is "
        "unreachable): switch the loopback device on (ip link set lo up)"
    )
    assert len(told.splitlines()) == 1


def test_every_obstacle_has_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*given: object, **others: object) -> None:
        raise TimeoutError("timed out")

    (tmp_path / "file").touch()
    monkeypatch.setattr(startable.socket, "create_connection", refuse)
    monkeypatch.setattr(startable, "temporary_folder", lambda: tmp_path / "file" / "ray")
    monkeypatch.setattr(startable, "LONGEST_SOCKET", 4096)
    for name in (*startable.TOKEN_VARIABLES, "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError) as caught:
        startable.check_startable(tmp_path / "file" / ".ray" / "auth_token")
    folder, home, loopback = caught.value.problems
    assert f"{tmp_path}/file/ray (Not a directory)" in folder
    assert f"{tmp_path}/file/.ray/auth_token (Not a directory)" in home
    assert "127.0.0.1 (timed out)" in loopback
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a secret of the user's own")
    with pytest.raises(InputError) as caught:
        startable.check_startable(tmp_path / "file" / ".ray" / "auth_token")
    assert [folder, loopback] == list(caught.value.problems)


def test_a_machine_that_is_fit_has_no_obstacle(tmp_path: Path) -> None:
    startable.check_startable(tmp_path / ".ray" / "auth_token")
    assert list((tmp_path / ".ray").iterdir()) == []


def test_an_error_of_ray_itself_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**given: object) -> None:
        raise OSError("the disk\nis full")

    monkeypatch.setattr(session.ray, "init", fail)
    with (
        pytest.raises(InputError, match=r"no Ray starts on this machine.*the disk is full: try"),
        session.ray_session("local"),
    ):
        pass


def test_the_length_of_a_socket_is_that_of_rays_own(local_ray: None) -> None:
    import ray

    made = Path(ray._private.worker._global_node.plasma_store_socket_name)
    expected = Path(session_socket(temporary_folder()))
    assert made.parents[2] == expected.parents[2]
    assert len(str(made)) == len(str(expected))


def test_a_token_that_others_may_read_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    token = session.token_file()
    token.parent.mkdir(mode=0o755)
    token.touch(mode=0o644)
    session._close_token_file()
    assert [path.stat().st_mode & 0o777 for path in (token, token.parent)] == [0o600, 0o700]
