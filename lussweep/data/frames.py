"""Frames in the store: one shard per patient, with a Parquet index and memory-mapped pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from lussweep.store import tables
from lussweep.store.arrays import read_array
from lussweep.store.artifacts import ArtifactStore

PIXELS = "frames.npy"
MASKS = "masks.npy"
INDEX = "frames.parquet"


def write_shard(out: Path, videos: Sequence[np.ndarray], masks_VSS: np.ndarray) -> None:
    """Write the frames of a patient's videos and each video's sector mask, bool (V, S, S).

    The frames, uint8 (T, S, S) for each video, become one array (N, S, S) without a copy in memory.
    """
    shape = (sum(map(len, videos)), *videos[0].shape[1:])
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with (out / PIXELS).open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for frames in videos:
            file.write(np.ascontiguousarray(frames).data)
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
