"""Statistics over patients of a user's own scores: AUC-ROC, contrasts, worth in patients.

Labels, scores and patients are array-likes: an array, a list, a tensor, or a column of pandas,
polars or Arrow. Row i of each belongs to frame i. Each function raises ValueError with one line for
other lengths, missing or infinite values, labels other than 0 and 1, a single class, ids of several
types, or pandas columns with different indexes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lussweep.analysis import auroc_interval as intervals
from lussweep.analysis.auroc_interval import PatientAuroc, won_by_patient
from lussweep.analysis.contrasts import Contrast, contrasts
from lussweep.analysis.grid_means import baseline_law, grid_means
from lussweep.analysis.levels import Scored, check_units
from lussweep.analysis.paired import matrix_at, pair_up
from lussweep.analysis.worth import Worth, worths
from lussweep.metrics.arrays import ArrayLike, as_ids, as_numbers, check_one_order, check_one_table
from lussweep.metrics.auroc import check_scored
from lussweep.study.spec.analysis import Level

VARIANT, REFERENCE = "scores", "reference_scores"
MIN_RESAMPLES = 100


def auroc_interval(
    labels: ArrayLike,
    scores: ArrayLike,
    patients: ArrayLike,
    *,
    level: Level = "frame",
    confidence: float = 0.95,
) -> PatientAuroc:
    """AUC-ROC of one model with its interval over patients: this model, other patients.

    The interval is withheld, and `withheld` says why, under 5 patients of a class. Sources: DeLong
    1988 and Obuchowski 1997, with limits after Korn and Graubard 1998
    (`lussweep/analysis/auroc_interval.py`).

    labels: (N,), 1 positive, 0 negative. scores: (N,), higher means more positive. patients: (N,),
    the patient of each frame, as texts or whole numbers. `level` says what AUC-ROC is over:
    "frame", "patient_mean" (the mean score of each patient) or "patient_weighted" (frames, where
    each patient of a class weighs the same). Values are shares in [0, 1]. Raises ValueError for bad
    input (see this module) or a confidence outside (0, 1).

    >>> import lussweep
    >>> labels = [1] * 12 + [0] * 12
    >>> scores = [0.9, 0.8, 0.7, 0.9, 0.6, 0.8, 0.7, 0.4, 0.9, 0.8, 0.6, 0.9,
    ...           0.1, 0.2, 0.5, 0.3, 0.4, 0.2, 0.1, 0.7, 0.3, 0.2, 0.1, 0.4]
    >>> patients = [f"P{i // 2}" for i in range(24)]
    >>> found = lussweep.auroc_interval(labels, scores, patients)
    >>> round(found.estimate, 3), round(found.interval.low, 3), round(found.interval.high, 3)
    (0.958, 0.665, 1.0)
    """
    units = _units(labels, scores, patients)
    _check_level(level)
    matrix = matrix_at(level, units)
    return intervals.auroc_interval(won_by_patient(matrix), confidence=confidence)


def contrast(
    labels: ArrayLike,
    scores: ArrayLike,
    reference_scores: ArrayLike,
    patients: ArrayLike,
    *,
    level: Level = "frame",
) -> Contrast:
    """AUC-ROC of a model less that of a reference, on the same frames of the same patients.

    With one model each, the interval `conditional` is about other patients, for these two models.
    With K trainings of each, `interval` and `p_value` are about other patients and other trainings
    (Obuchowski and Rockette 1995, Hillis 2007; `lussweep/analysis/contrasts.py`). `withheld` says
    why a part is None.

    labels and patients: (N,), as for `auroc_interval`. scores and reference_scores: (N,), or (N, K)
    with a column for each training. Column k of both must share what trainings can share, such as
    their patients and their seed. Differences are in units of AUC-ROC. Raises ValueError for bad
    input (see this module), or for scores of different shapes.

    >>> import lussweep
    >>> labels = [1] * 12 + [0] * 12
    >>> reference = [0.9, 0.8, 0.7, 0.9, 0.6, 0.8, 0.7, 0.4, 0.9, 0.8, 0.6, 0.9,
    ...              0.1, 0.2, 0.5, 0.3, 0.4, 0.2, 0.1, 0.7, 0.3, 0.2, 0.1, 0.4]
    >>> scores = reference[:7] + [0.8] + reference[8:]
    >>> patients = [i // 2 for i in range(24)]
    >>> found = lussweep.contrast(labels, scores, reference, patients)
    >>> round(found.effect.difference, 3), found.interval
    (0.021, None)
    >>> found.withheld
    '1 replicate: what other trainings would change is not known, 2 or more are needed'
    """
    _check_level(level)
    check_one_table({"labels": labels, VARIANT: scores, REFERENCE: reference_scores,
                     "patients": patients})  # fmt: skip
    check_one_order({VARIANT: scores, REFERENCE: reference_scores})
    scores_NK = {
        name: _columns(values, name)
        for name, values in ((VARIANT, scores), (REFERENCE, reference_scores))
    }
    if scores_NK[VARIANT].shape != scores_NK[REFERENCE].shape:
        shapes = " and ".join(str(x_NK.shape) for x_NK in scores_NK.values())
        raise ValueError(f"{VARIANT} and {REFERENCE} have shapes {shapes}: give as many trainings")
    cells = {
        (name, k + 1): _units(labels, x_NK[:, k], patients, name)
        for name, x_NK in scores_NK.items()
        for k in range(x_NK.shape[1])
    }
    return contrasts({1: pair_up(cells, level)}, VARIANT, REFERENCE)[1]


def worth(
    labels: ArrayLike,
    scores: Mapping[tuple[str, int, int], ArrayLike],
    patients: ArrayLike,
    *,
    baseline: str = "baseline",
    level: Level = "frame",
    n_resamples: int = 2000,
    nested: bool = False,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[Worth]:
    """How many patients of the baseline each variant is worth, at each of its patient counts.

    The baseline's curve of AUC-ROC against its number of training patients is read backwards. The
    interval is about other holdout patients and other trainings. Nothing is extrapolated: `text`
    may be "> 58" (`lussweep/analysis/worth.py`; docs/statistics.md explains it).

    labels and patients: (N,), as for `auroc_interval`, of the holdout that judges every model.
    scores: the scores (N,) of each model, by (variant, training patients of each class, replicate).
    The baseline needs two patient counts. `nested` says that larger cohorts hold the smaller ones.
    `n_resamples` sets of patients are drawn with `seed`: 100 or more, and more for a confidence
    above 0.98. The result is in patients of each class, sorted by variant and patient count. Raises
    ValueError for bad input (see this module), without a baseline, for a key of another form, or
    for too few resamples.

    >>> import numpy as np
    >>> import lussweep
    >>> rng = np.random.default_rng(0)
    >>> patients = np.repeat(np.arange(40), 5)
    >>> labels = patients % 2
    >>> def scored(gain):
    ...     return gain * labels + rng.normal(size=40)[patients] + rng.normal(size=200)
    >>> scores = {("baseline", n, k): scored(n / 10) for n in (5, 10, 20) for k in (1, 2, 3)}
    >>> scores |= {("combined", 10, k): scored(1.4) for k in (1, 2, 3)}
    >>> [found] = lussweep.worth(labels, scores, patients)
    >>> found.variant, found.n_patients, found.interval is not None
    ('combined', 10, True)
    """
    _check_level(level)
    if not isinstance(scores, Mapping) or not scores:
        raise ValueError(
            "scores are no dict: give the scores of each model by (variant, n_patients, replicate)"
        )
    for key in scores:
        if not _is_cell(key):
            raise ValueError(
                f"{key!r} is no key of scores: give (variant, n_patients, replicate), such as "
                "('combined', 6, 1)"
            )
    if baseline not in {variant for variant, _, _ in scores}:
        raise ValueError(f"scores hold no variant {baseline!r}: name it with baseline=")
    _check_resamples(n_resamples, confidence)
    cells = {
        key: _units(labels, column, patients, f"scores of {key}") for key, column in scores.items()
    }
    pairs = grid_means(
        cells, level=level, n_resamples=n_resamples, nested=nested, seed=seed, baseline=baseline
    )
    return [
        row
        for pair in pairs
        if pair.variant != baseline
        for row in worths(pair, baseline_law(pair), confidence=confidence)
    ]


def _units(
    labels: ArrayLike, scores: ArrayLike, patients: ArrayLike, name: str = "scores"
) -> Scored:
    """The frames, told apart by their row. Errors call the scores `name`."""
    check_one_table({"labels": labels, name: scores, "patients": patients})
    label_N, score_N = check_scored(labels, scores, name)
    patient_N = as_ids(patients, "patients")
    if patient_N.shape != label_N.shape:
        raise ValueError(f"patients have shape {patient_N.shape}, labels {label_N.shape}")
    return check_units(Scored(label_N, score_N, patient_N, None, np.arange(len(label_N))))


def _columns(values: ArrayLike, name: str) -> NDArray[Any]:
    """Scores as (N, K), with a column for each training."""
    x_NK = as_numbers(values, name)
    if x_NK.ndim not in (1, 2) or 0 in x_NK.shape:
        raise ValueError(f"{name} have shape {x_NK.shape}, not (frames,) or (frames, trainings)")
    return x_NK if x_NK.ndim == 2 else x_NK[:, None]


def _check_level(level: str) -> None:
    if level not in ("frame", "patient_mean", "patient_weighted"):
        raise ValueError(f"level is {level!r}: give frame, patient_mean or patient_weighted")


def _check_resamples(n_resamples: int, confidence: float) -> None:
    """Raise ValueError if even the extremes of the resamples have a lower confidence."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, not between 0 and 1")
    least = max(MIN_RESAMPLES, math.ceil(2 / (1 - confidence) - 1e-6) - 1)
    if n_resamples < least:
        raise ValueError(f"n_resamples is {n_resamples}: confidence {confidence:g} needs {least}")


def _is_cell(key: Any) -> bool:
    if not isinstance(key, tuple) or len(key) != 3 or not isinstance(key[0], str):
        return False
    return all(isinstance(n, int | np.integer) and n > 0 for n in key[1:])
