"""Figures and tables for a paper."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest

from lussweep.report.drawings import DRAWINGS
from lussweep.report.publication import (
    SHEETS,
    TABLES,
    latex,
    write_publication,
    write_table,
    write_workbook,
)
from lussweep.report.sections import SECTIONS
from lussweep.store.tables import make_schema
from support.reports import collected_of

SCHEMA = make_schema(
    ("name", pa.string()), ("value", pa.float64(), "AUC-ROC"), ("many", pa.list_(pa.float64()))
)
ROWS = [
    {"name": "=1+1 & 50 %_", "value": 0.123456789, "many": [0.5, 1.0]},
    {"name": "b", "value": math.inf},
]
TABLE = pa.Table.from_pylist(ROWS, SCHEMA)


def test_a_table_keeps_all_digits_as_csv(tmp_path: Path) -> None:
    path, _ = write_table(TABLE, "t", tmp_path / "t")
    with path.open(newline="") as file:
        head, first, second = csv.reader(file)
    assert head == ["name", "value", "many"]
    assert first == ["=1+1 & 50 %_", "0.123456789", "0.5; 1.0"]
    assert second == ["b", "inf", ""]


def test_latex_escapes_what_has_a_meaning_there() -> None:
    text = latex(TABLE.to_pylist(), TABLE.column_names, "a_b")
    assert r"=1+1 \& 50 \%\_ & 0.123 & 0.5; 1.0 \\" in text
    assert r"b & $\infty$ &  \\" in text
    assert r"\begin{longtable}{lrl}" in text and r"\caption{a\_b}" in text


def test_a_workbook_has_units_and_no_formula(tmp_path: Path) -> None:
    book = openpyxl.load_workbook(write_workbook({"one": TABLE}, tmp_path / "b.xlsx"))
    rows = list(book["one"].values)
    assert rows[0] == ("name", "value", "many") and rows[1][1] == "AUC-ROC"
    assert rows[2] == ("'=1+1 & 50 %_", 0.123456789, "0.5; 1.0")
    assert rows[3][1] == "inf"
    assert all(cell.data_type != "f" for row in book["one"] for cell in row)


def test_figures_have_three_kinds_and_tables_two(
    make_tables: Callable[..., Any], study_of: Callable[..., Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    empty = ("gan_losses", "gan_events", "trials", "memorisation")
    made = {name: SECTIONS[name].schema.empty_table() for name in empty}
    collected = collected_of(*make_tables(), study_of(), **made)
    for name in set(DRAWINGS) - {"contrasts"}:
        monkeypatch.delitem(DRAWINGS, name)
    written = write_publication(collected, tmp_path)
    names = {str(path.relative_to(tmp_path / "publication")) for path in written}
    assert {f"figures/contrasts.{kind}" for kind in ("png", "svg", "pdf")} <= names
    assert {"tables/contrasts.csv", "tables/contrasts.tex", "results.xlsx"} <= names
    assert collected.failed == {}
    book = openpyxl.load_workbook(tmp_path / "publication" / "results.xlsx")
    assert book.sheetnames == list(SHEETS)
    sheet = list(book["contrasts"].values)
    at = sheet[0].index("difference")
    expected = collected.table("contrasts")["difference"].to_pylist()
    assert [row[at] for row in sheet[2:]] == pytest.approx(expected, rel=1e-14)


def test_a_figure_that_fails_is_named_and_the_rest_is_written(
    make_tables: Callable[..., Any], study_of: Callable[..., Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    collected = collected_of(
        *make_tables(), study_of(), memorisation=SECTIONS["memorisation"].schema.empty_table()
    )
    for name in set(DRAWINGS) - {"contrasts"}:
        monkeypatch.delitem(DRAWINGS, name)

    def fail(*given: object) -> None:
        raise OverflowError("too wide")

    monkeypatch.setattr("lussweep.report.drawings.build_forest_figure", fail)
    written = write_publication(collected, tmp_path)
    assert collected.failed == {"publication/figures/contrasts": "OverflowError: too wide"}
    assert any(path.name == "results.xlsx" for path in written)


def test_no_table_of_a_paper_holds_ids_of_patients() -> None:
    assert not any("patient_id" in SECTIONS[name].schema.names for name in TABLES)
