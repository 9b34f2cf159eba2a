"""Classifier training and judging, augmentation, and the scoring of one snapshot, on this card.

    python tests/gpu/measure_classifier.py --rows FILE [--ceilings FLOP_PER_S BYTES_PER_S] [--smoke]

The reduced VGG at 256x256 and 64x64, batch 8: the naive loop, ours eager and captured, fp32 and
bf16. Augmentation alone, in chunks. Scoring: 2,000 real against 2,000 synthetic frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from arguments import Given, parse
from bench_augment import SPECS, ours, speeds
from bench_classifier import bench, floor_images_per_s
from devices import synchronize
from rows import first_line

from lussweep.metrics.comparison import Reference, compare
from lussweep.metrics.features import embed, pixels
from lussweep.models.resnet import ImageNetResNet34

CHANNELS, BATCH = 3, 8


def main() -> None:
    given = parse(__doc__)
    for size, n in ((64, 16),) if given.smoke else ((256, 1024), (64, 2048)):
        guarded(given, f"classifier {size}x{size}", lambda size=size, n=n: train(given, size, n))
    guarded(given, "augmentation", lambda: augmentation(given))
    guarded(given, "scoring", lambda: scoring(given))


def guarded(given: Given, name: str, work: Callable[[], object]) -> None:
    """One measurement; what breaks it is a row, and the others go on."""
    try:
        work()
    except Exception as error:  # the boundary: a measurement may fail in any way
        given.rows.fail(name, first_line(error))


def train(given: Given, size: int, n: int) -> None:
    channels = 1 if given.smoke else CHANNELS
    found = bench(size, channels, BATCH, n, 1 if given.smoke else 2, given.device)
    _, _, floor = floor_images_per_s(size, channels, given.ceilings)
    for kind, by_path in found.items():
        for path, speed in by_path.items():
            note = f"c = {channels}, batch {BATCH}; {speed / by_path['naive']:.2f} times naive"
            if kind == "training":
                note += f"; {speed / floor:.3f} of the floor in bf16"
            given.rows.add(f"{kind} {size}x{size}, {path}", speed, "images/s", note)


def augmentation(given: Given) -> None:
    size, chunks, n_rounds = (32, (8,), 1) if given.smoke else (256, (512, 4096), 5)
    images = np.random.default_rng(1).integers(256, size=(max(chunks), size, size), dtype=np.uint8)
    there, rng = torch.from_numpy(images).to(given.device), torch.Generator().manual_seed(3)
    jobs = {
        f"augmentation {size}x{size}, {name}, chunks of {chunk}": (
            len(there),
            partial(ours, there, chunk, spec, rng, False),
        )
        for name, spec in SPECS.items()
        for chunk in chunks
    }
    for name, speed in speeds(jobs, n_rounds).items():
        given.rows.add(name, speed, "images/s")


def scoring(given: Given) -> None:
    """An embedding forward by ResNet-34 (random weights), and all metrics in two spaces."""
    size, n = (32, 32) if given.smoke else (256, 2000)
    rng = np.random.default_rng(0)
    real, fake = (rng.integers(0, 256, (n, size, size), dtype=np.uint8) for _ in range(2))
    network = ImageNetResNet34().eval().to(given.device)
    forward = partial(embed, real, network, batch_size=16, device=given.device)
    if not given.smoke:
        forward()
    seconds = {"ResNet-34 forward": clock(given, forward)}
    seconds["pixel metrics"] = clock(
        given, lambda: compare(Reference.of(pixels(real), device=given.device), pixels(fake))
    )
    x, y = (rng.normal(size=(n, 512)).astype(np.float32) for _ in range(2))
    seconds["conv metrics"] = clock(given, lambda: compare(Reference.of(x, device=given.device), y))
    for name, taken in seconds.items():
        given.rows.add(f"scoring, {name}", taken, "s", f"{n:,} frames of {size}x{size}")


def clock(given: Given, work: Callable[[], object]) -> float:
    synchronize(given.device)
    started = time.perf_counter()
    work()
    synchronize(given.device)
    return time.perf_counter() - started


if __name__ == "__main__":
    torch.set_num_threads(1 if torch.get_num_threads() < 4 else 4)
    main()
