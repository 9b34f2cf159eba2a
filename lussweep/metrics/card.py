"""The memorisation card of a synthetic set: every number that a release gate may judge.

A step of a run and `lussweep.release_card` both make their cards here, so that the same frames have
the same card.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lussweep.metrics.copies import (
    Copies,
    Frames,
    find_copies,
    ratios,
    spread_over_patients,
    yardstick,
)
from lussweep.metrics.distances import Device
from lussweep.metrics.features import pixels
from lussweep.metrics.privacy import memorisation


class Card(NamedTuple):
    """The numbers of a card by their names in memorisation.parquet, and the copies behind them.

    A number is None if it cannot be measured.
    """

    values: dict[str, float | int | None]
    copies: Copies


def memorisation_card(
    train: Frames,
    train_patient_N: NDArray[Any],
    holdout: Frames,
    holdout_patient_M: NDArray[Any],
    synthetic: Frames,
    *,
    n_images: int,
    side: int,
    seed: int,
    device: Device = "cpu",
) -> Card:
    """Measure whether synthetic frames are copies of, or nearer to, training frames.

    Copies are told by the structure of frames (`copies.py`), with at most `n_images` holdout frames
    to say what a copy is. The other numbers compare grey levels (`privacy.py`), of frames that are
    shrunk to at most `side` pixels a side. The first `n_images` synthetic frames are compared.

    train, holdout, synthetic: uint8 (N, S, S), (M, S, S) and (K, S, S). One patient id a frame.
    Raises ValueError for other shapes or without frames.
    """
    synthetic = synthetic[:n_images]
    seen = spread_over_patients(holdout_patient_M, n_images, np.random.default_rng(seed))
    by = yardstick(train, holdout[seen], holdout_patient_M[seen], seed=seed, device=device)
    found = ratios(by, synthetic)
    of_all = replace(found, nearest_holdout_K=seen[found.nearest_holdout_K])
    copies = find_copies(of_all, by.threshold, train_patient_N)
    train_ND, holdout_MD, synthetic_KD = (_shrunk(x, side) for x in (train, holdout, synthetic))
    measured = memorisation(
        train_ND,
        train_patient_N,
        holdout_MD,
        holdout_patient_M,
        synthetic_KD,
        seed=seed,
        device=device,
    )
    values: dict[str, float | int | None] = {
        "n_synthetic": len(synthetic),
        "n_train": len(train),
        "n_holdout_patients": by.n_patients,
        "copy_threshold": _finite_or_none(by.threshold),
        "caught_share": by.caught_share,
        "copy_share": copies.copy_share,
        "frame_share": copies.frame_share,
        "most_copies_of_a_patient": max(copies.of_patient.values()),
        "recognisable_share": copies.recognisable_share,
        "n_compared": measured.n_compared,
        "ratio_median": _finite_or_none(measured.ratio_median),
        "nearer_train_share": measured.nearer_train_share,
        "authenticity": measured.authenticity,
        "authenticity_across_patients": _finite_or_none(measured.authenticity_across_patients),
    }
    return Card(values, copies)


def _finite_or_none(value: float) -> float | None:
    """The value, or None if it is not finite and so cannot be measured.

    A share between patients cannot be measured with one patient, nor can the threshold of a copy.
    A median ratio cannot be measured if half of the distances to holdout frames are zero.
    """
    return value if math.isfinite(value) else None


def _shrunk(frames_NSS: Frames, side: int) -> NDArray[Any]:
    """Frames (N, S, S) as rows of grey levels, shrunk to at most `side` pixels a side."""
    if frames_NSS.shape[1] > side:
        small = [cv2.resize(f, (side, side), interpolation=cv2.INTER_AREA) for f in frames_NSS]
        frames_NSS = np.stack(small)
    return pixels(frames_NSS)
