"""The manifest: a table of videos. It is checked as a whole and every problem is reported."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lussweep.data.cells import read_cells
from lussweep.data.cohort import largest_remainder
from lussweep.data.paths import within
from lussweep.data.readers.decode import probe
from lussweep.data.readers.series import image_files
from lussweep.errors import InputError
from lussweep.store.files import write_whole
from lussweep.study.keys import derive_seed
from lussweep.study.spec import CLASSES, SPLITS, Manifest, SplitSpec, Video

MAX_LINES = 20
CACHE_DIR = "~/.cache/lussweep"
WHOLE_NUMBER = re.compile(r"\d{1,15}(\.0+)?")

Skipped = tuple[str, str, str]
Labels = dict[str, dict[int, int]]
"""The label of each frame, by video id and frame."""


@dataclass(frozen=True)
class _Row:
    """One video as its row gives it. A cell that is missing or wrong is None and was reported."""

    name: str
    patient_id: str | None
    video_id: str | None
    path: Path | None
    label: int | None
    split: str | None


def read_manifest(
    path: Path,
    *,
    label: str = "label",
    annotations: Path | None = None,
    split: SplitSpec,
    seed: int,
    skip_unreadable: bool = False,
    allow_absolute: bool = False,
    cache_dir: Path | None = None,
) -> tuple[Manifest, list[Skipped]]:
    """Read the videos of a CSV or Parquet table. Also returns (patient_id, video_id, reason) of
    the videos that were skipped.

    The columns are patient_id, video_id, path (relative to the table), `label` (0 or 1) and
    optionally split (train, val or holdout), which takes precedence over `split`. `annotations`
    is a table of video_id, frame (from 0) and label. In an annotated video only the frames
    labelled 1 count as positive. With `skip_unreadable`, videos that are missing, unreadable or
    truncated are skipped. Videos must lie in the table's folder, unless `allow_absolute`. File
    digests are cached in `cache_dir`. Raises InputError with all problems.
    """
    problems: list[str] = []
    rows = _parse_rows(path, label, allow_absolute, problems)
    _check_ids(rows, problems)
    patients_are_known = not problems
    frame_labels = _parse_annotations(annotations, problems) if annotations else {}
    _check_annotations(rows, frame_labels, problems)
    skipped = _probe_videos(rows, None if skip_unreadable else problems)
    left_out = {video_id for _, video_id, _ in skipped}
    rows = [row for row in rows if row.video_id not in left_out]
    if skipped and not rows:
        problems.append(f"{path}: no video is left after skipping {len(skipped)}: {skipped[0][2]}")
    splits = _patient_splits(rows, split, seed, problems) if rows and patients_are_known else {}
    if problems:
        raise InputError(shorten(problems))
    digests = _digests([row.path for row in rows if row.path], cache_dir)
    videos = [
        Video.model_validate(
            {
                "patient_id": row.patient_id,
                "video_id": row.video_id,
                "label": row.label,
                "split": splits[row.patient_id or ""],
                "sha256": digests[row.path],
                "path": str(row.path),
                "annotated_frames": _positive_frames(frame_labels.get(row.video_id or "")),
            }
        )
        for row in rows
        if row.path
    ]
    _check_shared_files(videos)
    return Manifest(videos=tuple(videos)), skipped


def assign_splits(patients: Mapping[str, int], split: SplitSpec, seed: int) -> dict[str, str]:
    """Assign a split to each patient id, stratified by patient class (0 or 1).

    Counts follow the largest remainder, with at least one patient of each class in each split.
    The order of patients depends only on the seed and their ids. Raises InputError if the shares
    leave no training patients, or if a class has fewer patients than there are splits.
    """
    shares = (1 - split.val - split.holdout, split.val, split.holdout)
    if shares[0] <= 1e-9:
        raise InputError(
            f"split.val {split.val} and split.holdout {split.holdout} leave no training patients"
        )
    splits: dict[str, str] = {}
    problems = []
    for value, name in enumerate(CLASSES):
        ids = sorted(p for p, patient_class in patients.items() if patient_class == value)
        if len(ids) < len(SPLITS):
            problems.append(
                f"{len(ids)} {name} patients cannot fill {', '.join(SPLITS)}: "
                f"give at least {len(SPLITS)}"
            )
            continue
        ids.sort(key=lambda patient: derive_seed(seed, "split", patient))
        counts = _counts(len(ids), shares)
        names = [s for s, n in zip(SPLITS, counts, strict=True) for _ in range(n)]
        splits |= zip(ids, names, strict=True)
    if problems:
        raise InputError(problems)
    return splits


def shorten(problems: list[str]) -> list[str]:
    """Keep at most MAX_LINES problems, followed by the number of those left out."""
    more = len(problems) - MAX_LINES
    return problems if more <= 0 else [*problems[:MAX_LINES], f"(+{more} more)"]


def _counts(n: int, shares: Iterable[float]) -> list[int]:
    """Whole counts that sum to n, each at least 1 and nearest to n * share."""
    counts = largest_remainder([round(n * share, 9) for share in shares], n)
    while 0 in counts:
        counts[counts.index(max(counts))] -= 1
        counts[counts.index(0)] += 1
    return counts


# --- rows ---------------------------------------------------------------------------------


def _number(text: str) -> int | None:
    return int(text.partition(".")[0]) if WHOLE_NUMBER.fullmatch(text) else None


def _parse_rows(path: Path, label: str, allow_absolute: bool, problems: list[str]) -> list[_Row]:
    table = read_cells(path, ("patient_id", "video_id", "path", label), problems)

    def place(text: str) -> Path:
        return within(text, path.parent, allow_absolute=allow_absolute)

    def cell(cells: dict[str, str], column: str, name: str, judge: Callable[[str], Any]) -> Any:
        try:
            return judge(cells[column]) if column in cells else None
        except InputError as error:
            problems.append(f"{name}: {column} {error}")
            return None

    rows = []
    for i, cells in enumerate(table, 1):
        name = f"row {i} (video {cells.get('video_id') or 'without id'})"
        rows.append(
            _Row(
                name,
                cell(cells, "patient_id", name, _filled),
                cell(cells, "video_id", name, _filled),
                cell(cells, "path", name, place),
                cell(cells, label, name, _binary),
                cell(cells, "split", name, _split_name),
            )
        )
    return rows


def _filled(text: str) -> str:
    if not text:
        raise InputError("is empty")
    return text


def _binary(text: str) -> int:
    number = _number(text)
    if number not in (0, 1):
        raise InputError(f"is {text!r}, not 0 or 1")
    return number


def _split_name(text: str) -> str:
    if text not in ("", *SPLITS):
        raise InputError(f"is {text!r}: use {', '.join(SPLITS)}")
    return text


def _parse_annotations(path: Path, problems: list[str]) -> Labels:
    labels: Labels = {}
    for i, cells in enumerate(read_cells(path, ("video_id", "frame", "label"), problems), 1):
        if not {"video_id", "frame", "label"} <= cells.keys():
            continue
        name = f"annotations row {i} (video {cells['video_id']})"
        frame, value = _number(cells["frame"]), _number(cells["label"])
        if frame is None:
            problems.append(f"{name}: frame is {cells['frame']!r}, not a whole number from 0")
        elif value not in (0, 1):
            problems.append(f"{name}: label is {cells['label']!r}, not 0 or 1")
        elif labels.setdefault(cells["video_id"], {}).setdefault(frame, value) != value:
            problems.append(f"{name}: frame {frame} is labelled both 0 and 1")
    return labels


# --- checks over rows ---------------------------------------------------------------------


def _check_ids(rows: list[_Row], problems: list[str]) -> None:
    counts = Counter(row.video_id for row in rows if row.video_id)
    problems += [f"video_id {v} is in {n} rows: ids are unique" for v, n in counts.items() if n > 1]
    named = sum(bool(row.split) for row in rows)
    unnamed = sum(row.split == "" for row in rows)
    if named and unnamed:
        problems.append(f"split is given in {named} rows but not in {unnamed}: fill all or none")
    splits: dict[str, set[str]] = {}
    for row in rows:
        if row.patient_id and row.split:
            splits.setdefault(row.patient_id, set()).add(row.split)
    problems += [
        f"patient {patient} is in the splits {' and '.join(sorted(names))}: a patient has one split"
        for patient, names in splits.items()
        if len(names) > 1
    ]


def _check_annotations(rows: list[_Row], frame_labels: Labels, problems: list[str]) -> None:
    by_id = {row.video_id: row for row in rows}
    for video_id, labels in frame_labels.items():
        positive = sorted(frame for frame, value in labels.items() if value)
        if video_id not in by_id:
            problems.append(f"annotations name the video {video_id}, which the manifest does not")
        elif by_id[video_id].label == 0 and positive:
            problems.append(
                f"frame {positive[0]} of the video {video_id} is annotated 1, its video label is 0"
            )
        elif by_id[video_id].label == 1 and not positive:
            problems.append(
                f"the positive video {video_id} is annotated without a positive frame: "
                "annotate one, or remove its rows"
            )


def _probe_videos(rows: list[_Row], problems: list[str] | None) -> list[Skipped]:
    """Add the videos that cannot be read to `problems`. If that is None, return them instead."""
    skipped = []
    for row in rows:
        problem = probe(row.path) if row.path else None
        if problem and problems is not None:
            problems.append(f"{row.name}: {problem}")
        elif problem:
            skipped.append((row.patient_id or "", row.video_id or "", problem))
    return skipped


def _patient_splits(
    rows: list[_Row], split: SplitSpec, seed: int, problems: list[str]
) -> dict[str, str]:
    """Split of each patient id, from the manifest or drawn."""
    patients: dict[str, int] = {}
    for row in rows:
        patient = row.patient_id or ""
        patients[patient] = max(patients.get(patient, 0), row.label or 0)
    if not any(row.split for row in rows):
        try:
            return assign_splits(patients, split, seed)
        except InputError as error:
            problems += error.problems
            return {}
    given = {row.patient_id or "": row.split or "" for row in rows}
    present = {(given[patient], value) for patient, value in patients.items()}
    problems += [
        f"the split {s} has no {name} patient: give at least one"
        for s in SPLITS
        for value, name in enumerate(CLASSES)
        if (s, value) not in present
    ]
    return given


def _positive_frames(labels: dict[int, int] | None) -> tuple[int, ...] | None:
    return None if labels is None else tuple(sorted(f for f, value in labels.items() if value))


def _check_shared_files(videos: list[Video]) -> None:
    """Raise InputError if two patients share a file.

    It could carry a training patient's frames into the holdout.
    """
    first: dict[str, Video] = {}
    pairs = [(first.setdefault(video.sha256, video), video) for video in videos]
    problems = [
        f"videos {a.video_id} and {b.video_id} are the same file, but of patients "
        f"{a.patient_id} and {b.patient_id}: remove one"
        for a, b in pairs
        if a.patient_id != b.patient_id
    ]
    if problems:
        raise InputError(shorten(problems))


# --- digests ------------------------------------------------------------------------------


def _digests(paths: list[Path], cache_dir: Path | None) -> dict[Path, str]:
    """The sha256 of each video; the cache serves files of unchanged size and time."""
    # `Path.expanduser` raises where the user has no home.
    cache_file = Path(os.path.expanduser(cache_dir or CACHE_DIR)) / "sha256.json"
    cache = _load_cache(cache_file)
    known = dict(cache)
    digests = {path: _video_digest(path, cache) for path in paths}
    if cache != known:
        _save_cache(cache_file, cache)
    return digests


def _video_digest(path: Path, cache: dict[str, Any]) -> str:
    """The sha256 of a file's bytes, or over the names and digests of a folder's images."""
    if not path.is_dir():
        return _file_digest(path, cache)
    parts = sorted((file.name, _file_digest(file, cache)) for file in image_files(path))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _file_digest(path: Path, cache: dict[str, Any]) -> str:
    info = path.stat()
    entry = cache.get(str(path))
    if (
        isinstance(entry, list)
        and len(entry) == 3
        and entry[:2] == [info.st_size, info.st_mtime_ns]
    ):
        return str(entry[2])
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    cache[str(path)] = [info.st_size, info.st_mtime_ns, sha256]
    return sha256


def _load_cache(file: Path) -> dict[str, Any]:
    try:
        loaded = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _save_cache(store: Path, cache: dict[str, Any]) -> None:
    """Write the digests. A cache that cannot be written costs time, not results.

    Paths of videos may name patients, so that only the user may read it.
    """
    with suppress(OSError):
        write_whole(store, json.dumps(cache), shared=True, private=True)
