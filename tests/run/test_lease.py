"""One driver a folder: laws on the file, and real processes that die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lussweep.errors import InputError
from lussweep.run import lease
from lussweep.run.lease import (
    LEASE_FILE,
    STALE_S,
    LocalLeaseFile,
    Owner,
    RemoteLeaseFile,
    held,
    lease_file,
)
from lussweep.run.mirror import Mirror
from support.bucket import Server
from support.commands import environment

if TYPE_CHECKING:
    from support.gcs_bucket import GcsServer

HOLD = """
import sys, time
from pathlib import Path
from lussweep.run.lease import LocalLeaseFile, held
with held(LocalLeaseFile(Path(sys.argv[1])), sys.argv[1], print):
    print("held", flush=True)
    time.sleep(600)
"""
RACE = """
import sys, time
from pathlib import Path
from lussweep.errors import InputError
from lussweep.run.lease import LocalLeaseFile, held
folder, start = Path(sys.argv[1]), float(sys.argv[2])
time.sleep(max(0.0, start - time.time()))
try:
    with held(LocalLeaseFile(folder), "here", print):
        print("held", flush=True)
        sys.stdin.read()
except InputError:
    print("refused", flush=True)
"""


def nobody(reason: str) -> None:
    raise AssertionError(reason)


@pytest.fixture
def owner_process(tmp_path: Path):
    """A real process that holds the lease of `tmp_path`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        env=environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


# --- the file ------------------------------------------------------------------------------


def test_only_the_first_creates_and_only_who_knows_what_is_there_replaces(tmp_path: Path) -> None:
    file = LocalLeaseFile(tmp_path)
    assert file.read() is None
    assert file.create("one")
    assert not file.create("two")
    assert not file.replace("two", "three")
    assert file.read() == "one"
    assert file.replace("one", "two")
    assert file.read() == "two"
    assert not file.replace("one", None)
    assert file.replace("two", None)
    assert file.read() is None
    assert not file.replace("two", "three"), "nothing is not what was found"


def test_of_many_who_replace_the_same_text_one_does(tmp_path: Path) -> None:
    file = LocalLeaseFile(tmp_path)
    assert file.create("0")
    for turn in range(20):
        with ThreadPoolExecutor(8) as pool:
            # One process, one scratch name: the lock must keep even its threads apart.
            won = list(pool.map(lambda i, t=turn: file.replace(str(t), str(t + 1)), range(8)))
        assert sum(won) == 1


# --- one process ---------------------------------------------------------------------------


def test_a_lease_is_given_back_at_the_end_and_on_errors(tmp_path: Path) -> None:
    file = LocalLeaseFile(tmp_path)
    with held(file, "here", nobody):
        assert Owner.read(file.read() or "").pid == os.getpid()
    assert file.read() is None
    with pytest.raises(ZeroDivisionError), held(file, "here", nobody):
        raise ZeroDivisionError
    assert file.read() is None


def test_a_second_driver_is_told_who_holds_it_and_what_to_do(tmp_path: Path) -> None:
    file = LocalLeaseFile(tmp_path)
    with held(file, "runs/a", nobody):
        with pytest.raises(InputError) as refused, held(file, "runs/a", nobody):
            raise AssertionError("two hold it")
        (line,) = refused.value.problems
        owner = Owner.this()
        assert f"runs/a is in use by process {owner.pid} on {owner.host}" in line
        assert owner.command in line
        assert f"kill {owner.pid}" in line
        assert "another --out" in line
        assert "\n" not in line
        assert file.read() is not None, "the refused one takes nothing away"


@pytest.mark.parametrize(
    ("change", "is_gone"),
    [
        ({}, False),
        ({"beat_at": time.time() - STALE_S - 1}, True),
        ({"host": "elsewhere", "processes": "other", "pid": 2**22 + 1}, False),
        ({"host": "elsewhere", "processes": "other", "beat_at": 0.0}, True),
        ({"pid": 2**22 + 1}, True),  # above the kernel's largest process id
    ],
    ids=["alive", "silent", "alive elsewhere", "silent elsewhere", "dead here"],
)  # fmt: skip
def test_who_is_gone(change: dict[str, object], is_gone: bool, tmp_path: Path) -> None:
    other = replace(Owner.this(), **change)
    assert other.is_gone() == is_gone
    file = LocalLeaseFile(tmp_path)
    assert file.create(other.text())
    if is_gone:
        with held(file, "here", nobody):
            assert Owner.read(file.read() or "").started_at != other.started_at
        assert file.read() is None
    else:
        with pytest.raises(InputError), held(file, "here", nobody):
            pass
        assert file.read() == other.text()


def test_a_process_that_has_ended_is_gone_though_its_parent_has_not_asked(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=-1)
    owner = replace(Owner.this(), pid=child.pid)
    assert not owner.is_gone()
    assert child.stdin is not None
    child.stdin.close()  # it ends, and stays a zombie until it is waited for
    deadline = time.monotonic() + 30
    while not owner.is_gone():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.wait()
    assert owner.is_gone()


