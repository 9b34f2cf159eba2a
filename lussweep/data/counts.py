"""Counts patients, videos and frames of a study, and says which are not used, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from lussweep.study.spec import SPLITS, Manifest, Video

Place = tuple[str, int]
"""A split and a class, 0 negative or 1 positive."""
PLACES: tuple[Place, ...] = tuple((split, label) for split in SPLITS for label in (0, 1))


@dataclass(frozen=True)
class Counts:
    """Numbers by split and class. Frames are None before the videos are decoded."""

    patients: Mapping[Place, int]
    """A patient is positive if any video is."""
    videos: Mapping[Place, int]
    frames: Mapping[Place, int] | None
    """Frames with a label."""


def count(manifest: Manifest, frames: pa.Table | None = None) -> Counts:
    """Count the videos of a manifest, and the frames of its index (schema FRAMES)."""
    patients = dict.fromkeys(PLACES, 0)
    for split in SPLITS:
        for videos in manifest.patients(split).values():
            patients[split, max(video.label for video in videos)] += 1
    n_videos = dict.fromkeys(PLACES, 0)
    for video in manifest.videos:
        n_videos[video.split, video.label] += 1
    n_frames = None
    if frames is not None:
        n_frames = dict.fromkeys(PLACES, 0)
        grouped = frames.group_by(["split", "label"]).aggregate([([], "count_all")])
        for row in grouped.to_pylist():
            if row["label"] is not None:
                n_frames[row["split"], row["label"]] = row["count_all"]
    return Counts(patients, n_videos, n_frames)


def unused(
    manifest: Manifest,
    frames: pa.Table | None = None,
    *,
    stride: int = 1,
    negatives_from: str = "negative_patients",
) -> list[str]:
    """One line for each kind of video or frame that serves no training, with the reason.

    `frames` is the index of decoded frames. One frame in `stride` was kept. `negatives_from` is the
    value of the section `cohort`.
    """
    return [
        *_mixed_patients(manifest, frames, negatives_from),
        *_unlabelled(manifest, frames, stride),
    ]


def _mixed_patients(manifest: Manifest, frames: pa.Table | None, negatives_from: str) -> list[str]:
    """The negative videos of positive training patients."""
    patients = manifest.patients("train").values()
    mixed = [
        video.video_id
        for videos in patients
        if any(video.label for video in videos)
        for video in videos
        if not video.label
    ]
    if not mixed or negatives_from == "all":
        return []
    n_negative = sum(not video.label for videos in patients for video in videos)
    subject = f"{len(mixed)} of {n_negative} negative training videos"
    if frames is not None:
        negative = frames.filter(
            pc.and_(pc.equal(frames["split"], "train"), pc.equal(frames["label"], 0))
        )
        n_frames = pc.sum(pc.is_in(negative["video_id"], pa.array(mixed))).as_py() or 0
        share = n_frames / max(1, len(negative))
        subject += f" ({n_frames} of {len(negative)} frames, {share:.0%})"
    return [
        f"not trained on: {subject} are of positive patients; "
        "--set cohort.negatives_from=all makes them negatives of a cohort"
    ]


def _unlabelled(manifest: Manifest, frames: pa.Table | None, stride: int) -> list[str]:
    """The frames of annotated positive videos that are not positive, by reason."""
    videos = [v for v in manifest.videos if v.label and v.annotated_frames is not None]
    if not videos:
        return []
    n_kept = {label: sum(_n_kept(_at(v, label), stride) for v in videos) for label in (0, 1)}
    n_dropped = sum(len(_at(v, label)) for v in videos for label in (0, 1)) - sum(n_kept.values())
    parts = [f"{n_kept[1]} frames annotated 1 are used", f"{n_kept[0]} annotated 0 are not"]
    if frames is not None:
        n_without = frames["label"].null_count - n_kept[0]
        parts.append(f"{n_without} that are not annotated are not")
    lines = [f"{len(videos)} annotated positive videos: {', '.join(parts)}"]
    if n_dropped:
        lines.append(
            f"{n_dropped} annotated frames lie between those that frame_stride {stride} keeps: "
            "--frame-stride 1 (data.preprocess.frame_stride) keeps them"
        )
    if n_lost := sum(not _n_kept(_at(v, 1), stride) for v in videos):
        lines.append(f"{n_lost} positive videos keep no positive frame: they are not used")
    return lines


def _at(video: Video, label: int) -> tuple[int, ...]:
    return (video.annotated_frames or ()) if label else video.negative_frames


def _n_kept(numbers: tuple[int, ...], stride: int) -> int:
    return sum(number % stride == 0 for number in numbers)
