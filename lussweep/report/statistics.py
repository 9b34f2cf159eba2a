"""From the holdout scores of all cells to intervals, contrasts and worths: nothing is retrained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lussweep import tables
from lussweep.analysis.bootstrap import bootstrap_auroc
from lussweep.analysis.contrasts import contrast, holm, non_inferiority
from lussweep.analysis.delong import delong_test
from lussweep.analysis.levels import MAX, MEAN, Scored, to_patients, to_videos
from lussweep.analysis.operating import (
    average_precision,
    brier_score,
    calibration_line,
    expected_calibration_error,
    operating_point,
    threshold_for_specificity,
)
from lussweep.analysis.paired import pair_up
from lussweep.analysis.power import detectable_difference
from lussweep.analysis.usefulness import ORIENTATIONS, paired_gains, usefulness
from lussweep.analysis.worth import worths
from lussweep.keys import derive_seed
from lussweep.metrics.auroc import auroc, patient_weights, resampled_auroc, win_matrix
from lussweep.report.summary import epoch_is_axis
from lussweep.spec import StudySpec

BASELINE = "baseline"
WANTED_SPECIFICITIES = (0.9, 0.95)
Row = dict[str, Any]
Place = tuple[int, int, str, int | None]
"""n_patients, replicate, variant, and the GAN epoch where that is an axis."""


def collect_statistics(
    results: pa.Table,
    frame_scores: pa.Table,
    val_scores: pa.Table,
    gan_scores: pa.Table,
    study: StudySpec,
) -> dict[str, pa.Table]:
    """Every table of statistics by name, over the cells that are done."""
    done = results.filter(pc.equal(results["status"], "done"))
    cells = _scored_cells(done, frame_scores)
    seed = derive_seed(study.seed, "analysis")
    found = {
        "aurocs": (_auroc_rows(cells, study, seed), tables.AUROCS),
        "quality": (_quality_rows(cells), tables.QUALITY),
        "operating": (
            _operating_rows(cells, _scored_cells(done, val_scores), study, seed),
            tables.OPERATING,
        ),
        "delong": (_delong_rows(cells, study), tables.DELONG),
        "contrasts": (_contrast_rows(cells, study, seed), tables.CONTRASTS),
        "worth": (_worth_rows(cells, study, seed), tables.WORTH),
        "usefulness": (_usefulness_rows(done, gan_scores, study, seed), tables.USEFULNESS),
    }
    return {name: pa.Table.from_pylist(rows, schema) for name, (rows, schema) in found.items()}


def _scored_cells(done: pa.Table, frame_scores: pa.Table) -> dict[Place, Scored]:
    """Frames of every cell, in the order in which all cells were judged."""
    ids = {
        name: np.asarray(
            pc.dictionary_encode(frame_scores[name]).combine_chunks().indices, dtype=np.int64
        )
        for name in ("patient_id", "video_id")
        if len(frame_scores)
    }
    axis = epoch_is_axis(done)
    columns = {name: frame_scores[name].to_numpy() for name in ("n_patients", "replicate")}
    variant = frame_scores["variant"].to_numpy(zero_copy_only=False)
    epoch = pc.fill_null(frame_scores["gan_epoch"], -1).to_numpy()
    found: dict[Place, Scored] = {}
    for row in done.to_pylist():
        mine = (columns["n_patients"] == row["n_patients"]) & (variant == row["variant"])
        mine &= columns["replicate"] == row["replicate"]
        if axis:
            mine &= epoch == (-1 if row["gan_epoch"] is None else row["gan_epoch"])
        place = (row["n_patients"], row["replicate"], row["variant"])
        frames = frame_scores.filter(pa.array(mine))
        found[(*place, row["gan_epoch"] if axis else None)] = Scored(
            frames["label"].to_numpy(),
            frames["score"].to_numpy(),
            ids["patient_id"][mine],
            ids["video_id"][mine],
            frames["frame"].to_numpy(),
        )
    return found


# --- one cell -----------------------------------------------------------------------------


def _levels(frames: Scored) -> Iterator[tuple[str, Scored]]:
    yield "frame", frames
    for name, aggregate in (("mean", MEAN), ("max", MAX)):
        yield f"video_{name}", to_videos(frames, aggregate)
        yield f"patient_{name}", to_patients(frames, aggregate)


def _auroc_rows(cells: Mapping[Place, Scored], study: StudySpec, seed: int) -> list[Row]:
    rows = []
    for (n_patients, replicate, variant, epoch), frames in cells.items():
        for level, units in _levels(frames):
            row: Row = {
                "n_patients": n_patients,
                "replicate": replicate,
                "variant": variant,
                "gan_epoch": epoch,
                "level": level,
                "n_units": len(units.label_U),
            }
            rows.append(row | _interval(units, study.analysis.n_resamples, seed))
    return rows


def _interval(units: Scored, n_resamples: int, seed: int) -> Row:
    try:
        found = bootstrap_auroc(units, n_resamples=n_resamples, seed=seed)
    except ValueError as error:  # a holdout of which hardly a resample has both classes
        return {"auroc": auroc(units.label_U, units.score_U), "withheld": str(error)}
    low, high = found.bca_expanded or (None, None)
    return {
        "auroc": found.estimate,
        "low": low,
        "high": high,
        "percentile_low": found.percentile.low,
        "percentile_high": found.percentile.high,
        "standard_error": found.standard_error,
        "n_resamples": found.n_resamples,
        "n_one_class": found.n_one_class,
        "n_pos_patients": found.n_pos_patients,
        "n_neg_patients": found.n_neg_patients,
        "withheld": found.bca_withheld,
    }


def _quality_rows(cells: Mapping[Place, Scored]) -> list[Row]:
    """What AUC-ROC does not see: precision at the prevalence of the holdout, and calibration."""
    rows = []
    for (n_patients, replicate, variant, epoch), frames in cells.items():
        label, score = frames.label_U, frames.score_U
        line = calibration_line(label, score)
        rows.append(
            {
                "n_patients": n_patients,
                "replicate": replicate,
                "variant": variant,
                "gan_epoch": epoch,
                "average_precision": average_precision(label, score),
                "prevalence": float(label.mean()),
                "brier": brier_score(label, score),
                "calibration_slope": _known(line.slope),
                "calibration_intercept": _known(line.intercept),
                "calibration_error": expected_calibration_error(label, score),
            }
        )
    return rows


def _operating_rows(
    cells: Mapping[Place, Scored], val: Mapping[Place, Scored], study: StudySpec, seed: int
) -> list[Row]:
    """Sensitivity on holdout at thresholds that validation chose."""
    rows = []
    for place, frames in cells.items():
        n_patients, replicate, variant, epoch = place
        for wanted in WANTED_SPECIFICITIES:
            chosen = threshold_for_specificity(val[place].label_U, val[place].score_U, wanted)
            found = operating_point(
                frames.label_U,
                frames.score_U,
                frames.patient_U,
                chosen.threshold,
                n_resamples=study.analysis.n_resamples,
                seed=seed,
            )
            row: Row = {
                "n_patients": n_patients,
                "replicate": replicate,
                "variant": variant,
                "gan_epoch": epoch,
                "wanted": wanted,
                "threshold": chosen.threshold,
                "val_sensitivity": chosen.sensitivity,
            }
            for name in ("sensitivity", "specificity"):
                estimate = getattr(found, name)
                row |= {name: estimate.value, f"{name}_low": _known(estimate.low)}
                row[f"{name}_high"] = _known(estimate.high)
            rows.append(row)
    return rows


# --- differences --------------------------------------------------------------------------


def _contrast_rows(cells: Mapping[Place, Scored], study: StudySpec, seed: int) -> list[Row]:
    """Every planned contrast at every patient count (and GAN epoch, where that is an axis)."""
    found = []
    for n_patients in sorted({place[0] for place in cells}):
        here = {place[1:]: frames for place, frames in cells.items() if place[0] == n_patients}
        for variant, reference in study.analysis.contrasts:
            for epoch in sorted({e or 0 for _, v, e in here if v == variant}):
                pair = {
                    (name, replicate): frames
                    for (replicate, name, e), frames in here.items()
                    if (name == variant and (e or 0) == epoch)
                    or (name == reference and (e or 0) in (0, epoch))
                }
                both = [{r for name, r in pair if name == n} for n in (variant, reference)]
                if both[0] & both[1]:
                    one = contrast(
                        pair_up(pair),
                        variant,
                        reference,
                        n_resamples=study.analysis.n_resamples,
                        seed=seed,
                    )
                    found.append((n_patients, epoch or None, one))
    adjusted = holm([one.p_value for _, _, one in found])
    return [
        _contrast_row(n, epoch, one._replace(p_holm=p), study)
        for (n, epoch, one), p in zip(found, adjusted, strict=True)
    ]


def _delong_rows(cells: Mapping[Place, Scored], study: StudySpec) -> list[Row]:
    """DeLong's test of two models, one score a patient (the mean over frames): replicates apart."""
    rows = []
    for variant, reference in study.analysis.contrasts:
        for (n_patients, replicate, name, epoch), frames in cells.items():
            if name != variant:
                continue
            places = ((n_patients, replicate, reference, e) for e in (epoch, None))
            other = next((cells[place] for place in places if place in cells), None)
            if other is None:
                continue
            found = delong_test(to_patients(frames), to_patients(other))
            rows.append(
                {
                    "n_patients": n_patients,
                    "replicate": replicate,
                    "gan_epoch": epoch,
                    "variant": variant,
                    "reference": reference,
                    "auroc": found.auroc,
                    "reference_auroc": found.reference_auroc,
                    "difference": found.difference,
                    "low": found.interval.low,
                    "high": found.interval.high,
                    "standard_error": found.standard_error,
                    "p_value": found.p_value,
                }
            )
    return rows


