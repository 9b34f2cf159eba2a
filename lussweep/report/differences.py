"""Planned contrasts and DeLong tests of two variants on the same holdout frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from lussweep.analysis.contrasts import (
    FEW_PATIENTS,
    contrast,
    holm,
    mean_effect,
    non_inferiority,
)
from lussweep.analysis.delong import check_same_patients, delong_test
from lussweep.analysis.levels import Scored, patients_by_class, to_patients
from lussweep.analysis.paired import pair_up
from lussweep.analysis.power import detectable_difference
from lussweep.metrics.auroc import auroc
from lussweep.report.cells import DONE, REFUSED, WITHHELD, Row, ScoredCells, in_order
from lussweep.study.coordinates import Coordinates
from lussweep.study.spec import StudySpec

Pair = tuple[Coordinates, Coordinates]
"""A cell of the variant, and the matching cell of its reference."""


def contrast_rows(cells: ScoredCells, study: StudySpec, seed: int) -> list[Row]:
    """One row for each planned contrast at each patient count, in the CONTRASTS schema.

    If the GAN epoch is an axis, each epoch has rows of its own. Holm's adjustment is over the
    rows that have a p-value.
    """
    rows = [_contrast(pairs, cells, study, seed) for pairs in _planned(cells, study)]
    tested = [row for row in rows if "p_value" in row]
    for row, adjusted in zip(tested, holm([row["p_value"] for row in tested]), strict=True):
        row["p_holm"] = adjusted
    return rows


def delong_rows(cells: ScoredCells, study: StudySpec) -> list[Row]:
    """One row for each planned contrast and replicate, in the DELONG schema.

    DeLong's test compares two models by one score a patient, the mean over the patient's frames.
    """
    return [_delong(pair, cells) for pairs in _planned(cells, study) for pair in pairs]


def _planned(cells: ScoredCells, study: StudySpec) -> Iterator[list[Pair]]:
    """Yields the pairs of each planned contrast that the grid has: one a replicate, done or not."""
    for n_patients in sorted({place.n_patients for place in cells.planned}):
        for variant, reference in study.analysis.contrasts:
            of_variant = [
                p for p in cells.planned if (p.n_patients, p.variant) == (n_patients, variant)
            ]
            for epoch in sorted({place.gan_epoch or 0 for place in of_variant}):
                here = in_order(p for p in of_variant if (p.gan_epoch or 0) == epoch)
                pairs = [(place, _partner(place, reference, cells)) for place in here]
                both_planned = [pair for pair in pairs if pair[1] in cells.planned]
                if both_planned:
                    yield both_planned


def _partner(place: Coordinates, reference: str, cells: ScoredCells) -> Coordinates:
    """The reference's cell at the same GAN epoch, or its cell without an epoch."""
    same = replace(place, variant=reference)
    return same if same in cells.planned else replace(same, gan_epoch=None)


def _names(pair: Pair) -> Row:
    place, other = pair
    return {
        "n_patients": place.n_patients,
        "gan_epoch": place.gan_epoch,
        "variant": place.variant,
        "reference": other.variant,
    }


# --- over replicates, with a bootstrap over patients ------------------------------------------


def _contrast(pairs: Sequence[Pair], cells: ScoredCells, study: StudySpec, seed: int) -> Row:
    row, places = _names(pairs[0]), [place for pair in pairs for place in pair]
    variant, reference = row["variant"], row["reference"]
    ready = [p for pair in pairs if set(pair) <= cells.scored.keys() for p in pair]
    if not ready:
        return row | cells.absence(places)
    try:
        paired = pair_up({(p.variant, p.replicate): cells.scored[p] for p in ready})
    except ValueError as error:  # the frames differ; the message names the two cells
        return row | {"status": REFUSED, "reason": str(error)}
    lacking = cells.lacking(places)
    if paired.n_scarcer < 2:
        effect = mean_effect(paired, variant, reference)
        reason = "; ".join(filter(None, [lacking, FEW_PATIENTS]))
        return row | _effect(effect) | {"status": WITHHELD, "reason": reason}
    result = contrast(paired, variant, reference, n_resamples=study.analysis.n_resamples, seed=seed)
    reasons = [f"{name}: {why}" for name, why in result.withheld.items() if name != "bca"]
    return (
        row
        | _effect(result)
        | _uncertainty(result, study.analysis.margin)
        | {"status": DONE, "reason": "; ".join(filter(None, [lacking, *reasons])) or None}
    )


def _effect(result: Any) -> Row:
    return {
        "n_replicates": len(result.replicates),
        "auroc": result.auroc,
        "reference_auroc": result.reference_auroc,
        "difference": result.difference,
    }


def _uncertainty(result: Any, margin: float) -> Row:
    ends = {
        "": result.percentile_expanded,
        "percentile_": result.percentile,
        "replicate_": result.replicate_interval,
        "two_level_": result.two_level_interval,
    }
    intervals = {
        f"{name}{end}": getattr(interval, end)
        for name, interval in ends.items()
        if interval is not None
        for end in ("low", "high")
    }
    return intervals | {
        "p_value": result.p_value,
        "rank_p_value": result.rank_p_value,
        "margin": margin,
        "non_inferior": non_inferiority(result, margin).non_inferior,
        "standard_error": result.standard_error,
        "detectable": detectable_difference(result.standard_error).difference,
        "n_resamples": result.n_resamples,
        "n_one_class": result.n_one_class,
    }


# --- one replicate, patients as units ---------------------------------------------------------


def _delong(pair: Pair, cells: ScoredCells) -> Row:
    row = _names(pair) | {"replicate": pair[0].replicate}
    if not set(pair) <= cells.scored.keys():
        return row | cells.absence(pair)
    variant, reference = (to_patients(cells.scored[place]) for place in pair)
    try:
        check_same_patients(variant, reference)
    except ValueError as error:
        return row | {"status": REFUSED, "reason": str(error)}
    n_pos, n_neg = patients_by_class(variant)
    if not n_neg:
        reason = "all patients have a positive frame: none is negative"
        return row | {"status": REFUSED, "reason": reason}
    if min(n_pos, n_neg) < 2:
        return row | _patient_aurocs(variant, reference)
    test = delong_test(variant, reference)
    if not test.standard_error:
        reason = "no variance: each model ranks every pair of patients alike"
        return row | _patient_aurocs(variant, reference) | {"reason": reason}
    return row | {
        "auroc": test.auroc,
        "reference_auroc": test.reference_auroc,
        "difference": test.difference,
        "low": test.interval.low,
        "high": test.interval.high,
        "standard_error": test.standard_error,
        "p_value": test.p_value,
        "status": DONE,
    }


def _patient_aurocs(variant: Scored, reference: Scored) -> Row:
    one, two = (auroc(units.label_U, units.score_U) for units in (variant, reference))
    return {
        "auroc": one,
        "reference_auroc": two,
        "difference": one - two,
        "status": WITHHELD,
        "reason": "DeLong's test needs two patients of each class",
    }
