"""Statistics of whole variants: usefulness of GAN scores, shuffled labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from lussweep.analysis.chance import judge_chance
from lussweep.analysis.usefulness import (
    Usefulness,
    benjamini_hochberg,
    paired_gains,
    usefulness,
)
from lussweep.metrics.auroc import auroc
from lussweep.report.cells import (
    BASELINE,
    DONE,
    REFUSED,
    WITHHELD,
    Row,
    ScoredCells,
    in_order,
)
from lussweep.report.summary import coordinates_of, epoch_is_axis
from lussweep.study.coordinates import Coordinates, Draw
from lussweep.study.spec import SCORES, StudySpec

# --- usefulness of GAN scores ---------------------------------------------------------------


def usefulness_rows(
    results: pa.Table, cells: ScoredCells, gan_scores: pa.Table, study: StudySpec, seed: int
) -> list[Row]:
    """One row for each variant and score of its positives' generator, in the USEFULNESS schema.

    A row correlates the score with the gain of the cells that used the generator. There are no
    rows if the GAN epoch is an axis, because a cohort would count once for every epoch.
    """
    variants = {place.variant for place in cells.planned}
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
    correlations: list[Row] = []
    scores = sorted(_positive_scores(gan_scores).items())
    for variant in sorted(variants):
        gan = _gan_of(variant, study)
        if gan is None:
            continue
        of_variant = [(row, gain) for row, gain in gained if row["variant"] == variant]
        for what, known in scores:
            head = {"variant": variant, **dict(zip(SCORE, what, strict=True))}
            correlations.append(
                head | _usefulness_row(variant, gan, of_variant, what[0], known, cells, study, seed)
            )
    tested = [row for row in correlations if row.get("p_value") is not None]
    adjusted = benjamini_hochberg([row["p_value"] for row in tested])
    for row, q_value in zip(tested, adjusted, strict=True):
        row["q_value"] = q_value
    return correlations


SCORE = ("metric", "embedder", "space")


def _gan_of(variant: str, study: StudySpec) -> str | None:
    """The name of the generator of a variant's positives, or None if it has none.

    It is None, too, for a variant of an earlier grid that the study no longer describes.
    """
    recipe = study.variants.get(variant)
    return study.generator_name(recipe, "pos") if recipe else None


def _positive_scores(gan_scores: pa.Table) -> dict[tuple[str, ...], dict[tuple[Any, ...], float]]:
    """The value of each snapshot of a positives' generator, by metric, embedder and space.

    A score without a goal is left out.
    """
    values: dict[tuple[str, ...], dict[tuple[Any, ...], float]] = {}
    for row in gan_scores.to_pylist():
        score = SCORES.get(row["metric"])
        if row["class"] == "pos" and (score is None or score.goal is not None):
            at = (Draw.of_row(row), row["gan"], row["epoch"])
            values.setdefault(tuple(row[name] for name in SCORE), {})[at] = row["value"]
    return values


def _usefulness_row(
    variant: str,
    gan: str,
    gained: Sequence[tuple[Row, float]],
    metric: str,
    known: Mapping[tuple[Any, ...], float],
    cells: ScoredCells,
    study: StudySpec,
    seed: int,
) -> Row:
    planned = in_order(place for place in cells.planned if place.variant == variant)
    if not gained:
        baselines = [replace(place, variant=BASELINE) for place in planned]
        return {"n_cells": 0} | cells.absence([*planned, *baselines])
    rows = [row for row, _ in gained]
    snapshots = [(Draw.of_row(row), gan, row["gan_epoch"]) for row in rows]
    try:
        one = usefulness(
            metric,
            np.array([known.get(snapshot, np.nan) for snapshot in snapshots], dtype=np.float64),
            np.array([gain for _, gain in gained]),
            np.array([row["n_patients"] for row in rows]),
            np.array([row["replicate"] for row in rows]),
            nested=study.cohort.sampling == "nested",
            n_resamples=study.analysis.n_resamples,
            seed=seed,
        )
    except ValueError as error:  # an infinite score
        return {"status": REFUSED, "reason": str(error)}
    n = one.n_cells
    part = f"{n} of {len(planned)} cells have this metric and a gain" if n < len(planned) else None
    reason = "; ".join(filter(None, [one.reason, part])) or None
    return _correlations(one) | {"reason": reason}


def _correlations(one: Usefulness) -> Row:
    row: Row = {"n_cells": one.n_cells, "n_units": one.n_units, "p_value": one.p_value}
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
    """One row for each patient count and variant with shuffled labels, in the CONTROLS schema.

    Each replicate is one permutation of the patients' labels.
    """
    shuffled = {name for name, recipe in study.variants.items() if recipe.labels == "shuffled"}
    lines: dict[tuple[int, str], list[Coordinates]] = {}
    for place in in_order(place for place in cells.planned if place.variant in shuffled):
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
        "reason": "; ".join(filter(None, [judged.withheld, cells.lacking(places)])) or None,
    }
