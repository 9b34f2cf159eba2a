"""Planned contrasts and DeLong tests of two variants on the same holdout frames."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from statistics import fmean

import pyarrow as pa

from lussweep.analysis.contrasts import HIGHEST, Contrast, contrasts, holm
from lussweep.analysis.delong import check_same_patients, delong_test
from lussweep.analysis.levels import Scored, patients_by_class, to_patients
from lussweep.analysis.paired import PairedWins, pair_up
from lussweep.analysis.power import detectable_difference
from lussweep.metrics.auroc import auroc
from lussweep.report.cells import DONE, REFUSED, WITHHELD, Row, ScoredCells, in_order
from lussweep.study.coordinates import Coordinates
from lussweep.study.spec import StudySpec

Pair = tuple[Coordinates, Coordinates]
"""A cell of the variant, and the matching cell of its reference."""


def contrast_rows(
    cells: ScoredCells, study: StudySpec, overlap_of: Mapping[int, float]
) -> list[Row]:
    """One row for each planned contrast at each patient count, in the CONTRASTS schema.

    If the GAN epoch is an axis, each epoch has rows of its own. Holm's adjustment is over all
    rows, computed or not. `overlap_of` is that of `cohort_overlap`.
    """
    planned = list(_planned(cells, study))
    judged: dict[tuple[str, str, int], dict[int, PairedWins]] = defaultdict(dict)
    rows = []
    for pairs in planned:
        row, paired = _paired(pairs, cells, study)
        rows.append(row)
        if paired is not None:
            judged[_line(row)][row["n_patients"]] = paired
    nested, margin = study.cohort.sampling == "nested", study.analysis.margin
    found = {
        line: contrasts(by_count, *line[:2], nested=nested) for line, by_count in judged.items()
    }
    for row in rows:
        if row["status"] == DONE:
            contrast, n = found[_line(row)][row["n_patients"]], row["n_patients"]
            overlap = overlap_of.get(n)
            reasons = (
                row["reason"],
                contrast.withheld,
                _not_judged(contrast, margin),
                shared_text(overlap),
            )
            row |= _contrast(contrast, margin, overlap)
            row["reason"] = "; ".join(filter(None, reasons)) or None
    tested = [row for row in rows if row.get("p_value") is not None]
    adjusted = holm([row["p_value"] for row in tested], len(planned))
    for row, p_holm in zip(tested, adjusted, strict=True):
        row["p_holm"] = p_holm
    return rows


def cohort_overlap(cohorts: pa.Table) -> dict[int, float]:
    """The share of training patients that two replicates have in common, by patient count.

    `cohorts` is in the COHORTS schema. The share is a mean over pairs of replicates. A count with
    one replicate has none.
    """
    patients: dict[int, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    columns = (cohorts[name].to_pylist() for name in ("n_patients", "replicate", "patient_id"))
    for n_patients, replicate, patient in zip(*columns, strict=True):
        patients[n_patients][replicate].add(patient)
    return {
        n: fmean(len(a & b) / min(len(a), len(b)) for a, b in combinations(sets.values(), 2))
        for n, sets in patients.items()
        if len(sets) > 1
    }


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


# --- over trainings and patients ----------------------------------------------------------


def _paired(
    pairs: Sequence[Pair], cells: ScoredCells, study: StudySpec
) -> tuple[Row, PairedWins | None]:
    """The head of a row with its status, and the win matrices if there are any."""
    row, places = _names(pairs[0]), [place for pair in pairs for place in pair]
    row["level"] = study.analysis.level
    ready = [p for pair in pairs if set(pair) <= cells.scored.keys() for p in pair]
    if not ready:
        return row | cells.absence(places), None
    try:
        scored = {(p.variant, p.replicate): cells.scored[p] for p in ready}
        paired = pair_up(scored, study.analysis.level)
    except ValueError as error:  # the frames differ; the message names the two cells
        return row | {"status": REFUSED, "reason": str(error)}, None
    return row | {"status": DONE, "reason": cells.lacking(places)}, paired


def _line(row: Row) -> tuple[str, str, int]:
    """Rows of one line differ in their patient counts alone."""
    return row["variant"], row["reference"], row["gan_epoch"] or 0


SHARED = 0.1
"""Replicates that share more than this part of their training patients are marked."""


def _contrast(contrast: Contrast, margin: float, overlap: float | None) -> Row:
    effect, both, patients = contrast.effect, contrast.over_both, contrast.patients
    row: Row = {
        "n_replicates": len(effect.replicates),
        "auroc": effect.auroc,
        "reference_auroc": effect.reference_auroc,
        "difference": effect.difference,
        "margin": margin,
        "cohort_overlap": overlap,
        "status": WITHHELD if both is None else DONE,
    }
    if patients is not None and contrast.conditional is not None:
        row |= {
            "conditional_low": contrast.conditional.low,
            "conditional_high": contrast.conditional.high,
        }
    if both is None or contrast.interval is None or patients is None:
        return row
    return row | {
        "low": contrast.interval.low,
        "high": contrast.interval.high,
        "p_value": contrast.p_value,
        "non_inferior": contrast.non_inferior(margin),
        "standard_error": both.standard_error,
        "df": both.df,
        "training_sd": both.training_variance**0.5,
        "training_df": both.training_df,
        "training_model": contrast.model,
        "patient_sd": patients.between**0.5,
        "patient_df": _finite(patients.between_df),
        "own_sd": patients.own**0.5,
        "detectable": detectable_difference(both.standard_error, both.df),
    }


def shared_text(overlap: float | None) -> str | None:
    """Says that replicates share patients, which no statistic over replicates can see."""
    if overlap is None or overlap <= SHARED:
        return None
    if overlap == 1:
        return "all replicates have the same training patients: they differ in seeds alone"
    return (
        f"replicates share {100 * overlap:.0f} % of their training patients: the interval is for "
        "cohorts of this pool"
    )


def _not_judged(contrast: Contrast, margin: float) -> str | None:
    """Says why a contrast whose interval lies above -margin is not called non-inferior."""
    if contrast.interval is None or contrast.non_inferior(margin) is not None:
        return None
    return f"non-inferiority is not judged above an AUC-ROC of {HIGHEST}"


def _finite(df: float) -> float | None:
    return df if math.isfinite(df) else None


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
