"""Statistics of whole variants: worth in patients, what foretells the gain, shuffled labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from lussweep.analysis.chance import judge_chance
from lussweep.analysis.contrasts import FEW_PATIENTS
from lussweep.analysis.paired import PairedWins, pair_up
from lussweep.analysis.usefulness import ORIENTATIONS, Usefulness, paired_gains, usefulness
from lussweep.analysis.worth import Worth, Worths, worths
from lussweep.metrics.auroc import auroc, patient_weights, resampled_auroc
from lussweep.report.cells import (
    DONE,
    REFUSED,
    WITHHELD,
    Row,
    ScoredCells,
    in_order,
)
from lussweep.report.summary import coordinates_of, epoch_is_axis
from lussweep.study.coordinates import Coordinates, Draw
from lussweep.study.spec import StudySpec

BASELINE = "baseline"


# --- worth in patients ----------------------------------------------------------------------


def worth_rows(cells: ScoredCells, study: StudySpec, seed: int) -> list[Row]:
    """Of every variant, in the WORTH schema; a GAN epoch that is an axis stands in its name.

    None where the grid has one patient count of the baseline, or no baseline.
    """
    baseline = in_order(place for place in cells.asked if place.variant == BASELINE)
    if len({place.n_patients for place in baseline}) < 2:
        return []
    lines: dict[tuple[str, int], list[Coordinates]] = {}
    for place in sorted(cells.asked, key=lambda p: (p.curve, p.n_patients, p.replicate)):
        lines.setdefault((place.curve, place.n_patients), []).append(place)
    names = {line: {"variant": line[0], "n_patients": line[1]} for line in lines}
    if len({place.n_patients for place in baseline if place in cells.scored}) < 2:
        return [names[line] | cells.absence(baseline) for line in lines]
    try:
        paired = pair_up({_unit(place): frames for place, frames in cells.scored.items()})
    except ValueError as error:  # not the same frames: the message names the two cells
        return [names[line] | {"status": REFUSED, "reason": str(error)} for line in lines]
    found = _worths(list(cells.scored), paired, study.analysis.n_resamples, seed)
    known = {(row.variant, row.n_patients): row for row in found.rows}
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
    """From the same resamples of patients for all cells; none but the estimate where a class
    lives in a single patient."""
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


def _worth(found: Worth, few: bool) -> Row:
    estimate = {
        "n_replicates": found.n_replicates,
        "auroc": found.auroc,
        "worth": found.text,
        "k_low": found.k_low,
        "k_high": found.k_high,
    }
    if few:
        return estimate
    return estimate | {
        "interval": found.interval_text,
        "interval_low": found.interval_low,
        "interval_high": found.interval_high,
        "share_below": found.share_below,
        "share_above": found.share_above,
    }


# --- what foretells the gain ----------------------------------------------------------------


def usefulness_rows(
    results: pa.Table, cells: ScoredCells, gan_scores: pa.Table, study: StudySpec, seed: int
) -> list[Row]:
    """Every score of the positives' generator against the gain of the cells that used it.

    In the USEFULNESS schema. None where the GAN epoch is an axis: one cohort would stand for
    itself once an epoch.
    """
    variants = {place.variant for place in cells.asked}
    if epoch_is_axis(results) or BASELINE not in variants:
        return []
    rows = [row for row in results.to_pylist() if coordinates_of(row, False) in cells.scored]
    frames = [cells.scored[coordinates_of(row, False)] for row in rows]
    gains = paired_gains(
        [row["variant"] for row in rows],
        np.array([row["n_patients"] for row in rows], dtype=np.int64),
        np.array([row["replicate"] for row in rows], dtype=np.int64),
        np.array([auroc(f.label_U, f.score_U) for f in frames], dtype=np.float64),
    )
    gained = [(rows[i], gain) for i, gain in zip(gains.cell_G, gains.gain_G, strict=True)]
    found, scores = [], sorted(_positive_scores(gan_scores).items())
    for variant in sorted(variants):
        gan = _gan_of(variant, study)
        if gan is None:
            continue
        mine = [(row, gain) for row, gain in gained if row["variant"] == variant]
        for what, known in scores:
            head = {"variant": variant, **dict(zip(SCORE, what, strict=True))}
            found.append(head | _foretold(variant, gan, mine, what[0], known, cells, study, seed))
    return found


SCORE = ("metric", "embedder", "space")


def _gan_of(variant: str, study: StudySpec) -> str | None:
    """None for a variant of an earlier grid that the study no longer describes, too."""
    recipe = study.variants.get(variant)
    return study.generator_name(recipe, "pos") if recipe else None


def _positive_scores(gan_scores: pa.Table) -> dict[tuple[str, ...], dict[tuple[Any, ...], float]]:
    """By metric, embedder and space: the value of each snapshot of a positives' generator."""
    values: dict[tuple[str, ...], dict[tuple[Any, ...], float]] = {}
    for row in gan_scores.to_pylist():
        if row["class"] == "pos" and row["metric"] in ORIENTATIONS:
            at = (Draw.of_row(row), row["gan"], row["epoch"])
            values.setdefault(tuple(row[name] for name in SCORE), {})[at] = row["value"]
    return values


