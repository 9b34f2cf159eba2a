"""What is read from a machine: from the kernel's own lines, a temporary home, stand-ins."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lussweep.backend import machine
from lussweep.backend.machine import (
    Gpus,
    Listening,
    TokenFile,
    look,
    probe_storage,
)


@pytest.mark.skipif(look().listening is None, reason="this system does not tell of ports")
@pytest.mark.parametrize(
    ("bound", "told"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "0.0.0.0"),
        ("::", "::"),
        ("::1", "::1"),
        ("::ffff:127.0.0.1", "127.0.0.1"),  # what a service of Ray on one IPv4 address looks like
    ],
)
def test_a_port_of_our_own_is_found_once_it_listens(bound: str, told: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in bound else socket.AF_INET) as ours:
        if ":" in bound:
            ours.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        try:
            ours.bind((bound, 0))
        except OSError as error:
            pytest.skip(f"no such address here: {error}")
        assert Listening(told, ours.getsockname()[1]) not in (look().listening or ())
        ours.listen()
        assert Listening(told, ours.getsockname()[1]) in (look().listening or ())


def test_a_connection_listens_to_nobody() -> None:
    with socket.socket() as ours, socket.socket() as other:
        ours.bind(("127.0.0.1", 0))
        ours.listen()
        other.connect(ours.getsockname())
        assert Listening(*other.getsockname()) not in (look().listening or ())


def test_memory_is_the_containers_where_that_has_less(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = machine.look().memory
    assert memory is not None and 0 < memory.free <= memory.total
    limits = {"memory.max": 2_000_000, "memory.current": 1_500_000}
    monkeypatch.setattr(Path, "read_text", lambda path: str(limits[path.name]))
    assert machine._memory() == machine.Space(500_000, 2_000_000)


def test_the_tokens_permissions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    assert look().token is None
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("secret")
    token.parent.chmod(0o755)
    token.chmod(0o644)
    assert look().token == TokenFile(str(token), 0o644, 0o755)
    token.parent.chmod(0o700)
    token.chmod(0o600)
    assert look().token == TokenFile(str(token), 0o600, 0o700)


def test_a_token_in_another_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "elsewhere"
    path.write_text("secret")
    path.chmod(0o640)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    found = look().token
    assert found is not None and (found.path, found.mode) == (str(path), 0o640)


def test_disks_of_folders_that_are_still_to_be_made(tmp_path: Path) -> None:
    wanted = str(tmp_path / "not" / "yet")
    disks = look([wanted]).disks
    assert list(disks) == [wanted]
    assert 0 < disks[wanted].free <= disks[wanted].total
    assert not (tmp_path / "not").exists()


NVIDIA_SMI = "#!/bin/sh\necho 'NVIDIA L4, 570.86.15'\necho 'NVIDIA L4, 570.86.15'\n"


@pytest.mark.parametrize(
    ("torch_says", "expected"),
    [
        ("12.8 2", Gpus(("NVIDIA L4",) * 2, ("570.86.15",), "12.8", 2)),
        ("None 0", Gpus(("NVIDIA L4",) * 2, ("570.86.15",), "", 0)),
        ("", Gpus(("NVIDIA L4",) * 2, ("570.86.15",))),
    ],
)
def test_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torch_says: str, expected: Gpus
) -> None:
    for name, text in (("nvidia-smi", NVIDIA_SMI), ("python", f"#!/bin/sh\necho {torch_says}\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(machine.sys, "executable", str(tmp_path / "python"))
    assert look().gpus == expected


def test_no_gpu_unless_somebody_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(machine.sys, "executable", str(tmp_path / "none"))
    assert look().gpus is None
    assert look(expects_gpu=True).gpus == Gpus((), ())


# --- shared storage -----------------------------------------------------------------------


def ask_here(folder: str, mark: str) -> dict[str, str]:
    return {name: machine.answer_mark(folder, mark, name) for name in ("a", "b#12")}


def test_machines_that_share_a_folder(tmp_path: Path) -> None:
    assert probe_storage(tmp_path / "not" / "yet", ask_here) == {"a": "", "b#12": ""}
    assert list(tmp_path.iterdir()) == []


def test_a_machine_with_another_folder_of_that_name(tmp_path: Path) -> None:
    def ask(folder: str, mark: str) -> dict[str, str]:
        other = tmp_path / "other"
        other.mkdir()
        return {"a": machine.answer_mark(str(other), mark, "a")}

    assert "does not see" in probe_storage(tmp_path, ask)["a"]


def test_a_machine_whose_files_are_not_seen_here(tmp_path: Path) -> None:
    answers = probe_storage(tmp_path, lambda folder, mark: {"a": ""})
    assert "is not seen here" in answers["a"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written() -> None:
    """/proc can be written by nobody, not even by root."""
    answers = probe_storage(Path("/proc/no/such"), ask_here)
    assert len(answers) == 1 and all(answers.values())


def test_a_folder_that_a_machine_may_only_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(folder: str, mark: str) -> dict[str, str]:
        monkeypatch.setattr(Path, "write_text", refuse)
        return {"a": machine.answer_mark(folder, mark, "a")}

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    assert "Permission denied" in probe_storage(tmp_path, ask)["a"]
