"""Two sets of frames that share no patient."""

from __future__ import annotations

import numpy as np
import pytest

from lussweep.metrics.floor import disjoint_sets

pytestmark = pytest.mark.any_processor


@pytest.mark.parametrize("n_frames", [1, 7, 22])
def test_the_sets_are_full_and_share_no_patient(n_frames: int) -> None:
    patient_N = np.repeat(np.arange(10), np.arange(1, 11))
    for seed in range(50):
        drawn = disjoint_sets(patient_N, n_frames, np.random.default_rng(seed))
        assert drawn is not None
        first, second = drawn
        for rows in drawn:
            assert len(rows) == len(set(rows.tolist())) == n_frames
        assert not set(patient_N[first]) & set(patient_N[second])


def test_every_patient_can_be_in_either_set() -> None:
    patient_N = np.repeat(np.arange(6), 4)
    seen: list[set[int]] = [set(), set()]
    for seed in range(60):
        drawn = disjoint_sets(patient_N, 12, np.random.default_rng(seed))
        assert drawn is not None
        for patients, rows in zip(seen, drawn, strict=True):
            patients |= set(patient_N[rows].tolist())
    assert seen == [set(range(6)), set(range(6))]


@pytest.mark.parametrize(("n_patients", "n_frames"), [(1, 1), (2, 5), (5, 9)])
def test_too_few_patients_give_no_sets(n_patients: int, n_frames: int) -> None:
    """With 4 frames each: one patient, two of whom each lacks a frame, and 5 that must be 6."""
    patient_N = np.repeat(np.arange(n_patients), 4)
    assert disjoint_sets(patient_N, n_frames, np.random.default_rng(0)) is None
