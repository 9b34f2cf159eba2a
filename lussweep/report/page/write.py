"""Writes the page of a report. A chapter that fails leaves a note, and the others are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lussweep.report.alone import alone
from lussweep.report.page.answer import answer
from lussweep.report.page.chapters import CHAPTERS
from lussweep.report.page.details import details
from lussweep.report.page.facts import facts_of
from lussweep.report.page.seam import Chapter, PageSource
from lussweep.report.page.sentences import Sentence
from lussweep.report.page.svg import DARK, LIGHT, colours_of, dark_colours
from lussweep.report.sections import NotWritten
from lussweep.store.files import write_whole

MINUS = "\u2212"
PAGE, SHAREABLE_PAGE, WATCHED_PAGE = "report.html", "report-shareable.html", "report-watched.html"
PRINTED_ROWS = 10
"""Rows of a table on paper."""


@dataclass(frozen=True)
class Part:
    """A chapter on the page: its content, or the reason why it has none."""

    name: str
    title: str
    body: Markup | None = None
    note: str = ""


Content = Mapping[str, Any]
"""What the template of the page is filled with."""


def render_page(source: PageSource) -> str:
    """The page as one text that loads nothing. For errors see `content_of`."""
    return page_text(content_of(source))


def content_of(source: PageSource) -> Content:
    """The answer and the chapters of a page.

    A chapter that fails leaves a note in its place, and its error in `collected.failed`.
    """
    environment = environment_of_pages()
    parts = [_part(name, CHAPTERS[name], source, environment) for name in CHAPTERS]
    paragraph: list[Sentence] = []
    sentences: list[Sentence] = []
    with _alone("The answer", source):
        facts = facts_of(source)
        paragraph, sentences = answer(facts), details(facts)
    colours = colours_of(picture.svg for picture in source.pictures.values())
    return {
        "name": source.study.name,
        "description": source.study.description,
        "answer": paragraph,
        "sentences": sentences,
        "broken": source.collected.failed.get(_named("The answer")),
        "parts": parts,
        "has_pixels": _has_pixels(parts) and not source.is_phantom,
        "light": LIGHT,
        "dark": DARK,
        "dark_colours": dark_colours(colours),
    }


def content_before(name: str) -> Content:
    """The content of the page of a run that has nothing to show yet."""
    texts = dict.fromkeys(("description", "broken"), "")
    sentences = [Sentence("This run has nothing to show yet.", "progress")]
    colours = {"light": LIGHT, "dark": DARK, "dark_colours": {}}
    return {
        "name": name, "answer": sentences, "sentences": [], "parts": [], "has_pixels": False,
        **texts, **colours,
    }  # fmt: skip


def page_text(content: Content, refresh_s: int | None = None, made_at: str = "") -> str:
    """The page as one text. With `refresh_s` a browser loads it again after so many seconds.

    Such a page says when it was made.
    """
    template = environment_of_pages().get_template("page.html")
    return template.render(**content, refresh_s=refresh_s, made_at=made_at)


def write_page(source: PageSource, path: Path) -> Path:
    """Writes the page to `path`, and returns it. Another process may write it at the same time."""
    write_whole(path, render_page(source), shared=True)
    return path


def _part(name: str, chapter: Chapter, source: PageSource, environment: Environment) -> Part:
    part = None
    with _alone(chapter.title, source):
        try:
            context = chapter.make(source)
            if context is None:
                return Part(name, chapter.title, note=chapter.nothing)
            body = environment.get_template(f"{name}.html").render(**context)
            part = Part(name, chapter.title, Markup(body))
        except NotWritten as table:
            return Part(name, chapter.title, note=f"The run has not come to this yet: {table}.")
    if part is not None:
        return part
    error = source.collected.failed[_named(chapter.title)]
    note = f"This part could not be made ({error}). The other parts are whole."
    return Part(name, chapter.title, note=note)


def _alone(title: str, source: PageSource) -> AbstractContextManager[None]:
    collected = source.collected
    return alone(_named(title), collected.failed, collected.reported.redact)


def _named(title: str) -> str:
    return f"{PAGE}, {title}"


def _has_pixels(parts: list[Part]) -> bool:
    return any(part.body and "data:image/" in part.body for part in parts)


def environment_of_pages() -> Environment:
    """The templates of the pages, with their filters and settings."""
    environment = Environment(
        loader=PackageLoader("lussweep.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["minus"] = _minus
    environment.globals["printed_rows"] = PRINTED_ROWS
    return environment


def _minus(text: str) -> str:
    """Writes the sign of negative numbers as a minus, which screen readers do not leave out.

    A number and its percent sign stay in one line.
    """
    return re.sub(r"(?<=\d) %", "\u00a0%", re.sub(r"(?<![\w.)])-(?=\d)", MINUS, text))
