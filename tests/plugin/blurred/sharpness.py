"""A score: how sharp synthetic frames are beside real ones."""

import math

import numpy as np

from lussweep.metrics.pair import Pair


def sharpness(pair: Pair) -> float:
    """The mean step between neighbouring pixels, synthetic over real. 1: equally sharp."""
    return mean_step(pair.fake_ND) / mean_step(pair.real_ND)


def mean_step(frames_ND: np.ndarray) -> float:
    """The mean difference between a pixel and the next one in its row, in grey levels."""
    rows = frames_ND.reshape(-1, math.isqrt(frames_ND.shape[1])).astype(float)
    return float(np.abs(np.diff(rows, axis=1)).mean())
