"""A permutation test, with a Gaussian kernel, of whether two sets have one distribution."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lussweep.metrics.distances import (
    Device,
    Features,
    Points,
    centre,
    check_features,
    own_distance_tiles,
)
from lussweep.metrics.passes import kernel

_ROUNDING = 1e-12
"""Statistics that differ by at most this are equal: one split of the samples may occur twice."""


class KernelTest(NamedTuple):
    """The unbiased squared discrepancy, which may be negative, and its permutation p-value."""

    mmd2_unbiased: float
    p_value: float
    n_permutations: int


def kmmd_test(
    real_ND: Features,
    fake_MD: Features,
    *,
    n_permutations: int = 200,
    seed: int,
    device: Device = "cpu",
    block_size: int | None = None,
) -> KernelTest:
    """Permutation p-value for the hypothesis that both sets are draws of one distribution.

    The statistic is the unbiased MMD^2 (Gretton et al. 2012, JMLR 13:723, equation 3) with kernel
    exp(-distance^2 / 2s). It is 0 in expectation for one distribution. s is the mean squared
    distance over all pairs of the POOLED samples, because a permutation test is exact only if the
    kernel does not depend on which samples are real. `lussweep.metrics.kmmd` takes s from the real
    set and so is another estimator. p = (1 + number of permutations that score at least the
    observed value) / (1 + n_permutations), which is never 0.

    The test exchanges frames as if they were independent. Frames of one patient are not, so p is
    too small, also for a generator that makes real frames: nothing is judged by it.

    real_ND: N x D, fake_MD: M x D floats, N and M >= 2. One pass over the pooled pairs serves all
    permutations. Besides the tiles, memory is (N + M) x n_permutations float64. `block_size`
    bounds memory and changes results by rounding only. Raises ValueError for bad shapes, values
    that are not finite, fewer than 2 samples of a kind, n_permutations < 1, or samples that are
    all the same.
    """
    real_ND, fake_MD = check_features(real_ND, fake_MD, device=device)
    n, m = len(real_ND), len(fake_MD)
    if min(n, m) < 2 or n_permutations < 1:
        raise ValueError(
            f"the test needs 2 samples of each kind and a permutation: got {n} real and {m} fake "
            f"samples, {n_permutations} permutations"
        )
    dtype = torch.promote_types(real_ND.dtype, fake_MD.dtype)
    pooled_SD = torch.cat([real_ND.to(dtype), fake_MD.to(dtype)])
    pooled = Points.around(centre(pooled_SD), pooled_SD)
    bandwidth = 2 * pooled.mean_pair_distance()
    if bandwidth == 0:
        raise ValueError(f"all {n + m} samples have the same features, so there is no bandwidth")
    split_SP = torch.from_numpy(_splits(n, m, n_permutations, seed)).to(pooled_SD.device)
    mmd2_P = _unbiased_mmd2(pooled, bandwidth, split_SP, n, m, block_size)
    n_extreme = int((mmd2_P[1:] >= mmd2_P[0] - _ROUNDING).sum())
    return KernelTest(float(mmd2_P[0]), (1 + n_extreme) / (1 + n_permutations), n_permutations)


def _splits(n: int, m: int, n_permutations: int, seed: int) -> np.ndarray:
    """The observed split, then the permutations, shape (S, 1 + P): 1 for "called real", else 0."""
    rng = np.random.default_rng(seed)
    split_SP = np.zeros((n + m, 1 + n_permutations))
    split_SP[:n, 0] = 1
    for p in range(1, 1 + n_permutations):
        split_SP[rng.choice(n + m, size=n, replace=False), p] = 1
    return split_SP


def _unbiased_mmd2(
    pooled: Points, bandwidth: float, split_SP: Tensor, n: int, m: int, block_size: int | None
) -> Tensor:
    """Unbiased MMD^2 of every split z, from z'Kz, z'K1 and 1'K1, shape (P,).

    Weights of 1/N and -1/M per sample would give the biased statistic as one quadratic form w'Kw.
    The unbiased one leaves out the diagonal and needs other denominators, so the three sums are
    kept apart.
    """
    real_real_P = split_SP.new_zeros(split_SP.shape[1])
    kernel_row_S = split_SP.new_zeros(len(pooled))
    for rows, columns, squared_BB in own_distance_tiles(pooled, block_size=block_size):
        kernel_BB = kernel(squared_BB, bandwidth)
        quadratic_P = (split_SP[rows] * (kernel_BB @ split_SP[columns])).sum(dim=0)
        kernel_row_S[rows] += kernel_BB.sum(dim=1)
        if rows == columns:
            real_real_P += quadratic_P
        else:
            real_real_P += 2 * quadratic_P
            kernel_row_S[columns] += kernel_BB.sum(dim=0)
    real_fake_P = kernel_row_S @ split_SP - real_real_P
    fake_fake_P = kernel_row_S.sum() - 2 * real_fake_P - real_real_P
    own_P = (real_real_P - n) / (n * (n - 1)) + (fake_fake_P - m) / (m * (m - 1))
    return own_P - 2 * real_fake_P / (n * m)
