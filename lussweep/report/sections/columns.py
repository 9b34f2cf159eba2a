"""Columns that several tables of a report share."""

from __future__ import annotations

import pyarrow as pa

from lussweep.store.tables import Column, cell_columns

OUTCOME = (
    (
        "status",
        pa.string(),
        "done; withheld: an estimate stands, an interval, test or verdict is not given; "
        "missing: cells are not there; refused: the input has no such statistic",
    ),
    ("reason", pa.string(), "why something is not given, and which cells are left out"),
)
WHO = cell_columns("where it is an axis")
COUNTS = (
    ("n_pos_patients", pa.int32(), "patients with a positive unit"),
    ("n_neg_patients", pa.int32(), "patients with a negative unit; some may have both"),
    (
        "n_effective_pos",
        pa.float64(),
        "(sum of m)^2 / sum of m^2 of patients with m positive units",
    ),
    (
        "n_effective_neg",
        pa.float64(),
        "(sum of m)^2 / sum of m^2 of patients with m negative units",
    ),
)
OTHER_PATIENTS = "95 %: these trained models, other holdout patients"


def axes(*names: str) -> tuple[Column, ...]:
    """The columns of these axes, in this order."""
    column_of = {column[0]: column for column in WHO}
    return tuple(column_of[name] for name in names)