def _foretold(
    variant: str,
    gan: str,
    gained: Sequence[tuple[Row, float]],
    metric: str,
    known: Mapping[tuple[Any, ...], float],
    cells: ScoredCells,
    study: StudySpec,
    seed: int,
) -> Row:
    asked = in_order(place for place in cells.asked if place.variant == variant)
    if not gained:
        baselines = [replace(place, variant=BASELINE) for place in asked]
        return {"n_cells": 0} | cells.absence([*asked, *baselines])
    rows = [row for row, _ in gained]
    snapshots = [(Draw.of_row(row), gan, row["gan_epoch"]) for row in rows]
    try:
        one = usefulness(
            metric,
            np.array([known.get(snapshot, np.nan) for snapshot in snapshots], dtype=np.float64),
            np.array([gain for _, gain in gained]),
            np.array([row["n_patients"] for row in rows]),
            np.array([row["replicate"] for row in rows]),
            n_resamples=study.analysis.n_resamples,
            seed=seed,
        )
    except ValueError as error:  # an infinite score
        return {"status": REFUSED, "reason": str(error)}
    n = one.n_cells
    part = f"{n} of {len(asked)} cells have this metric and a gain" if n < len(asked) else None
    reason = "; ".join(filter(None, [one.reason, part])) or None
    return _correlations(one) | {"reason": reason}


def _correlations(one: Usefulness) -> Row:
    row: Row = {"n_cells": one.n_cells, "n_cohorts": one.n_cohorts}
    for name in ("spearman", "kendall", "spearman_within", "kendall_within"):
        estimate = getattr(one, name)
        if estimate is not None:
            row[name] = estimate.value
            if not np.isnan(estimate.low):
                row |= {f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    given = WITHHELD if one.reason else DONE
    return row | {"status": REFUSED if one.spearman is None else given}


# --- shuffled labels ------------------------------------------------------------------------


def control_rows(cells: ScoredCells, study: StudySpec) -> list[Row]:
    """Variants whose training labels are shuffled, judged over replicates, in the CONTROLS schema.

    Each replicate is one permutation of the patients' labels.
    """
    shuffled = {name for name, recipe in study.variants.items() if recipe.labels == "shuffled"}
    lines: dict[tuple[int, str], list[Coordinates]] = {}
    for place in in_order(place for place in cells.asked if place.variant in shuffled):
        lines.setdefault((place.n_patients, place.variant), []).append(place)
    return [_control(places, cells) for _, places in sorted(lines.items())]


def _control(places: Sequence[Coordinates], cells: ScoredCells) -> Row:
    row: Row = {"n_patients": places[0].n_patients, "variant": places[0].variant}
    frames = [cells.scored[place] for place in places if place in cells.scored]
    row["n_permutations"] = len(frames)
    if not frames:
        return row | cells.absence(places)
    found = judge_chance(np.array([auroc(f.label_U, f.score_U) for f in frames]))
    low, high = found.interval or (None, None)
    return row | {
        "auroc": found.mean,
        "low": low,
        "high": high,
        "verdict": found.verdict,
        "status": WITHHELD if found.withheld else DONE,
        "reason": "; ".join(filter(None, [found.withheld, cells.lacking(places)])) or None,
    }
