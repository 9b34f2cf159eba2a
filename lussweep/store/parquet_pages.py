"""Computes what a Parquet file unpacks to, from its footer and page headers, before pyarrow reads.

pyarrow allocates as much memory as a header claims, and reads a schema of any depth. This module
adds up the claims first. Field numbers are those of parquet.thrift in Apache's parquet-format. The
protocol is Thrift's compact one.
"""

from __future__ import annotations

import mmap
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

CELL_BYTES = 16
"""Rough size of one value in memory."""
MAX_FOOTER_BYTES = 2**22
MAX_FOOTER_VALUES = 300_000
"""Limit of the values in a footer. A column of a row group has some 30."""
MAX_HEADER_VALUES = 100
MAX_HEADER_BYTES = 2**24
"""Limit of a page's header, which may hold the page's smallest and largest value."""
MAX_ELEMENTS = 10_000
"""Limit of the columns and groups of a schema."""
MAX_DEPTH = 32
MIN_PAGES = 10_000
"""Most pages that may be small. A file with more pages needs a kilobyte a page on average."""

Buffer = mmap.mmap | bytes
Struct = dict[tuple[int, int], Any]
"""Values by field and kind. pyarrow skips a value of another kind than the format's."""

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
LISTS = {
    (0, 2): STRUCT, (0, 4): STRUCT, (0, 5): STRUCT, (0, 7): STRUCT, (2, 1): STRUCT,
    (2, 4): STRUCT, (5, 2): I32, (5, 3): BINARY, (5, 8): STRUCT, (5, 13): STRUCT,
}  # fmt: skip
"""Kind of a list's values, by depth and field. pyarrow ignores the kind that the list states."""
HEADERS = {0: (5, 2), 2: (7, 2), 3: (8, 4)}
"""Fields of header and encoding, by kind: data page, dictionary, data page of version 2."""
DICTIONARY_PAGE = 2
ENCODINGS = (0, 2, 3, 4, 5, 6, 8, 9)
"""The encodings that are read: all but DELTA_BYTE_ARRAY, in which a bit can repeat a megabyte."""
BITS = {I16: 16, I32: 32, I64: 64}
DAMAGED = "its metadata is damaged"
PADDING = 100
"""Bytes that pyarrow reads beyond a chunk, because old writers counted too few."""


def read_footer(path: Path) -> Struct:
    """Reads the footer that check_sizes needs.

    Raises ValueError with the reason if pyarrow should not read the footer, or OSError.
    """
    with _Mapped(path) as data:
        footer = _footer(data)
        _leaves(footer)
        return footer


