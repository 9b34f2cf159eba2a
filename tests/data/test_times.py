"""Annotations by time, and the number and time of a frame in its source, from file to store."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lussweep.data import manifest as module
from lussweep.data.manifest import ManifestReading, read_manifest
from lussweep.data.readers.decode import read_times
from lussweep.errors import InputError
from lussweep.store import tables
from lussweep.study.spec import SplitSpec, Video
from support.commands import succeed

TICKS = (0, 5, 10, 15, 20, 40, 60, 61, 62, 100)
"""Times of the frames in fiftieths of a second: frames that a device showed at uneven times."""
SECONDS = [tick / 50 for tick in TICKS]


def write_video(path: Path, level: int = 120, ticks: tuple[int, ...] = TICKS) -> Path:
    """A disc that grows, at the given times."""
    rows, columns = np.mgrid[:64, :96]
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=50)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for i, tick in enumerate(ticks):
            disc = (rows - 32) ** 2 + (columns - 48) ** 2 < (12 + i) ** 2
            frame = av.VideoFrame.from_ndarray((disc * (level + 5 * i)).astype(np.uint8), "gray")
            frame.pts, frame.time_base = tick, Fraction(1, 50)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A manifest of one positive and one negative patient in each split, and one more to train."""
    rows = [["patient_id", "video_id", "path", "label", "split"]]
    for i, split in enumerate(("train", "val", "holdout", "train")):
        for label in (1, 0) if i < 3 else (1,):
            name = f"{split}{label}" if i < 3 else "more"
            write_video(tmp_path / f"{name}.mp4", 90 + 20 * i + 10 * label)
            rows.append([f"P-{name}", name, f"{name}.mp4", str(label), split])
    with (tmp_path / "m.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path / "m.csv"


def annotate(study: Path, *rows: str) -> Path:
    path = study.with_name("a.csv")
    path.write_text("\n".join(("video_id,frame,label", *rows)) + "\n")
    return path


def read(study: Path, *rows: str, **options: Any) -> ManifestReading:
    return read_manifest(
        study, annotations=annotate(study, *rows), split=SplitSpec(), seed=1,
        cache_dir=study.parent / "cache", **options,
    )  # fmt: skip


def video(reading: ManifestReading, video_id: str) -> Video:
    return next(v for v in reading.manifest.videos if v.video_id == video_id)


def test_the_times_of_all_frames(study: Path) -> None:
    assert read_times(study.with_name("train1.mp4")) == pytest.approx(SECONDS, abs=1e-4)
    study.with_name("none.mp4").write_bytes(b"no video")
    with pytest.raises(InputError, match=r"none\.mp4: is not an mp4"):
        read_times(study.with_name("none.mp4"))


@pytest.mark.parametrize(
    ("span", "numbers"),
    [
        ("0.2s-0.8s", (2, 3, 4, 5)),
        ("0.9s", (5,)),
        ("1.21s-1.23s", (7,)),
        ("1.2s-9s", (6, 7, 8, 9)),
    ],
)
def test_times_name_the_frames_that_are_shown_then(
    study: Path, span: str, numbers: tuple[int, ...]
) -> None:
    reading = read(study, f"train1,{span},1", "train1,0,0")
    assert video(reading, "train1").annotated_frames == numbers
    assert video(reading, "train1").negative_frames == (0,)


def test_only_videos_with_annotations_by_time_are_decoded_for_them(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def spy(path: Path) -> tuple[float | None, ...]:
        opened.append(path.name)
        return read_times(path)

    monkeypatch.setattr(module, "read_times", spy)
    read(study, "train1,0.2s-0.8s,1", "train1,2s,0", "val1,3-4,1")
    assert opened == ["train1.mp4"]


def test_times_where_the_source_has_none(study: Path) -> None:
    study.with_name("val1.mp4").unlink()
    folder = study.with_name("val1.mp4")
    folder.mkdir()
    for i in range(3):
        Image.fromarray(np.full((40, 40), 60 + i, np.uint8)).save(folder / f"{i}.png")
    assert video(read(study, "val1,1-2,1"), "val1").annotated_frames == (1, 2)
    with pytest.raises(InputError) as caught:
        read(study, "val1,0s-1s,1")
    assert list(caught.value.problems) == [
        "annotations row 1 (video val1): frame is '0s-1s', and the video's frames have no times: "
        "give numbers of frames from 0"
    ]


def test_a_video_that_cannot_be_decoded_for_its_times_is_refused_or_skipped(study: Path) -> None:
    damaged = study.with_name("more.mp4")
    damaged.write_bytes(damaged.read_bytes()[:-300])
    rows = ("more,0.2s-0.8s,1", "more,2s,0", "train1,0.2s,1")
    with pytest.raises(InputError) as caught:
        read(study, *rows)
    (line,) = caught.value.problems
    assert "more.mp4: " in line and "truncated" in line
    reading = read(study, *rows, skip_unreadable=True)
    assert [video_id for _, video_id, _ in reading.skipped] == ["more"]
    assert video(reading, "train1").annotated_frames == (2,)


def test_a_video_that_the_manifest_lacks_is_named_once(study: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(study, "Train1,0.2s-0.8s,1", "Train1,2s,1")
    assert list(caught.value.problems) == [
        "annotations name the video Train1, which is not in the manifest: did you mean train1?"
    ]


def test_a_store_keeps_the_number_and_the_time_of_a_frame_in_its_source(study: Path) -> None:
    store = study.with_name("store")
    output = succeed(
        "ingest", study, "--out", store, "--annotations",
        annotate(study, "train1,0.2s-0.8s,1", "train1,1.2s,0"), "--image-size", "64",
        "--frame-stride", "3", "--backend", "inline",
    )  # fmt: skip
    rows = [r for r in pq.read_table(store / "frames.parquet").to_pylist()
            if r["video_id"] == "train1"]  # fmt: skip
    assert [row["frame"] for row in rows] == [0, 1, 2, 3]
    assert [row["source_frame"] for row in rows] == [0, 3, 6, 9]
    assert [row["seconds"] for row in rows] == pytest.approx(SECONDS[::3], abs=1e-4)
    assert [row["label"] for row in rows] == [None, 1, None, None]
    assert (
        "1 annotated positive videos: 1 frames annotated 1 are used, 1 annotated 0 are not, "
        "2 that are not annotated are not"
    ) in output
    assert "3 annotated frames lie between those that frame_stride 3 keeps" in output


def test_a_store_without_numbers_and_times_in_the_source_extends_and_trains(
    study: Path, tiny_yaml: Path
) -> None:
    store = study.with_name("store")
    options = ("--out", store, "--image-size", "64", "--backend", "inline")
    succeed("ingest", study, *options)
    for path in store.rglob("frames.parquet"):
        table = pq.read_table(path).drop_columns(list(tables.SOURCE_COLUMNS))
        tables.write(path, table, table.schema)
    succeed("ingest", study, *options)
    index = tables.read_frames(store / "frames.parquet")
    assert index["source_frame"].null_count == len(index) == 7 * len(TICKS)
    run = study.with_name("run")
    succeed(
        "grid", tiny_yaml, "--data", store, "--out", run, "--backend", "inline",
        "--only", "variant=baseline,n_patients=1", "--set", "grid.n_patients=[1]",
    )  # fmt: skip
    assert pq.read_table(run / "results.parquet")["status"].to_pylist() == ["done"]
    assert pq.read_table(run / "frames.parquet").schema.equals(tables.FRAMES)
