"""Time to render 1,000 phantom frames of 64x64: `python tests/benchmarks/bench_phantom.py`.

The ratio is to drawing as many frames of plain Gaussian noise in the same process, which says
what the anatomy costs on whatever machine this is.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np

from lussweep.data.phantom import phantom_manifest, render_video
from lussweep.study.spec import PhantomSpec

N_FRAMES, SIZE, PER_VIDEO = 1000, 64, 4


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    cv2.setNumThreads(1)
    videos = phantom_manifest(PhantomSpec(), seed=1).videos[: N_FRAMES // PER_VIDEO]
    rng = np.random.default_rng(1)
    phantom, noise = [], []
    for _ in range(5):
        phantom.append(seconds(lambda: [render_video(v, PER_VIDEO, SIZE, 1) for v in videos]))
        noise.append(
            seconds(lambda: [rng.normal(size=(PER_VIDEO, SIZE, SIZE)).astype("u1") for _ in videos])
        )
    ratio = np.median(phantom) / np.median(noise)
    print(f"1,000 frames of 64x64: median {np.median(phantom):.2f} s, {ratio:.1f} times noise")


if __name__ == "__main__":
    main()
