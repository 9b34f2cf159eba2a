"""Worth in patients of whole variants, from the scores of all cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lussweep.analysis.paired import PairedWins, pair_up
from lussweep.analysis.worth import Worth, Worths, worths
from lussweep.metrics.auroc import patient_weights, resampled_auroc
from lussweep.report.cells import (
    BASELINE,
    DONE,
    REFUSED,
    WITHHELD,
    Row,
    ScoredCells,
    in_order,
)
from lussweep.study.coordinates import Coordinates
from lussweep.study.spec import StudySpec


def worth_rows(cells: ScoredCells, study: StudySpec, seed: int) -> list[Row]:
    """One row for each variant and patient count, in the WORTH schema.

    If the GAN epoch is an axis, the name of a variant holds it. There are no rows if the grid has
    no baseline, or the baseline at a single patient count.
    """
    baseline = in_order(place for place in cells.planned if place.variant == BASELINE)
    if len({place.n_patients for place in baseline}) < 2:
        return []
    lines: dict[tuple[str, int], list[Coordinates]] = {}
    for place in sorted(cells.planned, key=lambda p: (p.curve, p.n_patients, p.replicate)):
        lines.setdefault((place.curve, place.n_patients), []).append(place)
    names = {line: {"variant": line[0], "n_patients": line[1]} for line in lines}
    if len({place.n_patients for place in baseline if place in cells.scored}) < 2:
        return [names[line] | cells.absence(baseline) for line in lines]
    try:
        paired = pair_up({_unit(place): frames for place, frames in cells.scored.items()})
    except ValueError as error:  # the frames differ; the message names the two cells
        return [names[line] | {"status": REFUSED, "reason": str(error)} for line in lines]
    estimates = _worths(list(cells.scored), paired, study.analysis.n_resamples, seed)
    known = {(row.variant, row.n_patients): row for row in estimates.rows}
    few = paired.n_scarcer < 2
    rows = []
    for line, places in lines.items():
        if line in known:
            reasons = [cells.lacking([*places, *baseline]), FEW_PATIENTS if few else None]
            reason = "; ".join(filter(None, reasons)) or None
            outcome = {"status": WITHHELD if few else DONE, "reason": reason}
            rows.append(names[line] | _worth(known[line], few) | outcome)
        else:
            rows.append(names[line] | cells.absence(places))
    return rows


def _unit(place: Coordinates) -> tuple[str, int]:
    return f"{place.curve} n={place.n_patients}", place.replicate


def _worths(
    places: Sequence[Coordinates], paired: PairedWins, n_resamples: int, seed: int
) -> Worths:
    """The worths of all cells, from the same resamples of patients.

    If a class has a single patient, nothing is resampled and only the estimates count.
    """
    n_all_patients = len(paired.n_pos_P)
    ones = np.ones((1, n_all_patients), dtype=np.int64)
    weights = patient_weights(n_all_patients, n_resamples, seed=seed)
    matrices = [paired.matrix(paired.wins[_unit(place)]) for place in places]
    drawn = ones if paired.n_scarcer < 2 else weights
    return worths(
        [place.curve for place in places],
        np.array([place.n_patients for place in places]),
        np.array([place.replicate for place in places]),
        np.array([resampled_auroc(m, ones)[0] for m in matrices]),
        np.stack([resampled_auroc(m, drawn) for m in matrices], axis=1),
    )


def _worth(worth: Worth, few: bool) -> Row:
    estimate = {
        "n_replicates": worth.n_replicates,
        "auroc": worth.auroc,
        "worth": worth.text,
        "k_low": worth.k_low,
        "k_high": worth.k_high,
    }
    if few:
        return estimate
    return estimate | {
        "interval": worth.interval_text,
        "interval_low": worth.interval_low,
        "interval_high": worth.interval_high,
        "share_below": worth.share_below,
        "share_above": worth.share_above,
    }
