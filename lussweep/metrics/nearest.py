"""Leave-one-out nearest-neighbour accuracy: can real and synthetic samples be told apart?"""

from typing import NamedTuple

import numpy as np

from lussweep.metrics.distances import Float64s, Floats, centre, check_features, distance_tiles

_TIE = 1e-9
"""Squared distances that differ by no more than this share are a tie."""


class OneNN(NamedTuple):
    """Shares of samples whose nearest other sample is of their own kind, in [0, 1]."""

    accuracy: float
    real_accuracy: float
    fake_accuracy: float


def one_nn(real_ND: Floats, fake_ND: Floats, *, block_size: int | None = None) -> OneNN:
    """Leave-one-out 1-NN accuracy over the pooled 2N samples, and its halves.

    Yu et al. 2023 (arXiv 2310.03608), after Xu et al. 2018 (arXiv 1806.07755). 0.5: the two sets
    cannot be told apart; 1: separable; 0: memorised. Euclidean distance. A
    sample counts as correct where its nearest sample of its own kind is strictly nearer than
    the nearest of the other kind: a tie counts as wrong, so that a set against itself is 0
    even if it holds duplicates, and the order of the samples does not matter.

    real_ND, fake_ND: N x D floats, N >= 2. `block_size` bounds memory and changes no result.
    Raises ValueError for bad shapes, unequal N (0.5 is chance only then), or values that are
    not finite.
    """
    check_features(real_ND, fake_ND)
    if len(real_ND) != len(fake_ND) or len(real_ND) < 2:
        raise ValueError(
            f"1-NN needs as many real as fake samples, 2 or more of each: "
            f"got {len(real_ND)} and {len(fake_ND)}"
        )
    centre_D = centre(real_ND)
    to_fake_N, to_real_N = _nearest_across(real_ND, fake_ND, centre_D, block_size)
    real_N = _nearest_within(real_ND, centre_D, block_size) < to_fake_N * (1 - _TIE)
    fake_N = _nearest_within(fake_ND, centre_D, block_size) < to_real_N * (1 - _TIE)
    real, fake = float(real_N.mean()), float(fake_N.mean())
    return OneNN((real + fake) / 2, real, fake)


def _nearest_within(x_ND: Floats, centre_D: Float64s, block_size: int | None) -> Float64s:
    """Squared distance of each sample to the nearest other one of its set."""
    nearest_N = np.full(len(x_ND), np.inf)
    for rows, columns, squared_BB in distance_tiles(x_ND, x_ND, centre_D, block_size=block_size):
        if rows == columns:
            np.fill_diagonal(squared_BB, np.inf)
        nearest_N[rows] = np.minimum(nearest_N[rows], squared_BB.min(axis=1))
    return nearest_N


def _nearest_across(
    a_ND: Floats, b_MD: Floats, centre_D: Float64s, block_size: int | None
) -> tuple[Float64s, Float64s]:
    """Squared distance of each sample of a to its nearest in b, and of each of b to a."""
    a_N, b_M = np.full(len(a_ND), np.inf), np.full(len(b_MD), np.inf)
    for rows, columns, squared_BB in distance_tiles(a_ND, b_MD, centre_D, block_size=block_size):
        a_N[rows] = np.minimum(a_N[rows], squared_BB.min(axis=1))
        b_M[columns] = np.minimum(b_M[columns], squared_BB.min(axis=0))
    return a_N, b_M
