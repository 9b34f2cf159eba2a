"""Work of the tests in processes of its own: ranks that talk through gloo, steps to be killed."""

import multiprocessing
import os
import time
import traceback
from datetime import timedelta

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from lussweep.models.generators.checkpoint import Checkpoints
from lussweep.models.generators.dcgan.networks import Discriminator, Generator
from lussweep.models.generators.dcgan.step import GanStep
from lussweep.models.generators.dcgan.train import train_gan
from lussweep.models.training.pool import FramePool
from lussweep.stages import execute

CONTEXT = multiprocessing.get_context("forkserver")  # imports torch once, for all processes
CONTEXT.set_forkserver_preload(["torch", "torch.distributed", "lussweep.stages"])


def start(function, *arguments):
    process = CONTEXT.Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


def of_two_ranks(function, folder, *arguments, timeout_s=90):
    """What `function(rank, *arguments)` returned in each of two ranks of one gloo group."""
    folder.mkdir(parents=True)
    processes = [start(_run_rank, rank, folder, function, arguments) for rank in range(2)]
    until = time.monotonic() + timeout_s
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
    in_time = [process.exitcode is not None for process in processes]
    for process in processes:
        process.kill()
        process.join()
    errors = [path.read_text() for path in sorted(folder.glob("*.txt"))]
    assert not errors, "\n".join(errors)
    assert all(in_time), f"two ranks were not done after {timeout_s} s"
    assert [process.exitcode for process in processes] == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2)]


def _run_rank(rank, folder, function, arguments):
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(1)
    try:
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/meet",
            rank=rank,
            world_size=2,
            timeout=timedelta(seconds=60),
        )
        torch.save(function(rank, *arguments), folder / f"{rank}.pt")
        dist.destroy_process_group()
    except BaseException:
        (folder / f"{rank}.txt").write_text(traceback.format_exc())
        raise


def kill_step(step, context):
    """A step of a plan, in a process that is to be killed on the way."""
    torch.set_num_threads(1)
    execute(step, context)


# --- what ranks do ------------------------------------------------------------------------


def frozen_step(spec, world_size):
    """In float64, with BatchNorm that takes its statistics from nowhere."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = Generator(16, spec.latent_size, spec.ngf).double()
        discriminator = Discriminator(16, spec.ndf, 0.0).double()
    for module in (*generator.modules(), *discriminator.modules()):
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    return GanStep(generator, discriminator, spec, torch.device("cpu"), world_size)


def sharded_steps(rank, spec, sizes, world_size=2):
    """Gradients after each step on this rank's share of one batch, and the sums of all ranks."""
    step, rng, gradients = frozen_step(spec, world_size), torch.Generator().manual_seed(1), []
    for n in sizes:
        frames = torch.randint(256, (n, 16, 16), generator=rng).to(torch.uint8)
        z = torch.randn(n, spec.latent_size, generator=rng, dtype=torch.float64)
        step(frames[rank::world_size], z[rank::world_size], None, n)
        weights = (*step.generator.parameters(), *step.discriminator.parameters())
        gradients.append(torch.cat([w.grad.flatten() for w in weights]))
    if world_size > 1:
        dist.all_reduce(step.sums)
    return gradients, step.sums


def watched_training(rank, frames, spec):
    """A training, and the frame indices and latent vectors of each of this rank's batches."""
    took, latents, random_states = [], [], []
    take, call = FramePool.take, GanStep.__call__

    def watched_take(pool, index):
        took.append(index.clone())
        return take(pool, index)

    def watched_call(step, frames_NSS, z_NL, label_N, n_batch):
        latents.append(z_NL.clone())
        call(step, frames_NSS, z_NL, label_N, n_batch)

    def after_epoch(row, generator, due):
        random_states.append(torch.get_rng_state())

    FramePool.take, GanStep.__call__ = watched_take, watched_call
    try:
        trained = train_gan(
            frames, spec, seed=1, device=torch.device("cpu"), rank=rank, world_size=2,
            on_epoch=after_epoch,
        )  # fmt: skip
    finally:
        FramePool.take, GanStep.__call__ = take, call
    weights = {name: w.detach() for name, w in trained.generator.named_parameters()}
    # The first look at the frames is for their diversity, before any epoch.
    return trained.rows, weights, took[1:], latents, random_states


class Killed(BaseException):
    pass


def interrupted_training(rank, frames, spec, folder, die_at=None):
    """Rows, weights and snapshots of a training, or None if it died at its nth step."""
    call, n_steps, snapshots = GanStep.__call__, [], {}

    def die(step, *arguments):
        n_steps.append(1)
        if len(n_steps) == die_at:
            raise Killed
        call(step, *arguments)

    def after_epoch(row, generator, due):
        snapshots[row.epoch] = {k: v.detach().clone() for k, v in generator.named_parameters()}

    GanStep.__call__ = die
    label = np.arange(len(frames)) % 2 if spec.conditional else None
    try:
        trained = train_gan(
            frames, spec, seed=1, device=torch.device("cpu"), rank=rank, world_size=2,
            label_N=label, on_epoch=after_epoch,
            checkpoints=Checkpoints(folder, "key", 0) if folder else None,
        )  # fmt: skip
    except Killed:
        return None
    finally:
        GanStep.__call__ = call
    return trained.rows, snapshots


def trainings_to_compare(rank, frames, spec, folder, places):
    """One uninterrupted training, then one that dies at each of these steps."""
    whole = interrupted_training(rank, frames, spec, None)
    died = [interrupted_training(rank, frames, spec, folder / str(k), k) for k in places]
    return whole, died


def trainings_again(rank, frames, spec, folder, places):
    return [interrupted_training(rank, frames, spec, folder / str(k)) for k in places]
