"""Sensitivity and specificity of each cell at thresholds that validation chose."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from lussweep.analysis.effective import too_few
from lussweep.analysis.operating import operating_point, threshold_for_specificity
from lussweep.report.cells import DONE, REFUSED, WITHHELD, Row, is_shuffled, joined
from lussweep.report.sections.columns import COUNTS, OTHER_PATIENTS, OUTCOME, WHO
from lussweep.report.sections.seam import Collected, Section
from lussweep.store.tables import make_schema
from lussweep.study.coordinates import Coordinates

OPERATING = make_schema(
    *WHO,
    ("wanted", pa.float64(), "specificity that the threshold reaches on validation"),
    ("threshold", pa.float64(), "inf where no validation score reaches it"),
    ("val_sensitivity", pa.float64(), "on validation, which chose the threshold"),
    ("sensitivity", pa.float64(), "on holdout"),
    ("sensitivity_low", pa.float64(), OTHER_PATIENTS),
    ("sensitivity_high", pa.float64(), OTHER_PATIENTS),
    ("specificity", pa.float64(), "on holdout"),
    ("specificity_low", pa.float64(), OTHER_PATIENTS),
    ("specificity_high", pa.float64(), OTHER_PATIENTS),
    *COUNTS,
    *OUTCOME,
)
WANTED_SPECIFICITIES = (0.9, 0.95)


def operating_rows(collected: Collected) -> list[Row]:
    """One row for each cell and wanted specificity.

    Validation chooses the threshold. Sensitivity and specificity are those on holdout.
    """
    return [
        place.row() | {"wanted": wanted} | _operating(place, collected, wanted)
        for place in collected.cells.done
        for wanted in WANTED_SPECIFICITIES
    ]


def _operating(place: Coordinates, collected: Collected, wanted: float) -> Row:
    cells, val = collected.cells, collected.val_cells
    for name, split_cells in (("holdout", cells), ("validation", val)):
        if place in split_cells.refused:
            return {"status": REFUSED, "reason": f"{name}: {split_cells.refused[place]}"}
    if is_shuffled(place, collected.study):
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
        "reason": joined(*reasons),
    }


SECTIONS = {
    "operating": Section(version=1, schema=OPERATING, rows=operating_rows, order=110),
}