def test_a_process_that_may_not_be_asked_is_not_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert not replace(Owner.this(), pid=os.getpid() + 1).is_gone()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_a_text_that_nobody_finished_holds_nothing_up(text: str, tmp_path: Path) -> None:
    (tmp_path / LEASE_FILE).write_text(text)
    with held(LocalLeaseFile(tmp_path), "here", nobody):
        pass


def test_a_heartbeat_renews_and_notices_a_takeover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.02)
    file, lost = LocalLeaseFile(tmp_path), []
    with held(file, "here", lost.append):
        first = json.loads(file.read() or "")
        deadline = time.monotonic() + 20
        while json.loads(file.read() or "")["beat_at"] == first["beat_at"]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert not lost
        while not file.replace(file.read() or "", "another"):
            assert time.monotonic() < deadline
        while not lost:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert lost == ["here was taken over by another command"]
    assert file.read() == "another", "the loser leaves the winner's lease alone"


# --- real processes ------------------------------------------------------------------------


def test_a_killed_owner_is_followed_at_once(tmp_path: Path, owner_process) -> None:
    file = LocalLeaseFile(tmp_path)
    with pytest.raises(InputError, match=f"process {owner_process.pid} "), held(file, "x", nobody):
        pass
    os.kill(owner_process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while True:  # dead, though its parent has not waited for it
        try:
            with held(file, "x", nobody):
                assert Owner.read(file.read() or "").pid == os.getpid()
            break
        except InputError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_of_several_that_find_a_dead_owner_one_goes_on(tmp_path: Path) -> None:
    dead = replace(Owner.this(), pid=2**22 + 1)
    assert LocalLeaseFile(tmp_path).create(dead.text())
    start = time.time() + 2
    crowd = [
        subprocess.Popen(
            [sys.executable, "-c", RACE, str(tmp_path), str(start)],
            env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    told = sorted(process.stdout.readline().strip() for process in crowd)
    for process in crowd:
        process.communicate()
    assert told == ["held", "refused", "refused", "refused"]
    assert LocalLeaseFile(tmp_path).read() is None


# --- in a bucket ---------------------------------------------------------------------------


@pytest.fixture
def in_bucket(bucket: Server | GcsServer) -> RemoteLeaseFile:
    return RemoteLeaseFile(f"{bucket.url()}/run")


def test_in_a_bucket_too_only_who_knows_what_is_there_replaces(in_bucket: RemoteLeaseFile) -> None:
    assert in_bucket.read() is None
    assert in_bucket.create("one")
    assert not in_bucket.create("two")
    assert not in_bucket.replace("two", "three")
    assert in_bucket.replace("one", "two")
    assert in_bucket.read() == "two"
    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(lambda i: in_bucket.replace("two", f"three {i}"), range(4)))
    assert sum(won) == 1


def test_a_lease_in_a_bucket_is_refused_given_back_and_taken_again(
    in_bucket: RemoteLeaseFile,
) -> None:
    with held(in_bucket, "s3://bucket/run", nobody):
        assert Owner.read(in_bucket.read() or "").pid == os.getpid()
        with (
            pytest.raises(InputError, match="s3://bucket/run is in use by process"),
            held(in_bucket, "s3://bucket/run", nobody),
        ):
            pass
    assert in_bucket.read() == "{}", "which nobody holds"
    with held(in_bucket, "s3://bucket/run", nobody):
        assert Owner.read(in_bucket.read() or "").pid == os.getpid()


def test_where_writes_on_a_condition_are_not_known_a_lease_guards_this_machine(
    tmp_path: Path,
) -> None:
    assert isinstance(lease_file(tmp_path, "abfs://bucket/run"), LocalLeaseFile)
    assert isinstance(lease_file(tmp_path, None), LocalLeaseFile)
    for url in ("s3://bucket/run", "gs://bucket/run"):
        assert isinstance(lease_file(tmp_path, url), RemoteLeaseFile)


def test_a_lease_that_a_mirror_has_seen_stays_when_it_pushes(s3: Server, tmp_path: Path) -> None:
    url = f"{s3.url()}/run"
    file = RemoteLeaseFile(url)
    assert file.create("somebody")
    mirror = Mirror(url)
    folder = mirror.pulled()
    assert not (folder / LEASE_FILE).exists()
    (folder / "a.txt").write_text("a")
    mirror.push()
    assert file.read() == "somebody"


def test_a_beat_that_landed_but_was_answered_by_an_error_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.05)
    lost: list[str] = []

    class Failing(LocalLeaseFile):
        n = 0

        def replace(self, found: str, text: str | None) -> bool:
            done = super().replace(found, text)
            self.n += 1
            if self.n == 1:
                raise OSError("the answer did not come")
            return done

    file = Failing(tmp_path)
    with held(file, "here", lost.append):
        deadline = time.monotonic() + 10
        while file.n < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
    assert file.n >= 4
    assert not lost
    assert file.read() is None
