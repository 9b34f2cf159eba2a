"""Precision and calibration of each cell's scores."""

from __future__ import annotations

import numpy as np

from lussweep.analysis.calibration import calibration_line, expected_calibration_error
from lussweep.analysis.levels import Scored
from lussweep.report.cells import DONE, REFUSED, WITHHELD, Row, ScoredCells


def quality_rows(cells: ScoredCells) -> list[Row]:
    """One row for each cell, in the QUALITY schema: average precision and calibration."""
    return [
        place.row()
        | (
            _quality(cells.scored[place])
            if place in cells.scored
            else {"status": REFUSED, "reason": cells.refused[place]}
        )
        for place in cells.done
    ]


def _quality(frames: Scored) -> Row:
    from sklearn.metrics import (  # type: ignore[import-untyped]  # takes a second
        average_precision_score,
        brier_score_loss,
    )

    label, score = frames.label_U, frames.score_U
    try:
        line = calibration_line(label, score)
    except ValueError as error:  # the scores are not probabilities
        return {"status": REFUSED, "reason": str(error)}
    lost = np.isnan(line.slope)
    return {
        "average_precision": float(average_precision_score(label, score)),
        "prevalence": float(label.mean()),
        "brier": float(brier_score_loss(label, score)),
        "calibration_slope": None if lost else line.slope,
        "calibration_intercept": None if lost else line.intercept,
        "calibration_error": expected_calibration_error(label, score),
        "status": WITHHELD if lost else DONE,
        "reason": "no calibration line: the scores separate the classes, or nearly"
        if lost
        else None,
    }
