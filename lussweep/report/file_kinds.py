"""Describes files by kind, in plain values. Runs in the child process of `contents.py`.

The first bytes of a file decide what it is, not its name. Nothing is unpickled.
"""

from __future__ import annotations

import json
import pickletools
import zipfile
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import IO, Any

MAX_LISTED = 40
"""Most tensors, arrays or keys that are listed."""
MAX_JSON_BYTES = 2**26
MAX_HEADER_BYTES = 2**20
MAX_PICKLE_BYTES = 2**24
Plain = dict[str, Any]
"""The fields of `Contents`, in values of JSON."""


def describe(path: Path, n_rows: int) -> Plain:
    """The fields of `Contents` in plain values. Raises ValueError with the reason, or OSError."""
    with path.open("rb") as file:
        head = file.read(64)
    for matches, look in _KINDS:
        if matches(path, head):
            return look(path, n_rows)
    return _text_or_bytes(path, head)


def _parquet(path: Path, n_rows: int) -> Plain:
    from lussweep.store.parquet import count_rows, read_batches, read_schema

    schema = read_schema(path)
    rows: list[list[str]] = []
    batches = read_batches(path)
    while len(rows) < n_rows and (batch := next(batches, None)) is not None:
        first = batch.slice(0, n_rows - len(rows))
        rows += [[_cell(value) for value in row.values()] for row in first.to_pylist()]
    columns = [
        [field.name, str(field.type), (field.metadata or {}).get(b"unit", b"").decode()]
        for field in schema
    ]
    facts = [["rows", f"{count_rows(path):,}"], ["columns", len(columns)]]
    return {"kind": "a Parquet table", "facts": facts, "columns": columns, "rows": rows}


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return "" if value is None else str(value)


def _array(path: Path, n_rows: int) -> Plain:
    with path.open("rb") as file:
        shape, dtype = _array_header(file)
    return {"kind": "a NumPy array", "facts": [["shape", _axes(shape)], ["type", dtype]]}


def _array_header(file: IO[bytes]) -> tuple[tuple[int, ...], str]:
    from numpy.lib import format as npy

    read = (
        npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
    )
    shape, _, dtype = read(file)
    return shape, str(dtype)


