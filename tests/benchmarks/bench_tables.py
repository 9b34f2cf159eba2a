"""What the child process costs that reads a table, against pyarrow in this process.

    PYTHONPATH=.:tests python tests/benchmarks/bench_tables.py

The tables are indices of frames. Least of some repeats. The first read of a process also starts
its child.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lussweep.store import child, tables

N_REPEATS = 20


def index(n_rows: int) -> pa.Table:
    """An index of videos of 50 frames."""
    row = np.arange(n_rows)
    ids = {name: pa.array([f"{name}-{i:06d}" for i in range(n_rows // 50 + 1)]).take(row // 50)
           for name in ("patient_id", "video_id", "shard")}  # fmt: skip
    return tables.with_columns(
        pa.table({**ids, "frame": row % 50, "row": row, "seconds": row / 8}),
        {"label": 1, "split": "train"}, tables.FRAMES,
    )  # fmt: skip


def least_ms(read: Callable[[], Any]) -> float:
    seconds = []
    for _ in range(N_REPEATS):
        started = time.perf_counter()
        read()
        seconds.append(time.perf_counter() - started)
    return 1000 * min(seconds)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "frames.parquet"
        for n_rows in (1, 5000, 100_000, 1_000_000):
            tables.write(path, index(n_rows), tables.FRAMES)
            if n_rows == 1:
                child.end_children()
                started = time.perf_counter()
                tables.read_frames(path)
                print(f"first read of a process: {1000 * (time.perf_counter() - started):.0f} ms")
            here = least_ms(lambda: pq.ParquetFile(path).read())
            there = least_ms(lambda: tables.read_frames(path))
            print(
                f"{n_rows:>9} rows: {there:7.2f} ms in a child, {there / here:.1f} x pyarrow here"
            )


if __name__ == "__main__":
    main()
