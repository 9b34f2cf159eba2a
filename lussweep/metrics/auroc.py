"""AUC-ROC as the share of won pairs, for all frames and for resampled patients."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lussweep.metrics.arrays import ArrayLike, as_ids, as_numbers, check_one_table

Float64s = NDArray[np.float64]
Int64s = NDArray[np.int64]
Labels = NDArray[np.integer[Any]] | NDArray[np.bool_]
Scores = NDArray[np.floating[Any]]


class WinMatrix(NamedTuple):
    """Pairs won between P patients, in sorted order of their ids.

    wins_PP[p, q] counts the pairs of a positive frame of p and a negative frame of q in which
    the positive frame scores higher. Equal scores count half. n_pos_P and n_neg_P are the
    patients' numbers of positive and negative frames.
    """

    wins_PP: Float64s
    n_pos_P: Int64s
    n_neg_P: Int64s


def check_scored(
    labels: ArrayLike, scores: ArrayLike, name: str = "scores"
) -> tuple[Labels, Scores]:
    """Labels and scores as arrays (N,), row by row.

    Raises ValueError, which calls the scores `name`, unless labels are 0 and 1, both occur, and
    each has a finite score.
    """
    check_one_table({"labels": labels, name: scores})
    label_N, score_N = as_numbers(labels, "labels"), as_numbers(scores, name)
    if label_N.ndim != 1 or label_N.shape != score_N.shape:
        raise ValueError(f"labels have shape {label_N.shape}, {name} {score_N.shape}")
    if not (is_finite_N := np.isfinite(score_N)).all():
        row = int(np.argmin(is_finite_N))
        raise ValueError(f"{name} hold a value that is not finite, the first in row {row} (from 0)")
    classes = set(np.unique(label_N).tolist())
    if not classes <= {0, 1}:
        raise ValueError(f"labels must be 0 or 1, found {sorted(classes)[:5]}")
    if len(classes) < 2:
        raise ValueError(f"both classes are needed, found {sorted(map(int, classes)) or 'none'}")
    return label_N, score_N


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Share of (positive, negative) pairs in which the positive scores higher; ties count half.

    Pairs are counted in integers, so the result is exact. labels: (N,), 0 or 1. scores: (N,),
    finite. Raises ValueError for bad input or a single class.
    """
    label_N, score_N = check_scored(labels, scores)
    pos, neg = score_N[label_N == 1], np.sort(score_N[label_N == 0])
    return int(_doubled_wins(pos, neg).sum()) / (2 * len(pos) * len(neg))


def win_matrix(labels: ArrayLike, scores: ArrayLike, patients: ArrayLike) -> WinMatrix:
    """Count the pairs that each patient's positive frames win against each patient's negatives.

    It takes P binary searches over sorted scores and holds no frame x frame matrix. patients: (N,),
    ids that are texts or whole numbers. Raises ValueError for bad input or a single class.
    """
    check_one_table({"labels": labels, "scores": scores, "patients": patients})
    label_N, score_N = check_scored(labels, scores)
    patient_N = as_ids(patients, "patients")
    if patient_N.shape != label_N.shape:
        raise ValueError(f"patient ids have shape {patient_N.shape}, labels {label_N.shape}")
    ids, index_N = np.unique(patient_N, return_inverse=True)
    n_all_patients = len(ids)
    order_N = np.argsort(score_N, kind="stable")
    index_N, score_N, is_pos_N = index_N[order_N], score_N[order_N], label_N[order_N] == 1
    pos, pos_patient = score_N[is_pos_N], index_N[is_pos_N]
    neg, neg_patient = score_N[~is_pos_N], index_N[~is_pos_N]
    wins_PP = np.zeros((n_all_patients, n_all_patients))
    for q in np.unique(neg_patient):
        doubled = _doubled_wins(pos, neg[neg_patient == q])
        wins_PP[:, q] = np.bincount(pos_patient, weights=doubled, minlength=n_all_patients) / 2
    n_pos_P = np.bincount(pos_patient, minlength=n_all_patients)
    return WinMatrix(wins_PP, n_pos_P, np.bincount(neg_patient, minlength=n_all_patients))


def patient_weighted(matrix: WinMatrix) -> WinMatrix:
    """The win matrix in which every patient of a class weighs the same, whatever its frame count.

    A frame weighs 1 / (its patient's frames in its class). Counts become 1 for a patient with
    frames in the class and 0 for others; wins become the shares of pairs won. The AUC-ROC of the
    result is the mean of these shares over pairs of a positive and a negative patient. `matrix`
    may hold a difference or a sum of win matrices of the same frames.
    """
    n_pairs_PP = np.outer(matrix.n_pos_P, matrix.n_neg_P)
    share_PP = np.zeros(matrix.wins_PP.shape)
    np.divide(matrix.wins_PP, n_pairs_PP, out=share_PP, where=n_pairs_PP > 0)
    n_pos_P, n_neg_P = (np.sign(n_P, dtype=np.int64) for n_P in (matrix.n_pos_P, matrix.n_neg_P))
    return WinMatrix(share_PP, n_pos_P, n_neg_P)


def patient_weights(n_all_patients: int, n_resamples: int, *, seed: int) -> Int64s:
    """Count how often each resample draws each patient, shape (R, P); every row sums to P."""
    drawn_RP = np.random.default_rng(seed).integers(
        n_all_patients, size=(n_resamples, n_all_patients)
    )
    weight_RP = np.zeros((n_resamples, n_all_patients), dtype=np.int64)
    np.add.at(weight_RP, (np.arange(n_resamples)[:, None], drawn_RP), 1)
    return weight_RP


def resampled_auroc(matrix: WinMatrix, weight_RP: Int64s) -> Float64s:
    """AUC-ROC of each resample, shape (R,): w W w / ((w n_pos)(w n_neg)).

    NaN where a resample holds one class only.
    """
    won_R = ((weight_RP @ matrix.wins_PP) * weight_RP).sum(axis=1)
    n_pairs_R = (weight_RP @ matrix.n_pos_P) * (weight_RP @ matrix.n_neg_P)
    auroc_R = np.full(len(weight_RP), np.nan)
    np.divide(won_R, n_pairs_R, out=auroc_R, where=n_pairs_R > 0)
    return auroc_R


def _doubled_wins(pos: Scores, sorted_neg: Scores) -> NDArray[np.intp]:
    """For each positive score: twice the number of negatives below it, plus the number equal."""
    below = np.searchsorted(sorted_neg, pos, side="left")
    return below + np.searchsorted(sorted_neg, pos, side="right")
