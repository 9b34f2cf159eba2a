"""A report section: the mean score of each cell's positive and negative holdout frames."""

from typing import Any

import pyarrow as pa

from lussweep.report.sections import Collected
from lussweep.store.tables import cell_columns, make_schema

MEAN_SCORES = make_schema(
    *cell_columns("where it is an axis"),
    ("positive", pa.float64(), "probability, mean over positive holdout frames"),
    ("negative", pa.float64(), "probability, mean over negative holdout frames"),
)


def rows(collected: Collected) -> list[dict[str, Any]]:
    return [
        place.row()
        | {
            "positive": frames.score_U[frames.label_U == 1].mean(),
            "negative": frames.score_U[frames.label_U == 0].mean(),
        }
        for place, frames in collected.cells.scored.items()
    ]
