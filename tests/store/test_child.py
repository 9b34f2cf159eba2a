from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest

from lussweep.errors import InputError
from lussweep.store import child
from lussweep.store.child import call, scratch
from lussweep.store.child_process import Limits
from support import in_child
from support.commands import ROOT, with_helpers

FILE = Path("some/video.avi")


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    child.end_children()
    yield
    child.end_children()


def refusal(function: object, *args: object, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        call(FILE, function, *args, **options)  # type: ignore[arg-type]
    (line,) = caught.value.problems
    assert line.startswith("some/video.avi: ") and line.endswith("or leave it out")
    return line


def is_running(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def has_ended(pid: int, within_seconds: float = 10) -> bool:
    deadline = time.monotonic() + within_seconds
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_running(pid)


def test_values_and_exceptions_come_back_from_another_process() -> None:
    assert call(FILE, in_child.echo, 1, "a", 0.5, None, (2, 3)) == [1, "a", 0.5, None, [2, 3]]
    assert call(FILE, in_child.pid) != os.getpid()
    with pytest.raises(InputError, match="a: b: c"):
        call(FILE, in_child.fail, InputError("a: b: c"))
    with pytest.raises(FileNotFoundError, match="gone") as caught:
        call(FILE, in_child.fail, FileNotFoundError(2, "gone", "a.avi"))
    assert (caught.value.errno, caught.value.filename) == (2, "a.avi")
    with pytest.raises(ValueError, match=r"\Ano number"):  # such as pyarrow raises
        call(FILE, in_child.fail, OSError("no number"))
    with pytest.raises(in_child.OwnError, match=r"\Aa") as own:
        call(FILE, in_child.fail, in_child.OwnError("a"), errors=(in_child.OwnError,))
    assert "in fail" in "".join(own.value.__notes__)
    with pytest.raises(ValueError, match=r"\Aa"):
        call(FILE, in_child.fail, in_child.OwnError("a"))
    with pytest.raises(ValueError, match="1 and 2"):
        call(FILE, in_child.fail_with_an_error_that_cannot_be_made_again)


def test_nothing_that_a_child_sends_runs_code() -> None:
    """A file may have taken the child over: its answers are texts and numbers, or none."""
    with pytest.raises(ValueError, match="not JSON serializable"):
        call(FILE, in_child.echo, {1, 2})
    for answer in (
        b"cos\nsystem\n.", b"[]", b'["raised", {}, true]', b"\xff", b"3", b'"abc"',
        b'["other", 1, true]', b'["value", 1, 2]', b"[" * 10**5,
    ):  # fmt: skip
        assert "gave no valid answer" in refusal(in_child.answer_with, answer)
        assert not child._idle, "a child that gives such an answer serves no other file"


def test_one_child_serves_many_calls_without_torch_and_ray() -> None:
    assert len({call(FILE, in_child.pid) for _ in range(20)}) == 1
    assert not {"torch", "ray", "monai"} & set(call(FILE, in_child.modules))


def test_bytes_are_handed_over_in_a_file() -> None:
    with scratch() as out:
        assert call(FILE, in_child.write, b"abc", 1000, out=out) == 1000
        assert os.lseek(out.fileno(), 0, os.SEEK_CUR) == 3000
        out.seek(0)
        assert out.read() == b"abc" * 1000
        call(FILE, in_child.write, b"d", 2, out=out)
        assert os.lseek(out.fileno(), 0, os.SEEK_CUR) == 2, "what follows is of the first call"
        out.seek(0)
        assert out.read(2) == b"dd"


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_death_by_a_signal_is_a_refusal(number: signal.Signals) -> None:
    assert f"died of {number.name}" in refusal(in_child.die, int(number))
    assert call(FILE, in_child.echo, 1) == [1]


def test_each_limit_is_a_refusal() -> None:
    assert "over 0.25 GiB of memory" in refusal(
        in_child.fill_memory, 2**29, limits=Limits(memory_bytes=2**28)
    )
    assert call(FILE, in_child.fill_memory, 2**29) == 2**29
    assert "over 1 seconds of CPU" in refusal(in_child.spin, limits=Limits(cpu_seconds=1))
    assert "takes over 1 seconds" in refusal(in_child.sleep, 60, limits=Limits(wall_seconds=1))
    for hanging in (in_child.stop_in_the_answer, in_child.hang_up):
        assert "takes over 1 seconds" in refusal(hanging, limits=Limits(wall_seconds=1))
    assert "ended with status 3" in refusal(in_child.exit_with, 3)
    with scratch() as out:
        message = refusal(
            in_child.write, b"a" * 2**20, 3, out=out, limits=Limits(output_bytes=2**21)
        )
    assert "unpacks to over 0.00195 GiB" in message


def test_the_cpu_limit_counts_from_the_beginning_of_each_call() -> None:
    call(FILE, in_child.echo)
    for _ in range(3):
        refusal(in_child.spin, limits=Limits(cpu_seconds=1))


def test_a_child_that_was_killed_between_two_calls_is_replaced() -> None:
    first = call(FILE, in_child.pid)
    os.kill(first, signal.SIGKILL)
    assert call(FILE, in_child.pid) != first


def test_what_breaks_a_used_child_is_tried_in_a_fresh_one() -> None:
    first = call(FILE, in_child.pid)
    with scratch() as out:
        call(FILE, in_child.write, b"old", 1, out=out)
        assert call(FILE, in_child.die_unless_fresh, first) != first


def test_threads_have_a_child_each_and_few_stay() -> None:
    pids: list[int] = []

    def work() -> None:
        call(FILE, in_child.sleep, 0.5)
        pids.append(call(FILE, in_child.pid))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 4
    assert len(child._idle) == child.MAX_IDLE


def _pid_in_a_process(results: object) -> None:
    results.put((call(FILE, in_child.pid), os.getpid()))  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_have_children_of_their_own(method: str) -> None:
    own = call(FILE, in_child.pid)
    context = get_context(method)
    results = context.Queue()
    process = context.Process(target=_pid_in_a_process, args=(results,), daemon=True)
    process.start()
    theirs, parent = results.get(timeout=60)
    process.join(60)
    assert process.exitcode == 0
    assert theirs not in (own, parent)
    assert call(FILE, in_child.pid) == own
    assert has_ended(theirs)


@pytest.mark.parametrize("ending", ["pass", "os.kill(os.getpid(), 9)", "os._exit(1)"])
def test_no_child_outlives_its_parent(ending: str) -> None:
    code = (
        "import os, sys, threading, time\nfrom pathlib import Path\n"
        "from lussweep.store.child import call\nfrom support import in_child\n"
        "print(call(Path('a'), in_child.pid))\n"
        "work = lambda: call(Path('a'), in_child.sleep, 60)\n"
        "busy = threading.Thread(target=work, daemon=True)\n"
        f"busy.start() if {ending!r} != 'pass' else None\n"
        f"time.sleep(0.5); sys.stdout.flush(); {ending}\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], env=with_helpers(), cwd=ROOT, capture_output=True, text=True
    )
    assert has_ended(int(run.stdout)), run.stderr


def test_an_idle_child_ends_and_the_next_call_starts_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child, "IDLE_SECONDS", 0.2)
    first = call(FILE, in_child.pid)
    assert has_ended(first)
    assert call(FILE, in_child.pid) != first
