"""The page in a real browser: headless Chromium, driven by Playwright."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lussweep.report.page.open import source_of
from lussweep.report.page.pixels import Group, strip
from lussweep.report.page.seam import PageSource
from lussweep.report.page.write import PRINTED_ROWS, Content, content_of, page_text

playwright = pytest.importorskip(
    "playwright.sync_api", reason="needs playwright: pip install '.[test]'"
)
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright",
    reason="needs axe-playwright-python: pip install '.[test]'",
)
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.unhurried,
    pytest.mark.skipif(
        CHROMIUM is None, reason="needs Chromium: apt-get install chromium, or set CHROMIUM"
    ),
]
EPOCHS = (2, 4)
MOST_PAGES = 15
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


@pytest.fixture(scope="module")
def context() -> Iterator[Any]:
    with playwright.sync_playwright() as driver, tempfile.TemporaryDirectory() as profile:
        context = driver.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, headless=True, args=list(FLAGS)
        )
        yield context
        context.close()


def epochs_of_samples(source: PageSource) -> list[Group]:
    """Frames of a class at two epochs of a GAN, which the small study has not."""
    frames_NSS = np.random.default_rng(0).integers(0, 255, (3, 64, 64), np.uint8)
    synthetic = [strip(f"synthetic, epoch {epoch}", frames_NSS, epoch) for epoch in EPOCHS]
    return [Group("2 patients per class, positive", [strip("real", frames_NSS), *synthetic])]


@pytest.fixture(scope="module")
def content(uninterrupted: Path) -> Content:
    """What the page of a finished run holds, with frames of several epochs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lussweep.report.page.chapters.generators.sample_groups", epochs_of_samples)
        return content_of(source_of(uninterrupted))


@pytest.fixture(scope="module")
def path(content: Content, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a finished run."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page_text(content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def loaded(context: Any, path: Path) -> Iterator[Any]:
    """The page in a tab, with what the browser said and asked for."""
    page = context.new_page()
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(path.as_uri())
    yield page
    page.close()


@pytest.fixture
def opened(loaded: Any) -> Iterator[Any]:
    """The loaded page as a reader finds it, on a wide screen. It says nothing in the test."""
    loaded.emulate_media(media="screen", color_scheme="light")
    loaded.set_viewport_size({"width": 1280, "height": 900})
    yield loaded
    assert loaded.said == []


def test_the_page_asks_for_nothing(opened: Any) -> None:
    opened.wait_for_load_state()
    assert [url for url in opened.asked if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in opened.asked if url.startswith("file:")]) == 1


def test_every_figure_and_picture_is_there_and_not_empty(opened: Any) -> None:
    drawn = opened.evaluate(
        """() => [...document.querySelectorAll("figure svg")].map((svg) => [
            svg.querySelectorAll("path, use, image").length,
            svg.getBoundingClientRect().width, svg.getBoundingClientRect().height])"""
    )
    assert len(drawn) >= 6
    assert all(marks > 5 and width > 200 and height > 100 for marks, width, height in drawn)
    shown = opened.evaluate(
        "() => [...document.images].map((image) => image.complete && image.naturalWidth)"
    )
    assert shown and all(shown)


def test_links_lead_to_their_parts(opened: Any) -> None:
    for link in opened.query_selector_all("nav a"):
        target = link.get_attribute("href")
        link.click()
        assert opened.url.endswith(target)
        assert opened.query_selector(target) is not None


def test_a_table_is_sorted_by_its_head_with_the_keyboard_too(opened: Any) -> None:
    def column() -> list[float]:
        texts = opened.eval_on_selector_all(
            "#auroc-table tbody tr", "rows => rows.map((row) => row.cells[3].dataset.sort)"
        )
        return [float(text) for text in texts]

    before = column()
    head = opened.locator("#auroc-table thead th").nth(3)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert column() == sorted(before)
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert column() == sorted(before, reverse=True)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_axe_finds_nothing_serious_and_nothing_hangs_over(
    opened: Any, width: int, scheme: str
) -> None:
    opened.emulate_media(color_scheme=scheme)
    opened.set_viewport_size({"width": width, "height": 900})
    found = axe.Axe().run(opened).response["violations"]
    serious = [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] != "minor"]
    assert serious == []
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    hint = "getComputedStyle(document.getElementById('figure-auroc'), '::before').content"
    assert ("Scroll sideways" in opened.evaluate(hint)) == (width == 390)


