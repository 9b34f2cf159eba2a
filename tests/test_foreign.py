"""No file from outside is opened in this process: a child process opens each of them."""

from __future__ import annotations

import csv
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from PIL import Image

from lussweep.data.declaration import read_patients
from lussweep.data.external import describe, load_images
from lussweep.data.tables import read_cells
from lussweep.errors import InputError
from lussweep.models.generators.checkpoint import Checkpoints
from lussweep.models.resnet import load_resnet34
from lussweep.models.training import weights
from lussweep.report.contents import contents_of
from lussweep.store import tables

OPENERS = (
    (pq, "ParquetFile"), (pq, "read_schema"), (zipfile, "ZipFile"), (csv, "reader"),
    (openpyxl, "load_workbook"), (Image, "open"), (weights, "load_file"),
    (weights, "load_state"),
)  # fmt: skip
"""Functions that read files without an event that Python reports."""

opened: list[str] = []
watched: list[Path] = []


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and any(str(arguments[0]).startswith(str(folder)) for folder in watched):
        opened.append(str(arguments[0]))


sys.addaudithook(_note)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    table = pa.table({"patient_id": ["a", "b"]})
    pq.write_table(table, tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("patient_id\na\nb\n")
    (tmp_path / "t.txt").write_text("a\nb\n")
    book = openpyxl.Workbook()
    for row in (["patient_id"], ["a"], ["b"]):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    (tmp_path / "set").mkdir()
    Image.fromarray(np.eye(16, dtype=np.uint8)).save(tmp_path / "set" / "i.png")
    png = (tmp_path / "set" / "i.png").read_bytes()
    pq.write_table(pa.table({"image": pa.array([png], pa.binary())}), tmp_path / "set.parquet")
    state = {"conv1.weight": torch.zeros(2)}
    torch.save(state, tmp_path / "w.pth")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(state, tmp_path / "w.safetensors")
    tables.write(tmp_path / "own.parquet", [{"reason": "r"}], tables.SKIPPED)
    return tmp_path


@pytest.fixture
def only_elsewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder. Whatever opens a file of it in this process fails the test."""

    def fail(*_: Any, **__: Any) -> None:
        pytest.fail("a file was opened in this process")

    for module, name in OPENERS:
        monkeypatch.setattr(module, name, fail)
    opened.clear()
    watched.append(folder)
    yield folder
    watched.clear()
    assert not opened


def _cells(path: Path) -> list[str]:
    problems: list[str] = []
    found = read_cells(path, ("patient_id",), problems)
    assert not problems
    return [cells["patient_id"] for _, cells in found.rows]


def _images(path: Path) -> list[str]:
    found = describe(path, path.with_name("t.txt"), 16)
    assert (load_images(found, 16) == np.eye(16)).all()
    return list(found.patients)


def _mismatch(path: Path) -> list[str]:
    with pytest.raises(InputError, match=r"should be \(64, 3, 7, 7\), found \(2,\)"):
        load_resnet34(path)
    return ["a", "b"]


@pytest.mark.parametrize(
    ("read", "name"),
    [
        *((_cells, f"t.{kind}") for kind in ("parquet", "csv", "xlsx")),
        *((read_patients, f"t.{kind}") for kind in ("parquet", "csv", "txt")),
        (_images, "set"), (_images, "set.parquet"),
        *((_mismatch, name) for name in ("w.pth", "old.pth", "w.safetensors")),
    ],
)  # fmt: skip
def test_a_file_from_outside_is_opened_elsewhere(
    only_elsewhere: Path, read: Callable[[Path], Any], name: str
) -> None:
    assert list(read(only_elsewhere / name)) == ["a", "b"]


@pytest.mark.parametrize(
    "name",
    ["t.parquet", "t.csv", "t.xlsx", "t.txt", "set/i.png", "w.pth", "old.pth", "w.safetensors"],
)
def test_a_file_is_shown_elsewhere(only_elsewhere: Path, name: str) -> None:
    assert contents_of(only_elsewhere / name, 2).kind != "a file of a kind that is not known"


def test_a_table_of_a_run_is_opened_elsewhere(only_elsewhere: Path) -> None:
    found = tables.read(only_elsewhere / "own.parquet", tables.SKIPPED)
    assert found["reason"].to_pylist() == ["r"]
    assert tables.read_any(only_elsewhere / "own.parquet").equals(found)


def test_a_checkpoint_is_checked_elsewhere_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path, "k")
    checkpoints.save({"n": torch.ones(1000)})
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    at = content.index(torch.ones(1000).numpy().tobytes())
    path.write_bytes(content[:at] + b"\1" + content[at + 1 :])
    monkeypatch.setattr(weights, "load_state", lambda path: pytest.fail("it was not checked"))
    assert checkpoints.load() is None
