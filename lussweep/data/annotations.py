"""Reads labels of single frames: a table of video_id, frame and label."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lussweep.data.columns import drop_fractions
from lussweep.data.labels import parse_label, whole_number
from lussweep.data.tables import read_cells
from lussweep.errors import InputError

MAX_FRAMES = 10**6
"""Most frames that one table may label."""

TIME_TOLERANCE = 1e-6
"""Seconds by which a frame may miss a time that is written in decimals."""

_RANGE = re.compile(r"(\d{1,9})\s*(?:-|\N{EN DASH}|\.\.)\s*(\d{1,9})")
_SECONDS = r"(\d{1,6}(?:\.\d{1,9})?)\s*s"
_TIMES = re.compile(rf"{_SECONDS}(?:\s*(?:-|\N{{EN DASH}}|\.\.)\s*{_SECONDS})?", re.IGNORECASE)

FrameLabels = dict[int, int]
"""The label of each annotated frame of a video, 0 or 1, by its number from 0."""
Times = Sequence[float | None]
"""The seconds of all frames of a video since the first; None where the source has no times."""


@dataclass(frozen=True)
class Annotation:
    """One row: the label of the frames from `first` to `last`, both included."""

    row: int
    video_id: str
    text: str
    """The frames as the table names them."""
    first: float
    last: float
    in_seconds: bool
    label: int

    @property
    def name(self) -> str:
        return f"annotations row {self.row} (video {self.video_id})"

    def frames(self, times: Times) -> Sequence[int]:
        """The numbers of its frames. `times` are needed if it is in seconds.

        Raises InputError if the source has no times, or if no frame lies between the two.
        """
        if not self.in_seconds:
            return range(int(self.first), int(self.last) + 1)
        seconds = [second for second in times if second is not None]
        if not seconds or len(seconds) < len(times):
            raise InputError(
                f"frame is {self.text!r}, and the video's frames have no times: "
                "give numbers of frames from 0"
            )
        first, last = self.first - TIME_TOLERANCE, self.last + TIME_TOLERANCE
        inside = [i for i, second in enumerate(seconds) if first <= second <= last]
        if self.first == self.last:  # the frame that a player shows then
            inside = [i for i, second in enumerate(seconds) if second <= last][-1:]
        if not inside or first > max(seconds):
            raise InputError(f"no frame of the video lies within {self.text!r}: correct the times")
        return inside


def read_annotations(
    path: Path, problems: list[str], positive: Collection[str] = ()
) -> list[Annotation]:
    """Reads the rows of a table of annotations. Adds one line to `problems` for each wrong cell."""
    annotations = []
    rows = read_cells(path, ("video_id", "frame", "label"), problems).rows
    drop_fractions(rows, ("video_id",))
    for row, cells in rows:
        if not {"video_id", "frame", "label"} <= cells.keys():
            continue
        name = f"annotations row {row} (video {cells['video_id']})"
        try:
            first, last, in_seconds = _span(cells["frame"])
            label = parse_label(cells["label"], positive)
            if label is None:
                raise InputError("label is empty: fill it, or remove the row")
        except InputError as error:
            text = str(error)
            problems.append(
                f"{name}: {text if text.startswith(('frame', 'label')) else f'label {text}'}"
            )
        else:
            annotations.append(
                Annotation(row, cells["video_id"], cells["frame"], first, last, in_seconds, label)
            )
    return annotations


def _span(text: str) -> tuple[float, float, bool]:
    """First and last frame of a cell, and whether they are seconds. Raises InputError."""
    number = whole_number(text)
    if number is not None:
        return number, number, False
    if match := _RANGE.fullmatch(text):
        first, last, in_seconds = float(match[1]), float(match[2]), False
    elif match := _TIMES.fullmatch(text):
        first, last, in_seconds = float(match[1]), float(match[2] or match[1]), True
    else:
        raise InputError(
            f"frame is {text!r}, not a whole number from 0, a range (10-24) or times (1.5s-3s)"
        )
    if last < first:
        raise InputError(f"frame is {text!r}, which ends before it begins: swap the two")
    return first, last, in_seconds


def label_frames(
    annotations: Sequence[Annotation], times: Mapping[str, Times], problems: list[str]
) -> dict[str, FrameLabels]:
    """The label of each annotated frame, by video_id. Adds each conflict to `problems`.

    `times` are those of the videos with annotations in seconds, by video_id.
    """
    labels: dict[str, FrameLabels] = {}
    n_frames = 0
    for annotation in annotations:
        try:
            frames = annotation.frames(times.get(annotation.video_id, ()))
        except InputError as error:
            problems.append(f"{annotation.name}: {error}")
            continue
        n_frames += len(frames)
        if n_frames > MAX_FRAMES:
            problems.append(
                f"{annotation.name}: the annotations label over {MAX_FRAMES} frames: correct "
                f"{annotation.text!r}, or split the study"
            )
            break
        known = labels.setdefault(annotation.video_id, {})
        other = next(
            (f for f in frames if known.setdefault(f, annotation.label) != annotation.label), None
        )
        if other is not None:
            problems.append(f"{annotation.name}: frame {other} is labelled both 0 and 1")
    return labels


def at(labels: FrameLabels, label: int) -> tuple[int, ...]:
    """The numbers of the frames with a label, sorted."""
    return tuple(sorted(frame for frame, value in labels.items() if value == label))
