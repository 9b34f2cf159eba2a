"""Every section and view of a report is listed, described and consistent."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from lussweep.report.sections import SECTIONS, Collected, Section
from lussweep.report.views import VIEWS, View
from lussweep.report.write import PRINTED, _write_view, outputs
from lussweep.store.tables import make_schema
from support.commands import ROOT

VALUES = make_schema(("value", pa.int32(), "units"))


@pytest.fixture
def sections(monkeypatch: pytest.MonkeyPatch) -> dict[str, Section]:
    """SECTIONS, which the test may change."""
    for name in ("first", "second"):
        monkeypatch.setitem(SECTIONS, name, Section(version=1, schema=VALUES, rows=lambda _: []))
    return SECTIONS


@pytest.fixture
def collected() -> Collected:
    """What has no run behind it, for sections that need none."""
    return Collected(reported=None, outcomes=None)


def test_a_table_is_made_once_and_only_where_it_is_asked_for(
    sections: dict[str, Section], collected: Collected
) -> None:
    calls = []

    def first(collected: Collected) -> list[dict[str, int]]:
        calls.append("first")
        return [{"value": 2}, {}]

    def second(collected: Collected) -> pa.Table:
        calls.append("second")
        return collected.table("first")

    sections["first"] = replace(sections["first"], rows=first)
    sections["second"] = replace(sections["second"], rows=second)
    assert collected.table("second").to_pylist() == [{"value": 2}, {"value": None}]
    assert collected.table("first").equals(collected.table("second"))
    assert collected.table("first").schema.equals(VALUES, check_metadata=True)
    assert calls == ["second", "first"]


def test_what_two_sections_share_is_made_once(collected: Collected) -> None:
    made = []

    def shared(collected: Collected) -> int:
        made.append(collected)
        return 7

    assert [collected.once(shared), collected.once(shared)] == [7, 7]
    assert made == [collected]


def test_a_column_that_the_schema_lacks_is_an_error(
    sections: dict[str, Section], collected: Collected
) -> None:
    sections["first"] = replace(sections["first"], rows=lambda _: [{"other": 1}])
    with pytest.raises(AssertionError, match="other"):
        collected.table("first")


def test_sections_that_need_each_other_are_named(
    sections: dict[str, Section], collected: Collected
) -> None:
    sections["first"] = replace(sections["first"], rows=lambda c: c.table("second"))
    sections["second"] = replace(sections["second"], rows=lambda c: c.table("first"))
    with pytest.raises(ValueError, match="first, second, first"):
        collected.table("first")


def test_tables_are_listed_in_their_order(sections: dict[str, Section], tmp_path: Path) -> None:
    sections["second"] = replace(sections["second"], order=-1)
    for name in ("means.parquet", "first.parquet", "second.parquet", "other.parquet"):
        (tmp_path / name).touch()
    assert [path.stem for path in outputs(tmp_path)] == ["second", "means", "first"]


def test_a_view_removes_the_files_that_it_no_longer_has(
    collected: Collected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(collected: Collected, folder: Path) -> list[Path]:
        (folder / "view_b.png").touch()
        return [folder / "view_b.png"]

    monkeypatch.setitem(VIEWS, "view", View(version=1, files=("view_*.png",), write=write, order=1))
    for name in ("view_a.png", "view_b.png", "other_a.png"):
        (tmp_path / name).touch()
    _write_view("view", collected, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"view_b.png", "other_a.png"}


def test_every_table_stands_on_the_page_of_the_run_folder() -> None:
    page = (ROOT / "docs" / "results.md").read_text()
    named = set(re.findall(r"`(\w+)\.parquet`", page))
    assert set(SECTIONS) == named


def test_every_printed_table_has_a_section() -> None:
    assert set(PRINTED) <= set(SECTIONS)


def test_no_two_files_stand_at_one_place() -> None:
    places = [entry.order for entry in (*SECTIONS.values(), *VIEWS.values())]
    assert len(places) == len(set(places))
