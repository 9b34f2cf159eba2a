"""Whatever the bytes are, a reader gives its value or one documented error."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

from lussweep.data.declaration import read_patients
from lussweep.data.external import describe
from lussweep.data.manifest import read_manifest
from lussweep.data.readers.decode import probe, read_frames
from lussweep.errors import InputError
from lussweep.models.generators.checkpoint import Checkpoints
from lussweep.models.training.weights import read_weights
from lussweep.run.identity import read_run_file
from lussweep.run.ingest import open_store
from lussweep.store import tables
from lussweep.store.arrays import read_array
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.spec import SplitSpec, load_study
from support.commands import ROOT, TESTS, TINY, environment


def fuzzed(n: int) -> Any:
    return settings(derandomize=True, deadline=None, max_examples=n, database=None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def gives(read: Callable[[], Any]) -> Any:
    """The value, or None where the documented error came; any other error fails the test."""
    try:
        return read()
    except InputError as error:
        told = error.problems
    assert told and all(problem.strip() for problem in told)
    return None


@st.composite
def mutated(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes changed, cut out, doubled or put in."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        what = draw(st.sampled_from(["byte", "cut", "insert", "double", "end"]))
        if what == "byte" and at < len(content):
            content[at] = draw(st.integers(0, 255))
        elif what == "cut":
            del content[at : at + draw(st.integers(1, 20))]
        elif what == "insert":
            content[at:at] = draw(st.binary(max_size=8))
        elif what == "double":
            content[at:at] = content[max(0, at - 30) : at]
        elif what == "end":
            del content[at:]
    return bytes(content)


def bytes_or_mutants(*whole: bytes) -> st.SearchStrategy[bytes]:
    return st.one_of(st.binary(max_size=200), *(mutated(content) for content in whole))


# --- manifests and tables ------------------------------------------------------------------

CSV = b"patient_id,video_id,path,label,split\n" + b"".join(
    b"P%d,v%d,videos/v%d.avi,%d,%s\n" % (i, i, i, i % 2, (b"train", b"val", b"holdout")[i // 2])
    for i in range(6)
)
MARKS = b"video_id,frame,label\nv1,0,1\nv1,2,0\n"


@given(bytes_or_mutants(CSV), bytes_or_mutants(MARKS))
@fuzzed(150)
def test_manifests(folder: Path, rows: bytes, marks: bytes) -> None:
    (folder / "m.csv").write_bytes(rows)
    (folder / "a.csv").write_bytes(marks)
    options: dict[str, Any] = {"split": SplitSpec(), "seed": 1, "cache_dir": folder}
    found = gives(lambda: read_manifest(folder / "m.csv", annotations=folder / "a.csv", **options))
    assert found is None, "no video of it exists"
    gives(lambda: read_patients(folder / "m.csv"))


CELLS = st.one_of(st.none(), st.text(max_size=5), st.integers(-2, 2**40), st.floats(), st.binary())


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=4, max_size=5))
@fuzzed(60)
def test_parquet_manifests_of_any_values(folder: Path, columns: list[list[Any]]) -> None:
    names = ("patient_id", "video_id", "path", "label", "split")
    arrays = {}
    for name, values in zip(names, columns, strict=False):
        try:
            arrays[name] = pa.array(values)
        except (pa.ArrowException, TypeError):
            arrays[name] = pa.array(list(map(str, values)))
    pq.write_table(pa.table(arrays), folder / "m.parquet")
    read = lambda: read_manifest(folder / "m.parquet", split=SplitSpec(), seed=1)  # noqa: E731
    assert gives(read) is None


PARQUET = """
import random, sys
from pathlib import Path
from support import hostile_parquet
from lussweep.store import tables
from lussweep.data.declaration import read_patients
from lussweep.data.external import describe
from lussweep.data.manifest import read_manifest
from lussweep.errors import InputError
from lussweep.study.spec import SplitSpec
folder, dice, n_refused = Path(sys.argv[1]), random.Random(0), 0
wholes = [(folder / "whole.parquet").read_bytes(), hostile_parquet.honest()]
path = folder / "damaged.parquet"
def damage(whole, cut):
    damaged = bytearray(whole)
    for _ in range(dice.choice([1, 3, 20])):
        damaged[dice.randrange(len(whole))] = dice.randrange(256)
    if cut:
        del damaged[dice.randrange(len(whole)):]
    return bytes(damaged)
