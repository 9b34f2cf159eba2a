"""Calibration of scores: Brier score, logistic line, calibration error and calibration curve."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from lussweep.analysis.jackknife import CHUNK, Estimate, jackknife_estimate, leave_one_out
from lussweep.analysis.levels import Scored, check_units
from lussweep.analysis.shares import share_interval
from lussweep.metrics.arrays import as_numbers
from lussweep.metrics.auroc import Labels, Scores, check_scored

Float64s = NDArray[np.float64]

CLIP = 1e-6
"""Scores are clipped to [CLIP, 1 - CLIP] before their logit, which is then at most 13.8."""
N_BINS = 10
_MAX_STEPS = 100


class CalibrationLine(NamedTuple):
    """logit P(positive) = intercept + slope x logit(score).

    Calibrated scores have slope 1 and intercept 0.
    """

    slope: float
    intercept: float


CALIBRATED = CalibrationLine(1.0, 0.0)


class LineEstimate(NamedTuple):
    """A calibration line whose slope and intercept have intervals over patients."""

    slope: Estimate
    intercept: Estimate


class CurveBin(NamedTuple):
    """Frames of similar score: the share that is positive, beside the mean score."""

    mean_score: float
    share: float
    """The share of positive frames. It equals `mean_score` if scores are calibrated."""
    low: float
    high: float
    n_frames: int
    n_patients: int


# --- Brier score ----------------------------------------------------------------------------


def brier(units: Scored, *, confidence: float = 0.95) -> Estimate:
    """Mean of (score - label)^2 over units, with an interval over patients (logit scale).

    The source is Brier 1950. Raises ValueError unless scores are probabilities, for bad input or
    a single class.
    """
    units = check_units(units)
    y_U, p_U = _checked(units.label_U, units.score_U)
    ids, index_U = np.unique(units.patient_U, return_inverse=True)
    sum_P = np.bincount(index_U, (p_U - y_U) ** 2, len(ids))
    n_P = np.bincount(index_U, minlength=len(ids))
    weight_PP = leave_one_out(len(ids))
    return jackknife_estimate(
        float(sum_P.sum() / n_P.sum()),
        (weight_PP @ sum_P) / np.maximum(weight_PP @ n_P, 1),
        units,
        scale="logit",
        confidence=confidence,
    )


# --- the line -------------------------------------------------------------------------------


def calibration_line(label_N: Labels, score_N: Scores) -> CalibrationLine:
    """Maximum-likelihood logistic regression of the label on the score's logit, without penalty.

    The source is Cox 1958, Two further applications of a model for binary regression. A slope
    below 1 means that scores are too extreme. Scores are clipped by `CLIP`. The line is NaN if a
    threshold separates the classes, because the likelihood then has no maximum. It is also NaN if
    Newton's method finds no maximum in 100 steps. Raises ValueError for bad input or a single
    class.
    """
    y_N, p_N = _checked(label_N, score_N)
    one_patient_N, once_RP = np.zeros(len(y_N), np.intp), np.ones((1, 1))
    slope, intercept = weighted_lines(y_N, p_N, one_patient_N, once_RP)[0]
    return CalibrationLine(float(slope), float(intercept))


def line_estimate(units: Scored, *, confidence: float = 0.95) -> LineEstimate:
    """The calibration line of U units; slope and intercept have intervals over patients.

    The jackknife refits the line without each patient. Errors as for `calibration_line`.
    """
    units = check_units(units)
    line = calibration_line(units.label_U, units.score_U)
    ids, index_U = np.unique(units.patient_U, return_inverse=True)
    without_P2 = np.full((len(ids), 2), np.nan)
    if not np.isnan(line.slope):
        y_U, p_U = _checked(units.label_U, units.score_U)
        without_P2 = weighted_lines(y_U, p_U, index_U, leave_one_out(len(ids)), start=line)
    slope, intercept = (
        jackknife_estimate(value, without_P, units, confidence=confidence)
        for value, without_P in zip(line, without_P2.T, strict=True)
    )
    return LineEstimate(slope, intercept)


def weighted_lines(
    y_N: Float64s,
    p_N: Float64s,
    index_N: NDArray[np.integer[Any]],
    weight_RP: NDArray[Any],
    *,
    start: CalibrationLine = CALIBRATED,
) -> Float64s:
    """Slope and intercept of R samples of patients, shape (R, 2); NaN where a sample has none.

    y_N: labels, 0 or 1. p_N: probabilities. index_N: each frame's patient, 0 to P - 1. weight_RP:
    how often each sample holds each patient. A frame counts as often as its patient.
    """
    x_N = _logit(p_N)
    line_R2 = np.full((len(weight_RP), 2), np.nan)
    exists_R = _overlaps(y_N, x_N, index_N, weight_RP)
    rows = np.flatnonzero(exists_R)
    n_rows = max(1, CHUNK // len(y_N))
    for first in range(0, len(rows), n_rows):
        chunk = rows[first : first + n_rows]
        line_R2[chunk] = _newton(y_N, x_N, weight_RP[chunk][:, index_N].astype(np.float64), start)
    return line_R2


def _overlaps(
    y_N: Float64s, x_N: Float64s, index_N: NDArray[np.integer[Any]], weight_RP: NDArray[Any]
) -> NDArray[np.bool_]:
    """Whether no threshold separates the classes, in either direction, in each of R samples."""
    ends = {}
    for label in (0, 1):
        for sign in (1, -1):
            top_P = np.full(weight_RP.shape[1], -np.inf)
            np.maximum.at(top_P, index_N[y_N == label], sign * x_N[y_N == label])
            ends[label, sign] = np.where(weight_RP > 0, top_P, -np.inf).max(axis=1)
    return np.asarray((ends[0, 1] > -ends[1, -1]) & (ends[1, 1] > -ends[0, -1]))


def _newton(y_N: Float64s, x_N: Float64s, weight_CN: Float64s, start: CalibrationLine) -> Float64s:
    """Newton's method for C weighted samples at once; slope and intercept, shape (C, 2).

    A step is shortened until it moves no logit by more than 1. The likelihood then rises at every
    step (Bach 2010, Self-concordant analysis for logistic regression, proposition 1).
    """
    line_C2 = np.tile(np.array(start, dtype=np.float64), (len(weight_CN), 1))
    found_C2 = np.full_like(line_C2, np.nan)
    left_C = np.arange(len(weight_CN))  # the samples whose line is not found yet
    ends_2 = np.array([x_N.min(), x_N.max()])
    for _ in range(_MAX_STEPS):
        p_CN = expit(line_C2[:, 1:] + line_C2[:, :1] * x_N)
        left_CN, bend_CN = weight_CN * (y_N - p_CN), weight_CN * p_CN * (1 - p_CN)
        g0_C, g1_C = left_CN.sum(axis=1), left_CN @ x_N
        h00_C, h01_C, h11_C = bend_CN.sum(axis=1), bend_CN @ x_N, bend_CN @ x_N**2
        determinant_C = h00_C * h11_C - h01_C**2
        is_curved_C = determinant_C > 0
        determinant_C[~is_curved_C] = np.nan
        tilt_C = (h00_C * g1_C - h01_C * g0_C) / determinant_C
        up_C = (h11_C * g0_C - h01_C * g1_C) / determinant_C
        step_C2 = np.stack([tilt_C, up_C], axis=1)
        done_C = g1_C * tilt_C + g0_C * up_C <= 1e-18 * weight_CN.sum(axis=1)
        found_C2[left_C[done_C]] = (line_C2 + step_C2)[done_C]
        furthest_C = np.abs(up_C[:, None] + tilt_C[:, None] * ends_2).max(axis=1)
        line_C2 += step_C2 / np.maximum(furthest_C, 1)[:, None]
        goes_on_C = ~done_C & is_curved_C
        if not goes_on_C.any():
            break
        line_C2, left_C, weight_CN = line_C2[goes_on_C], left_C[goes_on_C], weight_CN[goes_on_C]
    return found_C2


def _logit(p_N: Float64s) -> Float64s:
    clipped_N = p_N.clip(CLIP, 1 - CLIP)
    return np.asarray(np.log(clipped_N) - np.log1p(-clipped_N))


def recalibrated(line: CalibrationLine, score_N: Scores) -> Float64s:
    """The probabilities that a line gives to scores. The line may come from validation frames.

    Scores are clipped by `CLIP`. Raises ValueError unless they are probabilities.
    """
    p_N = as_numbers(score_N, "scores").astype(np.float64)
    _check_probabilities(p_N)
    logit_N = line.intercept + line.slope * _logit(p_N)
    return np.asarray(expit(logit_N))


# --- error and curve ------------------------------------------------------------------------


def expected_calibration_error(label_N: Labels, score_N: Scores, *, n_bins: int = N_BINS) -> float:
    """Mean over frames of |share of positives - mean score| in the frame's bin, 0 to 1.

    Bins have equal mass (Nguyen and O'Connor 2015, arXiv 1508.05154), see `_bins`. Errors as for
    `calibration_line`.
    """
    y_N, p_N = _checked(label_N, score_N)
    excess_B = np.bincount(_bins(p_N, n_bins), y_N - p_N)
    return float(np.abs(excess_B).sum() / len(p_N))


def calibration_curve(
    units: Scored, *, n_bins: int = N_BINS, confidence: float = 0.95
) -> list[CurveBin]:
    """Up to `n_bins` bins of equal mass, from the lowest scores to the highest.

    The share of a bin has the interval of `shares.share_interval`. Bins are taken as given. Errors
    as for `calibration_line`.
    """
    units = check_units(units)
    y_U, p_U = _checked(units.label_U, units.score_U)
    bin_U = _bins(p_U, n_bins)
    bins = []
    for number in np.unique(bin_U):
        mine_U = bin_U == number
        index_U = np.unique(units.patient_U[mine_U], return_inverse=True)[1]
        n_hits_P, n_frames_P = np.bincount(index_U, y_U[mine_U]), np.bincount(index_U)
        low, high = share_interval(n_hits_P, n_frames_P, confidence=confidence)
        mean_score, share = float(p_U[mine_U].mean()), float(y_U[mine_U].mean())
        n_frames, n_patients = int(mine_U.sum()), len(n_frames_P)
        bins.append(CurveBin(mean_score, share, low, high, n_frames, n_patients))
    return bins


def _bins(p_N: Float64s, n_bins: int) -> NDArray[np.int64]:
    """Each frame's bin of equal mass, from 0.

    Equal scores stay together, in the bin of the middle of their mass, so the order of frames does
    not matter. Bins then differ in size and may be empty.
    """
    if n_bins < 1:
        raise ValueError(f"n_bins is {n_bins}, not 1 or more")
    _, group_N, n_G = np.unique(p_N, return_inverse=True, return_counts=True)
    bin_G = (n_bins * (np.cumsum(n_G) - n_G / 2) / len(p_N)).astype(np.int64)
    return np.asarray(bin_G[group_N])


def _checked(label_N: Labels, score_N: Scores) -> tuple[Float64s, Float64s]:
    """Return labels and scores as float64. Raises ValueError unless scores are probabilities."""
    label_N, score_N = check_scored(label_N, score_N)
    _check_probabilities(score_N)
    return (label_N == 1).astype(np.float64), score_N.astype(np.float64)


def _check_probabilities(score_N: Scores) -> None:
    if not ((score_N >= 0) & (score_N <= 1)).all():
        raise ValueError("scores must be probabilities, in [0, 1]")
