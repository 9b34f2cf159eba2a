"""Mean confidence: the detector's mean probability that synthetic positives show consolidation."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lussweep.metrics.pair import Pair


def confidence(pair: Pair) -> float:
    """Mean confidence, from the probabilities (M, 2) that the detector gives the synthetic frames.

    Class 1 is consolidation.
    """
    return mean_confidence(pair.fake_ND[:, 1])


def mean_confidence(probability_N: NDArray[np.floating[Any]]) -> float:
    """Mean probability of consolidation that the detector gives N frames; near 1 is good.

    It is defined for synthetic positives (Yu et al. 2023, arXiv 2310.03608). Raises ValueError
    for an array that is empty or not one-dimensional, or for values outside [0, 1].
    """
    if probability_N.ndim != 1 or not len(probability_N):
        raise ValueError(f"probabilities have shape {probability_N.shape}, not (samples,)")
    if not ((probability_N >= 0) & (probability_N <= 1)).all():
        raise ValueError("probabilities must lie in [0, 1]")
    return float(probability_N.mean(dtype=np.float64))
