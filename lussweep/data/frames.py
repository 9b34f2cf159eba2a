"""Frames in the store: one shard per patient, with a Parquet index and memory-mapped pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from lussweep.store import tables
from lussweep.store.arrays import read_array
from lussweep.store.artifacts import ArtifactStore

PIXELS = "frames.npy"
MASKS = "masks.npy"
INDEX = "frames.parquet"


def write_shard(out: Path, frames_NSS: np.ndarray, masks_VSS: np.ndarray) -> None:
    """Write a patient's frames, uint8 (N, S, S), and each video's sector mask, bool (V, S, S)."""
    np.save(out / PIXELS, frames_NSS)
    np.save(out / MASKS, masks_VSS)


def load_pixels(store: ArtifactStore, frames: pa.Table) -> np.ndarray:
    """Load the pixels of the rows of an index, in their order: uint8 (N, S, S)."""
    return _gather(store, frames, PIXELS, "row", np.uint8)


def load_masks(store: ArtifactStore, frames: pa.Table) -> np.ndarray:
    """Load the sector mask of each row's video: bool (N, S, S)."""
    return _gather(store, frames, MASKS, "mask_row", np.bool_)


def _gather(
    store: ArtifactStore, frames: pa.Table, name: str, column: str, dtype: type
) -> np.ndarray:
    shards = np.array(frames["shard"].to_pylist())
    rows = frames[column].to_numpy()
    gathered: np.ndarray | None = None
    for shard in dict.fromkeys(shards):
        positions = np.flatnonzero(shards == shard)
        pixels = read_array(store.open(str(shard)) / name, dtype, mapped=True)
        if gathered is None:
            gathered = np.empty((len(frames), *pixels.shape[1:]), pixels.dtype)
        gathered[positions] = pixels[rows[positions]]
    if gathered is None:
        raise ValueError("no frames to load")
    return gathered


def read_index(folder: Path) -> pa.Table:
    """Read the frame index of an ingest or shard artifact."""
    return tables.read_frames(folder / INDEX)
