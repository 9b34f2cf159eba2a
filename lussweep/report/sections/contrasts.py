"""Planned contrasts: the difference of two variants over trainings and patients."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa

from lussweep.analysis.contrasts import HIGHEST, Contrast, contrasts, holm
from lussweep.analysis.paired import PairedWins, pair_up
from lussweep.analysis.power import detectable_difference
from lussweep.report.cells import DONE, REFUSED, WITHHELD, Row, ScoredCells, in_order, joined
from lussweep.report.sections.columns import OUTCOME, axes
from lussweep.report.sections.overlap import cohort_overlap, shared_text
from lussweep.report.sections.seam import Collected, Section
from lussweep.store.tables import make_schema
from lussweep.study.coordinates import Coordinates
from lussweep.study.spec import StudySpec

CONTRASTS = make_schema(
    *axes("n_patients", "gan_epoch", "variant"),
    ("reference", pa.string()),
    ("level", pa.string(), "what an AUC-ROC is over: analysis.level"),
    ("n_replicates", pa.int32(), "that both have"),
    ("auroc", pa.float64(), "mean over replicates"),
    ("reference_auroc", pa.float64(), "mean over replicates"),
    ("difference", pa.float64(), "mean over replicates"),
    ("low", pa.float64(), "95 %, for other trainings and other holdout patients"),
    ("high", pa.float64(), "95 %, for other trainings and other holdout patients"),
    ("p_value", pa.float64(), "two-sided, for other trainings and other holdout patients"),
    ("p_holm", pa.float64(), "adjusted for every planned contrast, computed or not"),
    ("margin", pa.float64()),
    ("non_inferior", pa.bool_(), "whether low lies above -margin: one-sided, 0.025"),
    ("standard_error", pa.float64(), "for other trainings and other holdout patients"),
    ("df", pa.float64(), "degrees of freedom of the t interval"),
    ("detectable", pa.float64(), "smallest true difference found with power 0.8 at 0.05"),
    ("training_sd", pa.float64(), "of one replicate's difference, for these holdout patients"),
    ("training_df", pa.float64(), "degrees of freedom of training_sd"),
    ("training_model", pa.string(), "trend: pooled over patient counts; own: of this count alone"),
    ("patient_sd", pa.float64(), "of the difference over holdout patients, however many trainings"),
    ("patient_df", pa.float64(), "degrees of freedom of patient_sd"),
    ("own_sd", pa.float64(), "the part of training_sd that patients do in one training alone"),
    ("conditional_low", pa.float64(), "95 % over holdout patients, for these trained models"),
    ("conditional_high", pa.float64(), "95 % over holdout patients, for these trained models"),
    ("cohort_overlap", pa.float64(), "share of training patients common to two replicates, mean"),
    *OUTCOME,
)
Pair = tuple[Coordinates, Coordinates]
"""A cell of the variant, and the matching cell of its reference."""


def contrast_rows(collected: Collected) -> list[Row]:
    """One row for each planned contrast at each patient count.

    If the GAN epoch is an axis, each epoch has rows of its own. Holm's adjustment is over all
    rows, computed or not.
    """
    cells, study = collected.cells, collected.study
    overlap_of = collected.once(cohort_overlap)
    planned = list(planned_pairs(cells, study))
    judged: dict[tuple[str, str, int], dict[int, PairedWins]] = defaultdict(dict)
    rows = []
    for pairs in planned:
        row, paired = _paired(pairs, cells, study)
        rows.append(row)
        if paired is not None:
            judged[_line(row)][row["n_patients"]] = paired
    nested, margin = study.cohort.sampling == "nested", study.analysis.margin
    contrast_of = {
        line: contrasts(by_count, *line[:2], nested=nested) for line, by_count in judged.items()
    }
    for row in rows:
        if row["status"] == DONE:
            contrast, n = contrast_of[_line(row)][row["n_patients"]], row["n_patients"]
            overlap = overlap_of.get(n)
            reason = joined(
                row["reason"],
                contrast.withheld,
                _not_judged(contrast, margin),
                shared_text(overlap),
            )
            row |= _contrast(contrast, margin, overlap) | {"reason": reason}
    tested = [row for row in rows if row.get("p_value") is not None]
    adjusted = holm([row["p_value"] for row in tested], len(planned))
    for row, p_holm in zip(tested, adjusted, strict=True):
        row["p_holm"] = p_holm
    return rows


def planned_pairs(cells: ScoredCells, study: StudySpec) -> Iterator[list[Pair]]:
    """Yields the pairs of each planned contrast in the grid: a pair a replicate, done or not."""
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


def pair_columns(pair: Pair) -> Row:
    """The columns that name a contrast."""
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
    row, places = pair_columns(pairs[0]), [place for pair in pairs for place in pair]
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
    """The values that rows of one line share. The rows differ in their patient counts only."""
    return row["variant"], row["reference"], row["gan_epoch"] or 0


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


def _not_judged(contrast: Contrast, margin: float) -> str | None:
    """Says why a contrast whose interval lies above -margin is not called non-inferior."""
    if contrast.interval is None or contrast.non_inferior(margin) is not None:
        return None
    return f"non-inferiority is not judged above an AUC-ROC of {HIGHEST}"


def _finite(df: float) -> float | None:
    return df if math.isfinite(df) else None


SECTIONS = {
    "contrasts": Section(version=2, schema=CONTRASTS, rows=contrast_rows, order=30),
}
