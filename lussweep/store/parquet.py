"""Reads Parquet files in a child process that has limits (`store/child.py`).

pyarrow allocates as much memory as a file claims. A value that is stored once can fill a million
rows, and a page of zeros unpacks to a thousand times its size. Our own tables are read in a child
too, because a store may come from elsewhere. The child checks what the footer claims, and counts
what the rows take while it unpacks them. Its limit of memory covers what neither of the two shows.
"""

from __future__ import annotations

import mmap
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from lussweep.errors import one_line
from lussweep.store import child
from lussweep.store.child_process import Limits

SMALL_BYTES = 2**26
"""A table up to this size is read, however small its file is."""
MAX_RATIO = 500
"""Largest ratio of a table's size to its file's. Our tables have many equal values: the ratio is
some 210 for an index of a million frames."""
CELL_BYTES = 16
"""Rough size of one value in memory."""
MAX_COLUMNS = 1000
LIMITS = Limits(memory_bytes=2**29, cpu_seconds=120, output_bytes=2**36)
"""For a call that reads a table some rows at a time."""
MAPPED_BYTES = 2**20
"""A larger table is mapped into memory and not copied. Each mapping takes a file descriptor."""


class OtherSchemaError(ValueError):
    """The table has another schema than the given one."""


def read_table(path: Path, *, schema: pa.Schema | None = None, remedy: str) -> pa.Table:
    """Reads a table. The schema of the result has no metadata except that of the columns.

    Raises OtherSchemaError if the file has another schema than `schema`, and OSError if it cannot
    be read. Raises ValueError with the reason if it is not a Parquet file, or unpacks to more than
    `read_batches` allows. Raises InputError with the path and `remedy` if the child breaks.
    """
    with child.scratch() as out:
        child.call(
            path, _write_table, path, schema,
            out=out, limits=LIMITS, remedy=remedy, errors=(OtherSchemaError,),
        )  # fmt: skip
        try:
            table = _table(out)
        except (pa.ArrowException, OSError) as error:  # a file may have taken the child over
            raise ValueError(f"{child.NO_ANSWER} ({one_line(error)})") from None
    if schema is not None and not table.schema.equals(schema):
        raise OtherSchemaError
    return table


def _table(out: IO[bytes]) -> pa.Table:
    """The table that a child has written. Raises an error of Arrow if it is not a sound one."""
    n_bytes = out.seek(0, 2)
    out.seek(0)
    is_large = n_bytes > MAPPED_BYTES
    content = mmap.mmap(out.fileno(), 0, access=mmap.ACCESS_READ) if is_large else out.read()
    with pa.ipc.open_stream(pa.py_buffer(content)) as reader:
        table = reader.read_all()
    table.validate(full=True)
    return table


# --- in the child -------------------------------------------------------------------------


def read_schema(path: Path) -> pa.Schema:
    """The columns of a file. Raises ValueError with the reason, or OSError."""
    with _readable():
        return _columns(pq.read_schema(path))


def read_batches(
    path: Path,
    columns: Collection[str] | None = None,
    *,
    max_rows: int | None = None,
    max_bytes: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """Yields rows of the named columns (all, if None), some at a time. Texts are not encoded.

    Raises OSError if the file cannot be read. Raises ValueError with the reason if it is not a
    Parquet file, has more than `max_rows`, or unpacks to more than `max_bytes`. A table that is
    larger than SMALL_BYTES and than MAX_RATIO times its file is refused too: such a file was made
    to fill the memory.
    """
    limit = max(SMALL_BYTES, MAX_RATIO * path.stat().st_size)
    limit = min(limit, max_bytes or limit)
    with _readable(), pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        if len(schema) > MAX_COLUMNS:
            raise ValueError(f"it has {len(schema)} columns, over {MAX_COLUMNS}")
        names = [name for name in schema.names if columns is None or name in columns]
        _check_size(_claimed_bytes(file, names), limit)
        claimed_rows = file.metadata.num_rows
        if max_rows is not None and claimed_rows > max_rows:
            raise ValueError(f"it has {claimed_rows} rows, over {max_rows}")
        n_bytes = n_rows = 0
        wanted = None if columns is None else names
        for batch in file.iter_batches(columns=wanted, use_threads=False):
            plain = batch.cast(_columns(batch.schema))
            n_bytes, n_rows = n_bytes + plain.nbytes, n_rows + plain.num_rows
            _check_size(n_bytes, limit)
            yield plain
        if names and n_rows != claimed_rows:
            raise ValueError(f"it has {n_rows} rows, and its footer says {claimed_rows}")


def count_rows(path: Path) -> int:
    """The number of rows that the footer claims. Raises ValueError or OSError as `read_schema`."""
    with _readable(), pq.ParquetFile(path) as file:
        return int(file.metadata.num_rows)


@contextmanager
def _readable() -> Iterator[None]:
    """Gives pyarrow's errors about damage a reason. Errors of the disk or of memory stay."""
    try:
        yield
    except MemoryError:  # pyarrow's is an ArrowException, too
        raise
    except (pa.ArrowException, OSError, UnicodeError, LookupError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ValueError(f"it is damaged or no Parquet file ({one_line(error)})") from None


def _write_table(path: Path, schema: pa.Schema | None, out: IO[bytes]) -> None:
    """Writes the table as an Arrow stream, the form that it has in memory."""
    file_schema = read_schema(path)
    if schema is not None and not file_schema.equals(schema):
        raise OtherSchemaError
    with pa.ipc.new_stream(out, file_schema) as writer:
        for batch in read_batches(path):
            writer.write_batch(batch)


def _columns(schema: pa.Schema) -> pa.Schema:
    """The columns without the metadata of the file. A dictionary's column has its values' type."""
    return pa.schema(
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in schema
    )


def _claimed_bytes(file: pq.ParquetFile, names: Collection[str]) -> int:
    """What the footer says that the named columns take in memory, in bytes."""
    leaves = [file.schema.column(i).path.partition(".")[0] for i in range(len(file.schema))]
    wanted = [i for i, name in enumerate(leaves) if name in names]
    total = 0
    for group in map(file.metadata.row_group, range(file.metadata.num_row_groups)):
        if group.num_columns != len(leaves):
            raise ValueError(f"a row group has {group.num_columns} of {len(leaves)} columns")
        for column in map(group.column, wanted):
            n_values = max(group.num_rows, column.num_values)
            total += max(CELL_BYTES * n_values, int(column.total_uncompressed_size))
    return max(total, CELL_BYTES * len(wanted) * int(file.metadata.num_rows))


def _check_size(n_bytes: int, limit: int) -> None:
    if n_bytes > limit:
        raise ValueError(f"it unpacks to {n_bytes} bytes or more, over {limit}")
