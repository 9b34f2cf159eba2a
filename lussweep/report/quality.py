"""Precision, calibration and net benefit of each cell's frames, with intervals over patients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lussweep.analysis.calibration import (
    CalibrationLine,
    brier,
    calibration_curve,
    calibration_line,
    expected_calibration_error,
    line_estimate,
    recalibrated,
)
from lussweep.analysis.jackknife import Estimate, too_few_patients
from lussweep.analysis.levels import Scored, patients_by_class
from lussweep.analysis.net_benefit import net_benefits
from lussweep.analysis.precision import average_precision
from lussweep.report.cells import DONE, REFUSED, WITHHELD, Row, ScoredCells
from lussweep.study.coordinates import Coordinates
from lussweep.study.spec import StudySpec

SEPARATED = "the scores separate the classes, or nearly"


def quality_rows(cells: ScoredCells) -> list[Row]:
    """One row for each cell, in the QUALITY schema."""
    return _rows(cells, _quality)


def calibration_rows(cells: ScoredCells) -> list[Row]:
    """One row for each cell and bin of its scores, in the CALIBRATION schema."""
    return _rows(cells, _curve)


def net_benefit_rows(cells: ScoredCells, val: ScoredCells, study: StudySpec) -> list[Row]:
    """The rows of each cell and threshold probability, in the NET_BENEFIT schema.

    Each is given for the scores as they are, and for the scores that validation's calibration line
    makes of them. `val` holds the same cells with their validation frames.
    """
    rows = _rows(cells, lambda frames: _net_benefits(frames, False))
    for place in cells.done:
        why = cells.refused.get(place) or _no_probabilities(cells.scored[place])
        if why:  # there is a row that says so
            continue
        line = _line_of_validation(place, val, study)
        if isinstance(line, str):
            found: list[Row] = [{"recalibrated": True, "status": REFUSED, "reason": line}]
        else:
            frames = cells.scored[place]
            probable_U = recalibrated(line, frames.score_U)
            found = _net_benefits(frames._replace(score_U=probable_U), True)
        rows += [place.row() | row for row in found]
    return rows


def _line_of_validation(
    place: Coordinates, val: ScoredCells, study: StudySpec
) -> CalibrationLine | str:
    """The calibration line of a cell's validation frames, or the reason why there is none."""
    recipe = study.variants.get(place.variant)
    if recipe and recipe.labels == "shuffled":
        return "validation labels are shuffled"
    if why := val.refused.get(place) or _no_probabilities(val.scored[place]):
        return f"validation: {why}"
    frames = val.scored[place]
    line = calibration_line(frames.label_U, frames.score_U)
    return f"validation: {SEPARATED}" if np.isnan(line.slope) else line


def _rows(cells: ScoredCells, of_frames: Callable[[Scored], list[Row]]) -> list[Row]:
    """The rows of every cell. A cell without usable probabilities has one row that says so."""
    rows = []
    for place in cells.done:
        why = cells.refused.get(place) or _no_probabilities(cells.scored[place])
        found = [{"status": REFUSED, "reason": why}] if why else of_frames(cells.scored[place])
        rows += [place.row() | row for row in found]
    return rows


def _no_probabilities(frames: Scored) -> str | None:
    inside = (frames.score_U >= 0) & (frames.score_U <= 1)
    return None if inside.all() else "scores must be probabilities, in [0, 1]"


def _quality(frames: Scored) -> list[Row]:
    precision, score, line = average_precision(frames), brier(frames), line_estimate(frames)
    n_pos_patients, n_neg_patients = patients_by_class(frames)
    row: Row = {
        **_columns("average_precision", precision),
        "prevalence": float(frames.label_U.mean()),
        **_columns("brier", score),
        **_columns("calibration_slope", line.slope),
        **_columns("calibration_intercept", line.intercept),
        "calibration_error": expected_calibration_error(frames.label_U, frames.score_U),
        "n_pos_patients": n_pos_patients,
        "n_neg_patients": n_neg_patients,
    }
    reasons = {
        "average precision": precision.withheld,
        "Brier score": score.withheld,
        "calibration line": line.slope.withheld or line.intercept.withheld,
    }
    if np.isnan(line.slope.value):
        reasons["calibration line"] = SEPARATED
    named = [f"{name}: {why}" for name, why in reasons.items() if why]
    return [row | _outcome(too_few_patients(frames) or "; ".join(named))]


def _curve(frames: Scored) -> list[Row]:
    why = too_few_patients(frames)
    rows = []
    for number, one in enumerate(calibration_curve(frames), start=1):
        rows.append(
            {
                "bin": number,
                "mean_score": one.mean_score,
                "share": one.share,
                "low": None if why else one.low,
                "high": None if why else one.high,
                "n_frames": one.n_frames,
                "n_patients_in_bin": one.n_patients,
                **_outcome(why),
            }
        )
    return rows


def _net_benefits(frames: Scored, is_recalibrated: bool) -> list[Row]:
    return [
        {
            "recalibrated": is_recalibrated,
            "threshold": one.threshold,
            "prevalence": float(frames.label_U.mean()),
            **_columns("net_benefit", one.model),
            "treat_all": one.treat_all,
            "treat_none": 0.0,
            **_columns("gain", one.gain),
            **_outcome(one.gain.withheld),
        }
        for one in net_benefits(frames)
    ]


def _columns(name: str, estimate: Estimate) -> Row:
    """The columns of a value and its interval. What does not exist is null."""
    values = {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {column: None if np.isnan(value) else value for column, value in values.items()}


def _outcome(why: str | None) -> Row:
    return {"status": WITHHELD if why else DONE, "reason": why or None}
