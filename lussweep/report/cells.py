"""The cells of a report: their scored frames, or the reason why they have no statistics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lussweep.analysis.levels import Scored, check_units
from lussweep.store import tables
from lussweep.study.coordinates import AXES, Coordinates
from lussweep.study.spec import StudySpec

Row = dict[str, Any]

BASELINE = "baseline"
"""The variant of real frames alone, which worth and gain are measured against."""
DONE, WITHHELD, MISSING, REFUSED = "done", "withheld", "missing", "refused"
"""The values of `status` in a table of statistics; see OUTCOME in `sections/columns.py`."""
WITHOUT_EPOCH = tuple(axis for axis in AXES if axis != "gan_epoch")
"""The axes that tell cells apart if the GAN epoch is not an axis."""


@dataclass(frozen=True)
class ScoredCells:
    """The cells of the results, and the scored frames of those that are done."""

    planned: frozenset[Coordinates]
    """Every cell of the results, done or not."""
    done: tuple[Coordinates, ...]
    """The cells that are done, in the order of the results.

    Each is either in `scored` or in `refused`.
    """
    scored: Mapping[Coordinates, Scored]
    """The scored frames of each usable cell, in the order of the score table."""
    refused: Mapping[Coordinates, str]
    """Why a cell that is done has no statistics."""

    def lacking(self, places: Iterable[Coordinates]) -> str | None:
        """Names the places without usable scores, with the reasons. None if all have scores."""
        unscored = in_order(place for place in set(places) if place not in self.scored)
        missing = [str(place) for place in unscored if place not in self.refused]
        refused = [
            f"{place} ({self.refused[place]})" for place in unscored if place in self.refused
        ]
        named = {"missing": missing, "refused": refused}
        return joined(*(f"{k}: {', '.join(v)}" for k, v in named.items() if v))

    def absence(self, places: Iterable[Coordinates]) -> Row:
        """Status and reason for a statistic that lacks the scores of some of these places."""
        unscored = [place for place in places if place not in self.scored]
        status = REFUSED if all(place in self.refused for place in unscored) else MISSING
        return {"status": status, "reason": self.lacking(unscored)}


def in_order(places: Iterable[Coordinates]) -> list[Coordinates]:
    """Sorts by patient count, replicate, variant and GAN epoch. No epoch comes first."""
    return sorted(places, key=Coordinates.order)


def epoch_is_axis(cells: pa.Table) -> bool:
    """Whether cells that agree in all other axes have more than one GAN epoch.

    A selection by score can choose a different epoch for each replicate. The epoch is not an axis
    then: those cells are replicates of one another.
    """
    columns = (cells[name].to_pylist() for name in WITHOUT_EPOCH)
    epochs: dict[tuple[Any, ...], set[int | None]] = {}
    for coordinates, epoch in zip(
        zip(*columns, strict=True), cells["gan_epoch"].to_pylist(), strict=True
    ):
        epochs.setdefault(coordinates, set()).add(epoch)
    return any(len(epochs_of_cell) > 1 for epochs_of_cell in epochs.values())


def coordinates_of(row: Row, epoch_tells: bool) -> Coordinates:
    """The coordinates of a row of `results` or `trials`.

    `epoch_tells` says whether the GAN epoch tells cells of the table apart. If not, the
    coordinates have no epoch.
    """
    coordinates = Coordinates.of_row(row)
    return coordinates if epoch_tells else replace(coordinates, gan_epoch=None)


def parameters_of(trial: Row, axes: Sequence[str] = AXES) -> Row:
    """The place of a trial in the grid and its hyperparameters, without what is null.

    The detector belongs to no cell: it has no patient count and no replicate.
    """
    place = {axis: trial[axis] for axis in axes if trial[axis] is not None}
    return {**place, **tables.hyperparameters_of(trial)}


def is_shuffled(place: Coordinates, study: StudySpec) -> bool:
    """Whether a cell is a control with shuffled labels."""
    recipe = study.variants.get(place.variant)
    return recipe is not None and recipe.labels == "shuffled"


def joined(*reasons: str | None) -> str | None:
    """Joins the reasons that are not None. None if there are none."""
    return "; ".join(filter(None, reasons)) or None


def gather_cells(results: pa.Table, scores: pa.Table) -> ScoredCells:
    """Builds ScoredCells from the tables `results` (RESULTS) and `scores` (FRAME_SCORES)."""
    axis = epoch_is_axis(results)
    rows = results.to_pylist()
    done = [coordinates_of(row, axis) for row in rows if row["status"] == DONE]
    frames_of = _frames_by_place(done, scores, axis)
    refused = {place: why for place in done if (why := why_refused(frames_of[place]))}
    return ScoredCells(
        frozenset(coordinates_of(row, axis) for row in rows),
        tuple(done),
        {place: frames for place, frames in frames_of.items() if place not in refused},
        refused,
    )


def why_refused(frames: Scored) -> str | None:
    """Why frames have no statistics, or None if they have.

    The reasons: no frame, a score that is not finite, a single class.
    """
    n = len(frames.score_U)
    n_bad = n - int(np.isfinite(frames.score_U).sum())
    if not n:
        return "no frame is scored"
    if n_bad:
        return f"{n_bad} of {n} scores are not finite"
    try:
        check_units(frames)
    except ValueError as error:
        return str(error)
    return None


def _frames_by_place(
    places: Iterable[Coordinates], scores: pa.Table, axis: bool
) -> dict[Coordinates, Scored]:
    """The frames of each cell. `axis` says whether the GAN epoch tells cells apart."""
    names = AXES if axis else WITHOUT_EPOCH
    patient_N, video_N = (_coded(scores[name]) for name in ("patient_id", "video_id"))
    label_N, score_N, frame_N = (scores[name].to_numpy() for name in ("label", "score", "frame"))
    columns = (label_N, score_N, patient_N, video_N, frame_N)
    rows_of = _rows_by_place(scores.select(names))
    none = np.zeros(0, dtype=np.int64)
    frames_of = {}
    for place in places:
        rows = rows_of.get(tuple(getattr(place, name) for name in names), none)
        frames_of[place] = Scored(*(column[rows] for column in columns))
    return frames_of


def _rows_by_place(axes: pa.Table) -> dict[tuple[Any, ...], np.ndarray]:
    """The numbers of the rows that agree in every column, ascending, by their values."""
    numbered = axes.append_column("row", pa.array(np.arange(len(axes))))
    grouped = numbered.group_by(axes.column_names, use_threads=False).aggregate([("row", "list")])
    places = zip(*(grouped[name].to_pylist() for name in axes.column_names), strict=True)
    rows = (scalar.values.to_numpy() for scalar in grouped["row_list"])
    return dict(zip(places, rows, strict=True))


def _coded(column: pa.ChunkedArray) -> np.ndarray:
    """The column as integers (N,), which are equal where its values are."""
    if not len(column):
        return np.zeros(0, dtype=np.int64)
    coded = pc.dictionary_encode(column, null_encoding="encode").combine_chunks()
    return np.asarray(coded.indices, dtype=np.int64)
