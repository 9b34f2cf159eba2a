"""Files made to fill the memory or to keep their reader busy are refused at once.

The clock is CPU time and the limit generous: the files would take minutes or gigabytes, whatever
the machine.
"""

from __future__ import annotations

import io
import itertools
import json
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from lussweep.store import tables
from support import hostile_parquet, hostile_video
from support.commands import ROOT, environment

MAX_CPU_S = 5.0
MAX_GROWTH_BYTES = 500_000_000

READER = """
import json, sys, time
from pathlib import Path
from lussweep.store import tables
from lussweep.store.arrays import read_array
from lussweep.data.readers.decode import probe, read_frames
from lussweep.data.declaration import read_patients
from lussweep.data.external import describe
from lussweep.data.manifest import read_manifest
from lussweep.errors import InputError
from lussweep.models.generators.checkpoint import Checkpoints
from lussweep.run.ingest import open_store
from lussweep.models.resnet import load_resnet34
from lussweep.models.training.weights import read_weights
from lussweep.study.spec import SplitSpec, load_study, read_text
from lussweep.store.artifacts import ArtifactStore

def checkpoint(path):
    Checkpoints(path.parent, "k").load(int(path.stem[-1]))

def manifest(path):
    read_manifest(path, split=SplitSpec(), seed=1, cache_dir=path.parent)

READERS = {
    "yaml": lambda p: load_study(read_text(p)),
    "set": lambda p: load_study("name: a", overrides=["seed=" + p.read_text()]),
    "manifest": manifest,
    "annotations": lambda p: read_manifest(
        p.with_name("good.csv"), annotations=p, split=SplitSpec(), seed=1, cache_dir=p.parent),
    "table": lambda p: tables.read(p, tables.FRAMES),
    "any table": tables.read_any,
    "patients": read_patients,
    "images": lambda p: describe(p, p.with_name("ids.txt"), 64),
    "video": lambda p: read_frames(p),
    "array": lambda p: read_array(p, "uint8"),
    "tensors": read_weights,
    "weights": load_resnet34,
    "checkpoint": checkpoint,
    "record": lambda p: ArtifactStore(p.parents[2]).record("gan/1a"),
    "store": lambda p: open_store(str(p.parent)),
}
def memory(name):
    status = Path("/proc/self/status").read_text()
    return int(status.partition(name + ":")[2].split()[0]) * 1024

for kind, path in json.load(sys.stdin):
    Path("/proc/self/clear_refs").write_text("5")  # the largest memory is counted anew
    before, started = memory("VmRSS"), time.process_time()
    try:
        READERS[kind](Path(path))
        told = "read"
    except InputError as error:
        told = "refused: " + str(error)
    except BaseException as error:
        told = f"{type(error).__name__}: {error}"
    seconds = time.process_time() - started
    print(json.dumps([kind, path, told[:500], seconds, memory("VmHWM") - before]), flush=True)
assert "monai" not in sys.modules, "it takes seconds to import"
"""


# --- the files -----------------------------------------------------------------------------