def test_values_of_a_mark_are_shown_on_hover(opened: Any) -> None:
    tip = opened.locator("#tip")
    assert not tip.is_visible()
    mark = opened.locator("#figure-auroc .marks circle").nth(1)
    mark.hover()
    assert tip.is_visible()
    assert re.search(r"patients per class \d+, AUC-ROC on holdout \d\.\d+", tip.inner_text())
    box, near = tip.bounding_box(), mark.bounding_box()
    assert abs(box["y"] - near["y"]) < 100 and 0 <= box["x"] <= 1280 - box["width"]
    wide = box["width"]
    last = opened.locator("#figure-auroc .marks circle").last
    last.hover(force=True)  # it may lie below another one
    assert tip.bounding_box()["width"] > wide / 2, "it is as wide at the edge of the window"
    opened.mouse.move(2, 2)
    assert not tip.is_visible()


def test_values_are_read_with_the_arrow_keys(opened: Any) -> None:
    tip, region = opened.locator("#tip"), opened.locator("#figure-contrasts .scroll")
    region.focus()
    seen = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        opened.keyboard.press(key)
        seen.append(tip.inner_text())
        assert "difference of AUC-ROC" in seen[-1]
    assert seen[0] == seen[2] != seen[1]
    opened.keyboard.press("Escape")
    assert not tip.is_visible()


def shown_epochs(page: Any) -> list[str]:
    """The epochs whose frames can be seen."""
    strips = page.locator("#samples [data-epoch]").all()
    return [strip.get_attribute("data-epoch") for strip in strips if strip.is_visible()]


def test_the_slider_over_epochs_works_by_keyboard(opened: Any) -> None:
    slider = opened.get_by_label("GAN epoch")
    assert shown_epochs(opened) == [str(EPOCHS[-1])]
    slider.press("ArrowLeft")
    assert shown_epochs(opened) == [str(EPOCHS[0])]
    assert slider.get_attribute("aria-valuetext") == f"epoch {EPOCHS[0]}"
    slider.press("End")
    assert shown_epochs(opened) == [str(EPOCHS[-1])]


def test_every_sentence_is_folded_below_the_answer(opened: Any) -> None:
    fold = opened.locator("#all-sentences")
    first = fold.locator("li").first
    assert not first.is_visible()
    fold.locator("summary").press("Enter")
    assert first.is_visible()
    n = fold.locator("li").count()
    assert fold.locator("summary").inner_text() == f"All {n} sentences"
    fold.locator("summary").press("Enter")


def test_without_script_everything_is_there(context: Any, content: Content, path: Path) -> None:
    page = context.new_page()
    context.new_cdp_session(page).send("Emulation.setScriptExecutionDisabled", {"value": True})
    page.goto(path.as_uri())
    assert shown_epochs(page) == [str(epoch) for epoch in EPOCHS]
    assert page.locator("input, #tip, th button").count() == 0
    assert page.locator("#figure-auroc .marks title").count() > 5
    page.close()


def test_a_watched_page_loads_itself_again_and_keeps_its_place(
    context: Any, content: Content, path: Path
) -> None:
    watched = path.with_name("watched.html")
    watched.write_text(page_text(content, 1, "2026-01-01 00:00:00"), encoding="utf-8")
    page = context.new_page()
    page.goto(watched.as_uri())
    assert "every 1 s" in page.locator(".watched").inner_text()
    page.locator("details summary").nth(1).click()
    page.evaluate("document.getElementById('roc').scrollIntoView()")
    page.evaluate("scrollBy(0, 50)")
    watched.write_text(page_text(content), encoding="utf-8")  # as when the watch ends
    page.locator(".watched").wait_for(state="detached")
    top = page.evaluate("document.getElementById('roc').getBoundingClientRect().top")
    assert top == pytest.approx(-50, abs=2)
    folds = page.locator("details")
    assert [folds.nth(i).get_attribute("open") for i in (0, 1)] == [None, ""]
    page.close()


def test_a_print_is_short_and_leaves_out_what_paper_cannot_use(opened: Any) -> None:
    opened.emulate_media(media="print")
    pdf = opened.pdf()
    assert 3 <= len(re.findall(rb"/Type /Page\b", pdf)) <= MOST_PAGES
    assert opened.locator("#all-sentences li").first.is_visible()
    hidden = ("nav", ".slider", ".marks", "#tip", "pre", "#keys-table")
    assert not any(opened.locator(name).first.is_visible() for name in hidden)
    long = opened.locator("#gans-table")
    opened.evaluate("document.querySelector('#gans-table').closest('details').open = true")
    rows = [row for row in long.locator("tbody tr").all() if row.is_visible()]
    assert len(rows) == PRINTED_ROWS < long.locator("tbody tr").count()
    assert opened.locator("#gans p.paper").is_visible()
    assert shown_epochs(opened) == [str(EPOCHS[-1])]
