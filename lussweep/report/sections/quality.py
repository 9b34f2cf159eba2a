"""Precision, calibration and net benefit of each cell's frames, with intervals over patients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

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
from lussweep.report.cells import DONE, REFUSED, WITHHELD, Row, ScoredCells, is_shuffled
from lussweep.report.sections.columns import OUTCOME, WHO
from lussweep.report.sections.seam import Collected, Section
from lussweep.store.tables import make_schema
from lussweep.study.coordinates import Coordinates

_OVER_PATIENTS = "95 % over holdout patients, for these trained models"
_JACKKNIFED = f"{_OVER_PATIENTS}: jackknife"
QUALITY = make_schema(
    *WHO,
    ("average_precision", pa.float64(), "area under precision and recall of holdout frames"),
    ("average_precision_low", pa.float64(), _JACKKNIFED),
    ("average_precision_high", pa.float64(), _JACKKNIFED),
    (
        "prevalence",
        pa.float64(),
        "share of positive frames of the holdout, the average precision of chance",
    ),
    ("brier", pa.float64(), "mean squared distance of score and label over holdout frames"),
    ("brier_low", pa.float64(), _JACKKNIFED),
    ("brier_high", pa.float64(), _JACKKNIFED),
    (
        "calibration_slope",
        pa.float64(),
        "of the label on the score's logit, over holdout frames; 1 is calibrated",
    ),
    ("calibration_slope_low", pa.float64(), _JACKKNIFED),
    ("calibration_slope_high", pa.float64(), _JACKKNIFED),
    (
        "calibration_intercept",
        pa.float64(),
        "of the label on the score's logit, over holdout frames; 0 is calibrated",
    ),
    ("calibration_intercept_low", pa.float64(), _JACKKNIFED),
    ("calibration_intercept_high", pa.float64(), _JACKKNIFED),
    (
        "calibration_error",
        pa.float64(),
        "expected, over 10 bins of equal mass of holdout frames; no interval",
    ),
    ("n_pos_patients", pa.int32(), "holdout patients with a positive frame"),
    ("n_neg_patients", pa.int32(), "holdout patients with a negative frame"),
    *OUTCOME,
)
CALIBRATION = make_schema(
    *WHO,
    ("bin", pa.int32(), "from 1, the tenth of holdout frames with the lowest scores"),
    ("mean_score", pa.float64(), "of the bin's frames; the share that the model foretells"),
    ("share", pa.float64(), "of the bin's frames that are positive"),
    ("low", pa.float64(), f"of the share: {_OVER_PATIENTS}, and for these bins"),
    ("high", pa.float64(), f"of the share: {_OVER_PATIENTS}, and for these bins"),
    ("n_frames", pa.int32(), "holdout frames of the bin"),
    ("n_patients_in_bin", pa.int32(), "holdout patients with a frame in the bin"),
    *OUTCOME,
)
_AT_PREVALENCE = f"{_OVER_PATIENTS}, at the prevalence of these holdout frames"
NET_BENEFIT = make_schema(
    *WHO,
    (
        "recalibrated",
        pa.bool_(),
        "whether validation's calibration line has made probabilities of the scores",
    ),
    ("threshold", pa.float64(), "threshold probability; means what it says if calibrated"),
    ("prevalence", pa.float64(), "share of positive frames of the holdout"),
    ("net_benefit", pa.float64(), "of the model, in true positives a holdout frame"),
    ("net_benefit_low", pa.float64(), _AT_PREVALENCE),
    ("net_benefit_high", pa.float64(), _AT_PREVALENCE),
    ("treat_all", pa.float64(), "net benefit of calling every holdout frame positive"),
    ("treat_none", pa.float64(), "net benefit of calling no frame positive: 0"),
    ("gain", pa.float64(), "of the model over the better of all and none"),
    ("gain_low", pa.float64(), _AT_PREVALENCE),
    ("gain_high", pa.float64(), _AT_PREVALENCE),
    *OUTCOME,
)
SEPARATED = "the scores separate the classes, or nearly"


def quality_rows(collected: Collected) -> list[Row]:
    """One row for each cell."""
    return _rows(collected.cells, _quality)


def calibration_rows(collected: Collected) -> list[Row]:
    """One row for each cell and bin of its scores."""
    return _rows(collected.cells, _curve)


def net_benefit_rows(collected: Collected) -> list[Row]:
    """The rows of each cell and threshold probability.

    Each is computed twice: from the scores as they are, and from the scores that the calibration
    line of validation frames recalibrates.
    """
    cells = collected.cells
    rows = _rows(cells, lambda frames: _net_benefits(frames, False))
    for place in cells.done:
        why = cells.refused.get(place) or _no_probabilities(cells.scored[place])
        if why:  # `_rows` has made a row with the reason
            continue
        line = _line_of_validation(place, collected)
        if isinstance(line, str):
            added: list[Row] = [{"recalibrated": True, "status": REFUSED, "reason": line}]
        else:
            frames = cells.scored[place]
            probable_U = recalibrated(line, frames.score_U)
            added = _net_benefits(frames._replace(score_U=probable_U), True)
        rows += [place.row() | row for row in added]
    return rows


def _line_of_validation(place: Coordinates, collected: Collected) -> CalibrationLine | str:
    """The calibration line of a cell's validation frames, or the reason why there is none."""
    if is_shuffled(place, collected.study):
        return "validation labels are shuffled"
    val = collected.val_cells
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
        of_cell = [{"status": REFUSED, "reason": why}] if why else of_frames(cells.scored[place])
        rows += [place.row() | row for row in of_cell]
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


SECTIONS = {
    "quality": Section(version=1, schema=QUALITY, rows=quality_rows, order=80),
    "calibration": Section(version=1, schema=CALIBRATION, rows=calibration_rows, order=90),
    "net_benefit": Section(version=1, schema=NET_BENEFIT, rows=net_benefit_rows, order=100),
}
