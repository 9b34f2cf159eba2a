"""Kernel maximum mean discrepancy between real and synthetic features.

It is the biased Gaussian kMMD with its bandwidth from the real set; near 0 is good. Let Mxx, Mxy
and Myy be squared Euclidean distances (real x, fake y), and s = mean(Mxx), diagonal included. Then
kMMD is sqrt(mean exp(-Mxx/2s) + mean exp(-Myy/2s) - 2 mean exp(-Mxy/2s)), the square root of a
V-statistic (Yu et al. 2023, arXiv 2310.03608, after Xu et al. 2018, arXiv 1806.07755). Two samples
of one distribution give about sqrt(0.79 / N) in many dimensions, so compare values of equal N only.
"""

import math

from lussweep.metrics.distances import Points

_ROUNDING = 1e-14
"""A squared kMMD below this is the rounding error of three means of kernels in [0, 1]."""


def real_bandwidth(real: Points) -> float:
    """Twice the mean squared distance over all N x N pairs of real samples.

    Raises ValueError if all samples are the same.
    """
    bandwidth = 2 * real.mean_pair_distance()
    if bandwidth == 0:
        raise ValueError(
            f"the {len(real)} real samples have the same features, so kMMD has no bandwidth"
        )
    return bandwidth


def root_discrepancy(real_kernel: float, fake_kernel: float, cross_kernel: float) -> float:
    """kMMD from the mean kernels of real x real, fake x fake and real x fake.

    A square below 1e-14 is rounding error and counts as 0, so no value lies between 0 and 1e-7.
    """
    square = real_kernel + fake_kernel - 2 * cross_kernel
    return math.sqrt(square) if square > _ROUNDING else 0.0