def text_files(folder: Path) -> list[tuple[str, Path, str]]:
    """Kind of reader, file and a word of the refusal."""
    laughs = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in itertools.pairwise("abcdefghi")
    )
    texts = {
        "laughs": ("yaml", laughs, "aliases"),
        "deep": ("yaml", "[" * 60_000, "nested over"),
        "deep-blocks": ("yaml", "- " * 30_000, "nested over"),
        "wide": ("yaml", "a: [" + "1," * 30_000 + "]", "unknown key"),
        "many-keys": ("yaml", "".join(f"k{i}: 1\n" for i in range(6000)), "unknown key"),
        "digits": ("yaml", "seed: " + "1" * 60_000, "not valid YAML"),
        "hex": ("yaml", "name: a\nseed: 0x" + "1" * 60_000 + "\nval: {n_patients: -0x" + "1" * 5000,
                "not valid YAML"),
        "epochs": ("yaml", "name: a\ngan: {n_epochs: 1000000000000}", "less than or equal"),
        "cells": ("yaml", "name: a\ngrid: {replicates: 1000000}", "cells, over"),
        "code": ("yaml", "!!python/object/apply:os.system [true]", "not valid YAML"),
        "value": ("set", "&a [" + "*a, " * 9 + "]", "not valid YAML"),
        "field.csv": ("manifest", None, "over 64 MiB"),
        "line.csv": ("manifest", "x" * 20_000_000, "a line of over"),
        "columns.csv": ("manifest", "," * 20_000_000, "a line of over"),
        "columns-few.csv": ("manifest", "," * 60_000, "columns, over"),
        "quote.csv": ("manifest", 'a,b\n"' + "x\n" * 400_000, "field larger"),
        "rows.csv": ("manifest", "patient_id,video_id,path,label\n" + ",,,\n" * 2_000_000, "lines"),
        "frames.csv": ("annotations", "video_id,frame,label\n" + ",,\n" * 2_000_000, "lines"),
        "ids.csv": ("patients", "patient_id\n" + "a\n" * 9_000_000, "over 16 MiB"),
    }  # fmt: skip
    found = []
    for name, (kind, text, word) in texts.items():
        path = folder / name
        if text is None:
            with path.open("wb") as file:
                file.truncate(10**9)  # a field of a gigabyte, of zeros
        else:
            path.write_text(text)
        found.append((kind, path, word))
    (folder / "good.csv").write_text("patient_id,video_id,path,label\na,b,c,0\n")
    return found


def parquet_files(folder: Path) -> list[tuple[str, Path, str]]:
    n = 2_000_000
    rows = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int8)), pa.array(["x"]))
    text = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(100_000, np.int8)), pa.array(["x" * 1_000_000])
    )
    columns = ("patient_id", "video_id", "path", "label")
    plain, b16 = {name: pa.array(["a"]) for name in columns}, pa.binary(16)
    bombs = {
        "rows": pa.table(dict.fromkeys(columns, rows)),
        "text": pa.table(dict.fromkeys(columns, text)),
        "zeros": pa.table(dict.fromkeys(columns, pa.array(["\0" * 50_000_000]))),
        "nested": pa.table({**plain, "label": [[1]]}),
        "extension": pa.table(
            {**plain, "path": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"1" * 16], b16))}
        ),
        "many": pa.table({f"c{i}": [0] for i in range(1200)}),
    }  # fmt: skip
    words = {"nested": "no plain values", "extension": "no plain values", "many": "columns, over",
             "text": "GiB of memory"}  # fmt: skip
    found = []
    for name, table in bombs.items():
        path = folder / f"{name}.parquet"
        pq.write_table(table, path, compression="zstd", store_schema=name == "extension",
                       dictionary_pagesize_limit=2**30)  # fmt: skip
        assert path.stat().st_size < 3_000_000, name
        found.append(("manifest", path, words.get(name, "unpacks to")))
        found.append(("table", path, "other columns"))
    found += [
        ("any table", folder / f"{n}.parquet", words.get(n, "unpacks to"))
        for n in ("rows", "text", "zeros")
    ]
    kinds = [(field, pa.nulls(3_000_000, field.type)) for field in tables.FRAMES]
    empty = pa.Table.from_arrays([nulls for _, nulls in kinds], schema=tables.FRAMES)
    pq.write_table(empty, folder / "nulls.parquet", compression="zstd")
    return [*found, ("table", folder / "nulls.parquet", "unpacks to")]


def lying_parquet_files(folder: Path) -> list[tuple[str, Path, str]]:
    """Whose footers or pages do not say what reading them takes."""
    lies = hostile_parquet.files(folder)
    found = [(kind, path, word) for path, word in lies.items()
             for kind in ("any table", "manifest", "patients")
             if (path.stem, kind) != ("fixed", "patients")]  # fmt: skip
    (folder / "set.parquet").write_bytes(hostile_parquet.image_set())
    (folder / "ids.txt").write_text("P1\n")
    return [*found, ("images", folder / "set.parquet", "GiB of memory")]


