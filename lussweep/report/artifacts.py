"""Finds what the steps of a cell have left in the store."""

from __future__ import annotations

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
