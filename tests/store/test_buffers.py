from __future__ import annotations

import os
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest

from lussweep.store import buffers, child
from support import in_child


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    buffers._idle.clear()
    yield
    buffers._idle.clear()
    child.end_children()


def write(piece: bytes, n: int) -> buffers.Buffer:
    buffer = buffers.take()
    child.call(Path("a.avi"), in_child.write, piece, n, out=buffer.file)
    return buffer


def test_the_next_file_takes_the_same_memory_and_shows_nothing_of_the_one_before() -> None:
    first = write(b"abc", 10_000)
    levels = first.levels()
    assert levels.tobytes() == b"abc" * 10_000
    pages = first.pages
    del levels
    second = write(b"d", 5)
    assert second is first
    assert second.levels().tobytes() == b"ddddd"
    assert second.pages is pages, "mapped once"


def test_a_longer_file_is_mapped_again() -> None:
    write(b"abc", 10).levels()
    levels = write(b"de", 10_000).levels()
    assert levels.tobytes() == b"de" * 10_000


def test_memory_that_a_view_still_shows_is_not_given_away() -> None:
    view = write(b"abc", 4).levels().reshape(4, 3)[1:]
    assert write(b"x", 12).levels().tobytes() == b"x" * 12
    assert view.tobytes() == b"abcabcabc"


def test_few_and_small_buffers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = [write(b"a", 9).levels() for _ in range(child.MAX_IDLE + 2)]
    arrays.clear()
    assert len(buffers._idle) == child.MAX_IDLE
    monkeypatch.setattr(buffers, "MAX_KEPT_BYTES", 99)
    write(b"a", 100).levels()
    assert len(buffers._idle) == child.MAX_IDLE - 1


def test_a_forked_process_gives_nothing_back_that_its_parent_uses() -> None:
    levels = write(b"a", 9).levels()

    def in_fork() -> None:
        nonlocal levels
        del levels
        os._exit(len(buffers._idle))

    process = get_context("fork").Process(target=in_fork)
    process.start()
    process.join()
    assert process.exitcode == 0
    assert levels.tobytes() == b"a" * 9
