"""One step of GAN training on this card: naive, eager and captured, in fp32 and in bf16.

    python tests/gpu/measure_gan.py --rows FILE [--ceilings FLOP_PER_S BYTES_PER_S] [--smoke]

256x256, ngf = ndf = 64, batch 16, as in the paper. The naive loop is always fp32, its convolutions
in TF32, which is PyTorch's default. The share of the floor is the time that the arithmetic in bf16
and Adam's traffic take at this card's ceilings, over the time that the step took. The kernels of
the slowest of our steps come last.
"""

from __future__ import annotations

import torch
from arguments import Given, parse
from bench_gan import bench_step, gan_spec, our_epochs, phantom_frames
from rows import first_line
from torch.profiler import ProfilerActivity, profile

from lussweep.errors import InputError

N_KERNELS = 15


def main() -> None:
    given = parse(__doc__)
    size, ngf, n_blocks = (32, 4, 1) if given.smoke else (256, 64, 2)
    slowest: tuple[float, str, str] = (0.0, "", "")
    for precision, n_steps in (("bf16", 100), ("fp32", 30)):  # what the paper's size is meant for
        n_steps = 2 if given.smoke else n_steps
        try:
            slowest = max(slowest, measure(given, size, ngf, n_steps, precision, n_blocks))
        except InputError as error:
            given.rows.skip(f"GAN step {precision}", str(error))
        except RuntimeError as error:
            given.rows.fail(f"GAN step {precision}", first_line(error))
    _, path, precision = slowest
    if path:
        try:
            print_kernels(given, size, ngf, path, precision)
        except RuntimeError as error:  # not every machine lets itself be profiled
            given.rows.skip("kernels of the slowest step", first_line(error))


def measure(
    given: Given, size: int, ngf: int, n_steps: int, precision: str, n_blocks: int
) -> tuple[float, str, str]:
    """Rows of one precision; returns ms, path and precision of its slower one of ours."""
    on_gpu = given.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(given.device)
    found = bench_step(size, ngf, n_steps, precision, given.device, given.ceilings, n_blocks)
    ms, step = found["ms_per_step"], f"GAN step {precision}"
    of = f"{size}x{size}, ngf {ngf}, batch {found['batch_size']}"
    for path, taken in ms.items():
        if path == "naive":
            given.rows.add(f"{step}, naive (fp32)", taken, "ms", f"{of}; convolutions in TF32")
        else:
            note = f"{of}; {ms['naive'] / taken:.2f} times as fast as naive"
            given.rows.add(f"{step}, {path}", taken, "ms", note)
    if found["not_captured"]:
        given.rows.fail(f"{step}, captured", found["not_captured"])
    if on_gpu:
        note = f"of {found['floor_overlapped_ms']:.2f} ms; {found['share_serial']:.3f} of "
        note += f"{found['floor_serial_ms']:.2f} ms, where Adam comes after the arithmetic"
        given.rows.add(f"{step}, share of the bf16 floor", found["share_overlapped"], "", note)
        gigabytes = torch.cuda.max_memory_reserved(given.device) / 1e9
        given.rows.add(f"{step}, GPU memory", gigabytes, "GB", "the most of the three paths")
    return max((ms[path], path, precision) for path in ms if path != "naive")


def print_kernels(given: Given, size: int, ngf: int, path: str, precision: str) -> None:
    """Where the time of one step goes, by kernel, into the part's log."""
    activities = [ProfilerActivity.CPU]
    if given.device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    frames, spec = phantom_frames(size), gan_spec(ngf, 2, 2, precision)
    with profile(activities=activities) as profiler:
        our_epochs(frames, spec, given.device, path)
    order = "self_cuda_time_total" if given.device.type == "cuda" else "self_cpu_time_total"
    print(f"\nKernels of a training of 4 steps, {path}, {precision} (warm-up included)")
    found = profiler.key_averages()
    print(found.table(sort_by=order, row_limit=N_KERNELS, max_name_column_width=60))


if __name__ == "__main__":
    torch.set_num_threads(1 if torch.get_num_threads() < 4 else 4)
    main()
