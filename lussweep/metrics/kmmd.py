"""Kernel maximum mean discrepancy between real and synthetic features."""

import math

import numpy as np

from lussweep.metrics.distances import Float64s, Floats, centre, check_features, distance_tiles


def kmmd(real_ND: Floats, fake_MD: Floats, *, block_size: int | None = None) -> float:
    """Biased Gaussian kMMD with its bandwidth from the real set; near 0 is good.

    With squared Euclidean distances Mxx, Mxy, Myy (real x, fake y) and s = mean(Mxx), diagonal
    included: sqrt(mean exp(-Mxx/2s) + mean exp(-Myy/2s) - 2 mean exp(-Mxy/2s)), the square root
    of a V-statistic (Yu et al. 2023, arXiv 2310.03608, after Xu et al. 2018, arXiv 1806.07755).
    Two samples of one distribution give about sqrt(0.79 / N) in many
    dimensions, so compare values of equal N only. The root turns rounding of the means into
    values up to about 1e-7.

    real_ND: N x D, fake_MD: M x D, floats. `block_size` bounds memory and changes no result.
    Raises ValueError for bad shapes, values that are not finite, or a real set whose samples
    are all the same (s = 0).
    """
    check_features(real_ND, fake_MD)
    centre_D = centre(real_ND)
    bandwidth = 2 * _mean_pair_distance(real_ND, centre_D)
    if bandwidth == 0:
        raise ValueError(
            f"the {len(real_ND)} real samples have the same features, so kMMD has no bandwidth"
        )

    def mean_kernel(a_ND: Floats, b_MD: Floats) -> float:
        tiles = distance_tiles(a_ND, b_MD, centre_D, block_size=block_size)
        total = math.fsum(float(np.exp(m_BB / -bandwidth).sum()) for _, _, m_BB in tiles)
        return total / (len(a_ND) * len(b_MD))

    real, fake = mean_kernel(real_ND, real_ND), mean_kernel(fake_MD, fake_MD)
    return math.sqrt(max(0.0, real + fake - 2 * mean_kernel(real_ND, fake_MD)))


def _mean_pair_distance(x_ND: Floats, mean_D: Float64s) -> float:
    """Mean squared distance over all N x N pairs: twice the mean squared distance to the mean."""
    if (x_ND == x_ND[0]).all():  # whose mean is rounded, hence not quite the sample
        return 0.0
    spread = sum(float(np.square(x_D - mean_D).sum()) for x_D in x_ND)
    return 2 * spread / len(x_ND)
