import csv
import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lussweep.data import digests
from lussweep.data.manifest import ManifestReading, read_manifest
from lussweep.data.splits import MISJUDGED, assign_splits
from lussweep.errors import InputError
from lussweep.study.spec import Manifest, SplitSpec

Rows = list[dict[str, Any]]


def write_video(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (16, 16))
    for frame in np.random.default_rng(seed).integers(0, 255, (4, 16, 16, 3)).astype(np.uint8):
        writer.write(frame)
    writer.release()


def write_csv(path: Path, rows: Rows) -> Path:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Four negative and four positive patients of one video each, written under tmp_path."""
    made = [
        {"patient_id": f"P{i}", "video_id": f"v{i}", "path": f"videos/v{i}.avi", "label": i // 4}
        for i in range(8)
    ]
    for i, row in enumerate(made):
        write_video(tmp_path / row["path"], seed=i)
    return made


def read(rows: Rows, folder: Path, annotations: Rows | None = None, **options: Any) -> Manifest:
    table = None if annotations is None else write_csv(folder / "frames.csv", annotations)
    reading = read_manifest(
        write_csv(folder / "manifest.csv", rows),
        annotations=table,
        **{"split": SplitSpec(), "seed": 1, "cache_dir": folder / "cache", **options},
    )
    assert reading.skipped == []
    return reading.manifest


def problems_of(rows: Rows, folder: Path, annotations: Rows | None = None, **options: Any) -> list:
    with pytest.raises(InputError) as caught:
        read(rows, folder, annotations, **options)
    return list(caught.value.problems)


def only_problem(*args: Any, **options: Any) -> str:
    (line,) = problems_of(*args, **options)
    return line


def with_splits(rows: Rows) -> Rows:
    names = ["train", "train", "val", "holdout"] * 2
    return [{**row, "split": name} for row, name in zip(rows, names, strict=True)]


# --- good input ---------------------------------------------------------------------------


def test_a_manifest_becomes_videos_with_drawn_splits(tmp_path: Path, rows: Rows) -> None:
    found = read(rows, tmp_path)
    assert [v.video_id for v in found.videos] == [f"v{i}" for i in range(8)]
    assert [v.label for v in found.videos] == [0] * 4 + [1] * 4
    assert found.videos[0].path == str(tmp_path / "videos" / "v0.avi")
    assert len({v.sha256 for v in found.videos}) == 8
    assert all(v.annotated_frames is None for v in found.videos)
    for split in ("train", "val", "holdout"):
        assert {v[0].label for v in found.patients(split).values()} == {0, 1}


def test_parquet_gives_the_same_as_csv(tmp_path: Path, rows: Rows) -> None:
    from_csv = read(with_splits(rows), tmp_path)
    typed = [{**row, "label": bool(row["label"])} for row in with_splits(rows)]
    pq.write_table(pa.Table.from_pylist(typed), tmp_path / "manifest.parquet")
    marks = pa.table({"video_id": ["v7", "v7"], "frame": [2.0, 0.0], "label": [1, 0]})
    pq.write_table(marks, tmp_path / "frames.parquet")
    options: dict[str, Any] = {"split": SplitSpec(), "seed": 1, "cache_dir": tmp_path}
    from_parquet = read_manifest(tmp_path / "manifest.parquet", **options)
    assert from_parquet.manifest == from_csv
    annotated = read_manifest(
        tmp_path / "manifest.parquet", annotations=tmp_path / "frames.parquet", **options
    )
    assert annotated.manifest.videos[7].annotated_frames == (2,)


def test_the_manifests_own_splits_win(tmp_path: Path, rows: Rows) -> None:
    found = read(with_splits(rows), tmp_path)
    assert [v.split for v in found.videos] == ["train", "train", "val", "holdout"] * 2


def test_the_label_column_is_chosen(tmp_path: Path, rows: Rows) -> None:
    renamed = [{**row, "pneumonia": 1 - row["label"]} for row in rows]
    assert [v.label for v in read(renamed, tmp_path, label="pneumonia").videos] == [1] * 4 + [0] * 4


def test_only_annotated_frames_count_as_positive(tmp_path: Path, rows: Rows) -> None:
    marks = [("v7", 3, 1), ("v7", 0, 1), ("v7", 1, 0), ("v0", 2, 0)]
    annotations = [{"video_id": v, "frame": f, "label": y} for v, f, y in marks]
    videos = {v.video_id: v for v in read(rows, tmp_path, annotations).videos}
    assert videos["v7"].annotated_frames == (0, 3)
    assert videos["v0"].annotated_frames == ()
    assert videos["v6"].annotated_frames is None


def test_a_patient_is_positive_if_one_video_is(tmp_path: Path, rows: Rows) -> None:
    write_video(tmp_path / "videos" / "extra.avi", seed=99)
    extra = {"patient_id": "P7", "video_id": "extra", "path": "videos/extra.avi", "label": 0}
    splits = {v.video_id: v.split for v in read([*rows, extra], tmp_path).videos}
    assert splits == {**{v.video_id: v.split for v in read(rows, tmp_path).videos},
                      "extra": splits["v7"]}  # fmt: skip


@pytest.mark.parametrize("words", [("no", "YES"), ("False", "true"), ("0.0", "1.0"), (0, 1)])
def test_labels_of_every_kind(tmp_path: Path, rows: Rows, words: tuple[Any, Any]) -> None:
    worded = [{**row, "label": words[row["label"]]} for row in rows]
    assert read(worded, tmp_path) == read(rows, tmp_path)


def test_labels_as_texts(tmp_path: Path, rows: Rows) -> None:
    texts = [
        "normal",
        "b-lines",
        "Normal",
        "normal",
        "Consolidation",
        "ards",
        "consolidation",
        "ARDS",
    ]
    for row, text in zip(rows, texts, strict=True):
        row["label"] = text
    reading = read_manifest(
        write_csv(tmp_path / "manifest.csv", rows),
        positive=["consolidation", "ards"],
        split=SplitSpec(),
        seed=1,
        cache_dir=tmp_path,
    )
    assert [v.label for v in reading.manifest.videos] == [0] * 4 + [1] * 4
    assert reading.notes == (
        "labels: 'ARDS' (1), 'Consolidation' (1), 'ards' (1), 'consolidation' (1) positive; "
        "'Normal' (1), 'b-lines' (1), 'normal' (2) negative",
    )
    line = only_problem(rows, tmp_path, positive=["consolidation", "ards", "effusion"])
    assert line.startswith("--positive effusion: no row has this label; the labels are 'ARDS' (1)")
    grades = [{**row, "label": [0, 3, "1.0", "2.0"][i // 2]} for i, row in enumerate(rows)]
    found = read(grades, tmp_path, positive=["1", "2"])
    assert [v.label for v in found.videos] == [0] * 4 + [1] * 4


@pytest.mark.parametrize("text", ["", "NA", "nan", "None", "#N/A"])
def test_rows_without_a_label_are_refused_or_left_out(
    tmp_path: Path, rows: Rows, text: str
) -> None:
    write_video(tmp_path / "videos" / "extra.avi", seed=99)
    extra = [
        {"patient_id": f"X{i}", "video_id": f"x{i}", "path": "videos/extra.avi", "label": text}
        for i in range(2)
    ]
    assert only_problem([*rows, *extra], tmp_path) == (
        "label is empty in 2 rows, the first row 9 (video x0): fill it, "
        "or leave them out with --skip-unlabelled"
    )
    reading = read_manifest(
        write_csv(tmp_path / "manifest.csv", [*rows, *extra]),
        split=SplitSpec(),
        seed=1,
        skip_unlabelled=True,
        cache_dir=tmp_path,
    )
    assert reading.manifest == read(rows, tmp_path)
    assert reading.skipped == [(f"X{i}", f"x{i}", "it has no label") for i in range(2)]


def test_splits_are_said_to_be_read_or_drawn(tmp_path: Path, rows: Rows) -> None:
    options: dict[str, Any] = {"split": SplitSpec(), "seed": 5, "cache_dir": tmp_path}
    path = write_csv(tmp_path / "manifest.csv", rows)
    assert read_manifest(path, **options).splits == (
        "drawn at random by patient, stratified by class (val 0.2, holdout 0.3, seed 5), "
        "because the manifest gives none"
    )
    path = write_csv(tmp_path / "manifest.csv", with_splits(rows))
    assert read_manifest(path, **options).splits == "read from the manifest"


def test_splits_in_capitals(tmp_path: Path, rows: Rows) -> None:
    named = with_splits(rows)
    assert read([{**row, "split": row["split"].upper()} for row in named], tmp_path) == read(
        named, tmp_path
    )


def test_ids_that_a_program_made_numbers_of(tmp_path: Path, rows: Rows) -> None:
    numbered = [{**row, "patient_id": f"{i}.0"} for i, row in enumerate(rows)]
    assert [v.patient_id for v in read(numbered, tmp_path).videos] == list("01234567")
    numbered[0]["patient_id"] = "A"
    assert [v.patient_id for v in read(numbered, tmp_path).videos][:2] == ["A", "1.0"]
    zeros = [{**row, "patient_id": f"00{i}"} for i, row in enumerate(rows)]
    assert [v.patient_id for v in read(zeros, tmp_path).videos][:2] == ["000", "001"]


def test_annotations_of_ids_that_a_program_made_numbers_of(tmp_path: Path, rows: Rows) -> None:
    numbered = [{**row, "video_id": i} for i, row in enumerate(rows)]
    marks = [
        {"video_id": "7.0", "frame": 0, "label": 1},
        {"video_id": "6.0", "frame": 0, "label": 1},
    ]
    videos = {v.video_id: v.annotated_frames for v in read(numbered, tmp_path, marks).videos}
    assert videos == {**dict.fromkeys("012345"), "6": (0,), "7": (0,)}
    marks[0]["video_id"] = "V7"
    assert only_problem(rows, tmp_path, marks[:1]) == (
        "annotations name the video V7, which is not in the manifest: did you mean v7?"
    )


def test_paths_with_backslashes_and_in_another_unicode_form(tmp_path: Path, rows: Rows) -> None:
    (tmp_path / "videos").rename(tmp_path / "Mu\N{COMBINING DIAERESIS}nchen")
    for row in rows:
        row["path"] = row["path"].replace("videos/", "München\\")
    found = read(rows, tmp_path)
    assert {Path(v.path or "").exists() for v in found.videos} == {True}
    rows[0]["path"] = "..\\a.avi"
    assert "leaves its folder" in only_problem(rows, tmp_path)


# --- bad input ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["set", "Fold", "partition", "subset"])
def test_a_split_under_another_name_is_not_ignored(tmp_path: Path, rows: Rows, name: str) -> None:
    named = [
        {name if key == "split" else key: row[key] for key in row} for row in with_splits(rows)
    ]
    line = only_problem(named, tmp_path)
    assert f"no column split, but '{name}': rename it split if it says which patients" in line


@pytest.mark.parametrize("with_split", [True, False])
def test_one_patient_under_two_spellings(tmp_path: Path, rows: Rows, with_split: bool) -> None:
    """Within one split too, and where the splits would be drawn."""
    rows[0]["patient_id"], rows[1]["patient_id"] = "A 1", "a01"
    line = only_problem(with_splits(rows) if with_split else rows, tmp_path)
    where = ", train" if with_split else ""
    assert f"the patient ids 'A 1' (row 1{where}) and 'a01' (row 2{where}) may be one" in line


@pytest.mark.parametrize("text", ["nan", "#N/A", "None"])
def test_what_programs_write_for_a_missing_id(tmp_path: Path, rows: Rows, text: str) -> None:
    rows[0]["patient_id"] = text
    assert only_problem(rows, tmp_path) == "row 1 (video v0): patient_id is empty"


def test_all_problems_are_reported_at_once(tmp_path: Path, rows: Rows) -> None:
    rows[0]["label"] = 2
    rows[1]["patient_id"] = ""
    rows[2]["path"] = "videos/none.avi"
    rows[4]["video_id"] = "v3"
    annotations = [{"video_id": "v9", "frame": 0, "label": 1}]
    lines = "\n".join(problems_of(rows, tmp_path, annotations))
    for expected in (
        "row 1 (video v0): label is '2', not 0 or 1",
        "row 2 (video v1): patient_id is empty",
        "none.avi: does not exist",
        "video_id v3 is in 2 rows",
        "the video v9, which is not in the manifest",
    ):
        assert expected in lines
    assert lines.count("\n") == 4


def test_missing_columns_name_the_nearest(tmp_path: Path, rows: Rows) -> None:
    renamed = [{"patient": r["patient_id"], "video_id": "v", "path": r["path"]} for r in rows]
    lines = problems_of(renamed, tmp_path)
    assert any("no column patient_id: did you mean patient?" in line for line in lines)
    assert any("no column label: known are patient, video_id, path" in line for line in lines)
    assert any("video_id v is in 8 rows" in line for line in lines)


@pytest.mark.parametrize("label", ["2", "-1", "0.5", "consolidation"])
def test_labels_that_are_not_0_or_1(tmp_path: Path, rows: Rows, label: str) -> None:
    rows[3]["label"] = label
    line = only_problem(rows, tmp_path)
    assert line.startswith(f"row 4 (video v3): label is '{label}', not 0 or 1")
    assert "with --positive" in line
    for row in rows:
        row["label"] = label
    line = only_problem(rows, tmp_path)
    assert line.startswith(f"row 1 (video v0) and 7 more: label is '{label}', not 0 or 1")


def test_empty_ids(tmp_path: Path, rows: Rows) -> None:
    rows[0]["patient_id"] = "  "
    assert only_problem(rows, tmp_path) == "row 1 (video v0): patient_id is empty"
    rows[0] |= {"patient_id": "P0", "video_id": ""}
    assert only_problem(rows, tmp_path) == "row 1 (video without id): video_id is empty"


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), (b"", "is empty"), (b"x" * 99, "is not an mp4"), (-9, "truncated")],
)
def test_videos_that_cannot_be_read(
    tmp_path: Path, rows: Rows, content: bytes | int | None, message: str
) -> None:
    path = tmp_path / rows[5]["path"]
    if content is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:content] if isinstance(content, int) else content)
    line = only_problem(rows, tmp_path)
    assert line.startswith(f"row 6 (video v5): {path}: ") and message in line


def read_what_opens(folder: Path, rows: Rows) -> ManifestReading:
    """The reading of a manifest that leaves out videos that cannot be read."""
    return read_manifest(
        write_csv(folder / "manifest.csv", rows),
        split=SplitSpec(),
        seed=1,
        skip_unreadable=True,
        cache_dir=folder,
    )


def test_unreadable_videos_are_skipped_on_request(tmp_path: Path, rows: Rows) -> None:
    (tmp_path / rows[5]["path"]).write_bytes(b"")
    reading = read_what_opens(tmp_path, rows)
    assert [v.video_id for v in reading.manifest.videos] == [f"v{i}" for i in range(8) if i != 5]
    ((patient, video, reason),) = reading.skipped
    assert (patient, video) == ("P5", "v5") and "the file is empty" in reason


def test_no_positive_patient_becomes_negative_by_what_is_skipped(
    tmp_path: Path, rows: Rows
) -> None:
    """The frames of v9, of a positive patient, are no negatives of a negative patient."""
    for video, label in (("v8", 1), ("v9", 0)):
        write_video(tmp_path / f"{video}.avi", seed=ord(video[1]))
        path = f"{video}.avi"
        rows.append({"patient_id": "P8", "video_id": video, "path": path, "label": label})
    rows.append({**rows[0], "video_id": "v10", "path": "missing.avi"})
    (tmp_path / "v8.avi").write_bytes(b"")
    reading = read_what_opens(tmp_path, rows)
    assert [v.video_id for v in reading.manifest.videos] == [f"v{i}" for i in range(8)]
    assert [video for _, video, _ in reading.skipped] == ["v8", "v10", "v9"]
    assert reading.skipped[-1] == ("P8", "v9", MISJUDGED)


def test_nothing_left_after_skipping(tmp_path: Path, rows: Rows) -> None:
    for row in rows:
        (tmp_path / row["path"]).unlink()
    line = only_problem(rows, tmp_path, skip_unreadable=True)
    assert "no video is left after skipping 8" in line


@pytest.mark.parametrize("path", ["/etc/passwd", "C:\\data\\a.avi", "\\\\host\\a.avi"])
def test_absolute_paths(tmp_path: Path, rows: Rows, path: str) -> None:
    rows[0]["path"] = path
    assert only_problem(rows, tmp_path) == (
        f"row 1 (video v0): path {path} is absolute: give it relative to {tmp_path}, "
        "or give --allow-absolute if you trust it"
    )


@pytest.mark.parametrize("path", ["../a.avi", "videos/../../a.avi", ".."])
def test_paths_outside_the_folder(tmp_path: Path, rows: Rows, path: str) -> None:
    rows[0]["path"] = path
    assert f"path {path} leaves its folder: move it into {tmp_path}" in only_problem(rows, tmp_path)


def test_every_row_that_leaves_the_folder_is_named_at_once(tmp_path: Path, rows: Rows) -> None:
    elsewhere = tmp_path / "elsewhere"
    write_video(elsewhere / "a.avi", seed=50)
    inside = tmp_path / "inside"
    for row in rows:
        write_video(inside / row["path"], seed=int(row["video_id"][1:]))
    (inside / "link.avi").symlink_to(elsewhere / "a.avi")
    (inside / "near.avi").symlink_to("videos/v7.avi")
    (inside / "frames").mkdir()
    (inside / "frames" / "1.png").symlink_to(elsewhere / "1.png")
    rows[0]["path"], rows[1]["path"] = "../elsewhere/a.avi", str(elsewhere / "a.avi")
    rows[2]["path"], rows[3]["path"] = "link.avi", "frames"
    rows[7]["path"] = "near.avi"  # a link that stays
    problems = problems_of(rows, inside)
    assert [line.split(":")[0] for line in problems] == [f"row {i} (video v{i - 1})" for i in
                                                        (1, 2, 3, 4)]  # fmt: skip
    assert all("--allow-absolute" in line and str(inside) in line for line in problems)
    assert "link.avi leaves its folder by a symbolic link: copy" in problems[2]
    assert "frames leaves its folder by a symbolic link (1.png in it): copy" in problems[3]
    rows[3]["path"] = "videos/v3.avi"
    for row in rows[:2]:
        row["path"] = row["path"].replace("a.avi", f"{row['video_id']}.avi")
        write_video(elsewhere / f"{row['video_id']}.avi", seed=60 + int(row["video_id"][1:]))
    videos = {v.video_id: v for v in read(rows, inside, allow_absolute=True).videos}
    assert videos["v1"].path == str(elsewhere / "v1.avi")
    assert videos["v0"].path == str(elsewhere / "v0.avi")


def test_a_folder_that_is_itself_behind_a_link_is_no_leaving(tmp_path: Path, rows: Rows) -> None:
    link = tmp_path.with_name(f"{tmp_path.name}-link")
    link.symlink_to(tmp_path, target_is_directory=True)
    assert len(read(rows, link).videos) == len(rows)


def test_strange_paths(tmp_path: Path, rows: Rows) -> None:
    rows[0]["path"] = ""
    rows[1]["path"] = "x" * 5000
    first, second = problems_of(rows, tmp_path)
    assert first == "row 1 (video v0): path is empty" and "cannot be read" in second


@pytest.mark.parametrize("split", ["test", "fold 1", "dev"])
def test_unknown_splits_name_the_three(tmp_path: Path, rows: Rows, split: str) -> None:
    named = with_splits(rows)
    named[0]["split"] = split
    line = only_problem(named, tmp_path)
    assert line.startswith(f"row 1 (video v0): split is '{split}': use train, val, holdout")
    assert ("(holdout is the nearest)" in line) == (split == "test")


def test_names_of_other_data_count_where_they_leave_no_doubt(tmp_path: Path, rows: Rows) -> None:
    """As the folders that `lussweep init` reads."""
    others = {"train": "Training", "val": "val", "holdout": "test"}
    named = [{**row, "split": others[row["split"]]} for row in with_splits(rows)]
    reading = read_manifest(
        write_csv(tmp_path / "manifest.csv", named), split=SplitSpec(), seed=1, cache_dir=tmp_path
    )
    assert [v.split for v in reading.manifest.videos] == ["train", "train", "val", "holdout"] * 2
    assert reading.notes == (
        "manifest.csv: split 'test' is read as holdout",
        "manifest.csv: split 'training' is read as train",
    )


def test_a_patient_in_two_splits_is_named(tmp_path: Path, rows: Rows) -> None:
    named = with_splits(rows)
    named[3]["patient_id"] = "P0"
    assert "patient P0 is in the splits holdout and train" in only_problem(named, tmp_path)


def test_splits_for_some_rows_only(tmp_path: Path, rows: Rows) -> None:
    named = with_splits(rows)
    named[2]["split"] = ""
    line = only_problem(named, tmp_path)
    assert line == "split is given in 7 rows but not in 1: fill all or none"


def test_a_class_missing_in_a_split(tmp_path: Path, rows: Rows) -> None:
    named = with_splits(rows)
    named[2]["split"], named[7]["split"] = "train", "val"
    assert problems_of(named, tmp_path) == [
        "the split val has no neg patient: give at least one",
        "the split holdout has no pos patient: give at least one",
    ]
    assert "2 neg patients cannot fill" in only_problem(rows[2:], tmp_path)
    (tmp_path / rows[7]["path"]).unlink()
    first, second = problems_of(rows[2:], tmp_path)
    assert "does not exist" in first and "2 neg patients cannot fill" in second


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (("v9", 0, 1), "annotations name the video v9, which is not in the manifest"),
        (("v0", 3, 1), "frame 3 of the video v0 is annotated 1, its video label is 0"),
        (("v7", 3, 0), "the positive video v7 is annotated without a positive frame"),
        (("v7", "1.5", 1), "frame is '1.5', not a whole number from 0"),
        (("v7", -1, 1), "frame is '-1', not a whole number from 0"),
        (("v7", "", 1), "frame is '', not a whole number from 0"),
        (("v7", 1, 2), "annotations row 1 (video v7): label is '2', not 0 or 1"),
    ],
)
def test_bad_annotations(
    tmp_path: Path, rows: Rows, mark: tuple[str, Any, Any], message: str
) -> None:
    annotations = [dict(zip(("video_id", "frame", "label"), mark, strict=True))]
    assert message in only_problem(rows, tmp_path, annotations)


def test_a_frame_labelled_twice(tmp_path: Path, rows: Rows) -> None:
    annotations = [{"video_id": "v7", "frame": 1, "label": y} for y in (1, 1, 0)]
    line = only_problem(rows, tmp_path, annotations)
    assert line == "annotations row 3 (video v7): frame 1 is labelled both 0 and 1"


def test_annotations_without_their_columns(tmp_path: Path, rows: Rows) -> None:
    line = only_problem(rows, tmp_path, [{"video_id": "v7", "frame": 1, "labels": 1}])
    assert "frames.csv: no column label: did you mean labels?" in line


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"patient_id,video_id,path,label\n", "has no rows: add at least one"),
        ("a.csv", b"\xff\xfe\x00", "cannot read"),
        ("a.parquet", b"not parquet", "cannot read"),
        ("a.csv", b"patient_id,video_id,path,label,label\nP,v,a,0,0\n", "column name occurs twice"),
        ("a.csv", b"patient_id,video_id,path,label\nP,v,a,0,0\n", "row 1 has more or fewer cells"),
        ("a.csv", b"patient_id,video_id,path,label\nP,v,a\n", "row 1 has more or fewer cells"),
        (
            "a.csv",
            b"patient_id;video_id;path;label\nP;v;a\n",
            r"than the header \(separated by semicolons\): correct it, or quote",
        ),
        (
            "a.csv",
            b"patient_id:video_id:path:label\nP:v:a:0\n",
            "its header is one cell, 'patient_id:video_id:path:label': separate the columns by",
        ),
        ("a.csv", b"patient_id video_id path label\nP v a 0\n", "its header is one cell"),
    ],
)
def test_tables_that_cannot_be_read(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_manifest(path, split=SplitSpec(), seed=1)
    with pytest.raises(InputError, match=r"cannot read .*none\.csv"):
        read_manifest(tmp_path / "none.csv", split=SplitSpec(), seed=1)


def test_one_file_under_two_patients_is_refused(tmp_path: Path, rows: Rows) -> None:
    content = (tmp_path / rows[0]["path"]).read_bytes()
    (tmp_path / rows[1]["path"]).write_bytes(content)
    line = only_problem(with_splits(rows), tmp_path)
    assert line == (
        "the videos v0 and v1 are the same file, but of the patients P0 (train) and P1 (train): "
        "remove one"
    )
    rows[1]["patient_id"] = "P0"
    line = only_problem(with_splits(rows), tmp_path)
    assert line == "the videos v0 and v1 are the same file, of the patient P0: remove one"


def test_long_lists_of_problems_are_cut(tmp_path: Path, rows: Rows) -> None:
    many = [{**rows[0], "video_id": f"v{i}", "label": 7 + i} for i in range(50)]
    lines = problems_of(many, tmp_path)
    assert len(lines) == 21 and lines[-1] == "(+30 more)"


# --- splits -------------------------------------------------------------------------------


@given(
    st.integers(3, 60), st.integers(3, 60), st.floats(0.05, 0.45), st.floats(0.05, 0.45),
    st.integers(0, 9),
)  # fmt: skip
def test_splits_are_stratified_complete_and_near_their_shares(
    n_neg: int, n_pos: int, val: float, holdout: float, seed: int
) -> None:
    patients = {f"P{i}": int(i >= n_neg) for i in range(n_neg + n_pos)}
    found = assign_splits(patients, SplitSpec(val=val, holdout=holdout), seed)
    assert found.keys() == patients.keys()
    shares = {"train": 1 - val - holdout, "val": val, "holdout": holdout}
    for value, n in ((0, n_neg), (1, n_pos)):
        for split, share in shares.items():
            count = sum(found[p] == split for p in patients if patients[p] == value)
            assert count >= 1
            assert abs(count - n * share) < 2 or n * min(shares.values()) < 1


def test_splits_follow_the_seed_and_not_the_order() -> None:
    patients = {f"P{i}": i % 2 for i in range(40)}
    backwards = dict(reversed(patients.items()))
    first = assign_splits(patients, SplitSpec(), 1)
    assert assign_splits(backwards, SplitSpec(), 1) == first
    assert assign_splits(patients, SplitSpec(), 2) != first
    counts = [list(first.values()).count(s) for s in ("train", "val", "holdout")]
    assert counts == [20, 8, 12]


def test_splits_that_cannot_be_filled() -> None:
    with pytest.raises(InputError) as caught:
        assign_splits({"a": 0, "b": 0, "c": 1}, SplitSpec(), 1)
    assert caught.value.problems == (
        "2 neg patients cannot fill train, val, holdout: give at least 3",
        "1 pos patients cannot fill train, val, holdout: give at least 3",
    )
    patients = {f"P{i}": i % 2 for i in range(8)}
    with pytest.raises(InputError, match="leave no training patients"):
        assign_splits(patients, SplitSpec(val=0.5, holdout=0.5), 1)


# --- digests ------------------------------------------------------------------------------


def test_digests_are_cached_by_size_and_time(
    tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read(rows, tmp_path)
    assert not list((tmp_path / "cache").glob("*.tmp"))
    monkeypatch.setattr(digests.hashlib, "file_digest", lambda *_: pytest.fail("read again"))
    assert read(rows, tmp_path) == first
    monkeypatch.undo()
    write_video(tmp_path / rows[0]["path"], seed=77)
    os.utime(tmp_path / rows[0]["path"], ns=(1, 1))
    again = read(rows, tmp_path)
    changed = [a.sha256 != b.sha256 for a, b in zip(again.videos, first.videos, strict=True)]
    assert changed == [True] + [False] * 7


def test_files_of_one_size_and_time_that_swap_names_are_read_again(
    tmp_path: Path, rows: Rows
) -> None:
    """Two exports of one device and one minute may have the same size and time."""
    one, other = (tmp_path / row["path"] for row in rows[:2])
    other.write_bytes(one.read_bytes()[::-1])
    for path in (one, other):
        os.utime(path, ns=(1, 1))
    before = digests.contents([one, other], tmp_path / "cache")
    one.rename(tmp_path / "spare")
    other.rename(one)
    (tmp_path / "spare").rename(other)
    after = digests.contents([one, other], tmp_path / "cache")
    assert (after[one], after[other]) != (before[one], before[other])
    assert after[one].sha256 == before[other].sha256


@pytest.mark.parametrize("content", ["not json", "[1]", json.dumps({"/x": 3})])
def test_a_broken_or_unwritable_cache_is_ignored(tmp_path: Path, rows: Rows, content: str) -> None:
    expected = read(rows, tmp_path)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "sha256.json").write_text(content)
    assert read(rows, tmp_path, cache_dir=broken) == expected
    assert read(rows, tmp_path, cache_dir=tmp_path / "manifest.csv" / "no folder") == expected


def test_a_folder_of_images_is_a_video(tmp_path: Path, rows: Rows) -> None:
    folder = tmp_path / "loop"
    folder.mkdir()
    for i in range(2):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((8, 8), 50 + i, np.uint8))
    rows[0]["path"] = "loop"
    first = read(rows, tmp_path).videos[0]
    assert first.path == str(folder)
    (folder / "1.png").rename(folder / "2.png")
    assert read(rows, tmp_path).videos[0].sha256 != first.sha256


def test_the_cached_digests_are_for_their_user_alone(tmp_path: Path, rows: Rows) -> None:
    """They stand beside paths of videos, which may name patients."""
    read(rows, tmp_path)
    assert (tmp_path / "cache" / "sha256.json").stat().st_mode & 0o777 == 0o600


def test_a_user_without_a_home_reads_manifests(
    tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.path.expanduser", lambda path: os.fspath(path))  # as Python answers
    monkeypatch.chdir(tmp_path)
    assert read(rows, tmp_path, cache_dir=None) == read(rows, tmp_path)
