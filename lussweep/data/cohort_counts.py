"""Counts the videos and frames of a cohort before it is drawn from decoded frames."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from lussweep.data.cohort import drawn_from, usable_frames
from lussweep.study.spec import CohortSpec, Manifest

VIDEOS = pa.schema(
    [
        ("patient_id", pa.string()),
        ("patient_class", pa.int8()),
        ("video_id", pa.string()),
        ("label", pa.int8()),
        ("n_frames", pa.int64()),
    ]
)
"""A video of the train split with one label: a video has one row for each label of its frames.
`n_frames` is null before the videos are decoded."""


@dataclass(frozen=True)
class CohortCounts:
    """The size of a cohort."""

    n_pos_videos: int
    n_neg_videos: int
    n_frames: int | None
    """Frames of each class, after the larger class is cut; None if they are not known."""


def videos_of(manifest: Manifest, index: pa.Table | None, n_frames: int | None) -> pa.Table:
    """The videos that cohorts are drawn from (schema VIDEOS).

    `index` (schema FRAMES) tells their frames. Without it each video has `n_frames`, if that is
    known.
    """
    if index is None:
        rows = [
            {
                "patient_id": video.patient_id,
                "patient_class": max(other.label for other in videos),
                "video_id": video.video_id,
                "label": video.label,
                "n_frames": n_frames,
            }
            for videos in manifest.patients("train").values()
            for video in videos
        ]
        return pa.Table.from_pylist(rows, VIDEOS)
    usable = usable_frames(index.filter(pc.equal(index["split"], "train")))
    names = [name for name in VIDEOS.names if name != "n_frames"]
    counted = usable.group_by(names).aggregate([([], "count_all")])
    return counted.rename_columns(
        ["n_frames" if name == "count_all" else name for name in counted.column_names]
    ).select(VIDEOS.names)


def count_cohort(videos: pa.Table, n_patients: int, cohort: CohortSpec, seed: int) -> CohortCounts:
    """The size of the cohort that `draw_cohort` draws with the same values.

    Raises InputError as `draw_cohort` does if a class has fewer patients.
    """
    drawn = drawn_from(videos, n_patients, cohort, seed)
    pos, neg = (drawn.filter(pc.equal(drawn["label"], label)) for label in (1, 0))
    frames = [pc.sum(rows["n_frames"]).as_py() for rows in (pos, neg)]
    known = None not in frames and not drawn["n_frames"].null_count
    return CohortCounts(len(pos), len(neg), min(frames) if known else None)