def _contrast_row(n_patients: int, epoch: int | None, one: Any, study: StudySpec) -> Row:
    ends = {
        "": one.percentile_expanded,
        "percentile_": one.percentile,
        "replicate_": one.replicate_interval,
        "two_level_": one.two_level_interval,
    }
    intervals = {
        f"{name}{end}": None if interval is None else getattr(interval, end)
        for name, interval in ends.items()
        for end in ("low", "high")
    }
    return {
        "n_patients": n_patients,
        "gan_epoch": epoch,
        "variant": one.variant,
        "reference": one.reference,
        "n_replicates": len(one.replicates),
        "auroc": one.auroc,
        "reference_auroc": one.reference_auroc,
        "difference": one.difference,
        **intervals,
        "p_value": one.p_value,
        "p_holm": one.p_holm,
        "rank_p_value": one.rank_p_value,
        "margin": study.analysis.margin,
        "non_inferior": non_inferiority(one, study.analysis.margin).non_inferior,
        "standard_error": one.standard_error,
        "detectable": detectable_difference(one.standard_error).difference,
        "withheld": "; ".join(f"{k}: {v}" for k, v in one.withheld.items()) or None,
        "n_resamples": one.n_resamples,
        "n_one_class": one.n_one_class,
    }


# --- worth, and what foretells it -----------------------------------------------------------


