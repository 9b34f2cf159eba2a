"""The page of a report: what it holds, and what it does where something cannot be made."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from lussweep.report.drawings import DRAWINGS
from lussweep.report.page.chapters import CHAPTERS
from lussweep.report.page.open import source_of
from lussweep.report.page.seam import Column, PageSource, page_table
from lussweep.report.page.svg import DARK, LEAST_CONTRAST, contrast, dark_colours
from lussweep.report.page.write import render_page
from lussweep.report.panels import GREY, PALETTE
from lussweep.report.sections import SECTIONS, Collected
from lussweep.report.sections.seam import later
from lussweep.store import tables
from lussweep.study.keys import is_hashed_id
from support.reports import collected_of

STEP_TABLES = ("frames", "failures", "gan_events", "gan_losses", "memorisation", "trials",
               "closest_pairs", "copies", "skipped")  # fmt: skip


def collected(make_tables: Callable[..., Any], study_of: Callable[..., Any]) -> Collected:
    empty = {name: SECTIONS[name].schema.empty_table() for name in STEP_TABLES}
    return collected_of(*make_tables(), study_of(), **empty)


@pytest.fixture(scope="module")
def source(make_tables: Callable[..., Any], study_of: Callable[..., Any]) -> PageSource:
    return PageSource(collected(make_tables, study_of))


@pytest.fixture(scope="module")
def page(source: PageSource) -> str:
    """The page of a grid without frames at hand, rendered once."""
    text = render_page(source)
    assert source.collected.failed == {}
    return text


def again(source: PageSource) -> PageSource:
    """The source with its figures, in which nothing has failed."""
    return replace(source, collected=replace(source.collected, failed={}))


def section(page: str, name: str) -> str:
    """The text of a part of a page, without its markup."""
    part = page.split(f'<section id="{name}"')[1].split("</section>")[0]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", part)).split())


def test_every_chapter_has_its_place_and_a_link(page: str) -> None:
    for name, chapter in CHAPTERS.items():
        assert f'<section id="{name}"' in page
        assert f'<a href="#{name}">{chapter.title}</a>' in page
    assert "Contrasts" in section(page, "contrasts")


def test_no_figure_has_the_title_of_a_chapter() -> None:
    """Both are landmarks, which a screen reader tells apart by their names."""
    titles = [part.title for part in (*CHAPTERS.values(), *DRAWINGS.values())]
    assert len(set(titles)) == len(titles)


def test_numbers_are_those_of_the_tables(source: PageSource, page: str) -> None:
    for row in source.rows("contrasts"):
        shown = f"{row['difference']:+.3f}".replace("-", "\u2212")
        assert shown in section(page, "contrasts")
    for row in source.rows("means"):
        if row["level"] == "frame":
            assert f"{row['auroc']:.3f}" in section(page, "auroc")


def test_remarks_that_rows_share_stand_once_below_the_table() -> None:
    columns = [Column("n", "n"), Column("reason", "remark", is_number=False)]
    rows = [{"n": 1, "reason": "few"}, {"n": 2, "reason": None}, {"n": 3, "reason": "few"}]
    table = page_table("t", "A table.", columns, rows, "t.parquet")
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["1", "a"], ["2", ""], ["3", "a"],
    ]  # fmt: skip
    assert table.notes == ["few"]
    many = page_table("t", "", columns, [{"reason": str(i)} for i in range(28)], "")
    assert [many.rows[i][1].text for i in (25, 26, 27)] == ["z", "aa", "ab"]


def test_a_page_loads_nothing_and_shares_no_id(page: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert addresses and all(a.startswith(("#", "data:")) for a in addresses)
    assert not re.search(r"@import|url\((?!#)", page)
    targets = {a[1:] for a in addresses if a.startswith("#")}
    assert targets <= set(ids)


def test_ids_of_patients_are_hashed(page: str) -> None:
    assert "#" in section(page, "gallery")
    assert not re.search(r"\bp\d\d\b", page)


def test_ids_that_a_run_reveals_are_hashed_on_its_page(source: PageSource) -> None:
    frame = {"patient_id": "Jane Doe", "video_id": "left", "split": "train", "shard": "shard/0"}
    failure = {"stage": "shard", "step": "frames of Jane Doe", "error": "Jane Doe, left: damaged"}
    left_out = {"patient_id": "John Roe", "video_id": "right", "reason": "right of John Roe"}
    rows = {"frames": frame, "failures": failure, "skipped": left_out}
    made = {n: tables.in_schema([row], SECTIONS[n].schema) for n, row in rows.items()}
    one = again(source)
    collected = replace(one.collected, made=one.collected.made | made, _shared={})
    shown = [row for name in rows for row in PageSource(collected).rows(name)][1:]
    assert "frames of #" in shown[0]["step"] and is_hashed_id(shown[1]["patient_id"])
    assert not any(n in str(shown) for n in ("Doe", "Roe", "left", "right"))


def test_every_figure_is_an_image_with_a_name_and_a_description(
    source: PageSource, page: str
) -> None:
    svgs = re.findall(r"<svg .*?</svg>", page, flags=re.DOTALL)
    assert len(svgs) == len(source.pictures) >= 6
    for svg in svgs:
        assert re.match(r'<svg [^>]*role="img" aria-labelledby="\S+ \S+"><title', svg)
        assert re.search(r"<desc [^>]*>[^<]{20,}</desc>", svg)


def test_a_chapter_that_fails_is_named_and_the_others_are_whole(
    source: PageSource, page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: PageSource) -> None:
        raise ZeroDivisionError("no worth")

    monkeypatch.setitem(CHAPTERS, "worth", replace(CHAPTERS["worth"], make=fail))
    broken = again(source)
    rest = render_page(broken)
    assert broken.collected.failed == {
        "report.html, Worth in patients": "ZeroDivisionError: no worth"
    }
    assert "could not be made (ZeroDivisionError: no worth)" in section(rest, "worth")
    for name in CHAPTERS:
        if name != "worth":
            assert section(rest, name) == section(page, name)


def test_an_answer_that_fails_is_named(source: PageSource, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(facts: object) -> None:
        raise ZeroDivisionError("no answer")

    monkeypatch.setattr("lussweep.report.page.write.answer", fail)
    page = render_page(again(source))
    assert "could not be written (ZeroDivisionError: no answer)" in section(page, "answer")
    assert "combined" in section(page, "contrasts")


def test_a_run_that_goes_on_has_a_page_that_says_what_is_missing(
    make_tables: Callable[..., Any], study_of: Callable[..., Any]
) -> None:
    base = collected(make_tables, study_of)
    rows = base.outcomes.to_pylist()
    rows[-1] |= {"status": "missing", "auroc": None}
    outcomes = tables.in_schema(rows, base.outcomes.schema)
    sections = {name: later(name, section) for name, section in SECTIONS.items()}
    made = {"results": outcomes, "means": SECTIONS["means"].schema.empty_table()}
    source = PageSource(
        Collected(reported=base.reported, sections=sections, outcomes=outcomes, made=made)
    )
    page = render_page(source)
    assert source.collected.failed == {}
    n = len(rows)
    assert f"This run is not whole: {n - 1} of {n} cells are done" in section(page, "answer")
    assert "has not come to this yet: contrasts.parquet" in section(page, "contrasts")
    assert "figure-auroc" in page


def test_marks_can_be_seen_on_a_dark_page() -> None:
    shown = dark_colours([*PALETTE, GREY, "#440154", "#000000"])
    for colour, dark in shown.items():
        assert contrast(dark, DARK) >= LEAST_CONTRAST, colour
    assert contrast("#ffffff", "#000000") == pytest.approx(21)


def test_a_finished_run_shows_frames_and_a_shareable_page_does_not(finished: Path) -> None:
    """The frames are the phantom's, so the page does not warn of patients' pixels."""
    source = source_of(finished)
    page = render_page(source)
    assert source.collected.failed == {}
    assert source.is_phantom and "The frames are simulated" in page
    assert page.count("data:image/png") > 4
    near = section(page, "memorisation")
    assert "nearest training frames" in near and "nearest holdout frames" in near
    card = source.rows("memorisation")[0]
    bound = f"a copy is above {card['copy_threshold']:.2f}" if card["copy_threshold"] else "too few"
    assert "A ratio is the share" in near and bound in near
    assert len(page) < 10_000_000
    assert "This page shows pixels of patients" not in page
    patients = render_page(replace(source, is_phantom=False))
    assert "This page shows pixels of patients" in patients
    shareable = render_page(replace(source, is_shareable=True, is_phantom=False))
    assert "<img" not in shareable and "pixels of patients" not in shareable
    ids = set(tables.read_any(finished / "frames.parquet")["patient_id"].to_pylist())
    assert ids and not any(patient in text for patient in ids for text in (page, shareable))
