"""Tables come back from the child process that reads them as they were written, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lussweep.backend.cluster.environment import ALLOCATOR
from lussweep.errors import InputError
from lussweep.store import child, parquet
from lussweep.store.child_process import Limits
from lussweep.store.parquet import OtherSchemaError, read_batches, read_table

SCHEMA = pa.schema([pa.field("a", pa.int32(), metadata={"unit": "s"}), pa.field("b", pa.string())])


def rows(n: int) -> pa.Table:
    return pa.table({"a": np.arange(n, dtype=np.int32), "b": [f"x{i % 7}" for i in range(n)]},
                    schema=SCHEMA)  # fmt: skip


def read(path: Path, schema: pa.Schema | None = None) -> pa.Table:
    return read_table(path, schema=schema, remedy="leave it out")


@pytest.mark.parametrize("n_rows", [0, 1, 300_000])
def test_rows_and_units_come_back(tmp_path: Path, n_rows: int) -> None:
    """The largest table is mapped, not copied."""
    path, table = tmp_path / "t.parquet", rows(n_rows)
    assert (table.nbytes > parquet.MAPPED_BYTES) == (n_rows > 1)
    pq.write_table(table, path, row_group_size=100_000)
    found = read(path, SCHEMA)
    assert found.equals(table)
    assert found.schema.equals(SCHEMA, check_metadata=True)


def test_one_child_reads_many_tables_for_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers have settings of memory of their own. Under these a child must not look full."""
    for name, value in ALLOCATOR.items():
        monkeypatch.setenv(name, value)
    child.end_children()
    paths = [tmp_path / f"{i}.parquet" for i in range(3)]
    pids = set()
    for path in paths:
        pq.write_table(rows(100_000), path)
        read(path)
        pids |= {idle.process.pid for idle in child._idle}
    child.end_children()
    assert len(pids) == 1


def test_what_pandas_adds_does_not_come_back(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    plain = rows(3)
    columns = {"a": plain["a"], "b": plain["b"].combine_chunks().dictionary_encode()}
    pq.write_table(pa.table(columns).replace_schema_metadata({"pandas": "{}"}), path)
    found = read(path)
    assert found.schema.metadata is None
    assert found["b"].equals(plain["b"]), "texts are texts, however they are stored"


def test_the_wanted_columns_are_read_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(rows(3).append_column("c", [[1.0, 2.0, 3.0]]), path)
    (batch,) = read_batches(path, {"c", "a", "other"})
    assert batch.to_pydict() == {"a": [0, 1, 2], "c": [1.0, 2.0, 3.0]}
    with pytest.raises(ValueError, match="it has 3 rows, over 2"):
        list(read_batches(path, max_rows=2))
    with pytest.raises(ValueError, match=r"it unpacks to \d+ bytes or more, over 100"):
        list(read_batches(path, max_bytes=100))


def test_what_the_footer_does_not_say_is_counted_while_it_is_unpacked(tmp_path: Path) -> None:
    """A dictionary holds the text once, so the footer claims little."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": ["x" * 10_000] * 1000}), path)
    with pytest.raises(ValueError, match=r"it unpacks to 1000\d{4} bytes or more, over 100000"):
        list(read_batches(path, max_bytes=100_000))


def test_errors_name_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with pytest.raises(FileNotFoundError):
        read(path)
    path.write_bytes(b"no table")
    with pytest.raises(ValueError, match="it is damaged or no Parquet file"):
        read(path)
    pq.write_table(rows(3), path)
    with pytest.raises(OtherSchemaError):
        read(path, pa.schema([SCHEMA.field("a")]))


def test_a_child_that_was_taken_over_gives_no_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, SCHEMA) as writer:
        writer.write_table(rows(100))
    sound = sink.getvalue().to_pybytes()
    texts = sound.index(b"x0x1x2")
    answers = [b"", b"garbage" * 100, sound[:300], sound[:texts] + b"\xff" * 6 + sound[texts + 6 :]]

    def answer(content: bytes) -> Any:
        return lambda *_, out, **__: out.write(content)

    for content in answers:
        monkeypatch.setattr(child, "call", answer(content))
        with pytest.raises(ValueError, match="gave no valid answer"):
            read(tmp_path / "t.parquet")
    monkeypatch.setattr(child, "call", answer(sound))
    assert read(tmp_path / "t.parquet", SCHEMA).equals(rows(100))
    with pytest.raises(OtherSchemaError):
        read(tmp_path / "t.parquet", pa.schema([SCHEMA.field("a")]))


def test_a_broken_limit_is_a_refusal_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": ["x" * 60_000_000]}), path, compression="zstd")
    monkeypatch.setattr(parquet, "LIMITS", Limits(memory_bytes=2**27))
    with pytest.raises(InputError, match=r"t\.parquet: .* takes over 0\.125 GiB .*: leave it out"):
        read(path)
