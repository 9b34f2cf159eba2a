"""Crops, boxes to blank and devices in a manifest: how they are read, keyed and used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lussweep.data.manifest import read_manifest
from lussweep.data.preprocess import preprocess
from lussweep.data.preview import look_at, outliers
from lussweep.errors import InputError
from lussweep.study.plan import make_data_plan
from lussweep.study.spec import DataSpec, Manifest, PreprocessSpec, SplitSpec, StudySpec
from support.commands import succeed

HEADER = "patient_id,video_id,path,label,split"
SPLITS = ("train", "train", "val", "val", "holdout", "holdout")


def write(folder: Path, extra: str = "", cells: str = "") -> Path:
    """A manifest of six stacks of noise. `cells` are the further cells of the first video."""
    rows = [HEADER + extra]
    for i, split in enumerate(SPLITS):
        noise = np.random.default_rng(i).integers(40, 255, (6, 64, 64), np.uint8)
        np.save(folder / f"{i}.npy", noise)
        empty = "," * extra.count(",")
        rows.append(f"P{i}a,v{i},{i}.npy,{i % 2},{split}" + (cells if i == 0 else empty))
    (folder / "manifest.csv").write_text("\n".join([*rows, ""]))
    return folder / "manifest.csv"


def read(path: Path) -> Manifest:
    return read_manifest(path, split=SplitSpec(), seed=0, cache_dir=path.parent / "cache").manifest


def refs(manifest: Manifest) -> set[str]:
    study = StudySpec(name="a", data=DataSpec(preprocess=PreprocessSpec(image_size=64)))
    return {ref for ref in make_data_plan(study, manifest).steps if ref.startswith("shard/")}


def test_boxes_of_a_video_are_read(tmp_path: Path) -> None:
    path = write(tmp_path, ",crop,mask_box,device", ',"0,0,32,64","1 2 3 4; 5,6,7,8",LOGIQ')
    first, other = read(path).videos[:2]
    assert first.crop == (0, 0, 32, 64)
    assert first.mask_boxes == ((1, 2, 3, 4), (5, 6, 7, 8))
    assert first.device == "LOGIQ"
    assert (other.crop, other.mask_boxes, other.device) == (None, (), "")


@pytest.mark.parametrize(
    ("column", "cell", "found"),
    [
        ("crop", "auto", "crop is 'auto': give x0,y0,x1,y1 in pixels"),
        ("crop", "9,0,9,5", "with x0 < x1 and y0 < y1"),
        ("crop", "0,0,5,5;1,1,6,6", "give one box"),
        ("mask_box", "-1,0,5,5", "mask_box is '-1,0,5,5': give x0,y0,x1,y1"),
        ("mask_box", "0,0,5", "give x0,y0,x1,y1"),
    ],
)
def test_a_wrong_box_is_one_clear_line(tmp_path: Path, column: str, cell: str, found: str) -> None:
    with pytest.raises(InputError) as caught:
        read(write(tmp_path, f",{column}", f',"{cell}"'))
    (line,) = caught.value.problems
    assert line.startswith("row 1 (video v0): ") and found in line


def test_a_box_changes_the_key_of_its_patient_alone(tmp_path: Path) -> None:
    plain = refs(read(write(tmp_path)))
    assert refs(read(write(tmp_path, ",crop,mask_box", ",,"))) == plain
    assert refs(read(write(tmp_path, ",device", ",LOGIQ"))) == plain
    for column in ("crop", "mask_box"):
        changed = refs(read(write(tmp_path, f",{column}", ',"0,0,32,64"')))
        assert len(changed - plain) == len(plain - changed) == 1


def test_frames_are_those_of_the_video_s_own_boxes(tmp_path: Path) -> None:
    path = write(tmp_path, ",crop,mask_box", ',"0,0,32,64","0,0,64,9"')
    succeed("ingest", path, "--out", tmp_path / "store", "--image-size", "64",
            "--mask-box", "0,60,64,64", "--backend", "inline")  # fmt: skip
    video = np.load(tmp_path / "0.npy")
    boxes = ((0, 60, 64, 64), (0, 0, 64, 9))
    own = PreprocessSpec(image_size=64, crop=(0, 0, 32, 64), mask_boxes=boxes)
    expected, _ = preprocess(video, own)
    made = [np.load(file) for file in (tmp_path / "store").glob("artifacts/shard/*/frames.npy")]
    assert len(made) == 6
    assert sum(np.array_equal(frames, expected) for frames in made) == 1


def test_videos_of_one_device_are_compared_with_each_other() -> None:
    def look(x1: int) -> object:
        video = np.zeros((6, 64, 96), np.uint8)
        video[:, 4:60, 4:x1] = np.random.default_rng(0).integers(40, 255, (6, 56, x1 - 4))
        return look_at(video, PreprocessSpec())

    looks = [*[look(90) for _ in range(9)], *[look(30) for _ in range(5)]]
    assert outliers(looks) == [9, 10, 11, 12, 13]  # type: ignore[arg-type]
    assert outliers(looks, ["a"] * 9 + ["b"] * 5) == []  # type: ignore[arg-type]
