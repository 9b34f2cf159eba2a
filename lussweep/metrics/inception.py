"""Kernel inception distance (KID) of two sets of features."""

from typing import NamedTuple

import torch
from torch import Tensor

from lussweep.metrics.distances import (
    Device,
    Features,
    Points,
    add_products,
    check_features,
    own_tiles,
    tiles,
)


class Kid(NamedTuple):
    """Mean over subsets, and mean -/+ 1.96 standard deviations of the subsets' estimates."""

    mean: float
    low: float
    high: float


def kid(
    real_ND: Features,
    fake_MD: Features,
    *,
    seed: int,
    n_subsets: int = 100,
    subset_size: int | None = None,
    device: Device = "cpu",
    block_size: int | None = None,
) -> Kid:
    """Kernel inception distance: mean unbiased MMD^2 with kernel (x'y / D + 1)^3; 0 is good.

    The source is Binkowski et al. 2018 (arXiv 1801.01401). Unlike FID it is unbiased at any N,
    and so may be negative. Each of `n_subsets` estimates takes `subset_size` samples of each set,
    drawn without replacement. The default size is min(1000, max(2, N // 2)) with N the size of
    the smaller set. The value and the draws equal those of torchmetrics' KernelInceptionDistance
    after torch.manual_seed(seed). torchmetrics multiplies each subset again; here one pass over
    all pairs serves every subset.

    low and high are mean -/+ 1.96 standard deviations over the subsets, as is customary in the
    literature. They show the spread of estimates from single subsets, which depends on
    `subset_size`. They are not a confidence interval over patients.

    real_ND: N x D, fake_MD: M x D floats. Products are float64, on `device`. Besides the tiles,
    memory is (N + M) x n_subsets float64. `block_size` bounds memory and changes results by
    rounding only. Raises ValueError for bad shapes, values that are not finite, n_subsets < 1,
    or a subset size below 2 or above the size of a set.
    """
    real_ND, fake_MD = check_features(real_ND, fake_MD, device=device)
    smaller = min(len(real_ND), len(fake_MD))
    size = min(1000, max(2, smaller // 2)) if subset_size is None else subset_size
    if n_subsets < 1 or not 2 <= size <= smaller:
        raise ValueError(
            f"KID takes 1 or more subsets of 2 to {smaller} samples, the size of the smaller set: "
            f"got {n_subsets} of {size}"
        )
    # The kernel is a function of inner products, which a shift changes: the centre is the origin.
    origin_D = torch.zeros(real_ND.shape[1], dtype=torch.float64, device=real_ND.device)
    real, fake = Points.around(origin_D, real_ND), Points.around(origin_D, fake_MD)
    drawn = _subsets(len(real), len(fake), n_subsets, size, seed)
    real_NS, fake_MS = (drawn_S.to(origin_D.device) for drawn_S in drawn)
    own_S = _own_sums(real, real_NS, block_size) + _own_sums(fake, fake_MS, block_size)
    cross_S = _cross_sums(real, real_NS, fake, fake_MS, block_size)
    mmd2_S = own_S / (size * (size - 1)) - 2 * cross_S / size**2
    mean, deviation = float(mmd2_S.mean()), float(mmd2_S.std(correction=0))
    return Kid(mean, mean - 1.96 * deviation, mean + 1.96 * deviation)


def _subsets(n: int, m: int, n_subsets: int, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw the subsets as masks of shapes (N, S) and (M, S): 1 where a subset holds a sample."""
    generator = torch.Generator().manual_seed(seed)
    real_NS = torch.zeros(n, n_subsets, dtype=torch.float64)
    fake_MS = torch.zeros(m, n_subsets, dtype=torch.float64)
    for s in range(n_subsets):
        real_NS[torch.randperm(n, generator=generator)[:size], s] = 1
        fake_MS[torch.randperm(m, generator=generator)[:size], s] = 1
    return real_NS, fake_MS


def _own_sums(x: Points, drawn_NS: Tensor, block_size: int | None) -> Tensor:
    """Sum the kernel over the ordered pairs of different samples of each subset, shape (S,)."""
    total_S = drawn_NS.new_zeros(drawn_NS.shape[1])
    for rows, columns in own_tiles(len(x), block_size=block_size):
        kernel_BB = _kernel(x, rows, x, columns)
        if rows == columns:
            kernel_BB.fill_diagonal_(0)
        sum_S = (drawn_NS[rows] * (kernel_BB @ drawn_NS[columns])).sum(dim=0)
        total_S += sum_S if rows == columns else 2 * sum_S
    return total_S


def _cross_sums(
    a: Points, drawn_NS: Tensor, b: Points, drawn_MS: Tensor, block_size: int | None
) -> Tensor:
    """Sum the kernel over all pairs of a sample of a and one of b in each subset, shape (S,)."""
    total_S = drawn_NS.new_zeros(drawn_NS.shape[1])
    for rows, columns in tiles(len(a), len(b), block_size=block_size):
        kernel_BB = _kernel(a, rows, b, columns)
        total_S += (drawn_NS[rows] * (kernel_BB @ drawn_MS[columns])).sum(dim=0)
    return total_S


def _kernel(a: Points, rows: slice, b: Points, columns: slice) -> Tensor:
    n_features = len(a.centre_D)
    ones_BB = a.norm_N.new_ones(rows.stop - rows.start, columns.stop - columns.start)
    base_BB = add_products(ones_BB, a, rows, b, columns, scale=1 / n_features)
    return base_BB.pow_(3)
