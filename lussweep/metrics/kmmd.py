"""Kernel maximum mean discrepancy between real and synthetic features."""

import math

from lussweep.metrics.distances import Device, Features, Points, centre, check_features
from lussweep.metrics.passes import across, within

_ROUNDING = 1e-14
"""A squared kMMD below this is the rounding error of three means of kernels in [0, 1]."""


def kmmd(
    real_ND: Features, fake_MD: Features, *, device: Device = "cpu", block_size: int | None = None
) -> float:
    """Biased Gaussian kMMD with its bandwidth from the real set; near 0 is good.

    Let Mxx, Mxy and Myy be squared Euclidean distances (real x, fake y), and s = mean(Mxx),
    diagonal included. Then kMMD is sqrt(mean exp(-Mxx/2s) + mean exp(-Myy/2s) - 2 mean
    exp(-Mxy/2s)), the square root of a V-statistic (Yu et al. 2023, arXiv 2310.03608, after Xu et
    al. 2018, arXiv 1806.07755). Two samples of one distribution give about sqrt(0.79 / N) in many
    dimensions, so compare values of equal N only. A square below 1e-14 is rounding error and
    counts as 0, so no value lies between 0 and 1e-7.

    real_ND: N x D, fake_MD: M x D floats. Distances are float64, on `device`. `block_size`
    bounds memory and changes no result. Raises ValueError for bad shapes, values that are not
    finite, or a real set whose samples are all the same (s = 0).
    """
    real_ND, fake_MD = check_features(real_ND, fake_MD, device=device)
    real = Points.around(centre(real_ND), real_ND)
    fake = Points.around(real.centre_D, fake_MD)
    bandwidth = real_bandwidth(real)
    return root_discrepancy(
        within(real, bandwidth=bandwidth, block_size=block_size).mean_kernel,
        within(fake, bandwidth=bandwidth, block_size=block_size).mean_kernel,
        across(real, fake, bandwidth=bandwidth, block_size=block_size).mean_kernel,
    )


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
    """kMMD from the mean kernels of real x real, fake x fake and real x fake."""
    square = real_kernel + fake_kernel - 2 * cross_kernel
    return math.sqrt(square) if square > _ROUNDING else 0.0
