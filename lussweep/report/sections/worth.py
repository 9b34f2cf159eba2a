"""Worth in patients and multipliers of whole variants, from the scores of all cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from lussweep.analysis.grid_means import UnlikeUnits, baseline_law, grid_means
from lussweep.analysis.multiplier import Multiplier, multiplier
from lussweep.analysis.resampled_means import PairMeans
from lussweep.analysis.worth import Worth, worths
from lussweep.report.cells import (
    BASELINE,
    DONE,
    REFUSED,
    WITHHELD,
    Row,
    ScoredCells,
    in_order,
    is_shuffled,
    joined,
)
from lussweep.report.sections.columns import OUTCOME
from lussweep.report.sections.overlap import cohort_overlap, shared_text
from lussweep.report.sections.seam import Collected, Section
from lussweep.store.tables import make_schema
from lussweep.study.coordinates import Coordinates
from lussweep.study.spec import StudySpec

_BOTH = "95 %, over holdout patients and trainings"
WORTH = make_schema(
    ("variant", pa.string(), "with its GAN epoch where that is an axis"),
    ("n_patients", pa.int32(), "of each class, that the variant was trained with"),
    ("level", pa.string(), "what an AUC-ROC is over: analysis.level"),
    ("n_replicates", pa.int32(), "that the mean is over"),
    ("auroc", pa.float64(), "mean over replicates, for these patients and trainings"),
    ("worth", pa.string(), "patients per class of the baseline that are as good"),
    ("interval", pa.string(), f"{_BOTH}: patients per class of the baseline"),
    ("k_low", pa.float64(), "patients per class; -inf below the smallest count"),
    ("k_high", pa.float64(), "patients per class; inf above the largest count"),
    ("interval_low", pa.float64(), f"{_BOTH}: patients per class"),
    ("interval_high", pa.float64(), f"{_BOTH}: patients per class"),
    ("share_below", pa.float64(), "of resamples worse than the baseline at its smallest count"),
    ("share_above", pa.float64(), "of resamples better than the baseline at its largest count"),
    (
        "power_law_k",
        pa.float64(),
        "patients per class, read from a - b n^-c instead; null if that is a step",
    ),
    ("power_law_low", pa.float64(), f"{_BOTH}, if the curve is a - b n^-c"),
    ("power_law_high", pa.float64(), f"{_BOTH}, if the curve is a - b n^-c"),
    *OUTCOME,
)
MULTIPLIER = make_schema(
    ("variant", pa.string(), "with its GAN epoch where that is an axis"),
    ("level", pa.string(), "what an AUC-ROC is over: analysis.level"),
    ("m", pa.float64(), "patients of the baseline that one patient counts as with the variant"),
    ("low", pa.float64(), f"{_BOTH}; -inf below what the counts can tell"),
    ("high", pa.float64(), f"{_BOTH}; inf above what the counts can tell"),
    ("n_counts", pa.int32(), "patient counts n with m n inside the grid"),
    ("a", pa.float64(), "of the baseline's AUC-ROC, a - b n^-c: its limit"),
    ("b", pa.float64(), "of the baseline's AUC-ROC, a - b n^-c"),
    ("c", pa.float64(), "of the baseline's AUC-ROC, a - b n^-c"),
    ("lack_of_fit_p", pa.float64(), "p-value, over patients and trainings: small is no such curve"),
    *OUTCOME,
)


class WorthRows(NamedTuple):
    """Rows in the schemas WORTH and MULTIPLIER."""

    worth: list[Row]
    multiplier: list[Row]


def worth_rows(collected: Collected) -> WorthRows:
    """A worth for each variant and patient count, and a multiplier for each variant but baseline.

    If the GAN epoch is an axis, the name of a variant holds it. Variants with shuffled labels have
    no worth. There are no rows if the grid has no baseline, or the baseline at a single patient
    count. If replicates share training patients, the reason says so.
    """
    cells, study = collected.cells, collected.study
    overlap_of = collected.once(cohort_overlap)
    places = [place for place in cells.planned if not is_shuffled(place, study)]
    baseline = in_order(place for place in places if place.variant == BASELINE)
    if len({place.n_patients for place in baseline}) < 2:
        return WorthRows([], [])
    lines: dict[tuple[str, int], list[Coordinates]] = {}
    curves: dict[str, list[Coordinates]] = {}
    for place in sorted(places, key=lambda p: (p.curve, p.n_patients, p.replicate)):
        lines.setdefault((place.curve, place.n_patients), []).append(place)
        if place.variant != BASELINE:
            curves.setdefault(place.curve, []).append(place)

    worth_of: dict[tuple[str, int], Row] = {}
    multiplier_of: dict[str, Row] = {}
    pairs = _pairs(baseline, cells, study, collected.seed)
    for pair in pairs if isinstance(pairs, list) else []:
        law = baseline_law(pair)
        for worth in worths(pair, law):
            line = (worth.variant, worth.n_patients)
            lacking = cells.lacking([*lines[line], *baseline])
            shared = shared_text(overlap_of.get(worth.n_patients))
            worth_of[line] = _worth(worth) | _outcome(worth.withheld, lacking, shared)
        if pair.variant in curves:
            one = multiplier(pair, law)
            lacking = cells.lacking([*curves[pair.variant], *baseline])
            shared = shared_text(max(overlap_of.values(), default=None))
            multiplier_of[pair.variant] = _multiplier(one) | _outcome(one.withheld, lacking, shared)

    def absent(of: Sequence[Coordinates]) -> Row:
        return cells.absence(of) if isinstance(pairs, list) else pairs

    level = study.analysis.level
    return WorthRows(
        [
            {"variant": curve, "n_patients": n, "level": level}
            | (worth_of.get((curve, n)) or absent(of))
            for (curve, n), of in lines.items()
        ],
        [
            {"variant": curve, "level": level} | (multiplier_of.get(curve) or absent(of))
            for curve, of in curves.items()
        ],
    )


def _pairs(
    baseline: Sequence[Coordinates], cells: ScoredCells, study: StudySpec, seed: int
) -> list[PairMeans] | Row:
    """The means of the baseline and of each variant, from the same resamples of patients.

    If there are no means, returns the status and the reason.
    """
    if len({place.n_patients for place in baseline if place in cells.scored}) < 2:
        return cells.absence(baseline)
    places = [place for place in cells.scored if not is_shuffled(place, study)]
    try:
        return grid_means(
            {(p.curve, p.n_patients, p.replicate): cells.scored[p] for p in places},
            level=study.analysis.level,
            n_resamples=study.analysis.n_resamples,
            nested=study.cohort.sampling == "nested",
            seed=seed,
        )
    except UnlikeUnits as error:  # the message names the two cells
        return {"status": REFUSED, "reason": str(error)}


def _outcome(withheld: str | None, lacking: str | None, shared: str | None) -> Row:
    reason = joined(lacking, withheld, shared if not withheld else None)
    return {"status": WITHHELD if withheld else DONE, "reason": reason}


def _worth(worth: Worth) -> Row:
    row: Row = {
        "n_replicates": worth.n_replicates,
        "auroc": worth.auroc,
        "worth": worth.text,
        "interval": worth.interval_text,
        "k_low": worth.k.low,
        "k_high": worth.k.high,
        "share_below": worth.share_below,
        "share_above": worth.share_above,
        "power_law_k": worth.power_law,
    }
    if worth.interval is not None:
        row |= {"interval_low": worth.interval.low, "interval_high": worth.interval.high}
    if worth.power_law_interval is not None:
        low, high = worth.power_law_interval
        row |= {"power_law_low": low, "power_law_high": high}
    return row


def _multiplier(one: Multiplier) -> Row:
    low, high = one.interval or (None, None)
    return {
        "m": one.m,
        "low": low,
        "high": high,
        "n_counts": one.n_counts,
        "a": one.a,
        "b": one.b,
        "c": one.c,
        "lack_of_fit_p": one.lack_of_fit_p,
    }


SECTIONS = {
    "worth": Section(
        version=1, schema=WORTH, rows=lambda collected: collected.once(worth_rows).worth, order=50
    ),
    "multiplier": Section(
        version=1,
        schema=MULTIPLIER,
        rows=lambda collected: collected.once(worth_rows).multiplier,
        order=60,
    ),
}
