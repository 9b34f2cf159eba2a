"""A classifier against a naive loop: `python tests/benchmarks/bench_classifier.py`.

    python tests/benchmarks/bench_classifier.py [--size 256] [--channels 3] [--batch 8]
        [--images N] [--rounds N] [--threads N] [--device auto]

The naive loop augments and standardises numpy images one at a time, copies each batch to the
device, and reads the loss after every step; it validates in batches of the same size. Both train
the same network on the same frames in turns of one run; images/s are medians over epochs. On a GPU
ours is measured captured and eager, in fp32 and bf16, and set against its floor: what its
arithmetic and the traffic of its activations would take at measured ceilings.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import cv2
import numpy as np
import torch
from bench_augment import reference_one
from devices import H200, Ceilings, device_named, never_captured, synchronize
from torch import nn
from torch.nn.functional import cross_entropy

from lussweep.models.classifiers import train as training
from lussweep.models.classifiers.dataset import TrainSet
from lussweep.models.classifiers.step import RMSPROP, ClassifierStep, predict
from lussweep.models.classifiers.vgg import ReducedVGG
from lussweep.models.training.pool import FramePool
from lussweep.models.training.precision import full_precision
from lussweep.study.spec import ClassifierSpec

LEARNING_RATE, DROPOUT = 0.001, 0.25


class NaiveVGG(ReducedVGG):
    """On images that are standardised already, in plain memory order."""

    def forward(self, images_N1SS: torch.Tensor) -> torch.Tensor:
        pooled = self.layers(images_N1SS).mean(dim=(2, 3))
        logits: torch.Tensor = self.head(self.dropout(pooled))
        return logits


def standardised(image: np.ndarray) -> np.ndarray:
    return np.asarray((image - image.mean()) / image.std(), np.float32)


def naive(
    frames: np.ndarray, labels: np.ndarray, channels: int, batch: int, device: torch.device
) -> tuple[Callable[[], object], Callable[[], object]]:
    """One epoch of training, and one of judging."""
    rng = np.random.default_rng(1)
    model = NaiveVGG(frames.shape[1], channels, DROPOUT).to(device)
    optimiser = torch.optim.RMSprop(model.parameters(), lr=LEARNING_RATE, foreach=False, **RMSPROP)

    def tensor(images: list[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.stack(images))[:, None].to(device)

    def train() -> None:
        model.train()
        order = rng.permutation(len(frames))
        for rows in np.split(order, range(batch, len(order), batch)):
            x = tensor([standardised(reference_one(frames[row], rng)) for row in rows])
            loss = cross_entropy(model(x), torch.from_numpy(labels[rows]).to(device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            loss.item()

    def judge() -> None:
        model.eval()
        with torch.no_grad():
            for rows in np.split(np.arange(len(frames)), range(batch, len(frames), batch)):
                model(tensor([standardised(frames[row]) for row in rows])).softmax(1).cpu()

    return train, judge


def ours(
    frames: np.ndarray,
    labels: np.ndarray,
    channels: int,
    spec: ClassifierSpec,
    device: torch.device,
    *,
    eager: bool = False,
) -> tuple[Callable[[], object], Callable[[], object], str]:
    order = np.argsort(labels, kind="stable")
    train_set = TrainSet(frames[order], int((labels == 0).sum()), {}, 1)
    model = ReducedVGG(frames.shape[1], channels, DROPOUT)
    step = ClassifierStep(model, LEARNING_RATE, spec.precision, device)
    with full_precision(), never_captured(training) if eager else nullcontext():
        epochs = training._Epochs(train_set, step, spec, seed=1)

    def run() -> float:
        with full_precision():  # as train_classifier does
            return epochs.run()

    pool = FramePool(frames, None, device)
    judge = lambda: predict(model, pool, spec.eval_batch_size, spec.precision)  # noqa: E731
    return run, judge, epochs.how


def floor_images_per_s(
    size: int, channels: int, ceilings: Ceilings = H200
) -> tuple[float, float, float]:
    """MFLOP and MB an image of a training step, and images/s at the ceilings in bf16.

    Every layer reads its input and writes its output going forward, and twice that going back.
    """
    flop, values = 0, 0

    def count(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal flop, values
        values += inputs[0].numel() + output.numel()
        if isinstance(module, nn.Conv2d):
            per_output = module.weight[0].numel()
            flop += 2 * output.numel() * per_output

    model = ReducedVGG(size, channels, DROPOUT).eval()
    for layer in model.layers:
        layer.register_forward_hook(count)
    with torch.no_grad():
        model(torch.zeros(1, size, size, dtype=torch.uint8))
    flop, n_bytes = 3 * flop, 3 * 2 * values
    seconds = max(flop / ceilings.flop_per_s, n_bytes / ceilings.bytes_per_s)
    return flop / 1e6, n_bytes / 1e6, 1 / seconds


def images_per_s(
    jobs: dict[str, Callable[[], object]], n: int, n_rounds: int, device: torch.device
) -> dict[str, float]:
    """Of jobs of n images each, which take turns, so that a busy machine slows them all."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()
    for _ in range(n_rounds):
        for name, job in jobs.items():
            synchronize(device)
            started = time.perf_counter()
            job()
            synchronize(device)
            seconds[name].append(time.perf_counter() - started)
    return {name: n / float(np.median(taken)) for name, taken in seconds.items()}


