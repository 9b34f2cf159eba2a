"""The Frechet distance (FID) of two sets of features.

torchmetrics computes it. Its import takes more than a second, so it is imported on use.
"""

import torch
from torch import Tensor, nn

from lussweep.metrics.distances import Features, centre, check_features, row_blocks

_MAX_FEATURES = 8192
"""Most features. FID holds several D x D float64 matrices; at this D each takes 0.5 GiB."""


class _Identity(nn.Module):
    """Passes features through: torchmetrics expects a network, and ours are computed already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, x_ND: Tensor) -> Tensor:
        return x_ND


def fid(real_ND: Features, fake_MD: Features) -> float:
    """Squared Frechet distance between Gaussians fitted to both sets; near 0 is good.

    It is |mean difference|^2 + Tr(C + C' - 2 (C C')^(1/2)) with covariances C and C' (Heusel et
    al. 2017, arXiv 1706.08500). Compare it with published values only for features of the same
    network, and with other values only at equal N. The estimate is biased upwards, strongly
    unless N is well above D. If N is at most D, the covariances are singular.

    real_ND: N x D, fake_MD: M x D floats; N and M are at least 2, D at most 8,192. It is computed
    in float64 on the CPU, in D x D memory and D^3 time. Raises ValueError for bad shapes, values
    that are not finite, fewer than 2 samples or more than 8,192 features.
    """
    real_ND, fake_MD = check_features(real_ND, fake_MD)
    n_features = real_ND.shape[1]
    if min(len(real_ND), len(fake_MD)) < 2:
        raise ValueError(f"FID needs 2 samples of each: got {len(real_ND)} and {len(fake_MD)}")
    if n_features > _MAX_FEATURES:
        raise ValueError(f"FID of {n_features} features: {_MAX_FEATURES} are the most it takes")
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=_Identity(n_features)).set_dtype(torch.float64)
    # A common shift changes no distance, and sums about the mean lose fewer digits.
    centre_D = centre(real_ND)
    for x_ND, is_real in ((real_ND, True), (fake_MD, False)):
        for x_BD in row_blocks(x_ND):
            metric.update(x_BD - centre_D, real=is_real)
    return max(0.0, float(metric.compute()))