def _worth_rows(cells: Mapping[Place, Scored], study: StudySpec, seed: int) -> list[Row]:
    """Of every variant; a GAN epoch that is an axis stands in the variant's name."""
    counts = {place[0] for place in cells if place[2] == BASELINE}
    if len(counts) < 2:
        return []
    names = [v if e is None else f"{v} epoch {e}" for _, _, v, e in cells]
    matrices = [win_matrix(c.label_U, c.score_U, c.patient_U) for c in cells.values()]
    weights = patient_weights(len(matrices[0].n_pos_P), study.analysis.n_resamples, seed=seed)
    ones = np.ones((1, len(matrices[0].n_pos_P)), dtype=np.int64)
    found = worths(
        names,
        np.array([place[0] for place in cells]),
        np.array([place[1] for place in cells]),
        np.array([resampled_auroc(m, ones)[0] for m in matrices]),
        np.stack([resampled_auroc(m, weights) for m in matrices], axis=1),
    )
    return [
        {
            "variant": row.variant,
            "n_patients": row.n_patients,
            "n_replicates": row.n_replicates,
            "auroc": row.auroc,
            "worth": row.text,
            "interval": row.interval_text,
            "k_low": row.k_low,
            "k_high": row.k_high,
            "interval_low": row.interval_low,
            "interval_high": row.interval_high,
            "share_below": row.share_below,
            "share_above": row.share_above,
        }
        for row in found.rows
    ]


def _usefulness_rows(
    done: pa.Table, gan_scores: pa.Table, study: StudySpec, seed: int
) -> list[Row]:
    """Every score of the positives' generator against the gain of the cells that used it."""
    if epoch_is_axis(done):  # one cohort would stand for itself once an epoch
        return []
    rows = done.to_pylist()
    gains = paired_gains(
        [row["variant"] for row in rows],
        np.array([row["n_patients"] for row in rows], dtype=np.int64),
        np.array([row["replicate"] for row in rows], dtype=np.int64),
        np.array([row["auroc"] for row in rows], dtype=np.float64),
    )
    values: dict[tuple[str, str, str], dict[tuple[Any, ...], float]] = {}
    for score in gan_scores.to_pylist():
        if score["class"] == "pos" and score["metric"] in ORIENTATIONS:
            what = (score["metric"], score["embedder"], score["space"])
            at = (score["n_patients"], score["replicate"], score["gan"], score["epoch"])
            values.setdefault(what, {})[at] = score["value"]
    variants = sorted({rows[i]["variant"] for i in gains.cell_G if _gan_of(rows[i], study)})
    found = []
    for variant in variants:
        mine = [i for i, k in enumerate(gains.cell_G) if rows[k]["variant"] == variant]
        cells = [rows[gains.cell_G[i]] for i in mine]
        for (metric, embedder, space), known in sorted(values.items()):
            places = [
                (c["n_patients"], c["replicate"], _gan_of(c, study), c["gan_epoch"]) for c in cells
            ]
            one = usefulness(
                metric,
                np.array([known.get(place, np.nan) for place in places]),
                gains.gain_G[mine],
                np.array([c["n_patients"] for c in cells]),
                np.array([c["replicate"] for c in cells]),
                n_resamples=study.analysis.n_resamples,
                seed=seed,
            )
            found.append(_usefulness_row(variant, embedder, space, one))
    return found


def _gan_of(cell: Row, study: StudySpec) -> str | None:
    return study.generator_name(study.variants[cell["variant"]], "pos")


def _usefulness_row(variant: str, embedder: str, space: str, one: Any) -> Row:
    row = {
        "variant": variant,
        "metric": one.metric,
        "embedder": embedder,
        "space": space,
        "n_cells": one.n_cells,
        "n_cohorts": one.n_cohorts,
        "reason": one.reason or None,
    }
    for name in ("spearman", "kendall", "spearman_within", "kendall_within"):
        estimate = getattr(one, name)
        if estimate is not None:
            row |= {name: estimate.value, f"{name}_low": _known(estimate.low)}
            row |= {f"{name}_high": _known(estimate.high)}
    return row


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
