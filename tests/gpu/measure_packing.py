"""How many trainings one card does at once: 1, 2 and 4 processes, under MPS and in turns.

    python tests/gpu/measure_packing.py --rows FILE [--counts 1 2 4] [--seconds 2] [--smoke]

GANs (256x256, ngf 64, batch 16, bf16) and classifier trials (256x256, c = 3, batch 8, bf16):
images/s of all processes together. Without MPS the driver gives each process the whole card by
turns; NVIDIA's Multi-Process Service lets their kernels run side by side, and any user may start it
where its control program is installed.
"""

from __future__ import annotations

import argparse
import gc
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
from pathlib import Path
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
DRIVER_PATHS = "/usr/local/nvidia/bin:/usr/bin"
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
    if given.device.type != "cuda":
        given.rows.skip("packing under MPS", "there is no CUDA device")
    else:
        with mps() as obstacle:
            if obstacle:
                given.rows.skip("packing under MPS", obstacle)
            else:
                pack(given, counts, size, "under MPS")
    pack(given, counts, size, "in turns")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")


def size_of(given: Given) -> Size:
    device, seconds = str(given.device), given.others.seconds
    if given.smoke:
        return Size(64, 2, 1, 2, device, "fp32", seconds)
    precision = "bf16" if has_bfloat16(given.device) else "fp32"
    return Size(256, 64, 3, 40, device, precision, seconds)


# --- processes that measure together ------------------------------------------------------


def pack(given: Given, counts: list[int], size: Size, way: str) -> None:
    """One row a workload and count. The processes start once; those that join later wait."""
    context = multiprocessing.get_context("spawn")
    n = max(counts)
    turns = {workload: context.Barrier(n) for workload in WORKLOADS}
    answers = context.Queue()
    workers = [
        context.Process(target=work, args=(rank, size, counts, turns, answers), daemon=True)
        for rank in range(n)
    ]
    for worker in workers:
        worker.start()
    try:
        for workload in WORKLOADS:
            measured: dict[int, list[Answer]] = {k: [] for k in counts}
            reasons = []
            n_ended = 0
            while n_ended < n:
                k, answer = next_answer(answers, workers)
                if k is None:
                    n_ended += 1
                    reasons += [answer] if answer else []
                    continue
                measured[k].append(answer)
                if len(measured[k]) == k:
                    report(given, workload, measured[k], size, way)
            for k in counts:
                if len(measured[k]) < k:
                    report_failed(given, f"{k} {workload}s at once, {way}", reasons)
        for worker in workers:
            worker.join(10)
    except RuntimeError as error:
        given.rows.fail(f"packing {way}", first_line(error))
    finally:
        for worker in workers:
            worker.kill()


def next_answer(answers: Any, workers: list[Any]) -> Any:
    """Raises RuntimeError where a process has died, and would be waited for."""
    while True:
        try:
            return answers.get(timeout=5)
        except queue.Empty:
            died = [worker.exitcode for worker in workers if worker.exitcode]
            if died:
                raise RuntimeError(f"a process ended with {died[0]}") from None


@dataclass(frozen=True)
class Answer:
    """Of one process."""

    images_per_s: float
    gpu_gb: float
    """Memory that it has kept on the card so far; 0 on a CPU."""


def report(given: Given, workload: str, answers: list[Answer], size: Size, way: str) -> None:
    of = f"{size.image_size}x{size.image_size}, {size.precision}"
    of += f", ngf {size.ngf}" if workload == "GAN" else f", c = {size.channels}"
    if size.device == "cuda":
        of += f"; {max(answer.gpu_gb for answer in answers):.1f} GB each"
    speed = sum(answer.images_per_s for answer in answers)
    given.rows.add(f"{len(answers)} {workload}s at once, {way}", speed, "images/s", of)


def report_failed(given: Given, name: str, reasons: list[str]) -> None:
    if any("OutOfMemory" in reason for reason in reasons):
        given.rows.skip(name, "they do not fit into this card's memory")
    else:
        given.rows.fail(name, max(reasons, key=len, default="no reason was given"))


