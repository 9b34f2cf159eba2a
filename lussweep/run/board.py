"""Keeps the AUC-ROC of each cell of a run as it comes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lussweep.study.coordinates import Coordinates
from lussweep.study.plan import Cell


@dataclass
class Point:
    """The replicates of one point of the grid, so far."""

    n_cells: int = 0
    n_done: int = 0
    n_failed: int = 0
    n_judged: int = 0
    """Cells that are done and have an AUC-ROC."""
    total: float = 0.0
    """The sum of their AUC-ROCs."""

    @property
    def mean(self) -> float | None:
        """The mean AUC-ROC of the cells so far."""
        return self.total / self.n_judged if self.n_judged else None


@dataclass(frozen=True)
class Judged:
    """A cell that has just been done."""

    coordinates: Coordinates
    auroc: float | None
    n_done: int
    """Cells of the run that are done, with this one."""


class Board:
    """The cells of a run by the step that judges them, and their AUC-ROCs summed by point."""

    def __init__(self, cells: Sequence[Cell] = ()) -> None:
        self.cells_of: dict[str, list[Coordinates]] = {}
        """Cells by the ref of the step `evaluate`."""
        epochs: dict[tuple[int, int, str], set[int | None]] = {}
        for cell in cells:
            at = cell.coordinates
            self.cells_of.setdefault(cell.refs["evaluate"], []).append(at)
            epochs.setdefault((at.n_patients, at.replicate, at.variant), set()).add(at.gan_epoch)
        self.epoch_is_axis = any(len(of_cell) > 1 for of_cell in epochs.values())
        self.variants = list(dict.fromkeys(cell.coordinates.variant for cell in cells))
        self.n_cells, self.n_done = len(cells), 0
        self.points: dict[tuple[int, int, str], Point] = {}
        """By patient count, GAN epoch (0 if it is no axis) and variant."""
        for cell in cells:
            self._point(cell.coordinates).n_cells += 1
        self.judged: list[tuple[Coordinates, float | None]] = []
        """The cells that are done, in the order in which they were, with their AUC-ROCs."""
        self._ended: set[str] = set()

    def judge(self, ref: str, auroc: float | None) -> list[Judged]:
        """Note that a step `evaluate` is done, and return its cells. Nothing if it is known."""
        judged = []
        for at in self._end(ref):
            point = self._point(at)
            point.n_done += 1
            self.n_done += 1
            if auroc is not None:
                point.n_judged += 1
                point.total += auroc
            self.judged.append((at, auroc))
            judged.append(Judged(at, auroc, self.n_done))
        return judged

    def fail(self, refs: Iterable[str]) -> None:
        """Note that these steps have failed or are blocked."""
        for ref in refs:
            for at in self._end(ref):
                self._point(at).n_failed += 1

    def _end(self, ref: str) -> list[Coordinates]:
        if ref in self._ended or ref not in self.cells_of:
            return []
        self._ended.add(ref)
        return self.cells_of[ref]

    def _point(self, at: Coordinates) -> Point:
        key = (at.n_patients, at.gan_epoch or 0 if self.epoch_is_axis else 0, at.variant)
        return self.points.setdefault(key, Point())
