"""Labels of frames by number, by range and by time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lussweep.data import annotations as module
from lussweep.data.annotations import FrameLabels, at, label_frames, read_annotations

TIMES = [0.0, 0.04, 0.08, 0.12, 0.16]


def read(
    folder: Path, *rows: tuple[str, str], times: list[float] | None = None, **options: Any
) -> tuple[FrameLabels, list[str]]:
    """The labels of the video v from rows of frames and label, and the problems."""
    path = folder / "a.csv"
    path.write_text("video_id,frame,label\n" + "".join(f"v,{f},{y}\n" for f, y in rows))
    problems: list[str] = []
    found = read_annotations(path, problems, **options)
    labels = label_frames(found, {"v": times or ()}, problems)
    return labels.get("v", {}), problems


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ("3", [3]),
        ("3.0", [3]),
        ("10-12", [10, 11, 12]),
        ("10 - 12", [10, 11, 12]),
        ("10\N{EN DASH}12", [10, 11, 12]),
        ("10..12", [10, 11, 12]),
        ("4-4", [4]),
    ],
)
def test_numbers_and_ranges(tmp_path: Path, frames: str, expected: list[int]) -> None:
    labels, problems = read(tmp_path, (frames, "1"), ("0", "0"))
    assert (at(labels, 1), at(labels, 0), problems) == (tuple(expected), (0,), [])


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ("0.04s-0.12s", [1, 2, 3]),
        ("0.03 s - 0.1 s", [1, 2]),
        ("0s-9s", [0, 1, 2, 3, 4]),
        ("0.1s", [2]),
        ("0s", [0]),
    ],
)
def test_times(tmp_path: Path, span: str, expected: list[int]) -> None:
    labels, problems = read(tmp_path, (span, "1"), times=TIMES)
    assert (at(labels, 1), problems) == (tuple(expected), [])


def test_times_that_are_not_known_or_lie_outside(tmp_path: Path) -> None:
    _, (line,) = read(tmp_path, ("1.5s-3s", "1"))
    assert line == (
        "annotations row 1 (video v): frame is '1.5s-3s', and the video's frames have no times: "
        "give numbers of frames from 0"
    )
    for span in ("1.5s-3s", "0.17s", "0.05s-0.06s"):
        _, (line,) = read(tmp_path, (span, "1"), times=TIMES)
        assert f"no frame of the video lies within '{span}'" in line


@pytest.mark.parametrize(
    "frames", ["1.5", "-1", "", "a", "1-", "1-2-3", "1.5-3", "1s-3", "9" * 12 + "-3"]
)
def test_other_texts(tmp_path: Path, frames: str) -> None:
    _, (line,) = read(tmp_path, (frames, "1"))
    assert f"frame is '{frames}', not a whole number from 0, a range (10-24) or times" in line


def test_ends_before_begins(tmp_path: Path) -> None:
    _, problems = read(tmp_path, ("24-10", "1"), ("3s-1s", "1"))
    assert [line.partition("frame is ")[2] for line in problems] == [
        "'24-10', which ends before it begins: swap the two",
        "'3s-1s', which ends before it begins: swap the two",
    ]


def test_ranges_that_contradict_each_other(tmp_path: Path) -> None:
    labels, problems = read(tmp_path, ("0-9", "1"), ("5-12", "1"), ("9-20", "0"))
    assert problems == ["annotations row 3 (video v): frame 9 is labelled both 0 and 1"]
    assert at(labels, 1) == tuple(range(13))


def test_ranges_that_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, (line,) = read(tmp_path, ("0-999999999", "1"))
    assert "the annotations label over 1000000 frames: correct '0-999999999'" in line
    monkeypatch.setattr(module, "MAX_FRAMES", 10)
    _, problems = read(tmp_path, ("0-4", "1"), ("10-14", "1"))
    assert problems == []
    _, (line,) = read(tmp_path, ("0-4", "1"), ("10-15", "1"))
    assert "over 10 frames: correct '10-15'" in line


def test_labels_as_texts_and_without(tmp_path: Path) -> None:
    labels, problems = read(tmp_path, ("0", "yes"), ("1", "FALSE"), ("2", "1.0"))
    assert (labels, problems) == ({0: 1, 1: 0, 2: 1}, [])
    labels, problems = read(
        tmp_path, ("0", "consolidation"), ("1", "b"), positive=["Consolidation"]
    )
    assert (labels, problems) == ({0: 1, 1: 0}, [])
    _, (line,) = read(tmp_path, ("0", ""))
    assert line == "annotations row 1 (video v): label is empty: fill it, or remove the row"
    _, (line,) = read(tmp_path, ("0", "2"))
    assert line.startswith("annotations row 1 (video v): label is '2', not 0 or 1")
