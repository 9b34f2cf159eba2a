"""The mean AUC-ROC of each variant and patient count, by level, with its interval."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from lussweep.analysis.levels import LEVELS
from lussweep.analysis.means import MeanAuroc, mean_aurocs
from lussweep.analysis.paired import PairedWins, pair_up
from lussweep.report.cells import DONE, REFUSED, WITHHELD, Row, ScoredCells
from lussweep.study.coordinates import Coordinates
from lussweep.study.spec import StudySpec
from lussweep.study.spec.analysis import Level

Line = tuple[str, int | None]
"""Variant, and the GAN epoch where it is an axis."""


def mean_rows(cells: ScoredCells, study: StudySpec) -> list[Row]:
    """One row for each patient count, variant, GAN epoch and level, in the MEANS schema."""
    nested = study.cohort.sampling == "nested"
    planned: dict[Line, dict[int, list[Coordinates]]] = defaultdict(lambda: defaultdict(list))
    for place in sorted(cells.planned, key=Coordinates.order):
        planned[place.variant, place.gan_epoch][place.n_patients].append(place)
    return [
        row
        for (variant, epoch), by_count in planned.items()
        for level in LEVELS
        for row in _rows(variant, epoch, level, by_count, cells, nested)
    ]


def _rows(
    variant: str, epoch: int | None, level: Level, by_count: dict[int, list[Coordinates]],
    cells: ScoredCells, nested: bool,
) -> list[Row]:  # fmt: skip
    rows: dict[int, Row] = {}
    paired: dict[int, PairedWins] = {}
    for n, places in by_count.items():
        rows[n] = {"n_patients": n, "gan_epoch": epoch, "variant": variant, "level": level}
        ready = {(variant, p.replicate): cells.scored[p] for p in places if p in cells.scored}
        if not ready:
            rows[n] |= cells.absence(places)
            continue
        try:
            paired[n] = pair_up(ready, level)
        except ValueError as error:  # frames differ, or a class has no patient at this level
            rows[n] |= {"status": REFUSED, "reason": str(error)}
    for n, mean in mean_aurocs(paired, variant, nested=nested).items():
        lacking = cells.lacking(by_count[n])
        rows[n] |= _mean(mean) | {
            "reason": "; ".join(filter(None, [lacking, mean.withheld])) or None,
        }
    return list(rows.values())


def _mean(mean: MeanAuroc) -> Row:
    row: Row = {
        "n_replicates": len(mean.aurocs),
        "aurocs": list(mean.aurocs),
        "auroc": mean.auroc,
        "sd": float(np.std(mean.aurocs, ddof=1)) if len(mean.aurocs) > 1 else None,
        "status": WITHHELD if mean.interval is None else DONE,
    }
    if mean.interval is None or mean.over_both is None:
        return row
    return row | {
        "low": mean.interval.low,
        "high": mean.interval.high,
        "df": mean.over_both.df,
        "training_sd": mean.over_both.training_variance**0.5,
        "patient_sd": mean.over_both.patient_covariance**0.5,
    }