def image_files(folder: Path) -> list[tuple[str, Path, str]]:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))
    bmp, tif, jpg = (io.BytesIO() for _ in range(3))
    small = Image.new("L", (16, 16))
    small.save(bmp, "BMP"), small.save(tif, "TIFF"), small.save(jpg, "JPEG")
    wide = bytearray(bmp.getvalue())
    wide[18:26] = struct.pack("<ii", 100_000, 100_000)
    tiff = tif.getvalue()
    for tag in (256, 257):
        for kind in (3, 4):
            mark = struct.pack("<HHI", tag, kind, 1)
            at = tiff.find(mark)
            if at >= 0:
                claimed = struct.pack("<HHI", tag, 4, 1) + struct.pack("<I", 100_000)
                tiff = tiff[:at] + claimed + tiff[at + 12 :]
    photo = jpg.getvalue()
    at = photo.index(b"\xff\xc0")
    photo = photo[: at + 5] + struct.pack(">HH", 65_000, 65_000) + photo[at + 9 :]
    files = {
        "a.png": png + chunk(b"IEND", b""),
        "b.bmp": bytes(wide),
        "c.tif": tiff,
        "d.jpg": photo,
    }
    found = []
    for name, content in files.items():
        (folder / name[0]).mkdir()
        (folder / name[0] / name).write_bytes(content)
        found.append(("video", folder / name[0], "over 8192 pixels a side"))
    return found


def video_files(folder: Path) -> list[tuple[str, Path, str]]:
    found = []
    for suffix, code in ((".avi", "MJPG"), (".mp4", "mp4v")):
        path = folder / f"v{suffix}"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 25, (64, 48))
        for _ in range(3):
            writer.write(np.zeros((48, 64, 3), np.uint8))
        writer.release()
    avi, mp4 = (folder / "v.avi").read_bytes(), (folder / "v.mp4").read_bytes()
    sizes = {
        "main.avi": (avi, struct.pack("<II", 64, 48), struct.pack("<II", 100_000, 100_000)),
        "stream.avi": (avi, struct.pack("<Iii", 40, 64, 48), struct.pack("<Iii", 40, 9999, 9999)),
        "jpeg.avi": (avi, struct.pack(">HH", 48, 64), struct.pack(">HH", 65_000, 65_000)),
        "track.mp4": (mp4, struct.pack(">II", 64 << 16, 48 << 16), b"\xff" * 8),
        "entry.mp4": (mp4, b"\0" * 12 + struct.pack(">HH", 64, 48), b"\0" * 12 + b"\xff" * 4),
    }  # fmt: skip
    for name, (content, size, claimed) in sizes.items():
        assert size in content, name
        (folder / name).write_bytes(content.replace(size, claimed, 1))
        found.append(("video", folder / name, "1 to 8192 a side are read"))
    gif = io.BytesIO()
    frames = [Image.new("L", (16, 16), i) for i in range(3)]
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:])
    wide = gif.getvalue()[:6] + b"\xff" * 4 + gif.getvalue()[10:]
    (folder / "wide.gif").write_bytes(wide)
    found.append(("video", folder / "wide.gif", "65535 x 65535"))
    blocks = gif.getvalue()[:-1] + b"!\xfe" + b"\1x" * 5_000_000 + b"\0;"
    (folder / "blocks.gif").write_bytes(blocks)
    found.append(("video", folder / "blocks.gif", "truncated"))
    for name, size, changes_at in (
        ("h264.avi", (16_000, 16_000), 0), ("later.avi", (16_000, 16_000), 1),
        ("square.avi", (8192, 8192), 2), ("giant.avi", (65_520, 65_520), 0),
    ):  # fmt: skip
        content = hostile_video.h264(*size, changes_at=changes_at)
        (folder / name).write_bytes(content)
        found.append(("video", folder / name, f"its header gives {size[0]} x {size[1]} pixels"))
    (folder / "boxes.mp4").write_bytes(struct.pack(">I4s", 8, b"ftyp") * 5_000_000)
    found.append(("video", folder / "boxes.mp4", "truncated"))
    return found


