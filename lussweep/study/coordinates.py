"""The coordinates of a cell in a grid: one value for each axis.

An axis is a field of `Coordinates`. Tables, names and selections go through `AXES`, so that a
further axis is a field here, its values in the grid's spec and its type in the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Draw:
    """One draw of patients: the axes that a cohort depends on."""

    n_patients: int | None
    """Patients of each class; None stands for every training patient, for the detector."""
    replicate: int
    """From 1."""

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Draw:
        """The draw of a table's row, which has a column for each of these axes."""
        return cls(*(row[axis] for axis in DRAW_AXES))

    def row(self) -> dict[str, Any]:
        """The values by axis."""
        return {axis: getattr(self, axis) for axis in DRAW_AXES}

    def __str__(self) -> str:
        """The draw in the names of steps: `n=6 r=1`, or `all`."""
        return "all" if self.n_patients is None else f"n={self.n_patients} r={self.replicate}"


@dataclass(frozen=True, slots=True)
class Coordinates:
    """The coordinates of one cell."""

    n_patients: int
    """Patients of each class."""
    replicate: int
    """From 1."""
    variant: str
    gan_epoch: int | None = None
    """The epoch of the GAN's snapshot. None if the grid has no such axis for the cell."""

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Coordinates:
        """The coordinates of a table's row, which has a column for each axis."""
        return cls(*(row[axis] for axis in AXES))

    def row(self) -> dict[str, Any]:
        """The values by axis."""
        return {axis: getattr(self, axis) for axis in AXES}

    @property
    def draw(self) -> Draw:
        return Draw(self.n_patients, self.replicate)

    @property
    def curve(self) -> str:
        """The label of a curve over patient counts: the variant and its GAN epoch."""
        return curve_name(self.variant, self.gan_epoch)

    def order(self) -> tuple[Any, ...]:
        """A key that sorts cells by their axes; a cell without a GAN epoch comes first."""
        return self.n_patients, self.replicate, self.variant, self.gan_epoch or 0

    def name(self) -> str:
        """The cell in logs and plans: `n=6 r=1 combined epoch=5`."""
        epoch = f" epoch={self.gan_epoch}" if self.gan_epoch else ""
        return f"{self.draw} {self.variant}{epoch}"

    def __str__(self) -> str:
        """The cell in reports: `combined epoch 5 n=6 r=1`."""
        return f"{self.curve} {self.draw}"


def curve_name(variant: str, gan_epoch: int | None) -> str:
    """The label of a variant with its GAN epoch, where it has one: `combined epoch 5`."""
    return variant if gan_epoch is None else f"{variant} epoch {gan_epoch}"


AXES: tuple[str, ...] = tuple(field.name for field in fields(Coordinates))
"""The names of the axes, in the order of a table's columns."""
DRAW_AXES: tuple[str, ...] = tuple(field.name for field in fields(Draw))
