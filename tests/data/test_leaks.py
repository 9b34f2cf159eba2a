"""One patient under two ids, and the same frames in two places, are refused with both sides."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lussweep.data.digests import Content, contents
from lussweep.data.leaks import normal_id, same_patients, shared_content
from lussweep.data.readers.decode import READERS
from lussweep.data.readers.seam import Reader
from lussweep.study.plugins import Plugin
from lussweep.study.spec import Video

SAME = [
    ("P001", "p1"),
    ("007", "7"),
    ("P-007-01", "P-7-1"),
    ("12", "12.0"),
    ("Müller", "Mu\N{COMBINING DIAERESIS}ller"),
    ("MÜLLER", "müller"),
    ("Weiß", "WEISS"),
    ("P 1", "P  1"),
    ("P 1", "P1"),
    ("Anna Maria", "Anna\N{NO-BREAK SPACE}Maria"),
    ("P1", "P\N{ZERO WIDTH SPACE}1"),
    ("P1", "\N{ZERO WIDTH NO-BREAK SPACE}P1"),
    ("P1", "P\N{SOFT HYPHEN}1"),
    ("P1", "P1\N{VARIATION SELECTOR-16}"),
    ("P1", "P\N{HANGUL FILLER}1"),
    ("P1", "\N{BRAILLE PATTERN BLANK}P1"),
    ("P1", "P\N{FULLWIDTH DIGIT ONE}"),
    ("P-1", "P\N{NON-BREAKING HYPHEN}1"),
    ("P-1", "P\N{EN DASH}1"),
    ("P-1", "P\N{MINUS SIGN}1"),
    ("P7", "P\N{ARABIC-INDIC DIGIT SEVEN}"),
]
DIFFERENT = [
    ("P1", "P10"), ("P1", "Q1"), ("1 23", "12 3"), ("1-23", "12-3"), ("0", "00a"), ("a0b", "ab"),
    ("1.5", "15"), ("10", "1"), ("P1", "P1a"), ("0", "1"), ("Müller", "Muller"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_spellings_of_one_id(one: str, other: str) -> None:
    assert normal_id(one) == normal_id(other)
    (line,) = same_patients({one: "row 1, train", other: "row 9, holdout", "Z": "row 2, train"})
    assert "(row 1, train)" in line and "(row 9, holdout)" in line and "write them alike" in line
    shown = line.removeprefix("the patient ids ").split(" may be one")[0]
    first, second = (part.partition(" (row")[0] for part in shown.split(" and "))
    assert first != second, "what is shown differs"
    assert first.isascii() or ascii(one) in first
    assert second.isascii() or ascii(other) in second


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_ids_of_two_patients(one: str, other: str) -> None:
    assert normal_id(one) != normal_id(other)
    assert same_patients({one: "row 1", other: "row 2"}) == []


def test_many_spellings_are_one_line() -> None:
    places = {"p1": "row 1", "P1": "row 2", "P01": "row 3", "P001": "row 4", "P 1": "row 5"}
    (line,) = same_patients(places)
    assert "'p1' (row 1) and 'P1' (row 2) and 'P01' (row 3) (+2 more) may be one patient" in line


@given(st.text(max_size=12))
def test_the_normal_form_is_stable(text: str) -> None:
    assert normal_id(normal_id(text)) == normal_id(text)
    assert normal_id(unicodedata.normalize("NFD", text)) == normal_id(text)
    assert normal_id(f" {text}\t") == normal_id(text)


# --- content ------------------------------------------------------------------------------


def made(*rows: tuple[str, str, str, dict[str, list[str]]]) -> list[str]:
    """The problems of videos, each a patient, an id, a split, and names of files by digest."""
    videos = [
        Video(patient_id=patient, video_id=video, split=split, label=0, sha256=str(sorted(files)))  # type: ignore[arg-type]
        for patient, video, split, files in rows
    ]
    content = {video: Content(str(sorted(files)), files) for _, video, _, files in rows}
    return shared_content(videos, content)


def test_a_file_twice_names_both_videos() -> None:
    file = {"d": ["a.avi"]}
    (line,) = made(("A", "a", "train", file), ("A", "b", "train", file))
    assert line == "the videos a and b are the same file, of the patient A: remove one"
    (line,) = made(("A", "a", "train", file), ("B", "b", "val", file))
    assert "but of the patients A (train) and B (val): remove one" in line


def test_an_image_of_two_patients_names_the_pair_in_two_splits_first() -> None:
    (line,) = made(
        ("A", "a", "train", {"x": ["0.png", "1.png"], "1": ["2.png"]}),
        ("B", "b", "train", {"x": ["0.png"], "2": ["1.png"]}),
        ("C", "c", "holdout", {"x": ["7.png"], "3": ["1.png"]}),
    )
    assert line == (
        "4 image files of 3 patients are also another patient's: "
        "a of A (train) shares 2 with c of C (holdout), such as 0.png = 7.png; "
        "a of A (train) shares 2 with b of B (train), such as 0.png = 0.png: "
        "keep each image with one patient only"
    )


def test_an_image_twice_in_the_folders_of_one_patient_is_no_leak() -> None:
    first = ("A", "a", "train", {"x": ["0.png", "1.png"], "1": ["2.png"]})
    assert made(first, ("A", "b", "train", {"x": ["0.png"]})) == []


def test_a_file_that_lies_in_the_folder_of_another_patient_is_found(tmp_path: Path) -> None:
    (tmp_path / "loop").mkdir()
    for path in (tmp_path / "loop" / "0.png", tmp_path / "still.png"):
        path.write_bytes(b"the same")
    (tmp_path / "loop" / "1.png").write_bytes(b"another")
    found = contents([tmp_path / "loop", tmp_path / "still.png"], tmp_path / "cache")
    loop, still = found[tmp_path / "loop"], found[tmp_path / "still.png"]
    assert still.files == {still.sha256: ["still.png"]}
    assert loop.files[still.sha256] == ["0.png"] and len(loop.files) == 2
    assert loop.sha256 not in loop.files


def test_what_only_the_reader_of_a_plugin_reads_in_a_folder_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader("slices", lambda path, _: path.is_dir(), lambda _: None, lambda *_: iter(()))
    monkeypatch.setitem(READERS, "slices", reader)
    monkeypatch.setitem(READERS._plugin_of, "slices", Plugin("made", "made-slices", "1.2"))
    folders = [tmp_path / name for name in "abc"]
    for i, folder in enumerate(folders):
        (folder / "slices").mkdir(parents=True)
        (folder / "slices" / "1.dcm").write_bytes(bytes([i]))
        (folder / "slices" / ".begun").write_bytes(b"")
        (folder / "notes.txt").write_bytes(b"the same in all")
    (folders[2] / "slices" / "2.dcm").write_bytes(bytes([0]))
    found = contents(folders, tmp_path / "cache")
    assert len({content.sha256 for content in found.values()}) == 3
    assert [sorted(found[folder].files.values()) for folder in folders] == [
        [["slices/1.dcm"]], [["slices/1.dcm"]], [["slices/1.dcm"], ["slices/2.dcm"]],
    ]  # fmt: skip
    assert found[folders[0]].files.keys() & found[folders[2]].files.keys(), "one slice is in both"
    (folders[0] / "slices" / "1.dcm").write_bytes(b"another")
    again = contents(folders, tmp_path / "cache")
    assert again[folders[0]].sha256 != found[folders[0]].sha256
