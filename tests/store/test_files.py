import os

import pytest

from lussweep.errors import InputError
from lussweep.store.files import whole_file, whole_folder, write_whole
from lussweep.store.folders import LocalFolder, check_usable, marked


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def fail(path, error, shared=False):
    """Write half of a file, then stop with an error; its other name where there is none."""
    with whole_file(path, shared=shared) as scratch:
        scratch.write_text("half")
        if error is not None:
            raise error
    return scratch


@pytest.mark.parametrize("shared", [False, True])
def test_a_file_is_replaced_only_when_the_block_ends(tmp_path, shared):
    path = tmp_path / "deep" / "file.txt"
    write_whole(path, "old", shared=shared)
    with whole_file(path, shared=shared) as scratch:
        scratch.write_text("new")
        assert path.read_text() == "old"
        assert scratch.parent == path.parent, "renaming stays on one file system"
        assert scratch.name.startswith(".") and scratch.name.endswith(".partial")
    assert path.read_text() == "new"
    assert names(path.parent) == ["file.txt"]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, shared, error):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(error):
        fail(path, error, shared)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_bytes_are_written_as_they_are_and_text_as_utf8(tmp_path):
    write_whole(tmp_path / "bytes", b"\r\n\x00")
    write_whole(tmp_path / "text", "é\n")
    assert (tmp_path / "bytes").read_bytes() == b"\r\n\x00"
    assert (tmp_path / "text").read_bytes() == "é\n".encode()


def test_several_writers_at_once_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "file.txt"
    with whole_file(path, shared=True) as one, whole_file(path, shared=True) as other:
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one", "the last rename counts"
    assert names(tmp_path) == ["file.txt"]


def test_what_a_killed_writer_left_is_overwritten(tmp_path):
    left = [fail(tmp_path / "file.txt", None), fail(tmp_path / "file.txt", None)]
    assert left[0] == left[1], "always the same name"
    left[0].write_text("remains of a kill")
    write_whole(tmp_path / "file.txt", "new")
    assert names(tmp_path) == ["file.txt"]
    assert (tmp_path / "file.txt").read_text() == "new"


def test_a_durable_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path, synced = tmp_path / "file.txt", []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append((path.exists(), number)))
    write_whole(path, "cheap")
    assert synced == []
    path.unlink()
    with whole_file(path, durable=True) as scratch:
        scratch.write_text("dear")
    assert [existed for existed, _ in synced] == [False]


def test_a_folder_appears_filled_and_over_an_empty_one(tmp_path):
    path = tmp_path / "out"
    for _ in range(2):
        with whole_folder(path) as scratch:
            (scratch / "a").write_text("a")
            assert not path.exists() or names(path) == []
        assert names(path) == ["a"] and names(tmp_path) == ["out"]
        (path / "a").unlink()


def test_a_folder_never_replaces_files(tmp_path):
    path = tmp_path / "out"
    path.mkdir()
    (path / "mine").write_text("mine")
    with pytest.raises(OSError, match="not empty"), whole_folder(path) as scratch:
        (scratch / "a").write_text("a")
    assert names(path) == ["mine"] and names(tmp_path) == ["out"]


def test_what_a_killed_writer_left_of_a_folder_is_no_part_of_the_next(tmp_path):
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "old").write_text("remains of a kill")
    with whole_folder(tmp_path / "out") as scratch:
        (scratch / "new").write_text("new")
    assert names(tmp_path / "out") == ["new"]


# --- whether a folder can be used -----------------------------------------------------------


def test_a_mark_lies_in_the_folder_inside_the_block_alone(tmp_path):
    with marked(LocalFolder(tmp_path / "new")) as mark:
        assert names(tmp_path / "new") == [mark]
        assert (tmp_path / "new" / mark).read_text() == mark
        with marked(LocalFolder(tmp_path / "new")) as other:
            assert other != mark, "of another process, say"
    assert names(tmp_path / "new") == []


def test_a_folder_that_gives_back_other_bytes_cannot_be_used(tmp_path, monkeypatch):
    check_usable(LocalFolder(tmp_path))
    assert names(tmp_path) == []
    monkeypatch.setattr(LocalFolder, "read", lambda folder, name: b"stale")
    with pytest.raises(InputError, match="gives back other bytes than were written"):
        check_usable(LocalFolder(tmp_path))
    assert names(tmp_path) == []


def test_a_private_file_can_be_read_by_its_user_alone(tmp_path):
    path = tmp_path / "paths.json"
    for text in ("{}", '{"again": 1}'):
        write_whole(path, text, shared=True, private=True)
        assert (path.read_text(), path.stat().st_mode & 0o777) == (text, 0o600)