def _archive(path: Path, n_rows: int) -> Plain:
    """A zip file: arrays of NumPy, a checkpoint of PyTorch, a workbook, or another."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if any(name.endswith("data.pkl") for name in names):
            return _checkpoint(archive, names)
        if "xl/workbook.xml" in names:
            return _text_table(path, n_rows, "an XLSX workbook")
        arrays = [name for name in names if name.endswith(".npy")]
        columns = []
        for name in arrays[:MAX_LISTED]:
            with archive.open(name) as member:
                shape, dtype = _array_header(member)
            columns.append([name.removesuffix(".npy"), dtype, _axes(shape)])
    if arrays:
        facts = [["arrays", len(arrays)]]
        return {"kind": "NumPy arrays", "facts": facts, "columns": columns, "remark": "shape"}
    return {"kind": "a zip archive", "facts": [["files", len(names)], *_some("file", names)]}


def _checkpoint(archive: zipfile.ZipFile, names: list[str]) -> Plain:
    """A file of torch.save. Its pickle is read as a list of texts and never executed."""
    (pickled,) = [name for name in names if name.endswith("data.pkl")]
    storages = [i for i in archive.infolist() if "/data/" in i.filename]
    if archive.getinfo(pickled).file_size > MAX_PICKLE_BYTES:
        raise ValueError(f"its pickle has over {MAX_PICKLE_BYTES} bytes")
    texts = list(_texts(archive.read(pickled)))
    n_bytes = sum(info.file_size for info in storages)
    facts = [["tensors", len(storages)], ["bytes of tensors", f"{n_bytes:,}"]]
    if texts[:1] == ["key"]:  # as `Checkpoints.save` writes it
        return {
            "kind": "a checkpoint of a training",
            "facts": [["training", "".join(texts[1:2])], *facts],
        }
    names_in_it = [t for t in dict.fromkeys(texts) if not t.isdigit() and t not in _WORDS_OF_TORCH]
    return {"kind": "tensors of PyTorch", "facts": [*facts, *_some("name", names_in_it)]}


_WORDS_OF_TORCH = ("storage", "cpu")


def _texts(pickled: bytes) -> Iterator[str]:
    for opcode, argument, _ in pickletools.genops(pickled):
        if "UNICODE" in opcode.name:
            yield str(argument)


def _safetensors(path: Path, n_rows: int) -> Plain:
    with path.open("rb") as file:
        n_bytes = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(n_bytes))
    header.pop("__metadata__", None)
    columns = [
        [name, tensor["dtype"], _axes(tensor["shape"])]
        for name, tensor in islice(header.items(), MAX_LISTED)
    ]
    n_values = sum(_product(tensor["shape"]) for tensor in header.values())
    facts = [["tensors", len(header)], ["values", f"{n_values:,}"]]
    return {"kind": "weights (safetensors)", "facts": facts, "columns": columns, "remark": "shape"}


def _is_safetensors(path: Path, head: bytes) -> bool:
    n_bytes = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and n_bytes <= min(MAX_HEADER_BYTES, path.stat().st_size)


def _pickle(path: Path, n_rows: int) -> Plain:
    why = "it is not opened, because reading a pickle can run code"
    return {"kind": "a pickle, or weights of an old PyTorch", "facts": [["note", why]]}


def _image(path: Path, n_rows: int) -> Plain:
    from lussweep.data.readers.images import pages

    first, *others = (page.levels.shape for page in islice(pages(path), 1000))
    facts = [["size", f"{first[1]} x {first[0]} pixels"]]
    return {
        "kind": "an image",
        "facts": [*facts, *([["pages", len(others) + 1]] if others else [])],
    }


def _is_image(path: Path, head: bytes) -> bool:
    from lussweep.data.readers.intact import is_image

    return is_image(head)


def _video(path: Path, n_rows: int) -> Plain:
    from lussweep.data.readers.ffmpeg import opened

    with opened(path) as source:
        context = source.stream.codec_context
        facts = [["size", f"{context.width} x {context.height} pixels"], ["codec", context.name]]
        if source.stream.average_rate:
            facts.append(["frames a second", f"{float(source.stream.average_rate):.4g}"])
        n_frames = sum(1 for packet in source.packets() if packet.size)
        facts.append(["frames", str(n_frames)])
    return {"kind": "a video", "facts": facts}


VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".avi", ".mpg", ".mpeg", ".mkv", ".webm", ".m4v", ".wmv", ".ts", ".gif",
)  # fmt: skip


def _json(path: Path, n_rows: int) -> Plain:
    value = read_json(path)
    if not isinstance(value, dict):
        return {"kind": "JSON", "facts": [["items", len(value)]] if isinstance(value, list) else []}
    facts = [[key, _outline(item)] for key, item in islice(value.items(), MAX_LISTED)]
    return {"kind": "JSON", "facts": facts}


def _yaml(path: Path, n_rows: int) -> Plain:
    from lussweep.study.spec.plain_yaml import MAX_CHARACTERS, plain_yaml

    if path.stat().st_size > 4 * MAX_CHARACTERS:
        return _text(path)
    value = plain_yaml(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        return _text(path)
    is_experiment = "name" in value and not {"provider", "apiVersion"} & value.keys()
    facts = [[key, _outline(item)] for key, item in islice(value.items(), MAX_LISTED)]
    return {"kind": "an experiment (YAML)" if is_experiment else "YAML", "facts": facts}


def read_json(path: Path) -> Any:
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"it has over {MAX_JSON_BYTES} bytes")
    return json.loads(path.read_text(encoding="utf-8"))


def _outline(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{len(value)} keys: {', '.join(islice(map(str, value), 6))}"
    return f"{len(value)} items" if isinstance(value, list) else str(value)


def _text_table(path: Path, n_rows: int, kind: str = "a text table") -> Plain:
    from lussweep.data.tables import read_table

    header = read_table(path, ()).header
    names = [name for name in header if name.strip()]
    table = read_table(path, names)
    rows = [[cells.get(name, "") for name in names] for _, cells in table.rows[:n_rows]]
    facts = [["rows", f"{len(table.rows):,}"], ["columns", len(names)]]
    notes = [["note", note] for note in table.notes]
    columns = [[name, "text", ""] for name in names]
    return {"kind": kind, "facts": [*facts, *notes], "columns": columns, "rows": rows}


def _text_or_bytes(path: Path, head: bytes) -> Plain:
    if b"\0" not in head:
        return _text(path)
    facts = [["first bytes", head[:16].hex(" ")]]
    return {"kind": "a file of a kind that is not known", "facts": facts}


def _text(path: Path) -> Plain:
    with path.open(encoding="utf-8", errors="replace") as file:
        lines = file.read(2**16).split("\n")[:10]
    facts = [[f"line {i}", line[:200]] for i, line in enumerate(lines, 1) if line]
    return {"kind": "text", "facts": facts}


def _axes(shape: Any) -> str:
    return " x ".join(map(str, shape)) or "a single value"


def _product(shape: Any) -> int:
    product = 1
    for side in shape:
        product *= int(side)
    return product


def _some(word: str, names: list[str]) -> list[list[str]]:
    return [[f"{word} {i}", name] for i, name in enumerate(names[:MAX_LISTED], 1)]


_KINDS: tuple[tuple[Callable[[Path, bytes], bool], Callable[[Path, int], Plain]], ...] = (
    (lambda path, head: head.startswith(b"PAR1"), _parquet),
    (lambda path, head: head.startswith(b"\x93NUMPY"), _array),
    (lambda path, head: head.startswith(b"PK\3\4"), _archive),
    (_is_safetensors, _safetensors),
    (lambda path, head: head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5", _pickle),
    (_is_image, _image),
    (lambda path, head: path.suffix.lower() in VIDEO_SUFFIXES, _video),
    (lambda path, head: path.suffix.lower() == ".json", _json),
    (lambda path, head: path.suffix.lower() in (".yaml", ".yml"), _yaml),
    (lambda path, head: path.suffix.lower() in (".csv", ".tsv"), _text_table),
)
"""For each kind: whether a file is of it, by name and first bytes, and what such a file holds."""
