"""Defines a chapter of the page, and what chapters are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lussweep.report.cells import Row
from lussweep.report.conceal import conceal
from lussweep.report.drawings import DRAWINGS, Drawing
from lussweep.report.page.svg import inline_svg
from lussweep.report.sections import Collected, NotWritten
from lussweep.study.keys import is_hashed_id
from lussweep.study.spec import StudySpec


@dataclass(frozen=True)
class Column:
    """One column of a table on the page."""

    name: str
    title: str
    unit: str = ""
    text: Callable[[Any], str] = str
    """The text of a value; None gives no text."""
    is_number: bool = True
    sort_by: str = ""
    """The value that sorting compares, if it is another one."""


@dataclass(frozen=True)
class TableCell:
    """One value of a table: what a reader sees, and what sorting compares."""

    text: str
    sort: str
    is_number: bool


@dataclass(frozen=True)
class PageTable:
    """A table of the page."""

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[TableCell]]
    source: str
    """The file of the run folder that its numbers are from."""
    notes: Sequence[str] = ()
    """The remarks below the table. Its last column holds their letters."""


@dataclass(frozen=True)
class Picture:
    """A figure of the page."""

    name: str
    title: str
    caption: str
    svg: str


TEXTS = {
    "failures": ("step", "error"),
    "results": ("reason",),
    "skipped": ("patient_id", "video_id", "reason"),
}
"""Columns that name patients in plain in a run with `--reveal-ids`, by table."""


def _ids(collected: Collected) -> frozenset[str]:
    """The patients and videos of a run, those that were left out among them."""
    ids: set[str] = set()
    for name in ("frames", "skipped"):
        with suppress(NotWritten):
            table = collected.table(name)
            for column in ("patient_id", "video_id"):
                ids.update(table[column].unique().to_pylist())
    return frozenset(text for text in ids if not is_hashed_id(text))


@dataclass(frozen=True)
class PageSource:
    """What the chapters of a page are made from."""

    collected: Collected
    is_shareable: bool = False
    """Whether frames of patients are left out."""
    is_phantom: bool = False
    """Whether the frames are those of the simulator."""
    pictures: dict[str, Picture] = field(default_factory=dict)
    """The figures that are drawn already, by name."""

    @property
    def study(self) -> StudySpec:
        return self.collected.study

    def rows(self, name: str) -> list[Row]:
        """The rows of a table of the run. Raises NotWritten if the run has not come so far.

        Texts that may name patients are hashed, also those of a run with `--reveal-ids`.
        """
        rows: list[Row] = self.collected.table(name).to_pylist()
        for column in TEXTS.get(name, ()):
            texts = {row[column] for row in rows} - {None}
            hashed = {text: self._hashed(text) for text in texts}
            rows = [row | {column: hashed.get(row[column])} for row in rows]
        return rows

    def _hashed(self, text: str) -> str:
        return conceal(text, self.collected.once(_ids))

    def rows_if_written(self, name: str) -> list[Row]:
        """The rows of a table of the run; none if the run has not come so far."""
        try:
            return self.rows(name)
        except NotWritten:
            return []

    def picture(self, name: str) -> Picture | None:
        """A figure of DRAWINGS, or None if there is nothing to draw, or nothing yet."""
        if name not in self.pictures:
            drawing: Drawing = DRAWINGS[name]
            try:
                figure = self.collected.once(drawing.build)
            except NotWritten:
                return None
            if figure is None:
                return None
            description = drawing.describe(self.collected)
            svg = inline_svg(figure, name, drawing.title, description)
            caption = " ".join(figure.get_supxlabel().split())
            self.pictures[name] = Picture(name, drawing.title, caption, svg)
        return self.pictures[name]


Context = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """One part of the page. Its name in CHAPTERS is the name of its template and its anchor."""

    title: str
    make: Callable[[PageSource], Context | None]
    """The values of its template; None if the run has nothing of the kind."""
    nothing: str
    """What the page says in its place if `make` gives None."""


def page_table(
    name: str, caption: str, columns: Sequence[Column], rows: Sequence[Row], source: str
) -> PageTable:
    """A table of the page from rows of a run's table.

    Remarks stand below the table, because several rows often share one: the cells of a last column
    `reason` hold letters.
    """
    notes: list[str] = []
    if columns and columns[-1].name == "reason":
        notes = list(dict.fromkeys(row["reason"] for row in rows if row["reason"]))
        letter_of = {note: _letter(i) for i, note in enumerate(notes)}
        rows = [row | {"reason": letter_of.get(row["reason"])} for row in rows]
    cells = [[_cell(column, row) for column in columns] for row in rows]
    return PageTable(name, caption, columns, cells, source, notes)


def _letter(index: int) -> str:
    """a to z, then aa, ab: as the letters of an ordered list."""
    first, last = divmod(index, 26)
    return (_letter(first - 1) if first else "") + chr(ord("a") + last)


def _cell(column: Column, row: Row) -> TableCell:
    value, sort = row.get(column.name), row.get(column.sort_by or column.name)
    text = "" if value is None else column.text(value)
    return TableCell(text, "" if sort is None else str(sort), column.is_number)
