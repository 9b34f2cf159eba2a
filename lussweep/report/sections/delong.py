"""DeLong's test of two variants in one replicate, with patients as units."""

from __future__ import annotations

import pyarrow as pa

from lussweep.analysis.delong import check_same_patients, delong_test
from lussweep.analysis.levels import Scored, patients_by_class, to_patients
from lussweep.metrics.auroc import auroc
from lussweep.report.cells import DONE, REFUSED, WITHHELD, Row, ScoredCells
from lussweep.report.sections.columns import OUTCOME, axes
from lussweep.report.sections.contrasts import Pair, pair_columns, planned_pairs
from lussweep.report.sections.seam import Collected, Section
from lussweep.store.tables import make_schema

DELONG = make_schema(
    *axes("n_patients", "replicate", "gan_epoch", "variant"),
    ("reference", pa.string()),
    ("auroc", pa.float64(), "one score a patient, the mean over frames"),
    ("reference_auroc", pa.float64(), "one score a patient, the mean over frames"),
    ("difference", pa.float64()),
    ("low", pa.float64(), "95 %"),
    ("high", pa.float64(), "95 %"),
    ("standard_error", pa.float64()),
    ("p_value", pa.float64(), "two-sided, not adjusted"),
    *OUTCOME,
)


def delong_rows(collected: Collected) -> list[Row]:
    """One row for each planned contrast and replicate.

    DeLong's test compares two models by one score a patient, the mean over the patient's frames.
    """
    cells = collected.cells
    pairs_of = planned_pairs(cells, collected.study)
    return [_delong(pair, cells) for pairs in pairs_of for pair in pairs]


def _delong(pair: Pair, cells: ScoredCells) -> Row:
    row = pair_columns(pair) | {"replicate": pair[0].replicate}
    if not set(pair) <= cells.scored.keys():
        return row | cells.absence(pair)
    variant, reference = (to_patients(cells.scored[place]) for place in pair)
    try:
        check_same_patients(variant, reference)
    except ValueError as error:
        return row | {"status": REFUSED, "reason": str(error)}
    n_pos, n_neg = patients_by_class(variant)
    if not n_neg:
        reason = "all patients have a positive frame: none is negative"
        return row | {"status": REFUSED, "reason": reason}
    if min(n_pos, n_neg) < 2:
        return row | _patient_aurocs(variant, reference)
    test = delong_test(variant, reference)
    if not test.standard_error:
        reason = "no variance: each model ranks every pair of patients alike"
        return row | _patient_aurocs(variant, reference) | {"reason": reason}
    return row | {
        "auroc": test.auroc,
        "reference_auroc": test.reference_auroc,
        "difference": test.difference,
        "low": test.interval.low,
        "high": test.interval.high,
        "standard_error": test.standard_error,
        "p_value": test.p_value,
        "status": DONE,
    }


def _patient_aurocs(variant: Scored, reference: Scored) -> Row:
    one, two = (auroc(units.label_U, units.score_U) for units in (variant, reference))
    return {
        "auroc": one,
        "reference_auroc": two,
        "difference": one - two,
        "status": WITHHELD,
        "reason": "DeLong's test needs two patients of each class",
    }


SECTIONS = {
    "delong": Section(version=1, schema=DELONG, rows=delong_rows, order=120),
}
