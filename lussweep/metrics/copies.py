"""Copies of training frames in a synthetic set, judged by what unseen patients' frames are like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import nctdtrit, ndtri

from lussweep.metrics.distances import Device
from lussweep.metrics.structure import nearest_structures, structures

Float64s = NDArray[np.float64]
Frames = NDArray[np.uint8]

MIN_RATIO = 2.0
"""No threshold is lower: the training frame leaves at most half as much of a copy unexplained as
the nearest holdout frame does."""
UNSEEN_SHARE, CONFIDENCE = 0.99, 0.95
"""With this confidence, the threshold lies above the nearest frame of this share of all patients
whom the generator did not see."""
N_DISGUISED = 64
"""Training frames that are disguised, to see whether the threshold would catch them."""
DISGUISE_ZOOM = 0.05
"""Disguised frames are mirrored and, in turn, made larger or smaller by this share. A zoom is the
hardest to see through of the changes that were tried."""
_NOISE_OF_RATIO = 0.02
"""It is added to both unexplained shares, so that the ratio of an exact copy is finite."""


@dataclass(frozen=True, eq=False)
class Yardstick:
    """What frames are compared with, and the ratio above which a frame is a copy.

    train_NSS, holdout_MSS: structures. threshold: infinite if it cannot be told. caught_share: the
    share of disguised training frames that it catches. n_patients: holdout patients.
    """

    train_NSS: NDArray[np.float32]
    holdout_MSS: NDArray[np.float32]
    threshold: float
    caught_share: float
    n_patients: int
    device: Device


@dataclass(frozen=True, eq=False)
class Ratios:
    """For each of K frames: how much nearer it is to training than to holdout, and to which.

    ratio_K: (1 - likeness of the nearest holdout frame) / (1 - likeness of the nearest training
    frame): about 1 without memorisation, above 20 for a copy unlike all holdout frames.
    """

    ratio_K: Float64s
    nearest_train_K: NDArray[np.int64]
    nearest_holdout_K: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Copies:
    """The copies among K synthetic frames; see `find_copies`. Shares are in [0, 1]."""

    ratios: Ratios
    is_copy_K: NDArray[np.bool_]
    copy_share: float
    frame_share: float
    of_patient: dict[str, int]
    recognisable_share: float


def yardstick(
    train: Frames,
    holdout: Frames,
    holdout_patient_M: NDArray[Any],
    *,
    seed: int,
    device: Device = "cpu",
) -> Yardstick:
    """Calibrate on the frames of unseen patients what a copy of a training frame is.

    Each holdout frame has a ratio as a synthetic one has; frames of its own patient are left out.
    The threshold is the upper tolerance limit of the patients' largest log ratios: a normal
    distribution is assumed, and the limit holds with CONFIDENCE for UNSEEN_SHARE of patients
    (Krishnamoorthy & Mathew 2009, section 2.2). It is high with few patients, whose spread is
    uncertain. It is infinite with fewer than two. Whether it still catches copies is then asked
    of N_DISGUISED training frames, mirrored and zoomed.

    train, holdout: uint8 (N, S, S) and (M, S, S). holdout_patient_M: a patient id a frame.
    Raises ValueError for other shapes or without frames.
    """
    if np.shape(holdout_patient_M) != (len(holdout),):
        raise ValueError(
            f"{len(holdout)} holdout frames, patient ids of shape {np.shape(holdout_patient_M)}"
        )
    train_NSS, holdout_MSS = structures(train), structures(holdout)
    patients, code_M = np.unique(holdout_patient_M, return_inverse=True)
    unlimited = Yardstick(train_NSS, holdout_MSS, np.inf, 0.0, len(patients), device)
    if len(patients) < 2:
        return unlimited
    to_train = nearest_structures(holdout_MSS, train_NSS, device=device)
    to_others = nearest_structures(
        holdout_MSS,
        holdout_MSS,
        query_patient_K=code_M,
        reference_patient_N=code_M,
        device=device,
    )
    log_ratio_M = np.log(_ratio(to_train.likeness_K, to_others.likeness_K))
    largest_P = np.array([log_ratio_M[code_M == p].max() for p in range(len(patients))])
    threshold = max(MIN_RATIO, float(np.exp(tolerance_limit(largest_P))))
    chosen = np.random.default_rng(seed).permutation(len(train))[:N_DISGUISED]
    caught_K = ratios(unlimited, disguised(train[chosen])).ratio_K > threshold
    caught_share = float(caught_K.mean())
    return Yardstick(train_NSS, holdout_MSS, threshold, caught_share, len(patients), device)


def ratios(by: Yardstick, frames: Frames) -> Ratios:
    """How much nearer each of K frames (K, S, S) is to training than to holdout."""
    query_KSS = structures(frames)
    to_train = nearest_structures(query_KSS, by.train_NSS, device=by.device)
    to_holdout = nearest_structures(query_KSS, by.holdout_MSS, device=by.device)
    ratio_K = _ratio(to_train.likeness_K, to_holdout.likeness_K)
    return Ratios(ratio_K, to_train.index_K, to_holdout.index_K)


def find_copies(found: Ratios, threshold: float, train_patient_N: NDArray[np.str_]) -> Copies:
    """The copies among K synthetic frames: those whose ratio is above the threshold.

    frame_share: copies whose nearest training frame is the same, over K: the largest of any frame.
    of_patient: copies by the patient of their nearest training frame, for all patients.
    recognisable_share: training patients of whom there is at least one copy, over all.
    """
    is_copy_K = found.ratio_K > threshold
    copied = found.nearest_train_K[is_copy_K]
    patients, code_N = np.unique(train_patient_N, return_inverse=True)
    n_copies_P = np.bincount(code_N[copied], minlength=len(patients))
    return Copies(
        ratios=found,
        is_copy_K=is_copy_K,
        copy_share=float(is_copy_K.mean()),
        frame_share=int(np.bincount(copied, minlength=1).max()) / len(is_copy_K),
        of_patient=dict(zip(map(str, patients), n_copies_P.tolist(), strict=True)),
        recognisable_share=float((n_copies_P > 0).mean()),
    )


def spread_over_patients(
    patient_N: NDArray[Any], n_frames: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw at most `n_frames` rows, as many of each patient as the patient's frames allow."""
    order = rng.permutation(len(patient_N))
    code_N = np.unique(patient_N[order], return_inverse=True)[1]
    by_patient = np.argsort(code_N, kind="stable")
    starts_P = np.cumsum(np.bincount(code_N)) - np.bincount(code_N)
    rank_N = np.empty(len(order), np.int64)
    rank_N[by_patient] = np.arange(len(order)) - starts_P[code_N[by_patient]]
    rows: NDArray[np.int64] = np.sort(order[np.argsort(rank_N, kind="stable")[:n_frames]])
    return rows


