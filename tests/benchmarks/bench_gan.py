"""DCGAN training against the naive loop of `naive_gan.py`: `python tests/benchmarks/bench_gan.py`.

    python tests/benchmarks/bench_gan.py [--size 64 256] [--ngf N] [--steps N] [--packed 1 2 4]
        [--precision fp32 bf16] [--threads N] [--device auto] [--json FILE]

The loops train on the same phantom frames, on the same device, at the same widths and batch, in
alternating blocks of one run; the figures are medians over epochs of `--steps` steps, the first
epoch of each block left out. On a GPU ours runs twice, eager and captured in one CUDA graph, and is
set against its floor: the larger (or the sum) of the time its arithmetic and the time Adam's
traffic need at an H200's ceilings. `--packed` trains that many independent GANs at once on the one
device. Without a GPU the defaults are small.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import tempfile
import time
from contextlib import nullcontext
from itertools import islice, pairwise
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import torch
from devices import H200, Ceilings, device_named, never_captured
from naive_gan import n_halvings, naive_epochs, write_jpegs

from lussweep.data.phantom import phantom_manifest, render_video
from lussweep.models.generators.dcgan import train as training
from lussweep.models.generators.dcgan.networks import Discriminator, Generator
from lussweep.models.generators.dcgan.train import train_gan
from lussweep.study.spec import GanSpec, PhantomSpec

BATCH = 16
N_FRAMES, PER_VIDEO = 128, 4
N_BLOCKS, EPOCHS_PER_BLOCK = 3, 2

ADAM_BYTES_PER_PARAMETER = 4 * 7
"""Read weight, gradient and both moments; write weight and both moments; single precision."""

CHECKPOINT_INTERVAL_S = 600.0
PAPER_SIZE, PAPER_NGF = 256, 64


# --- the floor ----------------------------------------------------------------------------


def layer_macs(image_size: int, latent_size: int, ngf: int, ndf: int) -> tuple[list[int], ...]:
    """Multiply-adds of one image through each convolution of G and of D, in order.

    A 4x4 transposed convolution spends 16 per input pixel and pair of channels, a 4x4
    convolution as many per output pixel.
    """
    n = n_halvings(image_size)
    up = [ngf << k for k in reversed(range(n))]
    down = [ndf << k for k in range(n)]
    sides = [4 << k for k in range(n)]  # of the maps that G's stride-2 layers read
    g = [16 * latent_size * up[0]]
    g += [16 * a * b * s * s for (a, b), s in zip(pairwise([*up, 1]), sides, strict=True)]
    d = [16 * a * b * s * s for (a, b), s in zip(pairwise([1, *down]), sides[::-1], strict=True)]
    return g, [*d, 16 * down[-1]]


def flop_per_step(
    image_size: int,
    latent_size: int,
    ngf: int,
    ndf: int,
    batch_size: int,
    *,
    d_weight_gradients_in_g_step: bool = False,
) -> int:
    """Convolutions of three D passes, one G pass and their backwards; 2 per multiply-add.

    Forward, gradient of the weights and gradient of the input cost the same. The input's is not
    needed by G's first layer, nor by D's first layer in D's own step.
    """
    g, d = layer_macs(image_size, latent_size, ngf, ndf)
    generator = 3 * sum(g) - g[0]
    d_step = 2 * (3 * sum(d) - d[0])
    g_step = (3 if d_weight_gradients_in_g_step else 2) * sum(d)
    return 2 * batch_size * (generator + d_step + g_step)


def n_parameters(image_size: int, latent_size: int, ngf: int, ndf: int) -> int:
    with torch.device("meta"):
        networks = Generator(image_size, latent_size, ngf), Discriminator(image_size, ndf, 0.0)
    return sum(p.numel() for network in networks for p in network.parameters())


def floor_seconds(
    image_size: int, spec: GanSpec, ceilings: Ceilings
) -> tuple[float, float, dict[str, float]]:
    """The step's floor if arithmetic and Adam's traffic overlap, and if they do not."""
    shape = image_size, spec.latent_size, spec.ngf, spec.ndf
    flop = flop_per_step(*shape, spec.batch_size)
    adam_bytes = ADAM_BYTES_PER_PARAMETER * n_parameters(*shape)
    parts = flop / ceilings.flop_per_s, adam_bytes / ceilings.bytes_per_s
    counts = {"tflop_per_step": flop / 1e12, "adam_gb_per_step": adam_bytes / 1e9}
    return max(parts), sum(parts), counts


class NotCaptured(RuntimeError):
    """A step that was to be one CUDA graph ran otherwise."""


# --- ours against naive -------------------------------------------------------------------


def phantom_frames(image_size: int) -> np.ndarray:
    videos = phantom_manifest(PhantomSpec(), seed=1).videos[: N_FRAMES // PER_VIDEO]
    return np.concatenate([render_video(v, PER_VIDEO, image_size, 1) for v in videos])


def gan_spec(ngf: int, n_steps: int, n_epochs: int, precision: str) -> GanSpec:
    return GanSpec.model_validate(
        {
            "n_epochs": n_epochs,
            "images_per_epoch": n_steps * BATCH,
            "batch_size": BATCH,
            "ngf": ngf,
            "ndf": ngf,
            "precision": precision,
            "snapshot_every": n_epochs,
        }
    )


def our_epochs(
    frames_NSS: np.ndarray, spec: GanSpec, device: torch.device, path: str
) -> list[float]:
    """Seconds of each epoch but the first. `path` is eager or captured.

    Raises NotCaptured, with the reason, where a step that should be captured was not.
    """
    seconds: list[float] = []
    with never_captured(training) if path == "eager" else nullcontext():
        trained = train_gan(
            frames_NSS,
            spec,
            seed=1,
            device=device,
            on_epoch=lambda row, *rest: seconds.append(row.seconds),
        )
    if trained.how != path:
        raise NotCaptured(trained.how)
    return seconds[1:]


def n_decoders(device: torch.device) -> int:
    """DataLoader workers of the naive loop: two where the cores are not needed for training."""
    return 2 if device.type == "cuda" and (os.cpu_count() or 1) > 4 else 0


def bench_step(
    image_size: int,
    ngf: int,
    n_steps: int,
    precision: str,
    device: torch.device,
    ceilings: Ceilings = H200,
    n_blocks: int = N_BLOCKS,
) -> dict[str, Any]:
    """Milliseconds a step by path: naive (always fp32), eager, and captured on a GPU.

    `not_captured` is the reason where the step could not be captured on a GPU.
    """
    frames = phantom_frames(image_size)
    n_epochs = 1 + EPOCHS_PER_BLOCK
    spec = gan_spec(ngf, n_steps, n_epochs, precision)
    not_captured = ""
    seconds: dict[str, list[float]] = {"naive": [], "eager": []}
    if device.type == "cuda":
        seconds["captured"] = []
    with tempfile.TemporaryDirectory() as folder:
        epochs = naive_epochs(
            write_jpegs(frames, Path(folder)),
            image_size,
            spec,
            n_images=n_steps * BATCH,
            n_workers=n_decoders(device),
            device=device,
        )
        for _ in range(n_blocks):
            for path in list(seconds):
                if path == "naive":
                    seconds[path] += list(islice(epochs, n_epochs))[1:]
                    continue
                try:
                    seconds[path] += our_epochs(frames, spec, device, path)
                except NotCaptured as reason:
                    not_captured = str(reason)
                    del seconds[path]
        epochs.close()
    step_s = {path: float(np.median(taken)) / n_steps for path, taken in seconds.items()}
    overlapped, serial, counts = floor_seconds(image_size, spec, ceilings)
    print(f"{image_size}x{image_size}, ngf {ngf}, {precision}")
    for path, taken_s in step_s.items():
        print(
            f"  {path:10}{taken_s * 1e3:9.1f} ms a step{BATCH / taken_s:10.1f} images/s, "
            f"{step_s['naive'] / taken_s:.2f} times as fast as the naive loop"
        )
    result = {
        "image_size": image_size,
        "ngf": ngf,
        "batch_size": BATCH,
        "n_steps": n_steps,
        "precision": precision,
        "ms_per_step": {path: taken_s * 1e3 for path, taken_s in step_s.items()},
        "epoch_seconds": seconds,
        "not_captured": not_captured,
        **counts,
    }
    if device.type == "cuda":
        best_s = min(taken_s for path, taken_s in step_s.items() if path != "naive")
        result |= {"floor_overlapped_ms": overlapped * 1e3, "floor_serial_ms": serial * 1e3}
        result |= {"share_overlapped": overlapped / best_s, "share_serial": serial / best_s}
        print(
            f"  floor {overlapped * 1e3:.2f} ms overlapped, {serial * 1e3:.2f} ms in turn "
            f"({counts['tflop_per_step']:.2f} TFLOP, Adam {counts['adam_gb_per_step']:.2f} GB): "
            f"ours runs at {overlapped / best_s:.1%} and {serial / best_s:.1%} of it"
        )
    return result


# --- several GANs on one device -----------------------------------------------------------


def _packed_worker(
    barrier: Barrier,
    spans: Any,
    image_size: int,
    spec: GanSpec,
    device_name: str,
    n_threads: int,
) -> None:
    torch.set_num_threads(n_threads)
    marks: list[float] = []

    def on_epoch(row: Any, *rest: Any) -> None:
        if not marks:  # warm: all start the measured epochs together
            barrier.wait()
        marks.append(time.perf_counter())

    device = torch.device(device_name)
    train_gan(phantom_frames(image_size), spec, seed=os.getpid(), device=device, on_epoch=on_epoch)
    spans.put((marks[0], marks[-1]))


def bench_packed(
    n_gans: int, image_size: int, ngf: int, n_steps: int, precision: str, device: torch.device
) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    barrier, spans = context.Barrier(n_gans), context.Queue()
    spec = gan_spec(ngf, n_steps, 1 + 2 * EPOCHS_PER_BLOCK, precision)
    n_threads = max(1, torch.get_num_threads() // n_gans)
    arguments = barrier, spans, image_size, spec, str(device), n_threads
    workers = [context.Process(target=_packed_worker, args=arguments) for _ in range(n_gans)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise RuntimeError(f"a worker failed with {n_gans} GANs on one device")
    starts, ends = zip(*(spans.get() for _ in workers), strict=True)
    n_images = n_gans * 2 * EPOCHS_PER_BLOCK * n_steps * BATCH
    images_per_s = n_images / (max(ends) - min(starts))
    print(
        f"{n_gans} GANs at once, {image_size}x{image_size}, ngf {ngf}, {precision}: "
        f"{images_per_s:.1f} images/s together"
    )
    return {
        "n_gans": n_gans,
        "image_size": image_size,
        "ngf": ngf,
        "precision": precision,
        "n_threads_each": n_threads,
        "images_per_s": images_per_s,
    }


# --- what a checkpoint costs --------------------------------------------------------------


def bench_checkpoint(ngf: int = PAPER_NGF, image_size: int = PAPER_SIZE) -> dict[str, Any]:
    """Write and sync weights and both Adam moments of both networks to a temporary file."""
    networks = Generator(image_size, 100, ngf), Discriminator(image_size, ngf, 0.25)
    state = []
    for network in networks:
        weights = network.state_dict()
        moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in network.parameters()]
        state.append({"weights": weights, "moments": moments})
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "checkpoint.pt")
        for _ in range(3):
            started = time.perf_counter()
            with path.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            seconds.append(time.perf_counter() - started)
        n_bytes = path.stat().st_size
    median = float(np.median(seconds))
    print(
        f"checkpoint at {image_size}x{image_size}, ngf {ngf}: {n_bytes / 1e9:.2f} GB in "
        f"{median:.2f} s, {median / CHECKPOINT_INTERVAL_S:.2%} of 10 minutes"
    )
    return {"ngf": ngf, "bytes": n_bytes, "seconds": median, "all_seconds": seconds}


# --- the command --------------------------------------------------------------------------


def machine(device: torch.device) -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "n_threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, nargs="+", help="pixels a side")
    parser.add_argument("--ngf", type=int, help="width of both networks")
    parser.add_argument("--steps", type=int, help="steps an epoch")
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16"))
    parser.add_argument("--packed", type=int, nargs="+", default=[], help="GANs at once")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's own choice)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="write every figure and the machine here")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    device = device_named(given.device)
    cuda = device.type == "cuda"
    sizes = given.size or ([256] if cuda else [64, 256])
    ngf = given.ngf or (PAPER_NGF if cuda else 8)
    precisions = given.precision or (["fp32", "bf16"] if cuda else ["fp32"])

    def n_steps(size: int) -> int:
        return given.steps or (100 if cuda else 20 if size < 256 else 4)

    runs = [(size, ngf, n_steps(size), p, device) for size in sizes for p in precisions]
    figures: dict[str, Any] = {"machine": machine(device)}
    figures["steps"] = [bench_step(*run) for run in runs]
    figures["packed"] = [bench_packed(k, *run) for run in runs for k in given.packed]
    figures["checkpoint"] = bench_checkpoint()
    if given.json:
        given.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
