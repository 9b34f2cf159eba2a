"""Reads Parquet files that others may have written. Checks their headers before any value.

A value that is stored once can fill a million rows, and a page of zeros unpacks to a thousand
times its size. So neither the size of a file nor its number of rows says how much memory it needs.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lussweep.errors import one_line
from lussweep.store.parquet_pages import check_sizes, read_footer

SMALL_BYTES = 2**26
"""A table up to this size is read, however small its file is."""
MAX_RATIO = 500
"""Largest ratio of a table's size to its file's. Our tables have many equal values: the ratio is
some 210 for an index of a million frames."""
MAX_COLUMNS = 1000


class OtherSchemaError(ValueError):
    """The table has another schema than the given one."""


def read_schema(path: Path) -> pa.Schema:
    """The schema of a file, read from its footer. Raises ValueError with the reason, or OSError."""
    read_footer(path)
    return _schema(path)


def read_table(
    path: Path,
    columns: Collection[str] | None = None,
    *,
    schema: pa.Schema | None = None,
    max_rows: int | None = None,
    max_bytes: int | None = None,
) -> pa.Table:
    """Reads columns of a table. A name that the file's schema repeats gives several columns.

    Raises OtherSchemaError if the file has another schema than `schema`, and OSError if it cannot
    be read. Raises ValueError with the reason if it is not a Parquet file, has more than
    `max_rows`, or unpacks to more than `max_bytes`. A table that is larger than SMALL_BYTES and
    than MAX_RATIO times its file is refused too: such a file was made to fill the memory.
    """
    limit = max(SMALL_BYTES, MAX_RATIO * path.stat().st_size)
    limit = min(limit, max_bytes or limit)
    footer = read_footer(path)
    file_schema = _schema(path)
    if schema is not None and not file_schema.equals(schema):
        raise OtherSchemaError
    if len(file_schema) > MAX_COLUMNS:
        raise ValueError(f"it has {len(file_schema)} columns, over {MAX_COLUMNS}")
    n_rows = check_sizes(path, footer, columns, limit)
    if max_rows is not None and n_rows > max_rows:
        raise ValueError(f"it has {n_rows} rows, over {max_rows}")
    wanted = [field for field in file_schema if columns is None or field.name in columns]
    texts = [field.name for field in wanted if _is_text(field.type)]
    try:
        # A dictionary holds a repeated value once.
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            return _read_columns(file, pa.schema(wanted), limit)
    except (pa.ArrowException, UnicodeError, MemoryError, KeyError) as error:
        raise ValueError(one_line(error)) from None


def _read_columns(file: pq.ParquetFile, schema: pa.Schema, limit: int) -> pa.Table:
    """Reads the columns of a schema, one at a time: the memory of one serves the next.

    Raises ValueError if the texts take more than `limit` bytes.
    """
    found: dict[str, list[pa.ChunkedArray]] = {}
    columns: list[pa.ChunkedArray] = []
    n_text_bytes = 0
    for field in schema:
        if not found.get(field.name):
            found[field.name] = file.read(columns=[field.name]).columns
        column = found[field.name].pop(0)
        n_text_bytes += _text_bytes(column)
        if n_text_bytes > limit:
            raise ValueError(f"its text unpacks to {n_text_bytes} bytes or more, over {limit}")
        columns.append(column.cast(field.type))
        del column
        pa.default_memory_pool().release_unused()
    return pa.Table.from_arrays(columns, schema=schema)


def _schema(path: Path) -> pa.Schema:
    try:
        return pq.read_schema(path)
    except pa.ArrowException as error:
        raise ValueError(one_line(error)) from None


def _is_text(kind: pa.DataType) -> bool:
    return any(
        is_kind(kind)
        for is_kind in (
            pa.types.is_string,
            pa.types.is_large_string,
            pa.types.is_binary,
            pa.types.is_large_binary,
        )
    )


def _text_bytes(column: pa.ChunkedArray) -> int:
    """The bytes of a column's texts if each row holds its own."""
    total = 0
    for chunk in column.chunks:
        if pa.types.is_dictionary(chunk.type) and _is_text(chunk.type.value_type):
            lengths = pc.binary_length(chunk.dictionary)
            total += pc.sum(pc.take(lengths, chunk.indices)).as_py() or 0
    return total
