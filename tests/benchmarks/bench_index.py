"""Seconds and memory of a process that opens a frame store: its manifest and its index of frames.

    PYTHONPATH=.:tests python tests/benchmarks/bench_index.py [n_videos] [n_frames]

The store is a synthetic one without pixels. It has 20,000 videos with 50 frames each, unless other
numbers are given. The memory is the largest resident set of the process, with its imports.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from support.big_store import write_store

N_REPEATS = 3
OPEN = """
import re, sys, time
from pathlib import Path
from lussweep.data.frames import read_index
from lussweep.run.ingest import open_store
def peak():
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) * 1024 / 1e6
imported = peak()
start, used = time.perf_counter(), time.process_time()
store = open_store(sys.argv[1])
opened = time.perf_counter()
index = read_index(Path(sys.argv[1]))
end = time.perf_counter()
used = time.process_time() - used
print(
    f"{len(store.manifest.videos)} videos, {len(index)} rows: {end - start:.2f} s (manifest "
    f"{opened - start:.2f}, index {end - opened:.2f}; CPU {used:.2f}), peak {peak():.0f} MB, "
    f"{imported:.0f} MB of it by imports"
)
"""


def main() -> None:
    numbers = [int(text) for text in sys.argv[1:]]
    n_videos, n_frames = numbers if len(numbers) == 2 else (20_000, 50)
    with tempfile.TemporaryDirectory() as folder:
        write_store(Path(folder), n_videos, n_frames)
        for name in ("frames.parquet", "store.json"):
            print(f"{name}: {(Path(folder) / name).stat().st_size / 1e6:.1f} MB")
        for _ in range(N_REPEATS):
            subprocess.run([sys.executable, "-c", OPEN, folder], check=True)


if __name__ == "__main__":
    main()
