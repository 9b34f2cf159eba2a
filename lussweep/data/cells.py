"""Tables of text cells from elsewhere, CSV or Parquet. Sizes are checked before reading."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

from lussweep.errors import one_line
from lussweep.store import parquet
from lussweep.study.spec import nearest

MAX_TABLE_BYTES = 2**26
MAX_ROWS = 10**6
MAX_LINE = 2**16
"""Most characters of a CSV line."""
MAX_COLUMNS = 1000
MAX_UNPACKED_BYTES = 2**28
"""Most bytes of a Parquet table after decompression."""

TextRow = dict[str, str]
"""Stripped texts by column."""


def read_cells(path: Path, required: Collection[str], problems: list[str]) -> list[TextRow]:
    """Read the rows of a table as stripped text cells, by column.

    Problems are added to `problems`: a table that cannot be read, a missing or repeated column,
    no rows, a row of another length than the header. Only the `required` columns and `split` are
    read; other columns are seen in the header only.
    """
    is_parquet = path.suffix.lower() in (".parquet", ".pq")
    try:
        if path.stat().st_size > MAX_TABLE_BYTES:
            raise ValueError(f"over {MAX_TABLE_BYTES >> 20} MiB: split the study")
        read = _read_parquet if is_parquet else _read_csv
        columns, rows = read(path, {*required, "split"})
    except (OSError, ValueError, csv.Error) as error:
        problems.append(f"cannot read {path}: {one_line(error, limit=None)}")
        return []
    missing = [f"{path}: no column {c}{nearest(c, columns)}" for c in required if c not in columns]
    problems += missing
    if len(set(columns)) != len(columns):
        problems.append(f"{path}: a column name occurs twice")
    if not rows and not missing:
        problems.append(f"{path} has no rows: add at least one")
    ragged = [i for i, row in enumerate(rows, 1) if row is None]
    problems += [f"{path}: row {i} has more or fewer cells than the header" for i in ragged]
    return [row or {} for row in rows]


def _read_csv(path: Path, to_read: Collection[str]) -> tuple[list[str], list[TextRow | None]]:
    """Return header and rows; a row of another length than the header is None."""
    with path.open("rb") as raw:
        n_lines = sum(block.count(b"\n") for block in iter(lambda: raw.read(2**20), b""))
    if n_lines > MAX_ROWS + 1:
        raise ValueError(f"it has {n_lines} lines, over {MAX_ROWS}: split the study")
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(_lines(file), strict=True)
        columns = next(reader, [])
        if len(columns) > MAX_COLUMNS:
            raise ValueError(f"it has {len(columns)} columns, over {MAX_COLUMNS}")
        places = [(i, name) for i, name in enumerate(columns) if name in to_read]
        rows: list[TextRow | None] = [
            {name: row[i].strip() for i, name in places} if len(row) == len(columns) else None
            for row in reader
            if row
        ]
    return columns, rows


def _lines(file: IO[str]) -> Iterator[str]:
    """Yield the lines of a file. Raises ValueError for a line of over MAX_LINE characters."""
    while line := file.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise ValueError(f"it has a line of over {MAX_LINE} characters: is it a CSV table?")
        yield line


def _read_parquet(path: Path, to_read: Collection[str]) -> tuple[list[str], list[TextRow | None]]:
    import pyarrow as pa

    schema = parquet.read_schema(path)
    nested = [
        f"{field.name} ({str(field.type)[:80]})"
        for field in schema
        if field.name in to_read and (pa.types.is_nested(field.type) or _is_extension(field.type))
    ]
    if nested:
        raise ValueError(f"{', '.join(nested)} holds no plain values: write text or numbers")
    table = parquet.read_table(path, to_read, max_rows=MAX_ROWS, max_bytes=MAX_UNPACKED_BYTES)
    if len(set(table.column_names)) != len(table.column_names):
        return list(schema.names), []
    names, values = table.column_names, zip(*(c.to_pylist() for c in table.columns), strict=True)
    rows: list[TextRow | None] = [dict(zip(names, map(_text, row), strict=True)) for row in values]
    return list(schema.names), rows


def _is_extension(kind: Any) -> bool:
    import pyarrow as pa

    return isinstance(kind, pa.BaseExtensionType)


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value).strip()
