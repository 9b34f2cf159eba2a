"""Where a cell stands: one type for plans, tables and names."""

from __future__ import annotations

import dataclasses

import pytest

from lussweep.report.sections.aurocs import AUROCS
from lussweep.report.sections.results import RESULTS
from lussweep.report.sections.steps import COHORTS
from lussweep.store import tables
from lussweep.study.coordinates import AXES, DRAW_AXES, Coordinates, Draw


def test_a_row_of_a_table_gives_coordinates_back():
    cell = Coordinates(6, 2, "combined", 25)
    assert tuple(cell.row()) == AXES == ("n_patients", "replicate", "variant", "gan_epoch")
    assert Coordinates.of_row({**cell.row(), "auroc": 0.5}) == cell
    assert cell.draw == Draw(6, 2) and tuple(cell.draw.row()) == DRAW_AXES


def test_every_axis_is_a_column_of_each_table_of_cells():
    for schema in (tables.TRIALS, tables.FRAME_SCORES, RESULTS, AUROCS):
        assert tuple(schema.names[: len(AXES)]) == AXES
    for schema in (COHORTS, tables.GAN_LOSSES, tables.MEMORISATION):
        assert tuple(schema.names[: len(DRAW_AXES)]) == DRAW_AXES
    assert RESULTS.field("gan_epoch").metadata and not tables.TRIALS.field(3).metadata


@pytest.mark.parametrize(
    ("cell", "name", "text"),
    [
        (Coordinates(6, 1, "baseline"), "n=6 r=1 baseline", "baseline n=6 r=1"),
        (Coordinates(58, 2, "f", 25), "n=58 r=2 f epoch=25", "f epoch 25 n=58 r=2"),
    ],
)
def test_names_of_a_cell(cell, name, text):
    assert (cell.name(), str(cell)) == (name, text)


def test_what_is_drawn_from_all_patients_is_named_so():
    assert str(Draw(None, 1)) == "all"


def test_cells_are_sorted_by_their_axes_and_those_without_an_epoch_come_first():
    cells = [
        Coordinates(6, 1, "a"), Coordinates(6, 1, "a", 5), Coordinates(6, 1, "b"),
        Coordinates(6, 2, "a"), Coordinates(15, 1, "a"),
    ]  # fmt: skip
    assert sorted((cells[i] for i in (3, 1, 4, 0, 2)), key=Coordinates.order) == cells


def test_coordinates_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Coordinates(6, 1, "a").variant = "b"  # type: ignore[misc]
