"""The mean AUC-ROC of each variant and patient count, by level, with its interval."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa

from lussweep.analysis.levels import LEVELS
from lussweep.analysis.means import MeanAuroc, mean_aurocs
from lussweep.analysis.paired import PairedWins, pair_up
from lussweep.report.cells import DONE, REFUSED, WITHHELD, Row, ScoredCells, joined
from lussweep.report.sections.columns import OTHER_PATIENTS, OUTCOME, axes
from lussweep.report.sections.seam import Collected, Section
from lussweep.store.tables import make_schema
from lussweep.study.coordinates import Coordinates
from lussweep.study.spec.analysis import Level

MEANS = make_schema(
    *axes("n_patients", "gan_epoch", "variant"),
    ("level", pa.string(), "what an AUC-ROC is over: frame, patient_mean or patient_weighted"),
    ("n_replicates", pa.int32()),
    ("aurocs", pa.list_(pa.float64()), "of the replicates"),
    ("auroc", pa.float64(), "mean over replicates"),
    ("sd", pa.float64(), "sample standard deviation over replicates"),
    ("low", pa.float64(), "95 %, for other trainings and other holdout patients"),
    ("high", pa.float64(), "95 %, for other trainings and other holdout patients"),
    ("conditional_low", pa.float64(), OTHER_PATIENTS),
    ("conditional_high", pa.float64(), OTHER_PATIENTS),
    ("df", pa.float64(), "degrees of freedom of the two variances, by the jackknife"),
    ("training_sd", pa.float64(), "of one replicate, pooled over patient counts if they allow it"),
    ("patient_sd", pa.float64(), "of the mean over holdout patients, however many trainings"),
    *OUTCOME,
)
Line = tuple[str, int | None]
"""Variant, and the GAN epoch where it is an axis."""


def mean_rows(collected: Collected) -> list[Row]:
    """One row for each patient count, variant, GAN epoch and level."""
    cells, nested = collected.cells, collected.study.cohort.sampling == "nested"
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
            "reason": joined(lacking, mean.withheld),
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
    if mean.conditional is not None:
        row |= {"conditional_low": mean.conditional.low, "conditional_high": mean.conditional.high}
    return row | {
        "low": mean.interval.low,
        "high": mean.interval.high,
        "df": mean.over_both.df,
        "training_sd": mean.over_both.training_variance**0.5,
        "patient_sd": mean.over_both.patient_covariance**0.5,
    }


SECTIONS = {
    "means": Section(version=2, schema=MEANS, rows=mean_rows, order=20),
}
