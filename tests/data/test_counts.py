"""Every frame is counted once: used, or not used with the reason."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from lussweep.data.counts import count, unused
from lussweep.store import tables
from lussweep.study.spec import SPLITS, Manifest, Video


def video(patient: str, name: str, label: int, split: str = "train", **fields: Any) -> Video:
    described = {"patient_id": patient, "video_id": name, "label": label, "split": split}
    return Video.model_validate({**described, "sha256": name, **fields})


def index(manifest: Manifest, n_frames: int, stride: int = 1) -> pa.Table:
    """The frames of videos of `n_frames`, as ingest labels them."""
    rows = []
    for v in manifest.videos:
        for i in range(-(-n_frames // stride)):
            known = v.label == 0 or v.annotated_frames is None
            label = v.label if known else (1 if i * stride in v.annotated_frames else None)
            row = dict.fromkeys(tables.FRAMES.names)
            rows.append({**row, "video_id": v.video_id, "split": v.split, "label": label})
    return pa.Table.from_pylist(rows, tables.FRAMES)


MIXED = Manifest(
    videos=(
        video("A", "a1", 1), video("A", "a2", 0), video("B", "b", 0), video("C", "c", 0, "val"),
        video("D", "d1", 1, "holdout"), video("D", "d2", 0, "holdout"),
    )
)  # fmt: skip


def test_patients_videos_and_frames() -> None:
    counts = count(MIXED, index(MIXED, 5))
    assert [counts.patients[s, y] for s in SPLITS for y in (0, 1)] == [1, 1, 1, 0, 0, 1]
    assert [counts.videos[s, y] for s in SPLITS for y in (0, 1)] == [2, 1, 1, 0, 1, 1]
    assert counts.frames is not None
    assert [counts.frames[s, y] for s in SPLITS for y in (0, 1)] == [10, 5, 5, 0, 5, 5]
    assert count(MIXED).frames is None


def test_negative_videos_of_positive_training_patients() -> None:
    (line,) = unused(MIXED)
    assert line == (
        "not trained on: 1 of 2 negative training videos are of positive patients; "
        "--set cohort.negatives_from=all makes them negatives of a cohort"
    )
    (line,) = unused(MIXED, index(MIXED, 5))
    assert "1 of 2 negative training videos (5 of 10 frames, 50%) are of positive" in line
    assert unused(MIXED, negatives_from="all") == []


def test_annotated_frames_by_reason() -> None:
    manifest = Manifest(
        videos=(
            video("A", "a", 1, annotated_frames=(0, 2, 3), negative_frames=(4, 7)),
            video("B", "b", 1, annotated_frames=(1,)),
            video("C", "c", 0, annotated_frames=(), negative_frames=(0, 1)),
            video("D", "d", 1),
        )
    )
    assert unused(manifest, index(manifest, 10)) == [
        "2 annotated positive videos: 4 frames annotated 1 are used, 2 annotated 0 are not, "
        "14 that are not annotated are not"
    ]
    assert unused(manifest, index(manifest, 10, stride=2), stride=2) == [
        "2 annotated positive videos: 2 frames annotated 1 are used, 1 annotated 0 are not, "
        "7 that are not annotated are not",
        "3 annotated frames lie between those that frame_stride 2 keeps: "
        "--frame-stride 1 (data.preprocess.frame_stride) keeps them",
        "1 positive videos keep no positive frame: they are not used",
    ]