def disguised(frames: Frames) -> Frames:
    """Copies of frames (N, S, S) as somebody may hide them: mirrored, larger or smaller in turn."""
    size = frames.shape[1]
    centre = ((size - 1) / 2, (size - 1) / 2)
    zooms = [
        cv2.getRotationMatrix2D(centre, 0, 1 + sign * DISGUISE_ZOOM).astype(np.float32)
        for sign in (1, -1)
    ]
    return np.stack(
        [
            cv2.warpAffine(np.ascontiguousarray(frame[:, ::-1]), zooms[i % 2], (size, size))
            for i, frame in enumerate(frames)
        ]
    )


def tolerance_limit(value_P: Float64s) -> float:
    """The upper limit that UNSEEN_SHARE of a normal population stays below, with CONFIDENCE.

    value_P: at least two values drawn from the population.
    """
    n = len(value_P)
    noncentrality = np.sqrt(n) * ndtri(UNSEEN_SHARE)
    factor = nctdtrit(n - 1, noncentrality, CONFIDENCE) / np.sqrt(n)
    return float(value_P.mean() + factor * value_P.std(ddof=1))


def _ratio(train_K: NDArray[np.float32], holdout_K: NDArray[np.float32]) -> Float64s:
    """The share of structure that the nearest holdout frame leaves unexplained, over that of the
    nearest training frame."""
    holdout, train = (
        1 + _NOISE_OF_RATIO - likeness.astype(np.float64) for likeness in (holdout_K, train_K)
    )
    ratio: Float64s = holdout / train
    return ratio
