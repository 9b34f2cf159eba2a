"""Reads tables from elsewhere as text cells: CSV, Parquet and XLSX.

A child process that has limits (`store/child.py`) opens them. Sizes are checked first.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

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
from lussweep.errors import InputError, one_line
from lussweep.store import child, parquet

MAX_TABLE_BYTES = 2**26
MAX_UNPACKED_BYTES = 2**28
"""Most bytes of a Parquet table after decompression."""
PARQUET = (".parquet", ".pq")
COPY_AGAIN = "copy it again from its source or write it as CSV"

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
        table = _from_plain(
            child.call(path, _plain_table, path, {*required, *optional}, remedy=COPY_AGAIN)
        )
    except InputError as error:
        problems += error.problems
        return TextTable((), [])
    except (OSError, ValueError) as error:
        problems.append(f"cannot read {path}: {one_line(error, limit=None)}")
        return TextTable((), [])
    missing = missing_columns(table.header, required)
    problems += [f"{path}: {line}" for line in missing]
    if not table.rows and not table.ragged and not missing:
        problems.append(f"{path} has no rows: add at least one")
    problems += [
        f"{path}: row {i} has more or fewer cells than the header (separated by "
        f"{table.separators}): correct it, or quote a cell that holds such a character"
        for i in table.ragged
    ]
    return table


def _from_plain(plain: Any) -> TextTable:
    """The table that `_plain_table` describes. Raises ValueError if it describes none."""
    try:
        header, names, numbers, rows, ragged, separators, notes = plain
        cells = [dict(zip(names, map(str, row), strict=True)) for row in rows]
        numbered = list(zip(map(int, numbers), cells, strict=True))
        return TextTable(
            tuple(map(str, header)),
            numbered,
            list(map(int, ragged)),
            str(separators),
            tuple(map(str, notes)),
        )
    except (TypeError, ValueError):  # a file may have taken the child over
        raise ValueError(child.NO_ANSWER) from None


# --- in the child -------------------------------------------------------------------------


def _plain_table(path: Path, wanted: Collection[str]) -> tuple[Any, ...]:
    """The table in plain values, with the names of the columns once and not in every row."""
    table = read_table(path, wanted)
    names = list(table.rows[0][1]) if table.rows else []
    numbers = [number for number, _ in table.rows]
    rows = [list(cells.values()) for _, cells in table.rows]
    return table.header, names, numbers, rows, table.ragged, table.separators, table.notes


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
    rows: list[tuple[int, TextRow]] = []
    number = 0
    for batch in parquet.read_batches(
        path, written.keys(), max_rows=MAX_ROWS, max_bytes=MAX_UNPACKED_BYTES
    ):
        names = [written[name] for name in batch.schema.names]
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            number += 1
            cells = dict(zip(names, map(cell_text, row), strict=True))
            if any(cells.values()):
                rows.append((number, cells))
    return TextTable(tuple(schema.names), rows, notes=tuple(renamed(schema.names, places)))
