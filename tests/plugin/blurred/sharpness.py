"""A score: how sharp synthetic frames are beside real ones."""

import numpy as np

from lussweep.metrics.pair import Pair


def sharpness(pair: Pair) -> float:
    """Mean step between neighbouring grey levels, synthetic over real. 1: equally sharp."""
    return _mean_step(pair.fake_ND) / _mean_step(pair.real_ND)


def _mean_step(pixels_ND: np.ndarray) -> float:
    return float(np.abs(np.diff(pixels_ND.astype(float), axis=1)).mean())
