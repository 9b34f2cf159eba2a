"""The AUC-ROCs of a run as they come."""

from __future__ import annotations

import pytest

from lussweep.run.board import Board
from lussweep.study.coordinates import Coordinates
from lussweep.study.plan import Cell
from lussweep.study.spec import Recipe

RECIPE = Recipe(pos=["real"], neg=["real"])


def cell(ref: str, n: int, replicate: int, variant: str, epoch: int | None = None) -> Cell:
    return Cell(Coordinates(n, replicate, variant, epoch), RECIPE, {"evaluate": ref})


def test_a_mean_is_that_of_the_replicates_that_are_done() -> None:
    board = Board([cell(f"evaluate/{r}", 6, r, "baseline") for r in (1, 2, 3)])
    (point,) = board.points.values()
    assert point.mean is None
    (first,) = board.judge("evaluate/1", 0.8)
    assert (first.coordinates, first.auroc, first.n_done) == (
        Coordinates(6, 1, "baseline"), 0.8, 1,
    )  # fmt: skip
    board.judge("evaluate/3", 0.9)
    assert point.mean == pytest.approx(0.85)
    assert (point.n_done, point.n_cells, board.n_done) == (2, 3, 2)
    assert [at.replicate for at, _ in board.judged] == [1, 3]


def test_a_step_counts_once_and_a_step_of_no_cell_not_at_all() -> None:
    board = Board([cell("evaluate/1", 6, 1, "baseline")])
    board.judge("evaluate/1", 0.8)
    assert board.judge("evaluate/1", 0.8) == []
    assert board.judge("gan/1", None) == []
    board.fail(["evaluate/1", "gan/1"])
    (point,) = board.points.values()
    assert (point.n_done, point.n_failed) == (1, 0)


def test_a_cell_without_an_auroc_is_done_and_enters_no_mean() -> None:
    board = Board([cell(f"evaluate/{r}", 6, r, "baseline") for r in (1, 2)])
    board.judge("evaluate/1", None)
    board.judge("evaluate/2", 0.7)
    (point,) = board.points.values()
    assert (point.n_done, point.mean) == (2, pytest.approx(0.7))


def test_a_step_that_judges_several_cells_gives_each_of_them() -> None:
    """Cells of two patient counts may have the same step, if their training is the same."""
    cells = [cell("evaluate/1", 6, 1, "a"), cell("evaluate/1", 6, 1, "b")]
    assert [j.n_done for j in Board(cells).judge("evaluate/1", 0.8)] == [1, 2]


def test_the_epoch_parts_points_only_where_it_is_an_axis() -> None:
    epochs = [cell(f"evaluate/{e}", 6, 1, "combined", e) for e in (5, 10)]
    assert list(Board(epochs).points) == [(6, 5, "combined"), (6, 10, "combined")]
    replicates = [cell(f"evaluate/{r}", 6, r, "combined", e) for r, e in ((1, 5), (2, 10))]
    assert list(Board(replicates).points) == [(6, 0, "combined")]
