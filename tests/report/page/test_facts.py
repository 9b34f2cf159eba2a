"""The rows that sentences are made from, of a run that goes on and of one that has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from lussweep.report.page.facts import facts_of
from support.answers import Rows, contrast, tables_of


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
    found = facts_of(tables_of(results=[{"variant": name} for name in variants], **others))
    assert found.has_contrasts_ahead is is_ahead
    assert len(found.contrasts) == len(others.get("contrasts", ()))
