"""Augmentation against a naive loop in the same run: `python tests/benchmarks/bench_augment.py`.

The loop is written from a description of the published one: numpy images one at a time. All on one
thread, medians of rounds that take turns. With and without the standardisation that follows.
`--size N` sets the image's side, `--rounds N` the rounds, `--threads N` torch's and OpenCV's
threads. Where there is a GPU, our images/s of augmentation alone on it are printed too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import cv2
import numpy as np
import torch

from lussweep.models.classifiers.augment import augment
from lussweep.models.classifiers.network import standardise
from lussweep.study.spec import AugmentSpec, ClassifierSpec

SPECS = {
    "box": AugmentSpec(),
    "gaussian": AugmentSpec(blur="gaussian"),
    "us_dcgan": AugmentSpec(faults="us_dcgan"),
    "box and movement": AugmentSpec(rotate_degrees=10, shift=0.1, zoom=0.1),
}
CPU_CHUNKS, GPU_CHUNKS, N_REFERENCE = (8, 64, 256), (512, 4096), 64
BATCH_SIZE = ClassifierSpec().batch_size
"""Standardised at once, whatever the chunk: the model does it, batch by batch."""


def reference_one(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    def flip(x: np.ndarray) -> np.ndarray:
        return np.fliplr(x)

    def gamma(x: np.ndarray) -> np.ndarray:
        return (x / 255.0) ** float(rng.choice((0.7, 0.8, 0.9, 1.1, 1.2, 1.3)))

    def blur(x: np.ndarray) -> np.ndarray:
        size = int(rng.integers(2, 6))
        return cv2.blur(x, (size, size))

    def noise(x: np.ndarray) -> np.ndarray:
        x = x.copy()
        x[rng.random(x.shape) < 0.05] += 10
        return x

    operations = [flip, gamma, blur, noise]
    for k in rng.permutation(4):
        if rng.random() < 0.5:
            image = operations[k](image)
    return image


def reference(images: np.ndarray, rng: np.random.Generator, standard: bool) -> None:
    for image in images:
        x = reference_one(image, rng)
        if standard:
            (x - x.mean()) / x.std()


def ours(
    images: torch.Tensor, chunk: int, spec: AugmentSpec, rng: torch.Generator, standard: bool
) -> None:
    for part in torch.split(images, chunk):
        out = augment(part, spec, rng)
        if standard:
            for batch in torch.split(out, BATCH_SIZE):
                standardise(batch)
    if images.is_cuda:
        torch.cuda.synchronize()


def speeds(jobs: dict[str, tuple[int, Callable[[], object]]], n_rounds: int) -> dict[str, float]:
    """Images/s of jobs of so many images; they take turns, so a busy machine slows them all."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _, job in jobs.values():
        job()
    for _ in range(n_rounds):
        for name, (_, job) in jobs.items():
            started = time.perf_counter()
            job()
            seconds[name].append(time.perf_counter() - started)
    return {name: n / float(np.median(seconds[name])) for name, (n, _) in jobs.items()}


def table(device: str, chunks: tuple[int, ...], size: int, n_rounds: int, standard: bool) -> None:
    """Print one: the same images in chunks of every size, and on the CPU the reference first."""
    n, shape = N_REFERENCE, (max(chunks), size, size)
    images = np.random.default_rng(1).integers(256, size=shape, dtype=np.uint8)
    there = torch.from_numpy(images).to(device)
    np_rng, rng = np.random.default_rng(2), torch.Generator().manual_seed(3)
    jobs: dict[str, tuple[int, Callable[[], object]]] = {}
    if device == "cpu":
        jobs["reference"] = n, partial(reference, images[:n], np_rng, standard)
    for name, spec in SPECS.items():
        for chunk in chunks:
            job = partial(ours, there, chunk, spec, rng, standard)
            jobs[f"{name}, chunk {chunk}"] = len(there), job
    kind = "augmentation and standardisation" if standard else "augmentation alone"
    print(f"\n{kind}, {size}x{size}, {device}\n{'':32}{'images/s':>10}{'ratio':>8}")
    measured = speeds(jobs, n_rounds)
    base = measured.get("reference")
    for name, speed in measured.items():
        ratio = f"{speed / base:8.2f}" if base else ""
        print(f"{name:32}{speed:10,.0f}{ratio}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=256, help="the image's side in pixels")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cv2.setNumThreads(given.threads)
    for standard in (True, False):
        table("cpu", CPU_CHUNKS, given.size, given.rounds, standard)
    if torch.cuda.is_available():
        table("cuda", GPU_CHUNKS, given.size, given.rounds, standard=False)


if __name__ == "__main__":
    main()
