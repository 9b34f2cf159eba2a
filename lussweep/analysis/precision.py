"""Average precision: the area under the curve of precision against recall."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lussweep.analysis.jackknife import CHUNK, Estimate, jackknife_estimate, leave_one_out
from lussweep.analysis.levels import Scored, check_units
from lussweep.metrics.auroc import Float64s, Labels, Scores, check_scored


def average_precision(units: Scored, *, confidence: float = 0.95) -> Estimate:
    """Average precision of U units, with an interval over patients (logit scale).

    Chance is the share of positive units. Raises ValueError for bad input or a single class.
    """
    units = check_units(units)
    ids, index_U = np.unique(units.patient_U, return_inverse=True)
    weight_RP = np.concatenate([np.ones((1, len(ids)), np.int64), leave_one_out(len(ids))])
    value_R = weighted_average_precision(units.label_U, units.score_U, index_U, weight_RP)
    return jackknife_estimate(value_R[0], value_R[1:], units, scale="logit", confidence=confidence)


def weighted_average_precision(
    label_N: Labels,
    score_N: Scores,
    index_N: NDArray[np.integer[Any]],
    weight_RP: NDArray[Any],
) -> Float64s:
    """Average precision of R samples of patients, shape (R,); NaN where a sample has one class.

    index_N: each frame's patient, 0 to P - 1. weight_RP: how often each sample holds each patient.
    A frame counts as often as its patient. The value is that of scikit-learn's
    `average_precision_score`: the sum over thresholds of (rise of recall x precision). Frames of
    equal score share a threshold. Frames are sorted once for all samples. Time grows with R x N.
    Raises ValueError for bad input or a single class.
    """
    label_N, score_N = check_scored(label_N, score_N)
    pos, pos_patient = _falling(score_N, index_N, label_N == 1)
    neg, neg_patient = _falling(score_N, index_N, label_N == 0)
    end_T = np.flatnonzero(np.append(pos[1:] != pos[:-1], True))  # the last frame of each threshold
    n_neg_T = np.searchsorted(-neg, -pos[end_T], side="right")  # negatives at it or above
    value_R = np.full(len(weight_RP), np.nan)
    n_rows = max(1, CHUNK // len(label_N))
    for start in range(0, len(weight_RP), n_rows):
        weight_CP = weight_RP[start : start + n_rows].astype(np.float64)
        true_CT = np.cumsum(weight_CP[:, pos_patient], axis=1)[:, end_T]
        false_CN = np.cumsum(weight_CP[:, neg_patient], axis=1)
        false_CT = np.where(n_neg_T > 0, false_CN[:, np.maximum(n_neg_T, 1) - 1], 0)
        called_CT = true_CT + false_CT
        precision_CT = np.divide(
            true_CT, called_CT, out=np.zeros_like(true_CT), where=called_CT > 0
        )
        area_C = (np.diff(true_CT, axis=1, prepend=0) * precision_CT).sum(axis=1)
        both_C = (true_CT[:, -1] > 0) & (false_CN[:, -1] > 0)
        value_C = value_R[start : start + n_rows]
        np.divide(area_C, true_CT[:, -1], out=value_C, where=both_C)
    return value_R


def _falling(
    score_N: Scores, index_N: NDArray[np.integer[Any]], chosen_N: NDArray[np.bool_]
) -> tuple[Scores, NDArray[np.integer[Any]]]:
    """Scores and patients of the chosen frames, from the highest score to the lowest."""
    order = np.argsort(-score_N[chosen_N], kind="stable")
    return score_N[chosen_N][order], index_N[chosen_N][order]
