"""The rows that sentences are made from, of a run that goes on and of one that has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from lussweep.report.page.answer import answer
from lussweep.report.page.facts import facts_of
from lussweep.report.page.sentences import text_of
from support.answers import Rows, contrast, event, tables_of


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


def test_a_generator_that_a_later_attempt_mended_is_not_distrusted() -> None:
    def loss(attempt: int, replicate: int = 1) -> dict[str, Any]:
        return event() | {"attempt": attempt, "replicate": replicate}

    first = event() | {"attempt": 1}
    mended = facts_of(tables_of(results=[], gan_losses=[loss(1), loss(2)], gan_events=[first]))
    assert mended.gan_events == [] and mended.gans == 1
    assert "Do not trust" not in text_of(answer(mended))
    again = [first, event() | {"attempt": 2}, event() | {"attempt": 1, "replicate": 2}]
    losses = [loss(1), loss(2), loss(1, replicate=2)]
    found = facts_of(tables_of(results=[], gan_losses=losses, gan_events=again))
    assert found.gan_events == again[1:]
    assert "Do not trust 2 of 2 generators" in text_of(answer(found))