def bench(
    size: int, channels: int, batch: int, n: int, n_rounds: int, device: torch.device
) -> dict[str, dict[str, float]]:
    """Images/s of training (with augmentation) and of judging, by path, the naive loop first."""
    on_gpu = device.type == "cuda"
    frames = np.random.default_rng(1).integers(256, size=(n, size, size), dtype=np.uint8)
    labels = np.arange(n) % 2

    def spec_of(precision: str) -> ClassifierSpec:
        options: dict[str, Any] = {"precision": precision}
        return ClassifierSpec(batch_size=batch, eval_batch_size=1024 if on_gpu else 64,
                              images_per_epoch=n, **options)  # fmt: skip

    data = (frames, labels, channels)
    train, judge = naive(*data, batch, device)
    training_jobs, judging_jobs = {"naive": train}, {"naive": judge}
    for precision in ("fp32", "bf16") if on_gpu else ("fp32",):
        run, judge, how = ours(*data, spec_of(precision), device)
        training_jobs[f"ours, {precision}, {how}"] = run
        judging_jobs[f"ours, {precision}"] = judge
        if on_gpu:
            run, _, _ = ours(*data, spec_of(precision), device, eager=True)
            training_jobs[f"ours, {precision}, eager"] = run
    return {
        "training": images_per_s(training_jobs, n, n_rounds, device),
        "judging": images_per_s(judging_jobs, n, n_rounds, device),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Images/s of training and of judging.")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--images", type=int, help="an epoch; 64 on a CPU, 4,096 on a GPU")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cv2.setNumThreads(given.threads)
    device = device_named(given.device)
    n = given.images or (4096 if device.type == "cuda" else 64)
    speeds = bench(given.size, given.channels, given.batch, n, given.rounds, device)
    print(f"{given.size}x{given.size}, c = {given.channels}, batch {given.batch}, {device}")
    for kind, of_kind in speeds.items():
        print(f"\n{kind:36}{'images/s':>12}{'ratio':>8}")
        for name, speed in of_kind.items():
            print(f"{name:36}{speed:12,.1f}{speed / of_kind['naive']:8.2f}")
    flop, n_bytes, speed = floor_images_per_s(given.size, given.channels)
    print(f"\na training image: {flop:,.0f} MFLOP, {n_bytes:,.0f} MB of activations in bf16")
    if device.type == "cuda":
        print(f"floor at an H200's ceilings: {speed:,.0f} images/s")


if __name__ == "__main__":
    main()
