"""From videos to a store of frames: against a bare PyAV loop, and a whole `lussweep ingest`.

The bare loop decodes and converts to grey on one core, and keeps nothing. CPU seconds are those of
all processes, so other jobs on the machine change little.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import av

from lussweep.backend.driver import Progress, run_plan
from lussweep.backend.inline import InlineExecutor
from lussweep.data.manifest import read_manifest
from lussweep.data.preprocess import preprocess
from lussweep.data.readers.decode import read_loop
from lussweep.run.ingest import bring_in
from lussweep.stages import Context
from lussweep.store import child
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import Plan
from lussweep.study.spec import Manifest, PreprocessSpec, SplitSpec


def processes(root: int) -> list[int]:
    """A process and those that it has started, directly or not, that still run."""
    found = [root]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, task.read_text().split())
    return found


def cpu_seconds() -> float:
    """CPU seconds so far of this process and of its children, those that have ended included."""
    ended = os.times()
    nanoseconds = 0
    for pid in processes(os.getpid())[1:]:
        for task in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            nanoseconds += int(task.read_text().split()[0])
    return time.process_time() + ended.children_user + ended.children_system + nanoseconds / 1e9


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


def bare(paths: list[Path]) -> int:
    """Decodes videos, converts their frames to grey, and keeps nothing. The number of frames."""
    n_frames = 0
    for path in paths:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            for frame in container.decode(stream):
                frame.to_ndarray(format="gray")
                n_frames += 1
    return n_frames


def compare(paths: list[Path]) -> None:
    """Prints the frames a CPU second of the bare loop and of ours, and what the parts cost."""
    spec = PreprocessSpec(image_size=256)
    for _ in range(3):
        n_frames, bare_seconds = cost(lambda: bare(paths))
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


def into_store(manifest: Manifest) -> tuple[float, float]:
    """Seconds by the clock and of CPU in which the videos become artifacts of a new store."""

    def run_steps(plan: Plan, context: Context) -> Progress:
        return run_plan(plan, context.store, InlineExecutor(plan, context))

    with TemporaryDirectory() as folder:
        start, before = time.perf_counter(), cpu_seconds()
        bring_in(manifest, PreprocessSpec(image_size=256), ArtifactStore(Path(folder)),
                 skip_unreadable=False, run_steps=run_steps)  # fmt: skip
        return time.perf_counter() - start, cpu_seconds() - before


def on_cores(manifest: Manifest, n_rounds: int = 3) -> None:
    """Prints the frames a second from file to store on one core and on two, and of the bare loop.

    The best of several rounds counts, because other jobs on the machine slow a round down.
    """
    paths = [Path(video.path or "") for video in manifest.videos]
    cores = sorted(os.sched_getaffinity(0))[:2]
    seconds: dict[str, list[float]] = defaultdict(list)
    n_frames = 0
    for _ in range(n_rounds):
        os.sched_setaffinity(0, cores[:1])
        start = time.perf_counter()
        n_frames, cpu = cost(lambda: bare(paths))
        seconds["bare loop"].append(time.perf_counter() - start)
        seconds["bare loop, CPU"].append(cpu)
        for n_cores in range(1, len(cores) + 1):
            child.end_children()  # they keep their cores
            os.sched_setaffinity(0, cores[:n_cores])
            into_store(Manifest(videos=manifest.videos[:n_cores]))  # starts the children
            clock, cpu = into_store(manifest)
            seconds[f"{n_cores} cores"].append(clock)
            seconds[f"{n_cores} cores, CPU"].append(cpu)
    best = {name: min(found) for name, found in seconds.items()}
    for name, found in best.items():
        print(f"{name}: {n_frames / found:.0f} frames/s")
    kept = best["bare loop, CPU"] / best["1 cores, CPU"]
    print(f"to the store on one core {kept:.2f} times as fast as bare, by CPU seconds", end="")
    if len(cores) > 1:
        print(
            f"; on two cores {best['1 cores'] / best['2 cores']:.2f} times as fast as on one",
            end="",
        )
    print(flush=True)


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
    read = read_manifest(given.manifest, label=given.label, split=SplitSpec(), seed=0).manifest
    chosen = Manifest(videos=read.videos[:: given.every])
    on_cores(chosen)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    compare([Path(video.path or "") for video in chosen.videos])


if __name__ == "__main__":
    main()
