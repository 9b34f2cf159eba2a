"""What the paths of a folder tree say of patient, class and split."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lussweep.data.tree import find_videos, guess_pattern, read_paths
from lussweep.errors import InputError

CLASSES = [f"{c}/P{i}_{c}.mp4" for c in ("covid", "normal") for i in range(5)]
PATIENTS = [f"{c}/P{i}/{v}.avi" for c in ("covid", "normal") for i in range(3) for v in "ab"]
SPLITS = [f"{s}/{c}/{s}{i}-x.mp4" for s in ("Train", "val", "test") for c in "01" for i in range(3)]


@pytest.mark.parametrize(
    ("paths", "pattern"),
    [
        (CLASSES, "{label}/{patient}_*"),
        (PATIENTS, "{label}/{patient}/*"),
        (SPLITS, "{split}/{label}/{patient}-*"),
        ([f"{c}/{i}{c}.mp4" for c in "ab" for i in range(4)], "{label}/{patient}"),
        ([f"site/{path}" for path in PATIENTS], "*/{label}/{patient}/*"),
    ],
)
def test_patterns_that_are_guessed(paths: list[str], pattern: str) -> None:
    assert guess_pattern(paths) == pattern
    assert len(read_paths(paths, pattern)) == len(paths)


def test_what_a_path_says() -> None:
    found = read_paths(SPLITS, "{split}/{label}/{patient}-*")
    first, last = found[0], found[-1]
    assert (first.patient, first.label, first.split) == ("Train0", "0", "train")
    assert (last.patient, last.label, last.split) == ("test2", "1", "holdout")
    assert (last.path, last.video_id) == ("test/1/test2-x.mp4", "test/1/test2-x.mp4")
    (one,) = read_paths(["a.b_c/P.1_2.mp4"], "{label}/{patient}_*")
    assert (one.patient, one.label, one.split) == ("P.1", "a.b_c", "")
    (folder,) = read_paths(["pos/P1/loop.1"], "{label}/{patient}/*")
    assert folder.patient == "P1"


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (["a.mp4", "b.mp4"], "no level of folders looks like a class"),
        (["a/b.mp4", "a/b/c.mp4"], "the videos lie at several depths"),
        ([f"P{i}/a.mp4" for i in range(9)], "no level of folders looks like a class"),
    ],
)
def test_trees_that_need_a_pattern(paths: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        guess_pattern(paths)
    assert "say with --pattern" in str(caught.value) and paths[0] in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("{label}/*", "has no {patient}"),
        ("{label}/{patient}/{label}", "has twice {label}"),
        ("{label}/{patient}_{side}", "has an unknown {side}"),
        ("{label}/{patient}", "3 of 13 videos do not fit the pattern"),
        ("{split}/{patient}_{label}", "gives the splits covid, normal: known are train, val"),
    ],
)
def test_patterns_that_are_refused(pattern: str, words: str) -> None:
    deep = ["x/y/z_1.mp4", "x/y/z_2.mp4", "x/y/z_3.mp4"]
    with pytest.raises(InputError) as caught:
        read_paths([*CLASSES, *deep], pattern)
    assert words in str(caught.value)


def test_a_split_that_no_folder_gives() -> None:
    paths = [path for path in SPLITS if not path.startswith("val")]
    with pytest.raises(InputError, match="the folders give no val split: add it, or put"):
        read_paths(paths, "{split}/{label}/{patient}-*")


def test_two_folders_that_would_be_one_split() -> None:
    paths = [*SPLITS, *(path.replace("val/", "holdout/") for path in SPLITS if "val/" in path)]
    with pytest.raises(InputError, match="holdout and test would all be holdout: give each"):
        read_paths(paths, "{split}/{label}/{patient}-*")


def test_a_name_that_a_manifest_cannot_hold(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"a\xff.mp4")).touch()
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    with pytest.raises(InputError, match="is not a name in UTF-8: rename it"):
        find_videos(tmp_path)


def test_videos_of_a_tree(tmp_path: Path) -> None:
    for name in ("a/1.MP4", "a/._1.mp4", "a/notes.txt", "b/loop/0.png", "b/loop/1.png", ".c/2.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "link.mp4").symlink_to("/etc/passwd")
    assert find_videos(tmp_path) == ["a/1.MP4", "b/loop"]
    with pytest.raises(InputError, match="holds no video"):
        find_videos(tmp_path / ".c" / "none")
