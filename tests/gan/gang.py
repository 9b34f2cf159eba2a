"""Work of the tests in processes of its own: ranks that talk through gloo, steps to be killed."""

import multiprocessing
import os
import time
import traceback
from datetime import timedelta

import torch
import torch.distributed as dist

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
