"""Tables as spreadsheets, statistics programs and people write them give the same cells."""

from __future__ import annotations

import csv
import datetime
import itertools
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lussweep.data import workbook
from lussweep.data.columns import split_in_disguise
from lussweep.data.tables import read_cells, read_table
from lussweep.store import child

WANTED = ("patient_id", "video_id", "path", "label")
ROWS = [["7", "v1", "a b.avi", "1"], ["007", "v2", "c.avi", "0"], ["Müller", "v3", "d.avi", "1"]]


def cells(path: Path) -> list[list[str]]:
    table = read_table(path, WANTED)
    assert not table.ragged
    return [[row[name] for name in WANTED] for _, row in table.rows]


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def text_of(rows: Sequence[Sequence[str]], delimiter: str = ",") -> str:
    return "\n".join(map(delimiter.join, [WANTED, *rows])) + "\n"


def write_xlsx(path: Path, rows: Sequence[Sequence[Any]], *others: str) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(list(row))
    for title in others:
        book.create_sheet(title)["B2"] = "a note"
    book.save(path)
    return path


def finding(path: Path) -> str:
    """The only problem of a table."""
    problems: list[str] = []
    read_cells(path, WANTED, problems)
    (line,) = problems
    return line


# --- text tables --------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_encodings_and_ends_of_lines(
    tmp_path: Path, delimiter: str, encoding: str, end: str
) -> None:
    text = text_of(ROWS, delimiter).replace("\n", end)
    assert cells(write(tmp_path / "m.csv", text, encoding)) == ROWS


FIELD = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=8)


@given(st.lists(st.tuples(FIELD, FIELD, FIELD, FIELD), min_size=1, max_size=4), st.data())
@settings(derandomize=True, deadline=None, max_examples=120, database=None)
def test_any_text_that_csv_can_write_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("csv") / "m.csv"
    delimiter = data.draw(st.sampled_from(",;\t|"))
    encoding = data.draw(st.sampled_from(["utf-8-sig", "utf-16"]))
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([WANTED, *rows])
    expected = [list(map(str.strip, row)) for row in rows]
    assert cells(path) == [row for row in expected if any(row)]


def test_a_first_line_that_tells_excel_the_delimiter(tmp_path: Path) -> None:
    assert cells(write(tmp_path / "m.csv", "sep=;\n" + text_of(ROWS, ";"))) == ROWS


def test_a_comma_inside_a_semicolon_table(tmp_path: Path) -> None:
    text = "patient_id;video_id;path;label;a, b, c, d, e, f\n7;v1;a,b.avi;1;x, y\n"
    assert cells(write(tmp_path / "m.csv", text)) == [["7", "v1", "a,b.avi", "1"]]


def test_empty_rows_and_columns_and_what_has_no_name(tmp_path: Path) -> None:
    """The first column is the index that pandas writes."""
    text = ",patient_id,video_id,path,label,,\n\n0,7,v1,a.avi,1,,\n,,,,,,\n1,8,v2,b.avi,0\n,,,,,,\n"
    path = write(tmp_path / "m.csv", text)
    assert cells(path) == [["7", "v1", "a.avi", "1"], ["8", "v2", "b.avi", "0"]]
    assert [number for number, _ in read_table(path, WANTED).rows] == [2, 4]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("Łódź".encode("cp1250"), "neither UTF-8 nor plain Latin-1"),
        ("Иванов".encode("cp1251"), "neither UTF-8 nor plain Latin-1"),
        ("Müller".encode("cp850"), "neither UTF-8 nor plain Latin-1"),
        ("Müller".encode("mac-roman"), "neither UTF-8 nor plain Latin-1"),
        ("Müller Zoë".encode()[:-1], "neither UTF-8 nor plain Latin-1"),
        (b"a\0b", "holds zero bytes"),
    ],
)
def test_encodings_that_are_not_certain_are_refused(
    tmp_path: Path, content: bytes, words: str
) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(text_of(ROWS[:1]).encode() + content + b",v9,e.avi,1\n")
    assert words in finding(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><html>", "an HTML page, not the table"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "save it as .xlsx or CSV"),
        (b"\xff\xfea", "it begins as utf-16, and is not: save it as UTF-8"),
        (b"patient_id;video_id,path\n", "may be separated by commas or semicolons"),
    ],
)
def test_what_is_no_table_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(content)
    assert words in finding(path)


# --- names of columns ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["patient_id", " Patient_ID ", "patient id", "PATIENT-ID", "\ufeffpatient_id"],
)
def test_case_spaces_and_hyphens_of_a_header_do_not_count(tmp_path: Path, name: str) -> None:
    text = text_of(ROWS).replace("patient_id", name)
    assert cells(write(tmp_path / "m.csv", text)) == ROWS


@pytest.mark.parametrize("name", ["patient", "id", "Subject", "PID"])
def test_a_name_that_may_be_meant_is_named_and_not_read(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "m.csv", text_of(ROWS).replace("patient_id", name))
    assert (
        finding(path) == f"{path}: no column patient_id: did you mean {name}? Rename it patient_id"
    )


