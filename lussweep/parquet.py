"""Parquet files that others may have written: the footer is judged before a value is read.

A value that is stored once may stand in a million rows, and a page of zeros unpacks to a
thousand times its size, so neither the file's size nor its rows say what reading it takes.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SMALL_BYTES = 2**26
"""A table of this size is read, however small its file is."""
MAX_RATIO = 100
"""Of the table to its file: ours, of many equal values, reach some 40."""
CELL_BYTES = 16
"""Roughly, of one value in memory."""
MAX_COLUMNS = 1000


def read_schema(path: Path) -> pa.Schema:
    """Of the footer alone. Raises ValueError with the reason, or OSError."""
    try:
        return pq.read_schema(path)
    except pa.ArrowException as error:
        raise ValueError(_line(error)) from None


def read_table(path: Path, columns: Collection[str] | None = None) -> pa.Table:
    """The columns of a table, each as often as the file's schema has it.

    Raises ValueError with the reason, or OSError: the file is none, or it is so small for what it
    unpacks to that it was made to fill the memory.
    """
    limit = max(SMALL_BYTES, MAX_RATIO * path.stat().st_size)
    schema = read_schema(path)
    if len(schema) > MAX_COLUMNS:
        raise ValueError(f"it has {len(schema)} columns, over {MAX_COLUMNS}")
    wanted = [field for field in schema if columns is None or field.name in columns]
    texts = [field.name for field in wanted if _is_text(field.type)]
    try:
        # As a dictionary, a value that is repeated takes its room once.
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            footer = file.metadata
            cells = footer.num_rows * max(1, len(wanted)) * CELL_BYTES
            # Of whole groups: pyarrow aborts the process on a column's metadata that is damaged.
            groups = range(footer.num_row_groups)
            pages = sum(footer.row_group(i).total_byte_size for i in groups)
            if max(cells, pages) > limit:
                raise ValueError(f"it unpacks to {max(cells, pages)} bytes, over {limit}")
            table = file.read(columns=[field.name for field in wanted])
        n_bytes = sum(_text_bytes(table[name]) for name in dict.fromkeys(texts))
        if n_bytes > limit:
            raise ValueError(f"its text unpacks to {n_bytes} bytes, over {limit}")
        return table.cast(pa.schema([schema.field(i) for i in _places(schema, columns)]))
    except (pa.ArrowException, UnicodeError, MemoryError, KeyError) as error:
        raise ValueError(_line(error)) from None


def _places(schema: pa.Schema, columns: Collection[str] | None) -> list[int]:
    return [i for i, name in enumerate(schema.names) if columns is None or name in columns]


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
    """What the values of a column take when each row has its own."""
    total = 0
    for chunk in column.chunks:
        if pa.types.is_dictionary(chunk.type) and _is_text(chunk.type.value_type):
            lengths = pc.binary_length(chunk.dictionary)
            total += pc.sum(pc.cast(pc.take(lengths, chunk.indices), pa.int64())).as_py() or 0
    return total


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
