"""The cells of a report: their scored frames, and in words what keeps the others out of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lussweep.analysis.levels import Scored, check_units
from lussweep.report.summary import WITHOUT_EPOCH, coordinates_of, epoch_is_axis
from lussweep.study.coordinates import AXES, Coordinates

Row = dict[str, Any]

DONE, WITHHELD, MISSING, REFUSED = "done", "withheld", "missing", "refused"
"""What `status` says of a statistic; see `schemas.OUTCOME`."""


@dataclass(frozen=True)
class ScoredCells:
    """The places that are asked for, and what the cells that are done have scored."""

    asked: frozenset[Coordinates]
    """Every cell of the results, done or not."""
    done: tuple[Coordinates, ...]
    """In the order of the results; each is either in `scored` or in `refused`."""
    scored: Mapping[Coordinates, Scored]
    """Frames of every cell, in the order in which all cells were judged."""
    refused: Mapping[Coordinates, str]
    """Why the scores of a cell that is done have no statistics."""

    def lacking(self, places: Iterable[Coordinates]) -> str | None:
        """Which of these places have no usable scores, and why; None where all have."""
        lost = in_order(place for place in set(places) if place not in self.scored)
        missing = [str(place) for place in lost if place not in self.refused]
        refused = [f"{place} ({self.refused[place]})" for place in lost if place in self.refused]
        named = {"missing": missing, "refused": refused}
        return "; ".join(f"{k}: {', '.join(v)}" for k, v in named.items() if v) or None

    def absence(self, places: Iterable[Coordinates]) -> Row:
        """Status and reason of a statistic that these places do not allow."""
        lost = [place for place in places if place not in self.scored]
        status = REFUSED if all(place in self.refused for place in lost) else MISSING
        return {"status": status, "reason": self.lacking(lost)}


def in_order(places: Iterable[Coordinates]) -> list[Coordinates]:
    """By patient count, replicate, variant and GAN epoch, none first."""
    return sorted(places, key=Coordinates.order)


def gather_cells(results: pa.Table, scores: pa.Table) -> ScoredCells:
    """ScoredCells out of `results`, with their frames out of a table in the FRAME_SCORES schema."""
    axis = epoch_is_axis(results)
    rows = results.to_pylist()
    done = [coordinates_of(row, axis) for row in rows if row["status"] == "done"]
    found = _frames_by_place(done, scores, axis)
    refused = {place: why for place in done if (why := why_refused(found[place]))}
    return ScoredCells(
        frozenset(coordinates_of(row, axis) for row in rows),
        tuple(done),
        {place: frames for place, frames in found.items() if place not in refused},
        refused,
    )


def why_refused(frames: Scored) -> str | None:
    """Why frames have no statistics: none, scores that are not finite, a single class."""
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
    """The frames of each cell. `axis` says whether cells are told apart by their GAN epoch."""
    codes = {name: _coded(scores[name]) for name in (AXES if axis else WITHOUT_EPOCH)}
    patient_N, video_N = (_coded(scores[name])[1] for name in ("patient_id", "video_id"))
    label_N, score_N, frame_N = (scores[name].to_numpy() for name in ("label", "score", "frame"))
    columns = (label_N, score_N, patient_N, video_N, frame_N)
    found = {}
    for place in places:
        mine_N = np.ones(len(scores), dtype=bool)
        for name, (code_of, code_N) in codes.items():
            mine_N &= code_N == code_of.get(getattr(place, name), -1)
        found[place] = Scored(*(column[mine_N] for column in columns))
    return found


def _coded(column: pa.ChunkedArray) -> tuple[dict[Any, int], np.ndarray]:
    """The code of each value, null included, and the column in codes."""
    if not len(column):
        return {}, np.zeros(0, dtype=np.int64)
    coded = pc.dictionary_encode(column, null_encoding="encode").combine_chunks()
    codes = {value: i for i, value in enumerate(coded.dictionary.to_pylist())}
    return codes, np.asarray(coded.indices, dtype=np.int64)
