"""Finds what the steps of a cell have left in the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from lussweep.store.artifacts import ArtifactStore
from lussweep.study.coordinates import Coordinates
from lussweep.study.plan import Cell


def written_table(store: ArtifactStore, ref: str, name: str) -> Path | None:
    """The table of a step, or the one that a collapsed training left in its workplace."""
    if not store.has(ref):
        return store.left_behind(ref, name)
    path = store.open(ref, name) / name
    return path if path.exists() else None


def sampled_place(cell: Cell, store: ArtifactStore) -> Coordinates:
    """The cell's coordinates with the GAN epoch that was sampled.

    The epoch of the positives goes before the epoch of the negatives.
    """
    for label in ("pos", "neg"):
        ref = cell.refs.get(f"synth_{label}")
        if ref and store.has(ref):
            epoch: int | None = store.record(ref)["summary"]["epoch"]
            if epoch is not None:  # an external set has no epoch
                return replace(cell.coordinates, gan_epoch=epoch)
    return cell.coordinates


def told_apart(cells: Sequence[Cell], store: ArtifactStore) -> list[Cell]:
    """The cells without those that sampled the same epoch as another cell of their place.

    A folder may hold a grid that selects an epoch and one that names epochs. Where the selected
    epoch is one of the named ones, the two cells are one and the same, and their rows would count
    twice. A cell that is done goes before one that is not, and then the named epoch goes first.
    """
    named = {replace(c.coordinates, gan_epoch=None) for c in cells if c.coordinates.gan_epoch}
    chosen: dict[Coordinates, Cell] = {}
    for cell in cells:
        epoch_is_open = cell.coordinates.gan_epoch is None and cell.coordinates in named
        place = sampled_place(cell, store) if epoch_is_open else cell.coordinates
        other = chosen.setdefault(place, cell)
        if other is not cell and _goes_before(cell, other, store):
            chosen[place] = cell
    kept = {id(cell) for cell in chosen.values()}
    return [cell for cell in cells if id(cell) in kept]


def _goes_before(cell: Cell, other: Cell, store: ArtifactStore) -> bool:
    def rank(cell: Cell) -> tuple[bool, bool]:
        return store.has(cell.refs["evaluate"]), cell.coordinates.gan_epoch is not None

    return rank(cell) > rank(other)
