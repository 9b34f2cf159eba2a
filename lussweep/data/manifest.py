"""The manifest: a table of videos. It is checked as a whole and every problem is reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from lussweep.data import leaks
from lussweep.data.annotations import (
    Annotation,
    FrameLabels,
    Times,
    at,
    label_frames,
    read_annotations,
)
from lussweep.data.digests import contents
from lussweep.data.readers.decode import probe, read_times, reader_plugin
from lussweep.data.rows import NO_LABEL, Row, Skipped, read_rows, unlabelled
from lussweep.data.splits import MISJUDGED, misjudged, patient_splits, splits_source
from lussweep.errors import InputError
from lussweep.study.spec import Manifest, SplitSpec, Video

MAX_LINES = 20


@dataclass(frozen=True)
class ManifestReading:
    """The videos of a table, and what the user should know of how they were read."""

    manifest: Manifest
    skipped: Sequence[Skipped]
    splits: str
    """Whether the splits were read or drawn, in words."""
    notes: tuple[str, ...] = ()
    """What was recognised in the table, one line each."""


def read_manifest(
    path: Path,
    *,
    label: str = "label",
    positive: Collection[str] = (),
    annotations: Path | None = None,
    split: SplitSpec | None,
    seed: int,
    skip_unreadable: bool = False,
    skip_unlabelled: bool = False,
    allow_absolute: bool = False,
    cache_dir: Path | None = None,
) -> ManifestReading:
    """Read the videos of a CSV, Parquet or XLSX table.

    The required columns are patient_id, video_id, path (relative to the table) and `label`. A label
    is 0 or 1, or a text that is positive if it is in `positive`. The column split (train, val or
    holdout) takes precedence over `split`; without `split`, none is drawn. The columns crop,
    mask_box and device are optional, too. `annotations` is a table of video_id, frame and label;
    see `annotations.py`. In an annotated video only the frames labelled 1 count as positive. Videos
    with annotations in seconds are decoded for the times of their frames. With `skip_unreadable`,
    videos that are missing, unreadable or truncated are skipped, and with `skip_unlabelled` rows
    without a label. Videos must lie in the table's folder, unless `allow_absolute`. File digests
    are cached in `cache_dir`. Raises InputError with all problems.
    """
    problems: list[str] = []
    read = read_rows(path, label, positive, allow_absolute, problems)
    rows = read.rows
    if not skip_unlabelled:
        problems += unlabelled(rows, label)
    _check_ids(rows, problems)
    patients_are_known = not problems
    listed = read_annotations(annotations, problems, positive) if annotations else []
    _check_named(listed, rows, problems)
    skipped = [
        (row.patient_id or "", row.video_id or "", NO_LABEL) for row in rows if row.is_unlabelled
    ]
    rows = [row for row in rows if not row.is_unlabelled]
    timed = {annotation.video_id for annotation in listed if annotation.in_seconds}
    unreadable, times = _probe_videos(rows, timed)
    if skip_unreadable:
        skipped += [(row.patient_id or "", row.video_id or "", why) for row, why in unreadable]
        skipped += _misjudged(rows, {row.video_id or "" for row, _ in unreadable})
    else:
        problems += [f"{row.name}: {why}" for row, why in unreadable]
    left_out = {video_id for _, video_id, _ in skipped}
    rows = [row for row in rows if row.video_id not in left_out]
    usable = {row.video_id for row in rows} - {row.video_id for row, _ in unreadable}
    frame_labels = label_frames([a for a in listed if a.video_id in usable], times, problems)
    _check_annotations(rows, frame_labels, problems)
    if skipped and not rows:
        problems.append(f"{path}: no video is left after skipping {len(skipped)}: {skipped[0][2]}")
    splits = patient_splits(rows, split, seed, problems) if rows and patients_are_known else {}
    if problems:
        raise InputError(shorten(problems))
    by_path = contents({row.path for row in rows if row.path}, cache_dir)
    videos = [
        Video.model_validate(
            {
                "patient_id": row.patient_id,
                "video_id": row.video_id,
                "label": row.label,
                "split": splits[row.patient_id or ""],
                "sha256": by_path[row.path].sha256,
                "crop": row.crop,
                "mask_boxes": row.mask_boxes,
                "device": row.device,
                "read_by": _read_by(row.path),
                "path": str(row.path),
                **_annotated(frame_labels.get(row.video_id or "")),
            }
        )
        for row in rows
        if row.path
    ]
    content = {row.video_id or "": by_path[row.path] for row in rows if row.path}
    if shared := leaks.shared_content(videos, content):
        raise InputError(shorten(shared))
    return ManifestReading(
        Manifest(videos=tuple(videos)), skipped, splits_source(rows, split, seed), read.notes
    )


def shorten(problems: list[str]) -> list[str]:
    """Keep at most MAX_LINES problems, followed by the number of those left out."""
    more = len(problems) - MAX_LINES
    return problems if more <= 0 else [*problems[:MAX_LINES], f"(+{more} more)"]


def _check_ids(rows: list[Row], problems: list[str]) -> None:
    counts = Counter(row.video_id for row in rows if row.video_id)
    problems += [f"video_id {v} is in {n} rows: use each once" for v, n in counts.items() if n > 1]
    named = sum(bool(row.split) for row in rows)
    unnamed = sum(row.split == "" for row in rows)
    if named and unnamed:
        problems.append(f"split is given in {named} rows but not in {unnamed}: fill all or none")
    splits: dict[str, set[str]] = {}
    places: dict[str, str] = {}
    for row in rows:
        if row.patient_id:
            places.setdefault(
                row.patient_id, ", ".join(filter(None, (f"row {row.number}", row.split)))
            )
        if row.patient_id and row.split:
            splits.setdefault(row.patient_id, set()).add(row.split)
    problems += [
        f"patient {patient} is in the splits {' and '.join(sorted(names))}: a patient has one split"
        for patient, names in splits.items()
        if len(names) > 1
    ]
    problems += leaks.same_patients(places)


def _check_named(listed: list[Annotation], rows: list[Row], problems: list[str]) -> None:
    """Add the annotated videos that the manifest lacks."""
    known = {row.video_id for row in rows}
    similar = {leaks.normal_id(row.video_id): row.video_id for row in rows if row.video_id}
    for video_id in dict.fromkeys(annotation.video_id for annotation in listed):
        if video_id not in known:
            meant = similar.get(leaks.normal_id(video_id))
            problems.append(
                f"annotations name the video {video_id}, which is not in the manifest"
                + (f": did you mean {meant}?" if meant else "")
            )


def _check_annotations(
    rows: list[Row], frame_labels: dict[str, FrameLabels], problems: list[str]
) -> None:
    """Add the videos whose label and annotations contradict each other."""
    by_id = {row.video_id: row for row in rows}
    for video_id, labels in frame_labels.items():
        positive = at(labels, 1)
        if by_id[video_id].label == 0 and positive:
            problems.append(
                f"frame {positive[0]} of the video {video_id} is annotated 1, its video label is 0"
            )
        elif by_id[video_id].label == 1 and not positive:
            problems.append(
                f"the positive video {video_id} is annotated without a positive frame: "
                "annotate one, or remove its rows"
            )


def _probe_videos(
    rows: list[Row], timed: set[str]
) -> tuple[list[tuple[Row, str]], dict[str, Times]]:
    """The videos that cannot be read, with the reason, and the times of the frames of `timed`."""
    unreadable: list[tuple[Row, str]] = []
    times: dict[str, Times] = {}
    for row in rows:
        if row.path is None:
            continue
        try:
            if row.video_id in timed:
                times[row.video_id] = read_times(row.path)
            elif problem := probe(row.path):
                unreadable.append((row, problem))
        except InputError as error:
            unreadable.append((row, str(error)))
    return unreadable, times


def _misjudged(rows: list[Row], left_out: set[str]) -> list[Skipped]:
    """What `misjudged` finds among the rows, with the reason."""
    videos = [(row.patient_id or "", row.video_id or "", row.label or 0) for row in rows]
    found = set(misjudged(videos, left_out))
    return [(patient, video, MISJUDGED) for patient, video, _ in videos if video in found]


def _read_by(path: Path) -> dict[str, str]:
    """The field of a video that names its reader's plugin, if the reader is a plugin's."""
    plugin = reader_plugin(path)
    return {plugin.package: plugin.version} if plugin else {}


def _annotated(labels: FrameLabels | None) -> dict[str, tuple[int, ...]]:
    """The fields of a video that hold its annotations."""
    if labels is None:
        return {}
    return {"annotated_frames": at(labels, 1), "negative_frames": at(labels, 0)}
