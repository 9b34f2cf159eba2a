"""Leave-one-out nearest-neighbour accuracy: how well it tells real from synthetic samples.

It is the 1-NN accuracy over the pooled 2N samples, by Euclidean distance (Yu et al. 2023, arXiv
2310.03608, after Xu et al. 2018, arXiv 1806.07755). At 0.5 the two sets cannot be told apart, at 1
they are separable, at 0 the real set is memorised. A sample counts as correct if its nearest sample
of its own kind is strictly nearer than the nearest sample of the other kind. A tie counts as wrong.
A set against itself therefore scores 0 even if it holds duplicates, and the order of the samples
does not matter.
"""

from typing import NamedTuple

from torch import Tensor

from lussweep.metrics.distances import TIE
from lussweep.metrics.passes import Across


class OneNN(NamedTuple):
    """Shares of samples whose nearest other sample is of their own kind, in [0, 1]."""

    accuracy: float
    real_accuracy: float
    fake_accuracy: float


def check_equal_counts(n_real: int, n_fake: int) -> None:
    """Raise ValueError unless the numbers of real and fake samples are equal and at least 2.

    0.5 is chance at equal numbers only.
    """
    if n_real != n_fake or n_real < 2:
        raise ValueError(
            f"1-NN needs as many real as fake samples, 2 or more of each: got {n_real} and {n_fake}"
        )


def accuracies(own_real_N: Tensor, own_fake_N: Tensor, cross: Across) -> OneNN:
    """1-NN accuracy from each sample's squared distance to the nearest other of its own kind."""
    real = float((own_real_N < cross.nearest_N * (1 - TIE)).double().mean())
    fake = float((own_fake_N < cross.nearest_M * (1 - TIE)).double().mean())
    return OneNN((real + fake) / 2, real, fake)
