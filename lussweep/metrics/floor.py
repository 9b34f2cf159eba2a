"""Disjoint sets of real frames: their scores are those of a generator that makes real frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def disjoint_sets(
    patient_N: NDArray[Any], n_frames: int, rng: np.random.Generator
) -> tuple[Rows, Rows] | None:
    """Draw two sets of `n_frames` rows that share no patient, or None if there are too few.

    Patients are drawn one after the other, with all of their frames, until the first set is full,
    and then until the second one is. Frames beyond `n_frames` are left out by chance. The sets
    are therefore alike in their number of patients, as two cohorts are. They have as many as a
    cohort has if the patients have as many frames as those of the cohort.
    """
    order = rng.permutation(np.unique(patient_N))
    rows_P = [np.flatnonzero(patient_N == patient) for patient in order]
    ends_P = np.cumsum([len(rows) for rows in rows_P])
    n_first = int(np.searchsorted(ends_P, n_frames)) + 1
    if n_first >= len(rows_P) or ends_P[-1] - ends_P[n_first - 1] < n_frames:
        return None
    n_both = int(np.searchsorted(ends_P, ends_P[n_first - 1] + n_frames)) + 1
    first, second = (np.concatenate(part) for part in (rows_P[:n_first], rows_P[n_first:n_both]))
    return rng.permutation(first)[:n_frames], rng.permutation(second)[:n_frames]
