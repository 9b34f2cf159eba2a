import errno
import os
import subprocess
import sys
import threading
import time

import pytest
from filelock import Timeout

from lussweep.store import cache, locks
from lussweep.store.locks import NoLocksError, locked, locked_if_free, take
from support.commands import environment

HOLD = """
import sys
from pathlib import Path
from lussweep.store.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lock"


@pytest.fixture
def holder(path):
    """Another process that holds the lock until its input ends."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", HOLD, str(path)]
    process = subprocess.Popen(command, env=environment(), text=True, **pipes)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait(timeout=30)
    process.stdout.close()


@pytest.fixture(params=["ENOLCK", "EIO", "ESTALE"])
def without_locks(monkeypatch, request):
    """Files lie where the file system has no locks, or where its server does not answer."""
    number = getattr(errno, request.param)

    def refuse(lock, *arguments, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(locks.FileLock, "acquire", refuse)


def test_a_lock_that_another_process_holds_is_not_free(path, holder):
    with locked_if_free(path) as is_ours:
        assert not is_ours
    with pytest.raises(Timeout):
        take(path, wait=False)


def test_a_lock_is_free_again_after_the_block_and_after_a_kill(path, holder):
    holder.kill()
    holder.wait()
    with locked_if_free(path) as is_ours:
        assert is_ours, "no lock is stale"
    with locked(path), locked_if_free(path) as is_ours:
        assert not is_ours, "not even for the process that holds it"
    with locked_if_free(path) as is_ours:
        assert is_ours


def test_who_waits_gets_the_lock_when_it_is_free(path, holder):
    got = []

    def wait():
        with locked(path):
            got.append(time.monotonic())

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    assert not got
    holder.stdin.close()
    freed_at = time.monotonic()
    thread.join(30)
    assert got and got[0] >= freed_at


def test_threads_take_turns(path):
    order = []

    def work(name):
        for _ in range(5):
            with locked(path):
                order.append(name)
                time.sleep(0.001)
                order.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(order) == 40
    assert order[::2] == order[1::2], "nobody comes in between"


def test_a_lock_outlives_the_thread_that_took_it(path):
    held = []
    thread = threading.Thread(target=lambda: held.append(take(path, wait=False)))
    thread.start()
    thread.join()
    with locked_if_free(path) as is_ours:
        assert not is_ours
    held.pop().release()
    with locked_if_free(path) as is_ours:
        assert is_ours


def test_where_there_are_no_locks_work_goes_on(path, without_locks):
    with pytest.raises(NoLocksError):
        take(path, wait=True)
    with locked(path), locked_if_free(path) as is_ours:
        assert is_ours


def test_another_error_is_no_lack_of_locks(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="file"), locked(tmp_path / "file" / "lock"):
        pass


# --- what a node's processes have pinned ----------------------------------------------------

PIN = """
import sys
from lussweep.store.cache import ArtifactCache
cache = ArtifactCache()
cache.pin(cache.root / "store" / "gan" / "key" / "attempt")
print("pinned", flush=True)
sys.stdin.read()
"""


def test_pins_of_a_process_count_until_it_is_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("LUSSWEEP_CACHE", str(tmp_path))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", PIN]
    other = {**environment(), "LUSSWEEP_CACHE": str(tmp_path)}
    process = subprocess.Popen(command, env=other, text=True, **pipes)
    assert process.stdout.readline() == "pinned\n"
    found = cache.ArtifactCache()
    for _ in range(2):
        assert found._all_pinned() == {"store/gan/key/attempt"}
    process.kill()
    process.communicate(timeout=30)
    assert found._all_pinned() == set()
    assert list((found.root / ".pins").iterdir()) == []


def test_pins_count_where_there_are_no_locks(tmp_path, monkeypatch, without_locks):
    monkeypatch.setenv("LUSSWEEP_CACHE", str(tmp_path))
    found = cache.ArtifactCache()
    (found.root / ".pins" / "1-a.lock").touch()
    (found.root / ".pins" / "1-a").write_text("store/gan/key/attempt")
    assert found._all_pinned() == {"store/gan/key/attempt"}
