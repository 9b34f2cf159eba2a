"""The rows that sentences are made from, of a run that goes on and of one that has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from lussweep.report.page.facts import facts_of
from lussweep.report.page.seam import PageSource
from lussweep.report.page.sentences import Facts
from lussweep.report.sections.seam import NotWritten
from lussweep.study.spec import load_study
from support.answers import contrast

Rows = Sequence[Mapping[str, Any]]


class Tables:
    """The tables of a run that are written, in place of a `PageSource`."""

    is_phantom = False

    def __init__(self, tables: Mapping[str, Rows]) -> None:
        self.tables = tables
        self.study = load_study("name: mine\nanalysis: {contrasts: [[combined, baseline]]}")

    def rows(self, name: str) -> list[dict[str, Any]]:
        if name not in self.tables:
            raise NotWritten(name)
        return [dict(row) for row in self.tables[name]]

    def rows_if_written(self, name: str) -> list[dict[str, Any]]:
        return self.rows(name) if name in self.tables else []


def facts_from(**tables: Rows) -> Facts:
    return facts_of(cast(PageSource, Tables(tables)))


@pytest.mark.parametrize(
    ("variants", "others", "is_ahead"),
    [
        (("baseline", "combined"), {}, True),
        (("baseline", "classic"), {}, False),
        (("baseline", "combined"), {"contrasts": [contrast()]}, False),
        (("baseline", "combined"), {"contrasts": []}, False),
    ],
)
def test_contrasts_are_ahead_if_the_grid_has_them_and_their_table_is_not_there(
    variants: Sequence[str], others: Mapping[str, Rows], is_ahead: bool
) -> None:
    found = facts_from(results=[{"variant": name} for name in variants], **others)
    assert found.has_contrasts_ahead is is_ahead
    assert len(found.contrasts) == len(others.get("contrasts", ()))
