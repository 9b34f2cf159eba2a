"""What glibc's allocator costs CPU training: `python tests/benchmarks/bench_allocator.py`.

By default glibc takes large blocks from the kernel and gives them back step after step, and every
page of every activation is faulted in and zeroed anew. Raised thresholds keep the memory. Each
workload runs in fresh processes, with and without them in turn; medians, and ratios in one run.
CPU time and peak memory are those of whole processes; CPU time suffers least from other jobs.
`--threads N` sets torch's threads, `--pairs N` the processes of each kind, `--only TEXT` picks
workloads by name.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import cross_entropy

MIB = 2**20
RAISED = {
    "MALLOC_MMAP_THRESHOLD_": 1024 * MIB,
    "MALLOC_TRIM_THRESHOLD_": 2048 * MIB,
    "MALLOC_TOP_PAD_": 64 * MIB,
}
"""Bytes. Blocks up to 1 GiB come from the heap, which is trimmed only beyond 2 GiB of slack."""


def vgg_training(image_size: int, batch_size: int) -> Callable[[], object]:
    from lussweep.models.classifiers.step import RMSPROP
    from lussweep.models.classifiers.vgg import ReducedVGG

    model = ReducedVGG(image_size, channels=3, dropout=0.25)
    model = model.to(memory_format=torch.channels_last)
    optimiser = torch.optim.RMSprop(model.parameters(), lr=1e-3, **RMSPROP)
    images = torch.randint(0, 256, (batch_size, image_size, image_size), dtype=torch.uint8)
    target = torch.arange(batch_size) % 2

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        cross_entropy(model(images), target).backward()
        optimiser.step()

    return step


def vgg_inference(image_size: int, batch_size: int) -> Callable[[], object]:
    from lussweep.models.classifiers.step import predict
    from lussweep.models.classifiers.vgg import ReducedVGG
    from lussweep.models.training.pool import FramePool

    model = ReducedVGG(image_size, channels=3, dropout=0.25)
    model = model.to(memory_format=torch.channels_last)
    shape = 4 * batch_size, image_size, image_size
    images = np.random.default_rng(1).integers(256, size=shape, dtype=np.uint8)
    pool = FramePool(images, None, torch.device("cpu"))
    return lambda: predict(model, pool, batch_size)


WORKLOADS: dict[str, tuple[Callable[[], Callable[[], object]], int]] = {
    "VGG training 64x64, batch 8": (lambda: vgg_training(64, 8), 30),
    "VGG training 256x256, batch 64": (lambda: vgg_training(256, 64), 3),
    "VGG inference 64x64, 4 x batch 64": (lambda: vgg_inference(64, 64), 10),
}
"""What to time and how often, beside the GAN, whose loop is timed whole."""
GAN = "DCGAN step 256x256, ngf 8, batch 16"


def n_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def gan_rounds(n_steps: int = 4) -> tuple[list[float], float]:
    """Seconds of each step, an epoch's mean, and page faults a step, the first epoch left out."""
    from lussweep.models.generators.dcgan.train import train_gan
    from lussweep.study.spec import GanSpec

    frames = np.random.default_rng(1).integers(256, size=(64, 256, 256), dtype=np.uint8)
    spec = GanSpec(n_epochs=3, images_per_epoch=n_steps * 16, ngf=8, ndf=8)
    rows = []
    train_gan(
        frames,
        spec,
        seed=1,
        device=torch.device("cpu"),
        on_epoch=lambda row, *rest: rows.append((row.seconds / n_steps, n_faults())),
    )
    faults = (rows[-1][1] - rows[0][1]) / (n_steps * (len(rows) - 1))
    return [seconds for seconds, _ in rows[1:]], faults


def rounds(build: Callable[[], Callable[[], object]], n: int) -> tuple[list[float], float]:
    once = build()
    once()
    before = n_faults()
    seconds = []
    for _ in range(n):
        started = time.perf_counter()
        once()
        seconds.append(time.perf_counter() - started)
    return seconds, (n_faults() - before) / n


def run_workload(name: str, n_threads: int) -> None:
    """In a process of its own: median seconds, CPU seconds, faults a round, peak MiB as JSON."""
    torch.set_num_threads(n_threads)
    seconds, faults = gan_rounds() if name == GAN else rounds(*WORKLOADS[name])
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = usage.ru_utime + usage.ru_stime
    print(json.dumps([float(np.median(seconds)), cpu_seconds, faults, usage.ru_maxrss / 1024]))


def measure(name: str, n_threads: int, raised: bool) -> list[float]:
    plain = {k: v for k, v in os.environ.items() if k not in RAISED}
    extra = {k: str(v) for k, v in RAISED.items()} if raised else {}
    command = [sys.executable, __file__, "--workload", name, "--threads", str(n_threads)]
    done = subprocess.run(command, env=plain | extra, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} failed:\n{done.stderr}")
    figures: list[float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def compare(name: str, n_threads: int, n_pairs: int) -> None:
    plain, raised = [], []
    for _ in range(n_pairs):
        plain.append(measure(name, n_threads, raised=False))
        raised.append(measure(name, n_threads, raised=True))
    (s0, c0, f0, m0), (s1, c1, f1, m1) = np.median(plain, axis=0), np.median(raised, axis=0)
    print(
        f"{name}, {n_threads} threads: {s0 * 1e3:.1f} ms as it is, {s1 * 1e3:.1f} ms with raised "
        f"thresholds, {s0 / s1:.2f} times faster; CPU time of the whole process {c0:.1f} and "
        f"{c1:.1f} s; page faults a round {f0:.0f} and {f1:.0f}; peak {m0:.0f} and {m1:.0f} MiB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--workload", choices=[*WORKLOADS, GAN], help=argparse.SUPPRESS)
    parser.add_argument("--pairs", type=int, default=3, help="processes of each kind")
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    given = parser.parse_args()
    if given.workload:
        run_workload(given.workload, given.threads)
        return
    for name in [*WORKLOADS, GAN]:
        if given.only in name:
            compare(name, given.threads, given.pairs)


if __name__ == "__main__":
    main()
