"""From the holdout scores of all cells to intervals, contrasts and worths: nothing is retrained."""

from __future__ import annotations

import pyarrow as pa

from lussweep.report import schemas
from lussweep.report.cells import gather_cells
from lussweep.report.differences import contrast_rows, delong_rows
from lussweep.report.per_cell import auroc_rows, operating_rows, quality_rows
from lussweep.report.per_variant import control_rows, usefulness_rows, worth_rows
from lussweep.study.keys import derive_seed
from lussweep.study.spec import StudySpec


def collect_statistics(
    results: pa.Table,
    frame_scores: pa.Table,
    val_scores: pa.Table,
    gan_scores: pa.Table,
    study: StudySpec,
) -> dict[str, pa.Table]:
    """Every table of statistics by name.

    Tables a cell (aurocs, quality, operating) speak of the cells that are done; the others have
    a row for all that the results' cells ask, which says so where it is not there. Input without
    a statistic never raises: it is a row with a status and a reason, see `schemas.OUTCOME`.
    """
    cells = gather_cells(results, frame_scores)
    val = gather_cells(results, val_scores)
    seed = derive_seed(study.seed, "analysis")
    found = {
        "aurocs": (auroc_rows(cells, study, seed), schemas.AUROCS),
        "quality": (quality_rows(cells), schemas.QUALITY),
        "operating": (operating_rows(cells, val, study, seed), schemas.OPERATING),
        "delong": (delong_rows(cells, study), schemas.DELONG),
        "contrasts": (contrast_rows(cells, study, seed), schemas.CONTRASTS),
        "controls": (control_rows(cells, study), schemas.CONTROLS),
        "worth": (worth_rows(cells, study, seed), schemas.WORTH),
        "usefulness": (
            usefulness_rows(results, cells, gan_scores, study, seed),
            schemas.USEFULNESS,
        ),
    }
    return {name: pa.Table.from_pylist(rows, schema) for name, (rows, schema) in found.items()}