def check_sizes(
    path: Path,
    footer: Struct,
    columns: Collection[str] | None,
    limit: int,
    page_limit: int | None = None,
) -> int:
    """Checks what the `columns` of a file (all, if None) unpack to. Returns the number of rows.

    Raises ValueError with the reason if they unpack to more than `limit` bytes, or a page to more
    than `page_limit`, and if the file is damaged. Raises OSError if it cannot be read.
    """
    with _Mapped(path) as data:
        leaves = _leaves(footer)
        max_pages = max(MIN_PAGES, len(data) // 1000)
        n_bytes = n_rows = n_pages = 0
        for group in footer.get((4, LIST), []):
            group = _as_struct(group)
            group_rows = _count(group, (3, I64))
            n_rows += group_rows
            chunks = group.get((1, LIST), [])
            if len(chunks) != len(leaves):
                raise ValueError(f"a row group has {len(chunks)} of {len(leaves)} columns")
            for chunk, (name, width) in zip(chunks, leaves, strict=True):
                if columns is not None and name not in columns:
                    continue
                chunk = _as_struct(_as_struct(chunk).get((3, STRUCT)))
                n_values = max(group_rows, _count(chunk, (5, I64)))
                n_bytes += n_values * max(CELL_BYTES, width)
                for size in _page_sizes(data, chunk):
                    n_bytes += size
                    n_pages += 1
                    if page_limit is not None and size > page_limit:
                        raise ValueError(f"a page unpacks to {size} bytes, over {page_limit}")
                    if n_pages > max_pages:
                        raise ValueError(f"it has over {max_pages} pages")
                    if n_bytes > limit:
                        break
                if n_bytes > limit:
                    raise ValueError(f"it unpacks to {n_bytes} bytes or more, over {limit}")
        if n_rows != _count(footer, (3, I64)):
            raise ValueError("its row groups have other rows than its footer says")
        return n_rows


def _page_sizes(data: Buffer, chunk: Struct) -> Iterator[int]:
    """Yields the unpacked size of each page of a column's chunk that pyarrow would read."""
    start, n_bytes = _count(chunk, (9, I64)), _count(chunk, (7, I64))
    dictionary = chunk.get((11, I64), 0)
    at = dictionary if 0 < dictionary < start else start
    n_values, end = _count(chunk, (5, I64)), at + n_bytes
    if end > len(data):
        raise ValueError("a column is longer than the file")
    while n_values > 0 and at < min(end + PADDING, len(data)):
        thrift = _Thrift(data, at, min(len(data), at + MAX_HEADER_BYTES), MAX_HEADER_VALUES)
        page = thrift.struct()
        at = thrift.at + _count(page, (3, I32))
        size, kind = _count(page, (2, I32)), _count(page, (1, I32))
        if kind in HEADERS:  # pyarrow skips the others
            field, encoding = HEADERS[kind]
            header = _as_struct(page.get((field, STRUCT)))
            if _count(header, (encoding, I32)) not in ENCODINGS:
                raise ValueError("its pages are encoded as is not read here: write plain ones")
            if kind == DICTIONARY_PAGE:
                size += CELL_BYTES * _count(header, (1, I32))
            else:
                n_values -= _count(header, (1, I32))
        yield size


def _footer(data: Buffer) -> Struct:
    if len(data) < 12 or data[-4:] != b"PAR1":
        raise ValueError("it is not a Parquet file")
    n_bytes = int.from_bytes(data[-8:-4], "little")
    if n_bytes > min(MAX_FOOTER_BYTES, len(data) - 12):
        raise ValueError(f"its footer claims {n_bytes} bytes")
    end = len(data) - 8
    return _Thrift(data[end - n_bytes : end], 0, n_bytes, MAX_FOOTER_VALUES).struct()


def _leaves(footer: Struct) -> list[tuple[str, int]]:
    """First name and width in bytes of each column, in order. Width 0: each value has its own."""
    elements = [_as_struct(element) for element in footer.get((2, LIST), [])]
    if not 0 < len(elements) <= MAX_ELEMENTS:
        raise ValueError(f"its schema has {len(elements)} elements")
    leaves: list[tuple[str, int]] = []
    open_groups: list[list[Any]] = []  # first name of each, and how many children it lacks
    for element in elements:
        element_name = element.get((4, BINARY), b"").decode("utf-8", "replace")
        name = open_groups[-1][0] if len(open_groups) > 1 else element_name
        if open_groups:
            open_groups[-1][1] -= 1
        if n_children := element.get((5, I32), 0):
            open_groups.append([name, n_children])
        elif open_groups:
            leaves.append((name, element.get((2, I32), 0)))
        while open_groups and open_groups[-1][1] == 0:
            open_groups.pop()
        if len(open_groups) > MAX_DEPTH:
            raise ValueError(f"its columns are nested over {MAX_DEPTH} deep")
    if open_groups:
        raise ValueError("its schema is cut")
    return leaves


def _count(struct: Struct, field: tuple[int, int]) -> int:
    value = struct.get(field, -1)
    if value < 0:
        raise ValueError(DAMAGED)
    return int(value)


def _as_struct(value: Any) -> Struct:
    if not isinstance(value, dict):
        raise ValueError(DAMAGED)
    return value


class _Mapped:
    """The file's bytes. Only those that are used are read from disk."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")

    def __enter__(self) -> Buffer:
        n_bytes = self.file.seek(0, 2)
        self.data = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ) if n_bytes else None
        return self.data if self.data is not None else b""

    def __exit__(self, *exc: object) -> None:
        if self.data is not None:
            self.data.close()
        self.file.close()


class _Thrift:
    """Reads the compact protocol: at most `n_values` values, and no further than `end`.

    Refuses two things that readers of Thrift understand in different ways: a field that occurs
    twice, and a number that does not fit its kind.
    """

    def __init__(self, data: Buffer, at: int, end: int, n_values: int) -> None:
        self.data, self.at, self.end, self.n_left = data, at, end, n_values

    def struct(self, depth: int = 0) -> Struct:
        values: Struct = {}
        field, seen_fields = 0, set()
        while head := self._byte():
            kind = head & 15
            field = field + (head >> 4) if head >> 4 else self._signed(16)
            if field in seen_fields or not 0 < field < 2**15 or depth > MAX_DEPTH:
                raise ValueError(DAMAGED)
            seen_fields.add(field)
            boolean = kind in (TRUE, FALSE)
            values[field, kind] = kind == TRUE if boolean else self._value(kind, depth, field)
        return values

    def _value(self, kind: int, depth: int, field: int = 0) -> Any:
        self.n_left -= 1
        if self.n_left < 0:
            raise ValueError("its metadata has too many values")
        if kind in BITS:
            return self._signed(BITS[kind])
        if kind == BINARY:
            return self._bytes(self._varint())
        if kind == STRUCT:
            return self.struct(depth + 1)
        if kind in (LIST, SET):
            return self._list(depth, LISTS.get((depth, field)))
        if kind in (BYTE, DOUBLE):
            return self._bytes(1 if kind == BYTE else 8)
        raise ValueError(DAMAGED)

    def _list(self, depth: int, expected: int | None) -> list[Any]:
        head = self._byte()
        kind, size = head & 15, head >> 4
        size = self._varint() if size == 15 else size
        if size and expected not in (None, kind):
            raise ValueError(DAMAGED)
        kind = BYTE if kind in (TRUE, FALSE) else kind  # in a list, each takes one byte
        return [self._value(kind, depth + 1) for _ in range(size)]

    def _byte(self) -> int:
        if self.at >= self.end:
            raise ValueError("its metadata is cut")
        self.at += 1
        return self.data[self.at - 1]

    def _bytes(self, n_bytes: int) -> bytes:
        start, self.at = self.at, self.at + n_bytes
        if self.at > self.end:
            raise ValueError("its metadata is cut")
        return self.data[start : self.at]

    def _varint(self) -> int:
        value = self._byte()
        if value < 128:
            return value
        value &= 127
        for shift in range(7, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError(DAMAGED)

    def _signed(self, n_bits: int) -> int:
        value = self._varint()
        if value >> n_bits:
            raise ValueError(DAMAGED)
        return value >> 1 ^ -(value & 1)
