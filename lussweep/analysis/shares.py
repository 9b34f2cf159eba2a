"""The interval of a share of frames, over patients: a score interval on effective patients.

Frames of one patient are alike, so n frames say less than n independent ones. A share p of frames
whose variance over patients is V says as much as p (1 - p) / V independent ones (Korn and Graubard
1998). Few patients, or a share near 0 or 1, tell little about V. The estimate is then drawn
towards the variance of frames that are all alike within a patient. That one needs no estimate: it
is p (1 - p) / n with n = (sum of m)^2 / sum of m^2 effective patients of m frames each (Kish 1965).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit  # type: ignore[import-untyped]

from lussweep.analysis.bootstrap import Interval


def share_interval(
    n_hits_P: NDArray[Any], n_frames_P: NDArray[Any], *, confidence: float = 0.95
) -> Interval:
    """The interval of (sum of hits) / (sum of frames) of P patients, by Wilson 1927.

    Its quantile is that of t with as many degrees of freedom as there are effective patients, less
    one, and at least 1. It is never empty and stays between 0 and 1. The variance is
    (k V + V') / (k + 1): V from the patients, V' of frames that are alike within a patient, and
    k = (effective patients - 1) x min(1, 4 p (1 - p)). Patients without frames are left out.
    Raises ValueError if no patient has a frame.
    """
    hits_P, frames_P = (x[n_frames_P > 0].astype(np.float64) for x in (n_hits_P, n_frames_P))
    if not len(frames_P):
        raise ValueError("no patient has a frame")
    n_frames, n = frames_P.sum(), len(frames_P)
    share = float(hits_P.sum() / n_frames)
    n_effective = float(n_frames**2 / (frames_P**2).sum())
    spread = share * (1 - share)
    quantile = float(stdtrit(max(n_effective - 1, 1), (1 + confidence) / 2))
    if spread > 0:
        residual_P = hits_P - share * frames_P
        variance = float((residual_P**2).sum()) / n_frames**2 * n / max(n - 1, 1)
        trust = (n_effective - 1) * min(1, 4 * spread)
        n_effective = spread * (trust + 1) / (trust * variance + spread / n_effective)
    square = quantile**2 / n_effective
    middle = (share + square / 2) / (1 + square)
    half = (square * spread + square**2 / 4) ** 0.5 / (1 + square)
    low, high = max(middle - half, 0.0), min(middle + half, 1.0)
    return Interval(0.0 if share == 0 else low, 1.0 if share == 1 else high)
