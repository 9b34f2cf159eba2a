"""Tables of chapters whose numbers need a form of their own."""

from __future__ import annotations

import math

from lussweep.report.page.chapters import record, statistics
from lussweep.report.page.seam import PageTable
from support.answers import control, tables_of


def texts(table: PageTable) -> list[list[str]]:
    """The text of each cell."""
    return [[cell.text for cell in row] for row in table.rows]


def test_the_table_of_the_multiplier_shows_the_side_of_one_as_the_sentence_does() -> None:
    worth = {
        "n_patients": 15, "variant": "combined", "worth": "7.5", "interval": "< 6 to 14",
        "status": "done", "reason": None,
    }  # fmt: skip
    ends = ((0.67, 0.23, 0.9965), (0.996, 0.6, 0.99996), (0.9, -math.inf, math.inf))
    rows = [
        {"variant": "combined", "m": m, "low": low, "high": high, "status": "done", "reason": None}
        for m, low, high in ends
    ]
    chapter = statistics.CHAPTERS["worth"].make(tables_of(worth=[worth], multiplier=rows))
    assert chapter is not None
    assert [row[1:4] for row in texts(chapter["multiplier"])] == [
        ["0.67", "0.23", "0.997"],
        ["0.996", "0.60", "just below 1"],
        ["0.90", "below what the grid can tell", "above what the grid can tell"],
    ]


def test_the_table_of_controls_names_each_control() -> None:
    interval = {"auroc": 0.6, "low": 0.55, "high": 0.65, "status": "done", "reason": None}
    rows = [
        control("chance") | interval | {"variant": "shuffled", "n_permutations": 5},
        control("above chance", "sector masks") | interval
        | {"variant": "mask_only", "n_permutations": None},
    ]  # fmt: skip
    chapter = record.CHAPTERS["events"].make(tables_of(results=[], controls=rows))
    assert chapter is not None
    (table,) = chapter["tables"]
    assert [row[2] for row in texts(table)] == ["shuffled labels", "sector masks"]
    assert "Sector masks alone that score above chance tell the class" in table.caption
