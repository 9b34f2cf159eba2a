"""The AUC-ROC of each cell by level: frames, videos and patients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import pyarrow as pa

from lussweep.analysis.auroc_interval import auroc_interval, won_by_patient
from lussweep.analysis.levels import (
    MAX,
    MEAN,
    Scored,
    patients_by_class,
    to_patients,
    to_videos,
    top_k_mean,
)
from lussweep.metrics.auroc import patient_weighted, win_matrix
from lussweep.report.cells import DONE, REFUSED, WITHHELD, Row
from lussweep.report.sections.columns import COUNTS, OTHER_PATIENTS, OUTCOME, WHO
from lussweep.report.sections.seam import Collected, Section
from lussweep.store.tables import make_schema

AUROCS = make_schema(
    *WHO,
    (
        "level",
        pa.string(),
        "frame; patient_weighted: frames, each patient weighing alike in its class; or mean, "
        "maximum or highest scores of a video or a patient",
    ),
    ("top_k", pa.int32(), "video_top and patient_top: the mean of the k highest frame scores"),
    ("n_units", pa.int32(), "frames, videos or patients"),
    ("auroc", pa.float64()),
    ("low", pa.float64(), OTHER_PATIENTS),
    ("high", pa.float64(), OTHER_PATIENTS),
    ("standard_error", pa.float64(), "over patients; null where the AUC-ROC is 0 or 1"),
    *COUNTS,
    *OUTCOME,
)
PATIENT_WEIGHTED = "patient_weighted"


def auroc_rows(collected: Collected) -> list[Row]:
    """One row for each cell and level."""
    cells, rows, top_k = collected.cells, [], collected.study.analysis.top_k
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
    interval = auroc_interval(won_by_patient(matrix))
    low, high = interval.interval or (None, None)
    return row | {
        "auroc": interval.estimate,
        "low": low,
        "high": high,
        "standard_error": interval.standard_error,
        "n_pos_patients": interval.n_pos_patients,
        "n_neg_patients": interval.n_neg_patients,
        "n_effective_pos": interval.n_effective_pos,
        "n_effective_neg": interval.n_effective_neg,
        "status": WITHHELD if interval.withheld else DONE,
        "reason": interval.withheld,
    }


SECTIONS = {
    "aurocs": Section(version=1, schema=AUROCS, rows=auroc_rows, order=70),
}