def lie(right):
    return dice.choice([right] * 3 + [0, -1, right + 1, 1000, 10**6, 2**31 - 1])
def lies():
    page = hostile_parquet.page(
        dice.choice([0, 0, 0, 2, 5]), lie(2), b"\\1\\0\\0\\0a" * 2, lie(10), dice.randrange(10))
    return hostile_parquet.columns(
        page * dice.randint(1, 3), lie(2), dice.choice([0, 0, 1, 2, 6]), dice.random() < 0.3,
        dice.choice([0, 0, 5, 10**6]), n_bytes=lie(len(page)), n_values=lie(2))
for i in range(600):
    path.write_bytes(damage(wholes[i % 2], i % 5 == 0) if i < 400 else lies())
    for read in (
        lambda: tables.read(path, tables.SKIPPED),
        lambda: tables.read_any(path),
        lambda: read_manifest(path, split=SplitSpec(), seed=1, cache_dir=folder),
        lambda: read_patients(path),
    ):
        print(i, file=sys.stderr, flush=True)
        try:
            read()
        except InputError:
            n_refused += 1
status = Path("/proc/self/status")  # Linux's alone
told = status.read_text() if status.exists() else "VmHWM: 0"
print(n_refused, int(told.partition("VmHWM:")[2].split()[0]) * 1024)
"""


def test_damaged_parquet(folder: Path) -> None:
    """In a process of its own: a decoder in C++ could end it."""
    rows = [{"patient_id": f"P{i}", "video_id": f"v{i}", "reason": "x" * i} for i in range(20)]
    tables.write(folder / "whole.parquet", rows, tables.SKIPPED)
    done = subprocess.run(
        [sys.executable, "-c", PARQUET, str(folder)],
        env={**environment(), "PYTHONPATH": f"{ROOT}:{TESTS}"},
        cwd=ROOT, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    n_refused, n_bytes = map(int, done.stdout.split())
    assert n_refused > 1000
    assert n_bytes < 500_000_000, "what was refused took room"


# --- experiments ---------------------------------------------------------------------------

PLAIN = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(10**20), 10**20), st.floats(), st.text(max_size=8),
        st.sampled_from(["all", "auto", "base", "real", "synthetic", "external", "nested"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.text(max_size=5),
                st.sampled_from(["n_epochs", "gan", "pos", "neg", "external", "search", "augment"]),
            ),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=8,
)  # fmt: skip
SECTIONS = ("name", "data", "gan", "score", "select", "synth", "memorisation", "classifier",
            "search", "detector", "analysis", "variants", "grid", "compute", "cohort", "val",
            "seed")  # fmt: skip


@given(st.text(max_size=200))
@fuzzed(150)
def test_experiments_of_any_text(text: str) -> None:
    gives(lambda: load_study(text))


@given(mutated(TINY.encode()))
@fuzzed(250)
def test_damaged_experiments(content: bytes) -> None:
    gives(lambda: load_study(content.decode("utf-8", "replace")))


@given(st.dictionaries(st.sampled_from(SECTIONS), PLAIN, max_size=3))
@fuzzed(250)
def test_experiments_of_any_structure(sections: dict[str, Any]) -> None:
    text = yaml.safe_dump({"name": "a", **sections})
    gives(lambda: load_study(text))


@given(st.lists(st.text("abgns._=[]{}0123: &*!", max_size=20), max_size=3))
@fuzzed(100)
def test_overrides(overrides: Sequence[str]) -> None:
    gives(lambda: load_study("name: a", overrides=overrides))


# --- records -------------------------------------------------------------------------------

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(
        st.one_of(st.text(max_size=4), st.sampled_from(
            ["grids", "variants", "external", "identity", "section", "manifest", "preprocess",
             "videos", "path", "patients"])), inner, max_size=4)),
    max_leaves=10,
).map(lambda value: json.dumps(value).encode())  # fmt: skip
RUN = json.dumps(
    {
        "identity": {"data": "0"}, "grids": [{"n_patients": [2], "replicates": 1}],
        "variants": {"a": {"pos": ["real"], "neg": ["real"]}},
        "external": [{"section": {"images": "a", "patients": "b"}, "n_patients": 2, "replicate": 1,
                      "class": "pos", "path": "a", "sha256": "0", "n_images": 2,
                      "patients": ["P"]}],
    }
).encode()  # fmt: skip


@given(st.one_of(JSON, bytes_or_mutants(RUN)))
@fuzzed(250)
def test_records_and_run_files(folder: Path, content: bytes) -> None:
    run = folder / "run"
    artifact = run / "artifacts" / "gan" / "1a"
    artifact.mkdir(parents=True, exist_ok=True)
    for path in (run / "run.json", run / "store.json", artifact / "record.json"):
        path.write_bytes(content)
    found = gives(lambda: read_run_file(run, str(run)))
    assert found is None or {"grids", "variants", "external", "identity"} <= set(found)
    gives(lambda: open_store(str(run)))
    record = gives(lambda: ArtifactStore(run / "artifacts").record("gan/1a"))
    parts = ("summary", "inputs", "spec", "circumstances")
    assert record is None or all(isinstance(record.get(part, {}), dict) for part in parts)


# --- pixels and weights --------------------------------------------------------------------


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    frames = [Image.fromarray(np.full((16, 16), 9 * i, np.uint8)) for i in range(3)]
    options: dict[str, Any] = {"save_all": True, "append_images": frames[1:]}
    frames[0].save(buffer, kind, **(options if kind == "GIF" else {}))
    return buffer.getvalue()


@given(st.sampled_from(["PNG", "JPEG", "TIFF", "BMP"]), st.data())
@fuzzed(150)
def test_images(folder: Path, kind: str, data: st.DataObject) -> None:
    content = data.draw(bytes_or_mutants(encoded(kind)))
    images = folder / "images"
    images.mkdir(exist_ok=True)
    (images / "a.png").write_bytes(content)
    (folder / "ids.txt").write_text("P1\n")
    gives(lambda: describe(images, folder / "ids.txt", 16))
    frames = gives(lambda: read_frames(images))
    assert frames is None or (frames.dtype == np.uint8 and frames.ndim == 3)


@given(bytes_or_mutants(encoded("GIF")))
@fuzzed(80)
def test_videos(folder: Path, content: bytes) -> None:
    path = folder / "a.gif"
    path.write_bytes(content)
    frames = gives(lambda: read_frames(path))
    assert frames is None or (frames.dtype == np.uint8 and frames.ndim == 3)
    if frames is not None:
        assert probe(path) is None


@given(st.data())
@fuzzed(200)
def test_arrays(folder: Path, data: st.DataObject) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(32, dtype=np.uint8).reshape(2, 4, 4))
    path = folder / "a.npy"
    path.write_bytes(data.draw(bytes_or_mutants(buffer.getvalue())))
    frames = gives(lambda: read_array(path, np.uint8))
    assert frames is None or (frames.dtype == np.uint8 and frames.ndim == 3)


HEADER = {"t": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}


@given(st.one_of(bytes_or_mutants(save({"t": torch.zeros(2, 2), "u": torch.ones(3)})), st.builds(
    lambda shape, offsets: (lambda text: struct.pack("<Q", len(text)) + text + bytes(16))(
        json.dumps({"t": {**HEADER["t"], "shape": shape, "data_offsets": offsets}}).encode()),
    st.lists(st.integers(0, 2**64), max_size=4), st.lists(st.integers(0, 2**64), max_size=3),
)))  # fmt: skip
@fuzzed(250)
def test_safetensors(folder: Path, content: bytes) -> None:
    path = folder / "a.safetensors"
    path.write_bytes(content)
    found = gives(lambda: read_weights(path))
    assert found is None or all(isinstance(value, torch.Tensor) for value in found.values())


@given(st.data())
@fuzzed(150)
def test_checkpoints(folder: Path, data: st.DataObject) -> None:
    checkpoints = Checkpoints(folder / "checkpoints", "k")
    whole = folder / "whole.pt"
    if not whole.exists():
        torch.save({"key": "k", "rows": [1.5], "t": torch.ones(3)}, whole)
    checkpoints.folder.mkdir(exist_ok=True)
    content = data.draw(bytes_or_mutants(whole.read_bytes()))
    (checkpoints.folder / "checkpoint_00000001.pt").write_bytes(content)
    found = gives(checkpoints.load)
    if found is not None:
        assert found["rows"] == [1.5] and torch.equal(found["t"], torch.ones(3))