def work(rank: int, size: Size, counts: list[int], turns: dict[str, Any], answers: Any) -> None:
    """One process: measures with the counts that it belongs to, and stands still for the others.

    It joins at the first count above its rank, and warms up there while everybody else waits: what
    is measured is training alone, and a process that finds no memory fails no smaller count.
    """
    torch.set_num_threads(1)
    joins_at = next(i for i, k in enumerate(counts) if k > rank)
    for workload, barrier in turns.items():
        reason = ""
        try:
            turn = partial(barrier.wait, PATIENCE_S)
            for _ in counts[:joins_at]:
                turn()
                turn()
            RUNS[workload](rank, size, Schedule(counts[joins_at:], size.seconds, turn, answers))
        except BrokenBarrierError:
            pass  # the one that broke it tells why
        except Exception as error:  # the boundary: the others must not wait for ever
            reason = first_line(error)
            barrier.abort()
        answers.put((None, reason))
        gc.collect()
        if size.device == "cuda":
            torch.cuda.empty_cache()


class Schedule:
    """Counts the epochs of one process in the time of each measurement. Epochs end synchronised."""

    def __init__(
        self, counts: list[int], seconds: float, turn: Callable[[], object], answers: Any
    ) -> None:
        self.counts, self.seconds, self.turn, self.answers = list(counts), seconds, turn, answers
        self.is_warm = False
        self.started, self.n_images = 0.0, 0

    def epoch_done(self, n_images: int) -> None:
        """Raises Enough after the last measurement. The first epoch warms up."""
        if not self.is_warm:
            self.is_warm = True
            self._begin()
            return
        self.n_images += n_images
        elapsed = time.perf_counter() - self.started
        if elapsed < self.seconds:
            return
        on_gpu = torch.cuda.is_available()
        gigabytes = torch.cuda.max_memory_reserved() / 1e9 if on_gpu else 0.0
        self.answers.put((self.counts.pop(0), Answer(self.n_images / elapsed, gigabytes)))
        self.turn()  # the measurement is over for all
        if not self.counts:
            raise Enough
        self._begin()

    def _begin(self) -> None:
        self.turn()  # all that take part are warm
        self.started, self.n_images = time.perf_counter(), 0


def train_gans(rank: int, size: Size, schedule: Schedule) -> None:
    spec = gan_spec(size.ngf, size.steps_per_epoch, 10**6, size.precision)
    n_images = spec.images_per_epoch or 0
    with suppress(Enough):
        train_gan(
            phantom_frames(size.image_size),
            spec,
            seed=rank,
            device=torch.device(size.device),
            on_epoch=lambda *row: schedule.epoch_done(n_images),
        )


def train_trials(rank: int, size: Size, schedule: Schedule) -> None:
    n = 8 * size.steps_per_epoch
    shape = (n, size.image_size, size.image_size)
    frames = np.random.default_rng(rank).integers(256, size=shape, dtype=np.uint8)
    spec = ClassifierSpec(batch_size=8, images_per_epoch=n, precision=size.precision)
    device = torch.device(size.device)
    run, _, _ = classifier_epochs(frames, np.arange(n) % 2, size.channels, spec, device)
    with suppress(Enough):
        while True:
            run()
            schedule.epoch_done(n)


RUNS = {"GAN": train_gans, "trial": train_trials}


# --- the Multi-Process Service ------------------------------------------------------------


@contextmanager
def mps() -> Iterator[str]:
    """A service of our own for the processes that start inside; yields what stands in its way."""
    control = shutil.which(MPS_CONTROL) or shutil.which(MPS_CONTROL, path=DRIVER_PATHS)
    if control is None:
        yield f"{MPS_CONTROL} is not installed"
        return
    with tempfile.TemporaryDirectory(prefix="mps-") as folder:
        before = dict(os.environ)
        os.environ |= {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        try:
            yield start_mps(control, Path(folder))
        finally:
            tell_mps(control, "quit")
            os.environ.clear()
            os.environ.update(before)


def start_mps(control: str, folder: Path) -> str:
    """What keeps a process from working under the service, or nothing."""
    log = folder / "start.log"
    try:
        with log.open("w") as file:  # a pipe would stay open as long as the service
            subprocess.run(
                [control, "-d"], stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=20,
                check=True,
            )  # fmt: skip
        probe = "import torch; torch.zeros(1, device='cuda').sum().item()"
        subprocess.run(
            [sys.executable, "-c", probe], capture_output=True, text=True, timeout=45, check=True
        )
    except subprocess.TimeoutExpired as error:
        return f"{error.cmd[0]} hangs under the service"
    except (OSError, subprocess.CalledProcessError) as error:
        told = (getattr(error, "stderr", None) or log.read_text() or str(error)).strip()
        return f"it does not work under the service: {told.splitlines()[-1]}"
    return "" if tell_mps(control, "get_server_list").strip() else "no server of it has started"


def tell_mps(control: str, command: str) -> str:
    try:
        answer = subprocess.run(
            [control], input=f"{command}\n", capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout


if __name__ == "__main__":
    main()
