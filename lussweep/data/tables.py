"""Reads tables from elsewhere as text cells: CSV, Parquet and XLSX. Sizes are checked first.

`read_table` is a function of a path, without side effects, so that another process can run it.
"""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

from lussweep.data.columns import (
    MAX_ROWS,
    TextRow,
    TextTable,
    cell_text,
    find_columns,
    missing_columns,
    renamed,
)
from lussweep.data.delimited import read_delimited
from lussweep.errors import one_line
from lussweep.store import parquet

MAX_TABLE_BYTES = 2**26
MAX_UNPACKED_BYTES = 2**28
"""Most bytes of a Parquet table after decompression."""
PARQUET = (".parquet", ".pq")

_FOREIGN = (
    (b"\xd0\xcf\x11\xe0", "an old (.xls) or encrypted workbook: save it as .xlsx or CSV"),
    (b"version https://git-lfs", "a Git LFS pointer, not the table: fetch it with `git lfs pull`"),
    (b"<!doctype html", "an HTML page, not the table: download it again"),
    (b"<html", "an HTML page, not the table: download it again"),
)
"""First bytes, in lower case, and what such a file is."""


def read_cells(
    path: Path, required: Collection[str], problems: list[str], optional: Collection[str] = ()
) -> TextTable:
    """Reads a table whose required columns and rows must be there.

    Problems are added to `problems`, one line each with the path: a table that cannot be read, a
    missing or repeated column, no rows, a row of another length than the header.
    """
    try:
        table = read_table(path, {*required, *optional})
    except (OSError, ValueError, csv.Error) as error:
        problems.append(f"cannot read {path}: {one_line(error, limit=None)}")
        return TextTable((), [])
    missing = missing_columns(table.header, required)
    problems += [f"{path}: {line}" for line in missing]
    if not table.rows and not table.ragged and not missing:
        problems.append(f"{path} has no rows: add at least one")
    problems += [
        f"{path}: row {i} has more or fewer cells than the header: correct it" for i in table.ragged
    ]
    return table


def read_table(path: Path, wanted: Collection[str]) -> TextTable:
    """Reads the wanted columns of a table as stripped texts. Others are seen in the header only.

    The content decides between CSV, Parquet and XLSX. Raises OSError, ValueError or csv.Error with
    the reason.
    """
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise ValueError(f"over {MAX_TABLE_BYTES >> 20} MiB: split the study")
    with path.open("rb") as file:
        head = file.read(64)
    for mark, finding in _FOREIGN:
        if head.lower().startswith(mark):
            raise ValueError(f"it is {finding}")
    if head.startswith(b"PAR1") or path.suffix.lower() in PARQUET:
        return _read_parquet(path, wanted)
    if head.startswith(b"PK\3\4") or path.suffix.lower() == ".xlsx":
        from lussweep.data.workbook import read_workbook

        return read_workbook(path, wanted)
    return read_delimited(path, wanted)


def _read_parquet(path: Path, wanted: Collection[str]) -> TextTable:
    import pyarrow as pa

    schema = parquet.read_schema(path)
    places = find_columns(schema.names, wanted)
    fields = {name: schema.field(i) for name, i in places.items()}
    nested = [
        f"{field.name} ({str(field.type)[:80]})"
        for field in fields.values()
        if pa.types.is_nested(field.type) or isinstance(field.type, pa.BaseExtensionType)
    ]
    if nested:
        raise ValueError(f"{', '.join(nested)} holds no plain values: write text or numbers")
    written = {field.name: name for name, field in fields.items()}
    table = parquet.read_table(
        path, written.keys(), max_rows=MAX_ROWS, max_bytes=MAX_UNPACKED_BYTES
    )
    names = [written[name] for name in table.column_names]
    values = zip(*(column.to_pylist() for column in table.columns), strict=True)
    rows: list[tuple[int, TextRow]] = []
    for number, row in enumerate(values, 1):
        cells = dict(zip(names, map(cell_text, row), strict=True))
        if any(cells.values()):
            rows.append((number, cells))
    return TextTable(tuple(schema.names), rows, notes=tuple(renamed(schema.names, places)))
