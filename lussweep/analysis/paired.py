"""Win matrices of cells that were scored on exactly the same units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lussweep.analysis.levels import Scored, check_units, to_patients
from lussweep.metrics.auroc import Float64s, Int64s, WinMatrix, patient_weighted, win_matrix
from lussweep.study.spec.analysis import Level

CellKey = tuple[str, int]
"""(variant, replicate)"""


@dataclass(frozen=True)
class PairedWins:
    """Win matrices of cells that were scored on exactly the same units."""

    wins: Mapping[CellKey, Float64s]
    """Wins by (variant, replicate), each of shape (P, P)."""
    n_pos_P: Int64s
    n_neg_P: Int64s

    def replicates(self, variant: str) -> frozenset[int]:
        """The replicates of a variant."""
        return frozenset(replicate for name, replicate in self.wins if name == variant)

    @property
    def n_scarcer(self) -> int:
        """Number of patients with units of the scarcer class."""
        return min(int((self.n_pos_P > 0).sum()), int((self.n_neg_P > 0).sum()))

    def matrix(self, wins_PP: Float64s) -> WinMatrix:
        """A win matrix of these units with other wins, such as a sum or a difference."""
        return WinMatrix(wins_PP, self.n_pos_P, self.n_neg_P)


def pair_up(cells: Mapping[CellKey, Scored], level: Level = "frame") -> PairedWins:
    """Compute the win matrices of all cells, after a check that their units are the same.

    Keys are (variant, replicate). All cells must have the same patients, videos, frames and
    labels in the same order; nothing is re-ordered or dropped. `level` says what an AUC-ROC is
    over: frames, patients by their mean frame score, or frames of which each patient's weigh as
    much as any other patient's of the class. Raises ValueError, which names the two cells, if
    cells differ. Raises ValueError, too, if ids do not identify each unit, or if there are no
    patients of one class.
    """
    if not cells:
        raise ValueError("there are no cells to compare")
    units_of = {cell: check_units(units) for cell, units in cells.items()}
    (first, first_units), *others = units_of.items()
    _check_identified(first, first_units)
    for cell, units in others:
        _check_aligned(first, first_units, cell, units)
    matrices = {cell: matrix_at(level, units) for cell, units in units_of.items()}
    wins = {cell: matrix.wins_PP for cell, matrix in matrices.items()}
    return PairedWins(wins, matrices[first].n_pos_P, matrices[first].n_neg_P)


def matrix_at(level: Level, frames: Scored) -> WinMatrix:
    """The win matrix of frames at a level. Raises ValueError if a class has no unit there."""
    units = to_patients(frames) if level == "patient_mean" else frames
    if units is not frames and units.label_U.all():
        raise ValueError("all patients have a positive frame: none is negative")
    matrix = win_matrix(units.label_U, units.score_U, units.patient_U)
    return patient_weighted(matrix) if level == "patient_weighted" else matrix


def _check_identified(cell: CellKey, units: Scored) -> None:
    """Raise ValueError unless (patient, video, frame) names each unit once."""
    code_U = np.zeros(len(units.label_U), dtype=np.int64)
    for id_U in (units.patient_U, units.video_U, units.frame_U):
        if id_U is not None:
            ids, index_U = np.unique(id_U, return_inverse=True)
            code_U = code_U * len(ids) + index_U
    if len(np.unique(code_U)) < len(code_U):
        raise ValueError(f"{_cell_name(cell)}: ids do not tell all units apart; give frame ids")


def _check_aligned(a: CellKey, a_units: Scored, b: CellKey, b_units: Scored) -> None:
    for name in ("patient_U", "video_U", "frame_U", "label_U"):
        a_U, b_U = getattr(a_units, name), getattr(b_units, name)
        same = a_U is b_U or (a_U is not None and b_U is not None and np.array_equal(a_U, b_U))
        if not same:
            raise ValueError(f"{_cell_name(a)} and {_cell_name(b)} differ in {name}")


def _cell_name(cell: CellKey) -> str:
    return f"{cell[0]}, replicate {cell[1]}"
