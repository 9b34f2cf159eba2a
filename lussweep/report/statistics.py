"""Computes intervals, contrasts and worths from the holdout scores. Nothing is retrained."""

from __future__ import annotations

import pyarrow as pa

from lussweep.report import schemas
from lussweep.report.cells import gather_cells
from lussweep.report.differences import cohort_overlap, contrast_rows, delong_rows
from lussweep.report.means import mean_rows
from lussweep.report.per_cell import auroc_rows, operating_rows
from lussweep.report.per_variant import control_rows, usefulness_rows
from lussweep.report.quality import calibration_rows, net_benefit_rows, quality_rows
from lussweep.report.worth import worth_rows
from lussweep.study.keys import derive_seed
from lussweep.study.spec import StudySpec


def collect_statistics(
    results: pa.Table,
    frame_scores: pa.Table,
    val_scores: pa.Table,
    gan_scores: pa.Table,
    study: StudySpec,
    cohorts: pa.Table | None = None,
) -> dict[str, pa.Table]:
    """Returns every table of statistics by name.

    The tables with rows for single cells (aurocs, quality, calibration, net_benefit, operating)
    hold the cells that are done. The others also hold a row for each statistic whose cells are
    missing. Input that allows no statistic raises no error: its row has a status and a reason,
    see `schemas.OUTCOME`.
    `cohorts` tells which training patients replicates share.
    """
    cells = gather_cells(results, frame_scores)
    val = gather_cells(results, val_scores)
    seed = derive_seed(study.seed, "analysis")
    overlap_of = {} if cohorts is None else cohort_overlap(cohorts)
    worth = worth_rows(cells, study, overlap_of, seed)
    rows_and_schemas = {
        "means": (mean_rows(cells, study), schemas.MEANS),
        "aurocs": (auroc_rows(cells, study), schemas.AUROCS),
        "quality": (quality_rows(cells), schemas.QUALITY),
        "calibration": (calibration_rows(cells), schemas.CALIBRATION),
        "net_benefit": (net_benefit_rows(cells, val, study), schemas.NET_BENEFIT),
        "operating": (operating_rows(cells, val, study), schemas.OPERATING),
        "delong": (delong_rows(cells, study), schemas.DELONG),
        "contrasts": (contrast_rows(cells, study, overlap_of), schemas.CONTRASTS),
        "controls": (control_rows(cells, study), schemas.CONTROLS),
        "worth": (worth.worth, schemas.WORTH),
        "multiplier": (worth.multiplier, schemas.MULTIPLIER),
        "usefulness": (
            usefulness_rows(results, cells, gan_scores, study, seed),
            schemas.USEFULNESS,
        ),
    }
    return {
        name: pa.Table.from_pylist(rows, schema)
        for name, (rows, schema) in rows_and_schemas.items()
    }
