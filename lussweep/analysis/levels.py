"""Scores by frame, video or patient: the units that an AUC-ROC is computed over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from lussweep.metrics.arrays import as_ids, check_one_table
from lussweep.metrics.auroc import Float64s, Labels, Scores, check_scored
from lussweep.study.spec.analysis import Level

LEVELS: tuple[Level, ...] = get_args(Level)


class Scored(NamedTuple):
    """U frames, videos or patients, each with a label and a score.

    label_U: 0 or 1. score_U: finite floats; higher means more positive. Ids may have any sortable
    type. Video ids need to be unique within their patient only. Frames have all three ids, videos
    have no `frame_U`, and patients have neither `frame_U` nor `video_U`.
    """

    label_U: Labels
    score_U: Scores
    patient_U: NDArray[Any]
    video_U: NDArray[Any] | None = None
    frame_U: NDArray[Any] | None = None


@dataclass(frozen=True)
class Aggregate:
    """The rule that makes one score of several: mean, maximum, or mean of the `k` highest.

    If there are fewer than `k` units, `top_k_mean` takes the mean of all. Raises ValueError for
    an unknown kind or a bad `k`.
    """

    kind: Literal["mean", "max", "top_k_mean"]
    k: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("mean", "max", "top_k_mean"):
            raise ValueError(f"unknown aggregate {self.kind!r}")
        if (self.kind == "top_k_mean") != (self.k is not None):
            raise ValueError(f"k is for top_k_mean and needed there: {self.kind}, k {self.k}")
        if self.k is not None and self.k < 1:
            raise ValueError(f"k is {self.k}, it must be 1 or more")


MEAN = Aggregate("mean")
MAX = Aggregate("max")


def top_k_mean(k: int) -> Aggregate:
    """The mean of the k highest scores."""
    return Aggregate("top_k_mean", k)


def check_units(units: Scored) -> Scored:
    """The units with an array in each field, row by row, whatever array-likes they hold.

    Raises ValueError unless labels, scores and ids have one shape and both classes occur.
    """
    check_one_table({n: column for n, column in units._asdict().items() if column is not None})
    label_U, score_U = check_scored(units.label_U, units.score_U)
    ids = {}
    for name in ("patient_U", "video_U", "frame_U"):
        id_U = getattr(units, name)
        if id_U is not None:
            ids[name] = as_ids(id_U, name)
            if ids[name].shape != label_U.shape:
                raise ValueError(f"{name} has shape {ids[name].shape}, labels {label_U.shape}")
    return Scored(label_U, score_U, **ids)


def to_videos(frames: Scored, aggregate: Aggregate = MEAN) -> Scored:
    """Aggregate frames to one unit per video, in sorted order of (patient, video).

    A video is positive if any of its frames is. Raises ValueError for bad input or frames without
    video ids.
    """
    if frames.video_U is None:
        raise ValueError("there are no video ids to aggregate by")
    frames = check_units(frames)
    assert frames.video_U is not None
    videos, video_code_U = np.unique(frames.video_U, return_inverse=True)
    patient_code_U = np.unique(frames.patient_U, return_inverse=True)[1]
    code_U = patient_code_U * len(videos) + video_code_U
    first_G, group_U = np.unique(code_U, return_index=True, return_inverse=True)[1:]
    return Scored(
        _any_positive(frames.label_U, group_U),
        _aggregated(frames.score_U, group_U, aggregate),
        frames.patient_U[first_G],
        frames.video_U[first_G],
    )


def to_patients(units: Scored, aggregate: Aggregate = MEAN) -> Scored:
    """Aggregate frames or videos to one unit per patient, in sorted order of patient ids.

    A patient is positive if any unit is. All units of a patient count, including the negative
    ones of a positive patient, because a reader does not know which they are. The result may
    hold patients of one class only, even if `units` have both. `to_patients(frames)` gives every
    frame the same weight. `to_patients(to_videos(frames), MAX)` takes the highest of a patient's
    video scores. Raises ValueError for bad input.
    """
    units = check_units(units)
    patient_G, group_U = np.unique(units.patient_U, return_inverse=True)
    return Scored(
        _any_positive(units.label_U, group_U),
        _aggregated(units.score_U, group_U, aggregate),
        patient_G,
    )


def patients_by_class(units: Scored) -> tuple[int, int]:
    """Count patients with a positive unit, and patients with a negative unit; some have both."""
    n_pos, n_neg = (len(np.unique(units.patient_U[units.label_U == label])) for label in (1, 0))
    return n_pos, n_neg


def _any_positive(label_U: Labels, group_U: NDArray[np.intp]) -> NDArray[np.int64]:
    return (np.bincount(group_U, weights=label_U == 1) > 0).astype(np.int64)


def _aggregated(score_U: Scores, group_U: NDArray[np.intp], aggregate: Aggregate) -> Float64s:
    """Mean of the highest scores of each of G groups: all of them, one, or k."""
    n_G = np.bincount(group_U)
    limit = aggregate.k or (1 if aggregate.kind == "max" else len(score_U))
    order_U = np.lexsort((-score_U, group_U))
    rank_U = np.arange(len(score_U)) - np.repeat(np.cumsum(n_G) - n_G, n_G)
    highest = order_U[rank_U < limit]
    sum_G = np.bincount(group_U[highest], weights=score_U[highest], minlength=len(n_G))
    return np.asarray(sum_G / np.bincount(group_U[highest], minlength=len(n_G)), dtype=np.float64)
