"""Tables of chapters whose numbers need a form of their own."""

from __future__ import annotations

import math

from lussweep.report.page.chapters import statistics
from lussweep.report.page.seam import PageTable
from support.answers import tables_of


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