def binary_files(folder: Path) -> list[tuple[str, Path, str]]:
    def npy(text: str) -> bytes:
        padded = text.ljust(118 - 1) + "\n"
        return b"\x93NUMPY\1\0" + struct.pack("<H", len(padded)) + padded.encode() + bytes(64)

    shape = "{'descr': '|u1', 'fortran_order': False, 'shape': (%s), }"
    found: list[tuple[str, Path, str]] = []

    def add(kind: str, name: str, content: bytes, word: str) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        found.append((kind, folder / name, word))

    add("array", "huge.npy", npy(shape % "10000000, 1024, 1024"), "cannot read the array")
    add("array", "over.npy", npy(shape % f"{2**62}, 4, 4"), "cannot read the array")
    add("array", "words.npy", npy(shape % "4, 4, 4" + "(" * 60), "cannot read the array")
    add("tensors", "claims.safetensors", struct.pack("<Q", 2**62) + b"{}", "its header claims")
    many = json.dumps({f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
                       for i in range(200_000)}).encode()  # fmt: skip
    add("tensors", "many.safetensors", struct.pack("<Q", len(many)) + many, "its header claims")
    vast = json.dumps(
        {"t": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    ).encode()
    add("tensors", "vast.safetensors", struct.pack("<Q", len(vast)) + vast, "cannot be read")
    add("weights", "vast2.safetensors", struct.pack("<Q", len(vast)) + vast, "cannot read weights")
    for i, tensor in enumerate((torch.zeros(1).expand(2**20, 2**20), torch.zeros(2**23))):
        buffer = io.BytesIO()
        torch.save({"key": "k", "a": tensor}, buffer)
        content = buffer.getvalue()
        if i:  # 32 MB of zeros, packed
            packed = io.BytesIO()
            with (
                zipfile.ZipFile(buffer) as archive,
                zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out,
            ):
                for name in archive.namelist():
                    out.writestr(name, archive.read(name))
            content = packed.getvalue()
        add("checkpoint", f"c{i}/checkpoint_0000000{i + 1}.pt", content, "cannot be read")
        add("weights", f"c{i}.pth", content, "cannot read weights")
    other = {f"layer{i}.weight": torch.zeros(2) for i in range(500)}
    torch.save(other, folder / "other.pth")
    save_file(other, folder / "other.safetensors")
    legacy = io.BytesIO()
    torch.save(other, legacy, _use_new_zipfile_serialization=False)
    add("weights", "old.pth", legacy.getvalue(), "is not torchvision's resnet34")
    found += [("weights", folder / f"other.{end}", "is not torchvision's resnet34")
              for end in ("pth", "safetensors")]  # fmt: skip
    add("record", "artifacts/gan/1a/record.json", b"[" * 1_000_000, "cannot be read")
    add("store", "s/store.json", b"{" * 1_000_000, "is damaged")
    return found


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Path, str]]:
    makers = (
        text_files,
        parquet_files,
        lying_parquet_files,
        image_files,
        video_files,
        binary_files,
    )
    return [file for maker in makers for file in maker(tmp_path_factory.mktemp(maker.__name__))]


@pytest.mark.unhurried
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_every_hostile_file_is_refused_in_little_time_and_memory(
    hostile: list[tuple[str, Path, str]],
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", READER],
        input=json.dumps([(kind, str(path)) for kind, path, _ in hostile]),
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, (done.stdout.splitlines()[-1:], done.stderr)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == len(hostile)
    wrong = [
        row
        for row, (_, _, word) in zip(rows, hostile, strict=True)
        if not (row[2].startswith("refused: ") and word in row[2])
        or row[3] > MAX_CPU_S
        or row[4] > MAX_GROWTH_BYTES
    ]
    for by in (3, 4):
        for row in sorted(rows, key=lambda row: -row[by])[:4]:  # for who reads a failure
            print(*row)
    assert not wrong, "\n".join(map(str, wrong))
