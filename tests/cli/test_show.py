"""`lussweep show` says what any file, artifact or run folder holds, and executes none of it."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from lussweep.models.generators.checkpoint import Checkpoints
from lussweep.report.contents import contents_of
from support.commands import refusal, succeed


def first(folder: Path, pattern: str) -> Path:
    return sorted(folder.glob(pattern))[0]


def test_a_run_folder(uninterrupted: Path) -> None:
    output = succeed("show", uninterrupted)
    assert f"{uninterrupted}: a run folder of tiny" in output
    n_cells = len(pq.read_table(uninterrupted / "results.parquet"))
    assert f"{n_cells} cells: {n_cells} done" in output
    assert "results.parquet" in output
    n_rows, n_columns = pq.read_table(uninterrupted / "results.parquet").shape
    assert f"{n_rows} rows x {n_columns} columns" in output


def test_an_artifact(uninterrupted: Path) -> None:
    folder = first(uninterrupted, "artifacts/gan/*")
    record = json.loads((folder / "record.json").read_text())
    output = succeed("show", folder)
    for text in (record["name"], folder.name, "GAN", record["circumstances"]["started"]):
        assert text in output
    assert "losses.parquet" in output


def test_a_table_shows_columns_units_and_first_rows(uninterrupted: Path) -> None:
    output = succeed("show", uninterrupted / "frames.parquet", "--rows", "2")
    table = pq.read_table(uninterrupted / "frames.parquet")
    assert "a Parquet table" in output
    assert "row 2" in output and "row 3" not in output
    for name in table.column_names:
        assert name in output
    assert table["video_id"][1].as_py()[:12] in output


def test_a_file_of_an_artifact_says_how_it_was_made(uninterrupted: Path) -> None:
    path = first(uninterrupted, "artifacts/gan/*/snapshots/*.safetensors")
    output = succeed("show", path)
    assert "weights (safetensors)" in output
    assert path.parents[1].name in output  # the key
    shape = " x ".join(str(side) for side in (4, 4))
    assert shape in output


def test_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 8), np.uint8))
    np.savez(tmp_path / "b.npz", first=np.zeros(4), second=np.zeros((2, 2), np.int8))
    assert "3 x 8 x 8" in succeed("show", tmp_path / "a.npy")
    output = succeed("show", tmp_path / "b.npz")
    assert "second" in output and "int8" in output and "2 x 2" in output


def test_a_checkpoint_says_of_which_training(tmp_path: Path) -> None:
    Checkpoints(tmp_path, "0123456789abcdef").save({"n": torch.ones(10), "weights": torch.ones(5)})
    output = succeed("show", first(tmp_path, "*.pt"))
    assert "a checkpoint of a training" in output
    assert "0123456789abcdef" in output
    assert "60" in output  # bytes of 15 numbers


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("new_format", [True, False])
def test_nothing_is_unpickled(tmp_path: Path, new_format: bool) -> None:
    made = tmp_path / "made"
    torch.save({"a": Hostile(made)}, tmp_path / "w.pth", _use_new_zipfile_serialization=new_format)
    np.save(tmp_path / "o.npy", np.array([Hostile(made)]), allow_pickle=True)
    assert "PyTorch" in succeed("show", tmp_path / "w.pth")
    assert "object" in succeed("show", tmp_path / "o.npy")
    assert not made.exists()


def test_pictures_and_videos(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((6, 9), np.uint8)).save(tmp_path / "i.png")
    assert dict(contents_of(tmp_path / "i.png", 0).facts) == {"size": "9 x 6 pixels"}
    writer = cv2.VideoWriter(
        str(tmp_path / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (128, 96), False
    )
    for level in range(5):
        writer.write(np.full((96, 128), 50 * level, np.uint8))
    writer.release()
    found = contents_of(tmp_path / "v.avi", 0)
    assert found.kind == "a video"
    assert dict(found.facts) == {
        "size": "128 x 96 pixels", "codec": "mjpeg", "frames a second": "10", "frames": "5",
    }  # fmt: skip


def test_text_that_would_steer_a_terminal_is_not_printed(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("patient_id,note\na,\x1b[2Jgone\n")
    pq.write_table(pa.table({"note": ["\x1b[31mred"]}), tmp_path / "t.parquet")
    for name in ("t.csv", "t.parquet"):
        assert "\x1b" not in succeed("show", tmp_path / name)


def test_a_long_line_is_cut_and_the_next_one_keeps_its_number(tmp_path: Path) -> None:
    path = tmp_path / "driver.log"
    path.write_text(f"{'a' * 500}\n\nb\n")
    output = succeed("show", path)
    assert "line 1" in output and "line 2" not in output
    assert any(line.split() == ["line", "3", "b"] for line in output.splitlines())


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("e.yaml", b"name: mine\ngan: {ngf: 4}\n", "an experiment"),
        ("l.yaml", b"- a\n", "text"),
        ("r.json", b'{"seed": 7, "inputs": {"a": 1}}', "JSON"),
        ("t.csv", b"patient_id;path\na;b\n", "a text table"),
        ("x.bin", b"\1\0\2\0", "a kind that is not known"),
        ("empty", b"", "text"),
    ],
)
def test_other_files(tmp_path: Path, name: str, content: bytes, kind: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert kind in contents_of(tmp_path / name, 3).kind


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.parquet", b"PAR1 and no more"),
        ("a.npy", b"\x93NUMPY\1\0"),
        ("z.npz", b"PK\3\4 and no more"),
        ("w.safetensors", (20).to_bytes(8, "little") + b"{" + b"x" * 30),
        ("r.json", b"{"),
    ],
)
def test_damage_is_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    line = refusal("show", tmp_path / name)
    assert str(tmp_path / name) in line


def test_one_bad_entry_does_not_hide_the_others(finished: Path) -> None:
    (finished / "dangling").symlink_to(finished / "nosuch")
    (finished / "text.parquet").write_text("no table")
    (finished / "damaged.parquet").write_bytes(b"PAR1 and no more")
    os.mkfifo(finished / "pipe.parquet")
    output = succeed("show", finished)
    lines = {line.split()[0]: line.rstrip() for line in output.splitlines() if line}
    assert lines["dangling"].endswith("a link to nothing")
    assert lines["text.parquet"].split()[1:] == ["8", "bytes", "text"]
    assert lines["damaged.parquet"].endswith("cannot be read")
    assert lines["pipe.parquet"].endswith("neither a file nor a folder")
    assert "columns" in lines["results.parquet"]


@pytest.mark.parametrize(
    "state", ["[" * 200_000, "[1]", '{"name": "a"}'], ids=("deep", "list", "short")
)
def test_a_damaged_state_does_not_hide_the_files(finished: Path, state: str) -> None:
    (finished / "state.json").write_text(state)
    output = succeed("show", finished)
    assert "state.json cannot be read" in output
    assert "results.parquet" in output
    assert "state.json" in refusal("status", finished)


def test_names_of_runs_and_files_do_not_steer_a_terminal(finished: Path) -> None:
    state = json.loads((finished / "state.json").read_text())
    state["name"] = "evil\x1b]0;owned\x07\x1b[2J"
    (finished / "state.json").write_text(json.dumps(state))
    (finished / "a\x1b[31mb.txt").write_text("a")
    for output in (succeed("show", finished), succeed("show", finished / "a\x1b[31mb.txt")):
        assert "\x1b" not in output and "\x07" not in output
    assert "a [31mb.txt" in output


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is neither a file nor a folder" in refusal("show", tmp_path / "pipe")


def test_many_rows_come_in_tables_that_fit_a_line(tmp_path: Path) -> None:
    columns = {f"column_{c}": [f"c{c}-row{row:02d}" for row in range(20)] for c in range(2)}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    output = succeed("show", tmp_path / "t.parquet", "--rows", "20")
    assert [value for value in columns["column_1"] if value not in output] == []
    assert all(f"row {number + 1}" in output for number in range(20))
    assert max(map(len, output.splitlines()[1:])) <= 80


def test_what_is_not_there_or_nothing_of_ours_is_one_line(tmp_path: Path) -> None:
    assert "there is no" in refusal("show", tmp_path / "nosuch")
    assert "neither a run folder" in refusal("show", tmp_path)
    assert "copy s3://bucket/run to it first" in refusal("show", "s3://bucket/run")


def test_a_zip_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    assert contents_of(tmp_path / "z.zip", 1).kind == "a zip archive"


def test_the_help_names_the_argument_in_capitals_as_other_commands_do() -> None:
    output = succeed("show", "--help")
    assert "PATH" in output and "{path}" not in output
