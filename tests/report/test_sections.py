"""Every section and view of a report is listed, described and consistent."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from lussweep.errors import LeakageError
from lussweep.report.alone import alone
from lussweep.report.reported import Reported
from lussweep.report.sections import SECTIONS, Collected, Section
from lussweep.report.sections.seam import NotMade
from lussweep.report.views import VIEWS, View
from lussweep.report.write import PRINTED, _write_view, outputs
from lussweep.store.remote import StorageError
from lussweep.store.tables import make_schema
from lussweep.study.plan import Plan
from support.commands import ROOT, environment
from support.packages import install_package

VALUES = make_schema(("value", pa.int32(), "units"))


def collected_of(**rows: Any) -> Collected:
    """What toy sections are made from, by their rows. They need no run."""
    sections = {name: Section(version=1, schema=VALUES, rows=made) for name, made in rows.items()}
    return Collected(reported=None, sections=sections, outcomes=None)


def test_a_table_is_made_once_and_only_where_it_is_asked_for() -> None:
    calls = []

    def first(collected: Collected) -> list[dict[str, int]]:
        calls.append("first")
        return [{"value": 2}, {}]

    def second(collected: Collected) -> pa.Table:
        calls.append("second")
        return collected.table("first")

    collected = collected_of(first=first, second=second)
    assert collected.table("second").to_pylist() == [{"value": 2}, {"value": None}]
    assert collected.table("first").equals(collected.table("second"))
    assert collected.table("first").schema.equals(VALUES, check_metadata=True)
    assert calls == ["second", "first"]


def test_what_two_sections_share_is_made_once() -> None:
    made, collected = [], collected_of()

    def shared(collected: Collected) -> int:
        made.append(collected)
        return 7

    assert [collected.once(shared), collected.once(shared)] == [7, 7]
    assert made == [collected]


def test_a_column_that_the_schema_lacks_is_an_error() -> None:
    with pytest.raises(AssertionError, match="other"):
        collected_of(first=lambda _: [{"other": 1}]).table("first")


def test_sections_that_need_each_other_are_named() -> None:
    collected = collected_of(first=lambda c: c.table("second"), second=lambda c: c.table("first"))
    with pytest.raises(ValueError, match="first, second, first"):
        collected.table("first")


def test_tables_are_listed_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Section(version=1, schema=VALUES, rows=lambda _: [])
    monkeypatch.setitem(SECTIONS, "first", toy)
    monkeypatch.setitem(SECTIONS, "second", replace(toy, order=-1))
    for name in ("means.parquet", "first.parquet", "second.parquet", "other.parquet"):
        (tmp_path / name).touch()
    assert [path.stem for path in outputs(tmp_path)] == ["second", "means", "first"]


def test_a_view_removes_the_files_that_it_no_longer_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(collected: Collected, folder: Path) -> list[Path]:
        (folder / "view_b.png").touch()
        return [folder / "view_b.png"]

    monkeypatch.setitem(VIEWS, "view", View(version=1, files=("view_*.png",), write=write, order=1))
    for name in ("view_a.png", "view_b.png", "other_a.png"):
        (tmp_path / name).touch()
    reported = Reported(tmp_path, None, Plan(), None, str)
    _write_view("view", replace(collected_of(), reported=reported), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"view_b.png", "other_a.png"}


def test_a_view_that_fails_is_named_and_leaves_no_file_of_an_earlier_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(collected: Collected, folder: Path) -> list[Path]:
        raise ZeroDivisionError("of patient p7")

    def redact(text: str) -> str:
        return text.replace("p7", "#")

    monkeypatch.setitem(VIEWS, "view", View(version=1, files=("view_*.png",), write=fail, order=1))
    (tmp_path / "view_a.png").touch()
    collected = replace(collected_of(), reported=Reported(tmp_path, None, Plan(), None, redact))
    _write_view("view", collected, tmp_path)
    assert collected.failed == {"view_*.png": "ZeroDivisionError: of patient #"}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), StorageError("gone"),
                                   LeakageError("a patient in two splits")])  # fmt: skip
def test_an_error_that_concerns_every_file_is_raised(error: Exception) -> None:
    failed: dict[str, str] = {}
    with pytest.raises(type(error)), alone("a file", failed):
        raise error
    assert failed == {}


def test_a_section_that_needs_one_that_failed_says_so() -> None:
    calls = []

    def first(collected: Collected) -> list[dict[str, int]]:
        calls.append("first")
        raise ZeroDivisionError

    collected = collected_of(first=first, second=lambda c: c.table("first"), third=lambda _: [])
    with pytest.raises(ZeroDivisionError):
        collected.table("first")
    with pytest.raises(NotMade, match="needs first, which could not be made"):
        collected.table("second")
    assert collected.table("third").num_rows == 0
    assert calls == ["first"]


def test_every_table_stands_on_the_page_of_the_run_folder() -> None:
    page = (ROOT / "docs" / "results.md").read_text()
    named = set(re.findall(r"`(\w+)\.parquet`", page))
    assert set(SECTIONS) == named


def test_every_printed_table_has_a_section() -> None:
    assert set(PRINTED) <= set(SECTIONS)


def test_no_two_files_stand_at_one_place() -> None:
    places = [entry.order for entry in (*SECTIONS.values(), *VIEWS.values())]
    assert len(places) == len(set(places))


PLUGIN = """
def register():
    from lussweep.report.sections import SECTIONS, Section
    from lussweep.store.tables import SKIPPED
    SECTIONS["{name}"] = Section(version=1, schema=SKIPPED, rows=lambda _: [])
"""


def sections_with(site: Path, plugin: str) -> str:
    """What a fresh process says of a plugin's section and of a built-in one."""
    code = f"""
from lussweep.errors import InputError
from lussweep.study.plugins import load_plugins
try:
    load_plugins(["{plugin}"])
    from lussweep.report.sections import SECTIONS
    print([plugin and plugin.version for plugin in map(SECTIONS.plugin_of, ("means", "own"))])
except InputError as error:
    print(error)
"""
    found = environment()
    found["PYTHONPATH"] = os.pathsep.join(filter(None, [str(site), found.get("PYTHONPATH")]))
    done = subprocess.run([sys.executable, "-c", code], env=found, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_plugin_adds_sections_under_names_that_are_free(tmp_path: Path) -> None:
    install_package(tmp_path, "adds", PLUGIN.format(name="own"), version="1.5")
    install_package(tmp_path, "takes", PLUGIN.format(name="means"))
    assert sections_with(tmp_path, "adds") == "[None, '1.5']"
    assert "lussweep has one of that name" in sections_with(tmp_path, "takes")
