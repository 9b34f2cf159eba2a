"""Tables and folders after public bug reports, each with what is right."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from lussweep.data.manifest import ManifestReading, read_manifest
from lussweep.errors import InputError
from lussweep.study.spec import SplitSpec
from support.commands import ROOT

CASES = ROOT.parent / "shared" / "cases"
pytestmark = pytest.mark.skipif(
    not CASES.is_dir(), reason="the cases are not here (../shared/cases); nothing else needs them"
)
SPLITS = ["train"] * 8 + ["val"] * 4 + ["holdout"] * 4
IDS = [f"P{i:03}" for i in range(16)]


def read(path: Path, cache: Path, **options: Any) -> ManifestReading:
    return read_manifest(path, **{"split": SplitSpec(), "seed": 1, "cache_dir": cache, **options})


def read_case(name: str, folder: Path) -> ManifestReading:
    """Reads a table beside copies of its videos."""
    shutil.copytree(CASES / "videos", folder / "videos")
    return read(Path(shutil.copy(CASES / "tables" / name, folder)), folder)


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("m_space_split.csv", ""),
        ("m_split_trail.csv", "column 'split ' is read as split"),
        ("m_Split.csv", "column 'Split' is read as split"),
        ("m_semicolon.csv", "its columns are separated by semicolons"),
        ("m_tab.tsv", "its columns are separated by tabs"),
        ("m_utf16.csv", "its text is read as utf-16"),
        ("m_quoted_space.csv", ""),
        ("m_excel_empty_cols.csv", ""),
        ("m_excel_empty_rows.csv", ""),
        ("m_bool.csv", ""),
        ("m_backslash.csv", ""),
    ],
)
def test_what_is_unusual_is_read(tmp_path: Path, name: str, note: str) -> None:
    reading = read_case(name, tmp_path)
    videos = reading.manifest.videos
    assert [v.patient_id for v in videos] == IDS
    assert [v.video_id for v in videos] == [f"P{i:03}-v{i}" for i in range(16)]
    assert [v.label for v in videos] == [0, 1] * 8
    assert [v.split for v in videos] == SPLITS
    assert [Path(v.path or "").name for v in videos] == [f"v{i:03}.avi" for i in range(16)]
    assert reading.splits == "read from the manifest"
    assert reading.notes == ((f"{name}: {note}",) if note else ())


def test_latin_1_is_read_and_named(tmp_path: Path) -> None:
    reading = read_case("m_latin1.csv", tmp_path)
    assert [v.patient_id for v in reading.manifest.videos] == [f"Müller{i}" for i in IDS]
    assert reading.notes == ("m_latin1.csv: its text is read as cp1252",)


def test_whole_numbers_stay_ids(tmp_path: Path) -> None:
    reading = read_case("p_float.parquet", tmp_path)
    assert [v.patient_id for v in reading.manifest.videos] == list(map(str, range(16)))
    assert [v.split for v in reading.manifest.videos] == SPLITS


@pytest.mark.parametrize(
    ("name", "spellings"),
    [
        ("m_ids_nfc.csv", ["'M\\xfcller' (row 1, train)", "'Mu\\u0308ller' (row 13, holdout)"]),
        ("m_ids_0.csv", ["'007' (row 1, train)", "'7' (row 13, holdout)"]),
        ("m_ids_ws.csv", ["'P  1' (row 1, train)", "'P 1' (row 13, holdout)"]),
    ],
)
def test_one_patient_under_two_spellings_is_refused(
    tmp_path: Path, name: str, spellings: list[str]
) -> None:
    with pytest.raises(InputError) as caught:
        read_case(name, tmp_path)
    (line,) = caught.value.problems
    assert all(spelling in line for spelling in spellings)
    assert "write them alike" in line


def test_images_in_folders_of_all_patients_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(CASES / "shared_frames" / "manifest.csv", tmp_path)
    (line,) = caught.value.problems
    assert line.startswith("64 image files of 16 patients are also another patient's: ")
    assert "000a of 000 (train) shares 4 with 008a of 008 (val), such as 0.png = 0.png" in line
    assert line.count(" shares 4 with ") == 3
    assert line.endswith("keep each image with one patient only")
