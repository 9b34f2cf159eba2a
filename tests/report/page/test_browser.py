"""The page in a real browser: headless Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lussweep.report.page.open import source_of
from lussweep.report.page.write import write_page

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
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


@pytest.fixture(scope="module")
def context() -> Iterator[Any]:
    with playwright.sync_playwright() as driver, tempfile.TemporaryDirectory() as profile:
        context = driver.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, headless=True, args=list(FLAGS)
        )
        yield context
        context.close()


@pytest.fixture(scope="module")
def path(uninterrupted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a finished run."""
    return write_page(source_of(uninterrupted), tmp_path_factory.mktemp("page") / "report.html")


@pytest.fixture
def opened(context: Any, path: Path) -> Iterator[Any]:
    """The page in a tab, with what the browser said and asked for."""
    page = context.new_page()
    page.said, page.asked = [], []
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(path.as_uri())
    yield page
    page.close()


def test_the_page_says_nothing_and_asks_for_nothing(opened: Any) -> None:
    opened.wait_for_load_state()
    assert opened.said == []
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


def test_a_print_holds_what_is_folded_away(opened: Any) -> None:
    opened.emulate_media(media="print")
    opened.evaluate('() => dispatchEvent(new Event("beforeprint"))')
    hidden = opened.evaluate(
        "() => [...document.querySelectorAll('details')].filter((part) => !part.open).length"
    )
    assert hidden == 0
    assert opened.pdf(format="A4")[:5] == b"%PDF-"
