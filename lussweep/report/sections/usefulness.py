"""How well each score of a GAN predicts the gain of a variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

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
    coordinates_of,
    epoch_is_axis,
    in_order,
    joined,
)
from lussweep.report.sections.columns import OUTCOME
from lussweep.report.sections.seam import Collected, Section
from lussweep.store.tables import make_schema
from lussweep.study.coordinates import Draw
from lussweep.study.spec import SCORES, StudySpec

_CORRELATIONS = tuple(
    (f"{name}{end}", pa.float64(), unit)
    for name, unit in (
        ("spearman", "over cells; positive: the better metric, the larger gain"),
        ("kendall", "over cells; positive: the better metric, the larger gain"),
        ("spearman_within", "between cells of one patient count"),
        ("kendall_within", "between cells of one patient count"),
    )
    for end in ("", "_low", "_high")
)
USEFULNESS = make_schema(
    ("variant", pa.string()),
    ("metric", pa.string(), "of the positives' generator"),
    ("embedder", pa.string()),
    ("space", pa.string()),
    ("n_cells", pa.int32()),
    ("n_units", pa.int32(), "cohorts, or replicates where cohorts are nested: what is resampled"),
    *_CORRELATIONS,
    ("p_value", pa.float64(), "of no relation within patient counts, by permutation"),
    ("q_value", pa.float64(), "p_value adjusted over this table: false discovery rate"),
    *OUTCOME,
)
SCORE = ("metric", "embedder", "space")


def usefulness_rows(collected: Collected) -> list[Row]:
    """One row for each variant and score of its positives' generator.

    A row correlates the score with the gain of the cells that used the generator. There are no
    rows if the GAN epoch is an axis, because a cohort would count once for every epoch.
    """
    cells, study, results = collected.cells, collected.study, collected.outcomes
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
    scores = sorted(_positive_scores(collected.table("gan_scores")).items())
    for variant in sorted(variants):
        gan = _gan_of(variant, study)
        if gan is None:
            continue
        of_variant = [(row, gain) for row, gain in gained if row["variant"] == variant]
        for score, value_of in scores:
            head = {"variant": variant, **dict(zip(SCORE, score, strict=True))}
            correlations.append(
                head | _usefulness_row(variant, gan, of_variant, score[0], value_of, collected)
            )
    tested = [row for row in correlations if row.get("p_value") is not None]
    adjusted = benjamini_hochberg([row["p_value"] for row in tested])
    for row, q_value in zip(tested, adjusted, strict=True):
        row["q_value"] = q_value
    return correlations


def _gan_of(variant: str, study: StudySpec) -> str | None:
    """The name of the generator of a variant's positives, or None if it has none.

    It is None, too, for a variant of an earlier grid that the study no longer describes.
    """
    recipe = study.variants.get(variant)
    return study.generator_name(recipe, "pos") if recipe and recipe.generator("pos") else None


def _positive_scores(gan_scores: pa.Table) -> dict[tuple[str, ...], dict[tuple[Any, ...], float]]:
    """The value of each snapshot of a positives' generator, by metric, embedder and space.

    A score without a goal is left out.
    """
    values: dict[tuple[str, ...], dict[tuple[Any, ...], float]] = {}
    for row in gan_scores.to_pylist():
        score = SCORES.get(row["metric"])
        if (
            row["gan"] is not None
            and row["class"] == "pos"
            and (score is None or score.goal is not None)
        ):
            at = (Draw.of_row(row), row["gan"], row["epoch"])
            values.setdefault(tuple(row[name] for name in SCORE), {})[at] = row["value"]
    return values


def _usefulness_row(
    variant: str,
    gan: str,
    gained: Sequence[tuple[Row, float]],
    metric: str,
    value_of: Mapping[tuple[Any, ...], float],
    collected: Collected,
) -> Row:
    cells, study = collected.cells, collected.study
    planned = in_order(place for place in cells.planned if place.variant == variant)
    if not gained:
        baselines = [replace(place, variant=BASELINE) for place in planned]
        return {"n_cells": 0} | cells.absence([*planned, *baselines])
    rows = [row for row, _ in gained]
    snapshots = [(Draw.of_row(row), gan, row["gan_epoch"]) for row in rows]
    try:
        one = usefulness(
            metric,
            np.array([value_of.get(snapshot, np.nan) for snapshot in snapshots], dtype=np.float64),
            np.array([gain for _, gain in gained]),
            np.array([row["n_patients"] for row in rows]),
            np.array([row["replicate"] for row in rows]),
            nested=study.cohort.sampling == "nested",
            n_resamples=study.analysis.n_resamples,
            seed=collected.seed,
        )
    except ValueError as error:  # an infinite score
        return {"status": REFUSED, "reason": str(error)}
    n = one.n_cells
    part = f"{n} of {len(planned)} cells have this metric and a gain" if n < len(planned) else None
    return _correlations(one) | {"reason": joined(one.reason, part)}


def _correlations(one: Usefulness) -> Row:
    row: Row = {"n_cells": one.n_cells, "n_units": one.n_units, "p_value": one.p_value}
    for name in ("spearman", "kendall", "spearman_within", "kendall_within"):
        estimate = getattr(one, name)
        if estimate is not None:
            row[name] = estimate.value
            if not np.isnan(estimate.low):
                row |= {f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    status = WITHHELD if one.reason else DONE
    return row | {"status": REFUSED if one.spearman is None else status}


SECTIONS = {
    "usefulness": Section(version=1, schema=USEFULNESS, rows=usefulness_rows, order=130),
}
