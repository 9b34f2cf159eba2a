"""What scoring one snapshot costs beside embedding it: `python tests/benchmarks/bench_scores.py`.

2,000 real against 2,000 synthetic frames of 256x256 in the four spaces of a ResNet-34 (random
weights: they change no time). The forward pass is timed on a few batches and scaled to 2,000
frames, the metrics are timed at full size, in the same process.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from lussweep.metrics.comparison import Reference, compare
from lussweep.metrics.features import embed, pixels
from lussweep.metrics.frechet import fid
from lussweep.metrics.inception import kid
from lussweep.metrics.permutation import kmmd_test
from lussweep.models.resnet import ImageNetResNet34

WIDTHS = {"conv": 512, "logit": 1000, "softmax": 1000}


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--n-forward", type=int, default=64, help="frames that are embedded")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rng = np.random.default_rng(0)
    network = ImageNetResNet34().eval().to(device)
    few = rng.integers(0, 256, (args.n_forward, args.size, args.size), dtype=np.uint8)
    embed(few[:16], network, batch_size=16, device=device)
    forward = seconds(lambda: embed(few, network, batch_size=16, device=device))
    forward *= args.n / args.n_forward

    real, fake = (
        rng.integers(0, 256, (args.n, args.size, args.size), dtype=np.uint8) for _ in range(2)
    )
    in_pixels = Reference.of(pixels(real), device=device)
    spent = {"pixel": seconds(lambda: compare(in_pixels, pixels(fake)))}
    for space, width in WIDTHS.items():
        x, y = (rng.normal(size=(args.n, width)).astype(np.float32) for _ in range(2))
        known = Reference.of(x, device=device)
        spent[space] = seconds(lambda k=known, y=y: compare(k, y))
        if space == "conv":
            spent["kernel test"] = seconds(lambda x=x, y=y: kmmd_test(x, y, seed=0, device=device))
            fid(x[:8], y[:8])  # its import is paid once a process
            spent["FID"] = seconds(lambda x=x, y=y: fid(x, y))
            spent["KID"] = seconds(lambda x=x, y=y: kid(x, y, seed=0, device=device))
    for name, took in spent.items():
        print(f"{name}: {took:.2f} s")
    metrics = sum(spent.values())
    print(
        f"{args.n:,} frames of {args.size}x{args.size} on {device}, {args.threads} threads: "
        f"forward {forward:.1f} s (scaled from {args.n_forward}), metrics {metrics:.1f} s, "
        f"together {1 + metrics / forward:.3f} times the forward"
    )


if __name__ == "__main__":
    main()
