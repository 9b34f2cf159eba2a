"""Cells that were scored on the very same units, and their win matrices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lussweep.analysis.levels import Scored, check_units
from lussweep.metrics.auroc import Float64s, Int64s, WinMatrix, win_matrix

CellKey = tuple[str, int]
"""(variant, replicate)"""


@dataclass(frozen=True)
class PairedWins:
    """Win matrices of cells that were scored on the very same units."""

    wins: Mapping[CellKey, Float64s]
    """By (variant, replicate), each of shape (P, P)."""
    n_pos_P: Int64s
    n_neg_P: Int64s

    def replicates(self, variant: str) -> frozenset[int]:
        return frozenset(replicate for name, replicate in self.wins if name == variant)

    @property
    def n_scarcer(self) -> int:
        """Patients that have units of the class that fewer patients have."""
        return min(int((self.n_pos_P > 0).sum()), int((self.n_neg_P > 0).sum()))

    def matrix(self, wins_PP: Float64s) -> WinMatrix:
        return WinMatrix(wins_PP, self.n_pos_P, self.n_neg_P)


def pair_up(cells: Mapping[CellKey, Scored]) -> PairedWins:
    """Win matrices of all cells, after a check that they were scored on the same units.

    Keys are (variant, replicate). All cells must have the same patients, videos, frames and
    labels in the same order; nothing is re-ordered or dropped. Raises ValueError that names
    the two cells that differ, or if ids do not identify each unit.
    """
    if not cells:
        raise ValueError("there are no cells to compare")
    (first, units), *others = cells.items()
    _check_identified(first, units)
    for other, found in others:
        check_units(found)
        _check_aligned(first, units, other, found)
    matrices = {
        cell: win_matrix(found.label_U, found.score_U, found.patient_U)
        for cell, found in cells.items()
    }
    wins = {cell: matrix.wins_PP for cell, matrix in matrices.items()}
    return PairedWins(wins, matrices[first].n_pos_P, matrices[first].n_neg_P)


def _check_identified(cell: CellKey, units: Scored) -> None:
    """Raise ValueError unless (patient, video, frame) names each unit once."""
    check_units(units)
    code_U = np.zeros(len(units.label_U), dtype=np.int64)
    for id_U in (units.patient_U, units.video_U, units.frame_U):
        if id_U is not None:
            ids, found_U = np.unique(id_U, return_inverse=True)
            code_U = code_U * len(ids) + found_U
    if len(np.unique(code_U)) < len(code_U):
        raise ValueError(f"{_named(cell)}: ids do not tell all units apart; give frame ids")


def _check_aligned(first: CellKey, units: Scored, other: CellKey, found: Scored) -> None:
    for name in ("patient_U", "video_U", "frame_U", "label_U"):
        one, two = getattr(units, name), getattr(found, name)
        same = one is two or (one is not None and two is not None and np.array_equal(one, two))
        if not same:
            raise ValueError(f"{_named(first)} and {_named(other)} differ in {name}")


def _named(cell: CellKey) -> str:
    return f"{cell[0]}, replicate {cell[1]}"
