"""Statistics of each cell: AUC-ROC by level and operating points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pyarrow as pa

from lussweep.analysis.auroc_interval import auroc_interval, won_by_patient
from lussweep.analysis.effective import too_few
from lussweep.analysis.levels import (
    MAX,
    MEAN,
    Scored,
    patients_by_class,
    to_patients,
    to_videos,
    top_k_mean,
)
from lussweep.analysis.operating import operating_point, threshold_for_specificity
from lussweep.metrics.auroc import patient_weighted, win_matrix
from lussweep.report.cells import (
    DONE,
    REFUSED,
    WITHHELD,
    Row,
    ScoredCells,
)
from lussweep.report.summary import coordinates_of, epoch_is_axis
from lussweep.store import tables
from lussweep.study.coordinates import Coordinates
from lussweep.study.spec import StudySpec

PATIENT_WEIGHTED = "patient_weighted"
WANTED_SPECIFICITIES = (0.9, 0.95)
SCALARS = ("auroc", "accuracy", "sensitivity", "specificity", "f1")
"""Columns of `results` that stay empty if the scores have no statistics."""


# --- AUC-ROC ------------------------------------------------------------------------------


def auroc_rows(cells: ScoredCells, study: StudySpec) -> list[Row]:
    """One row for each cell and level, in the AUROCS schema."""
    rows, top_k = [], study.analysis.top_k
    for place in cells.done:
        for level, raise_to in _levels(top_k).items():
            row = place.row() | {"level": level}
            if level.endswith("_top"):
                row["top_k"] = top_k
            if place in cells.scored:
                row |= _auroc(raise_to(cells.scored[place]), level)
            else:
                row |= {"status": REFUSED, "reason": cells.refused[place]}
            rows.append(row)
    return rows


def with_intervals(results: pa.Table, aurocs: pa.Table) -> pa.Table:
    """Returns `results` with the interval over each cell's frames, or the reason for none.

    A cell whose scores were refused loses its numbers and gets the status `refused`.
    """
    axis = epoch_is_axis(results)
    frames = {
        coordinates_of(row, True): row for row in aurocs.to_pylist() if row["level"] == "frame"
    }
    rows = [row | _of_results(frames.get(coordinates_of(row, axis))) for row in results.to_pylist()]
    return pa.Table.from_pylist(rows, tables.RESULTS)


def _of_results(frames: Row | None) -> Row:
    if frames is None:
        return {}
    if frames["status"] == REFUSED:
        return dict.fromkeys(SCALARS) | {"status": REFUSED, "reason": frames["reason"]}
    return {
        "auroc_low": frames["low"],
        "auroc_high": frames["high"],
        "reason": frames["reason"] and f"no interval: {frames['reason']}",
    }


def _levels(top_k: int) -> Mapping[str, Callable[[Scored], Scored]]:
    levels: dict[str, Callable[[Scored], Scored]] = dict.fromkeys(
        ("frame", PATIENT_WEIGHTED), lambda frames: frames
    )
    for name, aggregate in (("mean", MEAN), ("max", MAX), ("top", top_k_mean(top_k))):
        levels[f"video_{name}"] = partial(to_videos, aggregate=aggregate)
        levels[f"patient_{name}"] = partial(to_patients, aggregate=aggregate)
    return levels


def _auroc(units: Scored, level: str) -> Row:
    row: Row = {"n_units": len(units.label_U)}
    if units.label_U.all():  # a video or a patient is positive if any of its frames is
        row |= dict(
            zip(("n_pos_patients", "n_neg_patients"), patients_by_class(units), strict=True)
        )
        word = level.partition("_")[0]
        reason = f"all {len(units.label_U)} {word}s have a positive frame: none is negative"
        return row | {"status": REFUSED, "reason": reason}
    matrix = win_matrix(units.label_U, units.score_U, units.patient_U)
    if level == PATIENT_WEIGHTED:
        matrix = patient_weighted(matrix)
    found = auroc_interval(won_by_patient(matrix))
    low, high = found.interval or (None, None)
    return row | {
        "auroc": found.estimate,
        "low": low,
        "high": high,
        "standard_error": found.standard_error,
        "n_pos_patients": found.n_pos_patients,
        "n_neg_patients": found.n_neg_patients,
        "n_effective_pos": found.n_effective_pos,
        "n_effective_neg": found.n_effective_neg,
        "status": WITHHELD if found.withheld else DONE,
        "reason": found.withheld,
    }


# --- operating points -----------------------------------------------------------------------


def operating_rows(cells: ScoredCells, val: ScoredCells, study: StudySpec) -> list[Row]:
    """One row for each cell and wanted specificity, in the OPERATING schema.

    Validation chooses the threshold. Sensitivity and specificity are those on holdout. `val`
    holds the same cells with their validation frames.
    """
    return [
        place.row() | {"wanted": wanted} | _operating(place, cells, val, wanted, study)
        for place in cells.done
        for wanted in WANTED_SPECIFICITIES
    ]


def _operating(
    place: Coordinates, cells: ScoredCells, val: ScoredCells, wanted: float, study: StudySpec
) -> Row:
    for name, given in (("holdout", cells), ("validation", val)):
        if place in given.refused:
            return {"status": REFUSED, "reason": f"{name}: {given.refused[place]}"}
    recipe = study.variants.get(place.variant)
    if recipe and recipe.labels == "shuffled":
        return {"status": REFUSED, "reason": "validation labels are shuffled"}
    frames, chosen_on = cells.scored[place], val.scored[place]
    chosen = threshold_for_specificity(chosen_on.label_U, chosen_on.score_U, wanted)
    point = operating_point(frames.label_U, frames.score_U, frames.patient_U, chosen.threshold)
    row: Row = {"threshold": chosen.threshold, "val_sensitivity": chosen.sensitivity}
    for name, of, share in (
        ("sensitivity", "pos", point.sensitivity),
        ("specificity", "neg", point.specificity),
    ):
        low, high = share.interval or (None, None)
        row |= {name: share.value, f"{name}_low": low, f"{name}_high": high}
        row |= {f"n_{of}_patients": share.n_patients, f"n_effective_{of}": share.n_effective}
    why = too_few(point.sensitivity.n_patients, point.specificity.n_patients)
    unreached = "no validation score reaches it: no frame is called positive"
    reasons = [why, unreached if np.isinf(chosen.threshold) else None]
    return row | {
        "status": WITHHELD if why else DONE,
        "reason": "; ".join(filter(None, reasons)) or None,
    }
