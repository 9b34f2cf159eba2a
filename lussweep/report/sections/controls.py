"""Checks that variants with shuffled labels score as chance does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from lussweep.analysis.chance import judge_chance
from lussweep.metrics.auroc import auroc
from lussweep.report.cells import DONE, WITHHELD, Row, ScoredCells, in_order, is_shuffled, joined
from lussweep.report.sections.columns import OUTCOME, axes
from lussweep.report.sections.seam import Collected, Section
from lussweep.store.tables import make_schema
from lussweep.study.coordinates import Coordinates

CONTROLS = make_schema(
    *axes("n_patients"),
    ("variant", pa.string(), "trained with shuffled labels"),
    ("n_permutations", pa.int32(), "replicates with scores, each one permutation of the labels"),
    ("auroc", pa.float64(), "mean over permutations"),
    ("low", pa.float64(), "95 % t interval over permutations, for these holdout patients"),
    ("high", pa.float64(), "95 % t interval over permutations, for these holdout patients"),
    ("verdict", pa.string(), "chance where the interval contains 0.5, else not chance"),
    *OUTCOME,
)


def control_rows(collected: Collected) -> list[Row]:
    """One row for each patient count and variant with shuffled labels.

    Each replicate is one permutation of the patients' labels.
    """
    cells, study = collected.cells, collected.study
    lines: dict[tuple[int, str], list[Coordinates]] = {}
    for place in in_order(place for place in cells.planned if is_shuffled(place, study)):
        lines.setdefault((place.n_patients, place.variant), []).append(place)
    return [_control(places, cells) for _, places in sorted(lines.items())]


def _control(places: Sequence[Coordinates], cells: ScoredCells) -> Row:
    row: Row = {"n_patients": places[0].n_patients, "variant": places[0].variant}
    frames = [cells.scored[place] for place in places if place in cells.scored]
    row["n_permutations"] = len(frames)
    if not frames:
        return row | cells.absence(places)
    judged = judge_chance(np.array([auroc(f.label_U, f.score_U) for f in frames]))
    low, high = judged.interval or (None, None)
    return row | {
        "auroc": judged.mean,
        "low": low,
        "high": high,
        "verdict": judged.verdict,
        "status": WITHHELD if judged.withheld else DONE,
        "reason": joined(judged.withheld, cells.lacking(places)),
    }


SECTIONS = {
    "controls": Section(version=1, schema=CONTROLS, rows=control_rows, order=40),
}
