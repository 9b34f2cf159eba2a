"""From videos to frames: against a bare PyAV loop on one core, and a whole `lussweep ingest`.

The bare loop decodes and converts to grey, and keeps nothing. Both are measured in CPU seconds of
all their processes, so other jobs on the machine change little.
"""

from __future__ import annotations

import argparse
import csv
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2

from lussweep.data.preprocess import preprocess
from lussweep.data.readers.decode import read_loop
from lussweep.study.spec import PreprocessSpec


def processes(root: int) -> list[int]:
    """A process and those that it has started, directly or not, that still run."""
    found = [root]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def cpu_seconds() -> float:
    """CPU seconds so far of this process and of its children."""
    nanoseconds = 0
    for pid in processes(os.getpid()):
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            nanoseconds += int(task.read_text().split()[0])
    return nanoseconds / 1e9


def memory_bytes(root: int) -> int:
    """What all processes take together; a page that several share counts once."""
    total = 0
    for pid in processes(root):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return total


def cost(work: Callable[[], int]) -> tuple[int, float]:
    """What `work` returns, and its CPU seconds."""
    before = cpu_seconds()
    return work(), cpu_seconds() - before


def compare(paths: list[Path]) -> None:
    """Prints the frames a CPU second of the bare loop and of ours, and what the parts cost."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    spec = PreprocessSpec(image_size=256)

    def bare() -> int:
        n_frames = 0
        for path in paths:
            with av.open(str(path)) as container:
                stream = container.streams.video[0]
                stream.codec_context.thread_count = 1
                for frame in container.decode(stream):
                    frame.to_ndarray(format="gray")
                    n_frames += 1
        return n_frames

    bare()
    read_loop(paths[0])
    for _ in range(3):
        n_frames, bare_seconds = cost(bare)
        reading = preparing = 0.0
        for path in paths:
            before = cpu_seconds()
            pixels = read_loop(path).pixels
            read = cpu_seconds()
            preprocess(pixels, spec)
            reading, preparing = reading + read - before, preparing + cpu_seconds() - read
        ours = reading + preparing
        print(
            f"{n_frames} frames: bare {n_frames / bare_seconds:.0f} frames/s, ours "
            f"{n_frames / ours:.0f} (reading {reading:.2f} s, preprocessing {preparing:.2f} s), "
            f"{bare_seconds / ours:.2f} times as fast as bare",
            flush=True,
        )


def whole(manifest: Path, label: str, options: list[str]) -> None:
    """Prints time and peak memory of one command."""
    with TemporaryDirectory() as folder:
        words = ["ingest", str(manifest), "--out", f"{folder}/store", "--label", label, *options]
        start, peak = time.perf_counter(), 0
        ended = subprocess.Popen(
            [sys.executable, "-m", "lussweep", *words], stdout=subprocess.DEVNULL
        )
        while ended.poll() is None:
            peak = max(peak, memory_bytes(ended.pid))
            time.sleep(0.3)
        used = os.times()
        print(
            f"lussweep ingest {' '.join(options)}: exit {ended.returncode}, "
            f"{time.perf_counter() - start:.1f} s, CPU "
            f"{used.children_user + used.children_system:.1f} s, peak {peak / 1e9:.2f} GB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--label", default="consolidation")
    parser.add_argument("--every", type=int, default=6, help="compare on every n-th video")
    parser.add_argument("--backend", nargs="*", default=["inline"], help="of whole commands")
    given = parser.parse_args()
    for backend in given.backend:
        whole(given.manifest, given.label, ["--backend", backend])
    with given.manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    compare([given.manifest.parent / row["path"] for row in rows[:: given.every]])


if __name__ == "__main__":
    main()
