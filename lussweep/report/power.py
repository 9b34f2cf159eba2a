"""The variances of the contrasts of a finished run, to plan the next run."""

from __future__ import annotations

import math
from pathlib import Path

from lussweep.analysis.power import Components
from lussweep.errors import InputError
from lussweep.report.sections.contrasts import CONTRASTS
from lussweep.store import tables
from lussweep.study.coordinates import curve_name

ASSUMED_PATIENT_SD, ASSUMED_TRAINING_SDS = 0.01, (0.007, 0.014, 0.021)
"""Assumed SDs of a difference of AUC-ROC, for a plan without a run. A run of the user is better."""


def measured_components(run: Path) -> dict[str, Components]:
    """Training and patient variance by contrast, such as `combined - baseline, n = 6`.

    Raises InputError if the run has no contrast with an interval over trainings, or a table of
    another version.
    """
    path = run / "contrasts.parquet"
    if not path.exists():
        raise InputError(f"--from {run} holds no contrasts.parquet: let `lussweep grid` end first")
    rows = tables.read(path, CONTRASTS).to_pylist()
    components = {
        f"{curve_name(row['variant'], row['gan_epoch'])} - {row['reference']}, "
        f"n = {row['n_patients']}":
        Components(
            row["training_sd"] ** 2,
            row["training_df"],
            row["n_replicates"],
            row["patient_sd"] ** 2,
            math.inf if row["patient_df"] is None else row["patient_df"],
            row["own_sd"] ** 2,
        )
        for row in rows
        if row["standard_error"] is not None
    }  # fmt: skip
    if not components:
        raise InputError(
            f"--from {run}: no contrast has an interval over trainings, which takes two replicates "
            "and five holdout patients of each class"
        )
    return components


def assumed_components() -> dict[str, Components]:
    """Three training SDs beside one patients' SD, for a plan without a run."""
    return {
        f"assumed {i}": Components(sd**2, 10.0, 3, ASSUMED_PATIENT_SD**2, 60.0)
        for i, sd in enumerate(ASSUMED_TRAINING_SDS, 1)
    }
