"""Labelled scores of frames, small and made on the spot."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st


def cohort(
    n_patients: int = 12, n_frames: int = 240, seed: int = 0, decimals: int = 2
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames of patients, some of a single class, with tied scores, some of them 0 or 1."""
    rng = np.random.default_rng(seed)
    patient_N = rng.integers(n_patients, size=n_frames)
    label_N = (rng.random(n_frames) < (patient_N % 3) / 2).astype(np.int64)
    margin_N = 3 * (label_N - 0.5) + 2 * rng.normal(size=n_frames)
    return label_N, np.round(1 / (1 + np.exp(-margin_N)), decimals), patient_N


labelled_scores = st.lists(
    st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=40
).filter(lambda pairs: len({label for label, _ in pairs}) == 2)
settled = settings(max_examples=150, deadline=None, database=None, derandomize=True)


def arrays(pairs: list[tuple[bool, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and scores between 0 and 1."""
    return np.array([label for label, _ in pairs]), np.array([s / 8 for _, s in pairs])
