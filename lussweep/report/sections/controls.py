"""Checks that shuffled labels score as chance does, and that sector masks alone do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from lussweep.analysis.chance import judge_chance
from lussweep.metrics.auroc import auroc
from lussweep.report.cells import DONE, WITHHELD, Row, ScoredCells, in_order, is_shuffled, joined
from lussweep.report.sections.columns import OUTCOME, axes
from lussweep.report.sections.seam import Collected, Section
from lussweep.store.tables import make_schema
from lussweep.study.coordinates import Coordinates
from lussweep.study.spec import StudySpec

SHUFFLED, MASKS = "shuffled labels", "sector masks"
LEVEL = 0.05
"""How often a study without a leak has a row of shuffled labels that is not chance (Bonferroni)."""
CONTROLS = make_schema(
    *axes("n_patients"),
    ("variant", pa.string()),
    ("control", pa.string(), f"what is unlike other variants: {SHUFFLED} or {MASKS}"),
    ("n_permutations", pa.int32(), "of shuffled labels: replicates with scores"),
    ("auroc", pa.float64(), "mean over replicates, by frame"),
    (
        "low",
        pa.float64(),
        "95 %; shuffled: over permutations, of all rows together; masks: other trainings and "
        "patients",
    ),
    ("high", pa.float64(), "95 %, as low"),
    ("verdict", pa.string(), "shuffled: chance, not chance; masks: chance, above chance"),
    *OUTCOME,
)


def control_rows(collected: Collected) -> list[Row]:
    """One row for each patient count and variant of shuffled labels or of sector masks."""
    cells, study = collected.cells, collected.study
    shuffled = _lines(place for place in cells.planned if is_shuffled(place, study))
    masks = _lines(place for place in cells.planned if _is_masked(place, study))
    return [
        *(_shuffled(places, cells, 1 - LEVEL / len(shuffled)) for places in shuffled),
        *(_masked(places, collected) for places in masks),
    ]


def _is_masked(place: Coordinates, study: StudySpec) -> bool:
    recipe = study.variants.get(place.variant)
    return recipe is not None and recipe.frames == "mask"


def _lines(places: Iterable[Coordinates]) -> list[list[Coordinates]]:
    """The places by patient count and variant, in this order."""
    lines: dict[tuple[int, str], list[Coordinates]] = {}
    for place in in_order(places):
        lines.setdefault((place.n_patients, place.variant), []).append(place)
    return [places for _, places in sorted(lines.items())]


def _head(places: Sequence[Coordinates], control: str) -> Row:
    first = places[0]
    return {"n_patients": first.n_patients, "variant": first.variant, "control": control}


def _shuffled(places: Sequence[Coordinates], cells: ScoredCells, confidence: float) -> Row:
    """Each replicate is one permutation of the patients' labels."""
    row = _head(places, SHUFFLED)
    frames = [cells.scored[place] for place in places if place in cells.scored]
    row["n_permutations"] = len(frames)
    if not frames:
        return row | cells.absence(places)
    aurocs = np.array([auroc(f.label_U, f.score_U) for f in frames])
    judged = judge_chance(aurocs, confidence=confidence)
    low, high = judged.interval or (None, None)
    return row | {
        "auroc": judged.mean,
        "low": low,
        "high": high,
        "verdict": judged.verdict,
        "status": WITHHELD if judged.withheld else DONE,
        "reason": joined(judged.withheld, cells.lacking(places)),
    }


def _masked(places: Sequence[Coordinates], collected: Collected) -> Row:
    """Masks that score above chance tell the class, so every other variant may have used them.

    The interval is that of `means`. A single replicate has that of `aurocs`, which is for other
    patients alone.
    """
    row = _head(places, MASKS)
    if not any(place in collected.cells.scored for place in places):
        return row | collected.cells.absence(places)
    of_line = (places[0].n_patients, places[0].variant, "frame")
    table = "means" if len(places) > 1 else "aurocs"
    found = next(
        one
        for one in collected.table(table).to_pylist()
        if (one["n_patients"], one["variant"], one["level"]) == of_line
    )
    low = found["low"]
    return row | {
        **{name: found[name] for name in ("auroc", "low", "high", "status", "reason")},
        "verdict": None if low is None else "above chance" if low > 0.5 else "chance",
    }


SECTIONS = {
    "controls": Section(version=3, schema=CONTROLS, rows=control_rows, order=40),
}
