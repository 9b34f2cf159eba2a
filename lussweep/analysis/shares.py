"""A share of frames with its interval over patients: sensitivity, specificity, calibration bins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lussweep.analysis.bootstrap import Interval
from lussweep.analysis.effective import (
    effective_patients,
    independent_units,
    unit_interval,
    variance_of_mean,
)


def share_interval(
    n_hits_P: NDArray[Any], n_frames_P: NDArray[Any], *, confidence: float = 0.95
) -> Interval:
    """The interval of (sum of hits) / (sum of frames) of P patients; see `effective`.

    It is never empty and stays between 0 and 1. The degrees of freedom are the patients less 1.
    Patients without frames are left out. Raises ValueError if no patient has a frame, or for a
    confidence outside (0, 1).
    """
    hits_P, frames_P = (x[n_frames_P > 0].astype(np.float64) for x in (n_hits_P, n_frames_P))
    if not len(frames_P):
        raise ValueError("no patient has a frame")
    share, df = float(hits_P.sum() / frames_P.sum()), len(frames_P) - 1
    n_effective = effective_patients(frames_P)
    variance = variance_of_mean(hits_P / frames_P, frames_P / frames_P.sum())
    n_units = independent_units(share, variance, n_effective, df)
    return unit_interval(share, n_units, n_least=n_effective - 1, df=df, confidence=confidence)