def test_a_column_twice_in_two_spellings(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", "patient_id,video_id,path,label,Label\n7,v,a,1,0\n")
    assert "a column name occurs twice ('label' and 'Label'): remove one" in finding(path)


@pytest.mark.parametrize(
    "name", ["set", "Fold", "partition", "subset", "splits", "spilt", "Data Split"]
)
def test_a_split_under_another_name_is_found(name: str) -> None:
    assert split_in_disguise([*WANTED, name]) == name
    assert split_in_disguise([*WANTED, name, "Split "]) is None


@pytest.mark.parametrize("name", ["site", "probe", "device", "offset", "settings", "slit_lamp"])
def test_other_columns_are_no_split(name: str) -> None:
    assert split_in_disguise([*WANTED, name]) is None


# --- typed tables -------------------------------------------------------------------------


def test_parquet_and_xlsx_give_the_cells_of_csv(tmp_path: Path) -> None:
    typed: dict[str, list[Any]] = {
        "Patient_ID": [1.0, 2.0, None], "video_id": [10, 11, None],
        "path": ["a.avi", " b.avi ", None], "label": [True, False, None],
    }  # fmt: skip
    pq.write_table(pa.table(typed), tmp_path / "m.parquet")
    write_xlsx(tmp_path / "m.xlsx", [list(typed), *zip(*typed.values(), strict=True)])
    expected = [["1", "10", "a.avi", "1"], ["2", "11", "b.avi", "0"]]
    assert cells(tmp_path / "m.parquet") == expected
    assert cells(tmp_path / "m.xlsx") == expected


def test_a_workbook_keeps_text_and_reads_behind_empty_rows(tmp_path: Path) -> None:
    rows = [[], [], WANTED, *ROWS, [], ["8", "v9", "e.avi", 1.0]]
    path = write_xlsx(tmp_path / "m.xlsx", rows)
    assert cells(path) == [*ROWS, ["8", "v9", "e.avi", "1"]]
    assert cells(path.rename(tmp_path / "m.csv")) == [*ROWS, ["8", "v9", "e.avi", "1"]], (
        "by content"
    )


def test_a_child_that_was_taken_over_gives_no_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for answer in (None, [], [[], ["a"], [1], [["x", "y"]], [], []], [[], [], ["x"], [[]], [], []]):
        monkeypatch.setattr(child, "call", lambda *_, answer=answer, **__: answer)
        assert "gave no valid answer" in finding(tmp_path / "m.csv")


SHEET = "xl/worksheets/sheet1.xml"


def changed_part(path: Path, part: str, old: bytes, new: bytes) -> Path:
    """A workbook in which one part has other bytes."""
    changed = path.with_name("changed.xlsx")
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(changed, "w") as out:
        for name in whole.namelist():
            if name != part:
                out.writestr(name, whole.read(name))
        content = whole.read(part)
        assert old in content
        out.writestr(part, content.replace(old, new))
    return changed


def test_a_workbook_that_announces_fewer_rows_than_it_has(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "m.xlsx", [WANTED, *ROWS])
    assert cells(changed_part(path, SHEET, b'ref="A1:D4"', b'ref="A1:B2"')) == ROWS


def test_a_workbook_of_entities_that_unfold_is_refused(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "m.xlsx", [WANTED, *ROWS])
    entities = '<!ENTITY a "xxxxxxxxxx">' + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in itertools.pairwise("abcdefghij")
    )
    document = f"<!DOCTYPE worksheet [{entities}]><worksheet".encode()
    laughing = changed_part(path, SHEET, b"<worksheet", document)
    laughing = changed_part(laughing.rename(path), SHEET, b">7<", b">&j;<")
    assert "it is not a whole XLSX workbook" in finding(laughing)


def test_workbooks_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    several = write_xlsx(tmp_path / "a.xlsx", [WANTED, *ROWS], "notes")
    assert "several of its sheets have cells (Sheet, notes): keep one" in finding(several)
    date = write_xlsx(tmp_path / "b.xlsx", [WANTED, [datetime.date(2021, 3, 1), "v", "a", 1]])
    assert "row 1: patient_id is a date (2021-03-01" in finding(date)
    cut = tmp_path / "c.xlsx"
    cut.write_bytes(several.read_bytes()[:-200])
    assert "it is not a whole XLSX workbook" in finding(cut)
    empty = write_xlsx(tmp_path / "d.xlsx", [])
    problems: list[str] = []
    read_cells(empty, WANTED, problems)
    assert problems[0] == f"{empty}: no column patient_id"
    monkeypatch.setattr(workbook, "MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(ValueError, match="bytes, over 1000"):
        read_table(several, WANTED)


def test_a_cell_far_below_and_a_cell_far_to_the_right(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (WANTED, *ROWS):
        book.active.append(list(row))
    book.active["XFD1048576"] = "x"
    book.save(tmp_path / "m.xlsx")
    assert "rows: split the study" in finding(tmp_path / "m.xlsx")
