"""How many trainings one card does at once: 1, 2, 4, 8 processes, in turns and under MPS.

    python tests/gpu/measure_packing.py --rows FILE [--counts 1 2 4 8] [--seconds 2] [--smoke]

GANs (256x256, ngf 64, batch 16, bf16) and classifier trials (256x256, c = 3, batch 8, bf16):
images/s of all processes together. Without MPS the driver gives each process the whole card by
turns; NVIDIA's Multi-Process Service lets their kernels run side by side, and any user may start it
where its control program is installed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from threading import BrokenBarrierError
from typing import Any

import numpy as np
import torch
from arguments import Given, parse
from bench_classifier import ours as classifier_epochs
from bench_gan import gan_spec, phantom_frames
from rows import first_line

from lussweep.models.generators.dcgan.train import train_gan
from lussweep.models.training.precision import has_bfloat16
from lussweep.study.spec import ClassifierSpec

MPS_CONTROL = "nvidia-cuda-mps-control"
WORKLOADS = ("GAN", "trial")
PATIENCE_S = 90.0
"""For the slowest process to warm up: longer than that, and the count is given up."""


@dataclass(frozen=True)
class Size:
    """What each process trains."""

    image_size: int
    ngf: int
    channels: int
    steps_per_epoch: int
    device: str
    precision: str
    seconds: float
    """Each count of processes is measured for so long."""


class Enough(Exception):
    """The time of a measurement is over."""


def main() -> None:
    given = parse(__doc__, add_arguments)
    size = size_of(given)
    counts = given.others.counts
    pack(given, counts, size, "in turns")
    if given.device.type != "cuda":
        given.rows.skip("packing under MPS", "there is no CUDA device")
        return
    with mps() as obstacle:
        if obstacle:
            given.rows.skip("packing under MPS", obstacle)
        else:
            pack(given, [k for k in counts if k > 1], size, "under MPS")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")


def size_of(given: Given) -> Size:
    device, seconds = str(given.device), given.others.seconds
    if given.smoke:
        return Size(64, 2, 1, 2, device, "fp32", seconds)
    precision = "bf16" if has_bfloat16(given.device) else "fp32"
    return Size(256, 64, 3, 10, device, precision, seconds)


# --- processes that measure together ------------------------------------------------------


def pack(given: Given, counts: list[int], size: Size, way: str) -> None:
    """One row a workload and count. The processes start once, and wait where they are not asked."""
    context = multiprocessing.get_context("spawn")
    phases = [(workload, k) for workload in WORKLOADS for k in counts]
    starts = {phase: context.Barrier(phase[1]) for phase in phases}
    answers = context.Queue()
    workers = [
        context.Process(target=work, args=(rank, size, starts, answers), daemon=True)
        for rank in range(max(counts))
    ]
    for worker in workers:
        worker.start()
    found: dict[tuple[str, int], list[Any]] = {phase: [] for phase in phases}
    for _ in range(sum(k for _, k in phases)):
        phase, answer = next_answer(answers, workers)
        found[phase].append(answer)
        if len(found[phase]) == phase[1]:
            report(given, *phase, found[phase], size, way)
    for worker in workers:
        worker.join()


def next_answer(answers: Any, workers: list[Any]) -> Any:
    """Raises RuntimeError where a process has died, and would be waited for."""
    while True:
        try:
            return answers.get(timeout=5)
        except queue.Empty:
            died = [worker.exitcode for worker in workers if worker.exitcode]
            if died:
                raise RuntimeError(f"a process ended with {died[0]}") from None


def report(
    given: Given, workload: str, k: int, answers: list[float | str], size: Size, way: str
) -> None:
    name = f"{k} {workload}s at once, {way}"
    reasons = [answer for answer in answers if isinstance(answer, str)]
    if any("OutOfMemory" in reason for reason in reasons):
        given.rows.skip(name, "they do not fit into this card's memory")
        return
    if reasons:
        given.rows.fail(name, max(reasons, key=len))
        return
    of = f"{size.image_size}x{size.image_size}, {size.precision}"
    of += f", ngf {size.ngf}" if workload == "GAN" else f", c = {size.channels}"
    given.rows.add(name, sum(float(answer) for answer in answers), "images/s", of)


def work(rank: int, size: Size, starts: dict[tuple[str, int], Any], answers: Any) -> None:
    """One process: takes part in the phases whose count it belongs to, and tells its images/s."""
    torch.set_num_threads(1)
    for (workload, k), start in starts.items():
        if rank >= k:
            continue
        all_are_warm = partial(start.wait, PATIENCE_S)
        try:
            answer: float | str = RUNS[workload](rank, size, all_are_warm)
        except BrokenBarrierError:
            answer = "another one failed"
        except Exception as error:  # the boundary: the others must not wait for ever
            start.abort()
            answer = first_line(error)
        answers.put(((workload, k), answer))
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def gan_images_per_s(rank: int, size: Size, all_are_warm: Callable[[], object]) -> float:
    """The first epoch warms up; the whole epochs that begin within the time count."""
    spec = gan_spec(size.ngf, size.steps_per_epoch, 10**6, size.precision)
    clock = Clock(size.seconds, spec.images_per_epoch or 0, all_are_warm)
    with suppress(Enough):
        train_gan(
            phantom_frames(size.image_size),
            spec,
            seed=rank,
            device=torch.device(size.device),
            on_epoch=lambda *row: clock.epoch_done(),
        )
    return clock.images_per_s()


def trial_images_per_s(rank: int, size: Size, all_are_warm: Callable[[], object]) -> float:
    n = 8 * size.steps_per_epoch
    shape = (n, size.image_size, size.image_size)
    frames = np.random.default_rng(rank).integers(256, size=shape, dtype=np.uint8)
    spec = ClassifierSpec(batch_size=8, images_per_epoch=n, precision=size.precision)
    device = torch.device(size.device)
    run, _, _ = classifier_epochs(frames, np.arange(n) % 2, size.channels, spec, device)
    clock = Clock(size.seconds, n, all_are_warm)
    try:
        while True:
            run()
            clock.epoch_done()
    except Enough:
        return clock.images_per_s()


RUNS = {"GAN": gan_images_per_s, "trial": trial_images_per_s}


class Clock:
    """Counts epochs from the moment at which every process is warm. Epochs end synchronised."""

    def __init__(self, seconds: float, n_images: int, all_are_warm: Callable[[], object]) -> None:
        self.seconds, self.n_images, self.all_are_warm = seconds, n_images, all_are_warm
        self.started = self.ended = 0.0
        self.n_epochs = 0

    def epoch_done(self) -> None:
        """Raises Enough at the end of the time."""
        if not self.started:
            self.all_are_warm()
            self.started = time.perf_counter()
            return
        self.n_epochs += 1
        self.ended = time.perf_counter()
        if self.ended - self.started >= self.seconds:
            raise Enough

    def images_per_s(self) -> float:
        return self.n_epochs * self.n_images / (self.ended - self.started)


# --- the Multi-Process Service ------------------------------------------------------------


@contextmanager
def mps() -> Iterator[str]:
    """A service of our own for the processes that start inside; yields what stands in its way."""
    if shutil.which(MPS_CONTROL) is None:
        yield f"{MPS_CONTROL} is not installed"
        return
    with tempfile.TemporaryDirectory(prefix="mps-") as folder:
        before = dict(os.environ)
        os.environ |= {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        try:
            yield _start_mps()
        finally:
            _tell_mps("quit")
            os.environ.clear()
            os.environ.update(before)


def _start_mps() -> str:
    """What keeps a process from working under the service, or nothing."""
    started = subprocess.run([MPS_CONTROL, "-d"], capture_output=True, text=True, timeout=20)
    if started.returncode:
        return f"{MPS_CONTROL} -d: {(started.stderr or started.stdout).strip() or 'failed'}"
    probe = "import torch; torch.zeros(1, device='cuda').sum().item()"
    try:
        subprocess.run(
            [sys.executable, "-c", probe],
            capture_output=True, text=True, timeout=45, check=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "a process hangs under the service"
    except subprocess.CalledProcessError as error:
        lines = error.stderr.strip().splitlines() or ["no message"]
        return f"a process fails under the service: {lines[-1]}"
    if not _tell_mps("get_server_list").strip():
        return "no server of the service has started"
    return ""


def _tell_mps(command: str) -> str:
    told = subprocess.run(
        [MPS_CONTROL], input=f"{command}\n", capture_output=True, text=True, timeout=20
    )
    return told.stdout


if __name__ == "__main__":
    main()
