"""Leave-one-out nearest-neighbour accuracy: does it separate real and synthetic samples?"""

from typing import NamedTuple

from torch import Tensor

from lussweep.metrics.distances import TIE, Device, Features, Points, centre, check_features
from lussweep.metrics.passes import Across, across, within


class OneNN(NamedTuple):
    """Shares of samples whose nearest other sample is of their own kind, in [0, 1]."""

    accuracy: float
    real_accuracy: float
    fake_accuracy: float


def one_nn(
    real_ND: Features, fake_ND: Features, *, device: Device = "cpu", block_size: int | None = None
) -> OneNN:
    """Leave-one-out 1-NN accuracy over the pooled 2N samples, and over each half of them.

    The source is Yu et al. 2023 (arXiv 2310.03608), after Xu et al. 2018 (arXiv 1806.07755). At
    0.5 the two sets cannot be told apart, at 1 they are separable, at 0 the real set is
    memorised. A sample counts as correct if its nearest sample of its own kind is strictly nearer
    than the nearest sample of the other kind, in Euclidean distance. A tie counts as wrong. A set
    against itself therefore scores 0 even if it holds duplicates, and the order of the samples
    does not matter.

    real_ND, fake_ND: N x D floats, N >= 2. Distances are float64, on `device`. `block_size`
    bounds memory and changes no result. Raises ValueError for bad shapes, for unequal N (0.5 is
    chance at equal N only), or for values that are not finite.
    """
    real_ND, fake_ND = check_features(real_ND, fake_ND, device=device)
    check_equal_counts(len(real_ND), len(fake_ND))
    real = Points.around(centre(real_ND), real_ND)
    fake = Points.around(real.centre_D, fake_ND)
    return accuracies(
        within(real, k=1, block_size=block_size).nearest_NK[:, 0],
        within(fake, k=1, block_size=block_size).nearest_NK[:, 0],
        across(real, fake, block_size=block_size),
    )


def check_equal_counts(n_real: int, n_fake: int) -> None:
    """Raise ValueError unless the numbers of real and fake samples are equal and at least 2."""
    if n_real != n_fake or n_real < 2:
        raise ValueError(
            f"1-NN needs as many real as fake samples, 2 or more of each: got {n_real} and {n_fake}"
        )


def accuracies(own_real_N: Tensor, own_fake_N: Tensor, cross: Across) -> OneNN:
    """1-NN accuracy from each sample's squared distance to the nearest other of its own kind."""
    real = float((own_real_N < cross.nearest_N * (1 - TIE)).double().mean())
    fake = float((own_fake_N < cross.nearest_M * (1 - TIE)).double().mean())
    return OneNN((real + fake) / 2, real, fake)
