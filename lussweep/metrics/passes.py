"""Sums and minima over all pairs, for all distance metrics in one pass."""

from typing import NamedTuple

import torch
from torch import Tensor

from lussweep.metrics.distances import TIE, Points, distance_tiles, own_distance_tiles


class Within(NamedTuple):
    """Results of a pass over the pairs of one set of N samples.

    mean_kernel: mean over all N x N pairs, diagonal included. nearest_NK: squared distances of
    each sample to its k nearest other samples, ascending, shape (N, k).
    """

    mean_kernel: float
    nearest_NK: Tensor


class Across(NamedTuple):
    """Results of a pass over the pairs of a set a (N samples) and a set b (M samples).

    mean_kernel: mean over all N x M pairs. nearest_N and nearest_M: squared distance of each
    sample to the nearest of the other set. n_within_radius: number of pairs whose sample of b
    lies within the radius of the sample of a.
    """

    mean_kernel: float
    nearest_N: Tensor
    nearest_M: Tensor
    n_within_radius: int


def within(
    x: Points, *, bandwidth: float | None = None, k: int = 0, block_size: int | None = None
) -> Within:
    """Pass over the pairs of a set, each pair once; see Within.

    The kernel is exp(-squared distance / bandwidth). Its mean is NaN without a bandwidth.
    k: neighbours per sample, 0 to N - 1.
    """
    kernel_sum = x.norm_N.new_zeros(())
    nearest_NK = x.norm_N.new_full((len(x), k), torch.inf)
    for rows, columns, squared_BB in own_distance_tiles(x, block_size=block_size):
        mirrored = rows != columns
        if k:
            if not mirrored:
                squared_BB.fill_diagonal_(torch.inf)
            nearest_NK[rows] = _smallest(nearest_NK[rows], squared_BB, k)
            if mirrored:
                nearest_NK[columns] = _smallest(nearest_NK[columns], squared_BB.T, k)
            else:
                squared_BB.fill_diagonal_(0)
        if bandwidth is not None:
            kernel_sum += (1 + mirrored) * kernel(squared_BB, bandwidth).sum()
    return Within(_mean(kernel_sum, len(x) ** 2, bandwidth), nearest_NK)


def across(
    a: Points,
    b: Points,
    *,
    bandwidth: float | None = None,
    radius_N: Tensor | None = None,
    block_size: int | None = None,
) -> Across:
    """Pass over the pairs of two sets; see Across.

    radius_N: squared radius of a ball around each sample of a. A sample on the surface counts as
    inside (see TIE). Without radii `n_within_radius` is 0.
    """
    kernel_sum = a.norm_N.new_zeros(())
    n_within = a.norm_N.new_zeros((), dtype=torch.int64)
    nearest_N = a.norm_N.new_full((len(a),), torch.inf)
    nearest_M = a.norm_N.new_full((len(b),), torch.inf)
    for rows, columns, squared_BB in distance_tiles(a, b, block_size=block_size):
        nearest_N[rows] = torch.minimum(nearest_N[rows], squared_BB.amin(dim=1))
        nearest_M[columns] = torch.minimum(nearest_M[columns], squared_BB.amin(dim=0))
        if radius_N is not None:
            n_within += (squared_BB <= radius_N[rows, None] * (1 + TIE)).sum()
        if bandwidth is not None:
            kernel_sum += kernel(squared_BB, bandwidth).sum()
    mean_kernel = _mean(kernel_sum, len(a) * len(b), bandwidth)
    return Across(mean_kernel, nearest_N, nearest_M, int(n_within))


def kernel(squared_BB: Tensor, bandwidth: float) -> Tensor:
    """exp(-squared / bandwidth). It overwrites the squared distances."""
    return squared_BB.div_(-bandwidth).exp_()


def _mean(total: Tensor, n_pairs: int, bandwidth: float | None) -> float:
    return float("nan") if bandwidth is None else float(total) / n_pairs


def _smallest(so_far_BK: Tensor, squared_BB: Tensor, k: int) -> Tensor:
    """The k smallest values of each row of both matrices together, ascending, shape (B, k)."""
    if k == 1:
        return torch.minimum(so_far_BK, squared_BB.amin(dim=1, keepdim=True))
    joined = torch.cat([so_far_BK, squared_BB], dim=1)
    return joined.topk(k, dim=1, largest=False, sorted=True).values
