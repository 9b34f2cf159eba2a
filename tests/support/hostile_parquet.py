"""Parquet files written byte by byte, whose headers say what no honest writer says."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
BYTE_ARRAY, FIXED_LENGTH = 6, 7
UNCOMPRESSED, ZSTD = 0, 6
DATA, DICTIONARY = 0, 2
COLUMNS = ("patient_id", "video_id", "path", "label")


def varint(n: int) -> bytes:
    found = bytearray()
    while n > 127:
        found.append(n & 127 | 128)
        n >>= 7
    return bytes([*found, n])


def value(kind: int, content: Any) -> bytes:
    if kind in (I32, I64):
        return varint(content << 1 if content >= 0 else (-content << 1) - 1)
    if kind == BINARY:
        return varint(len(content)) + content
    if kind == LIST:
        inner, items = content
        return bytes([0xF0 | inner]) + varint(len(items)) + b"".join(items)
    assert kind == STRUCT
    return bytes(content)


def fields(content: Mapping[int, tuple[int, Any]]) -> bytes:
    """A struct: each field's number, kind and value."""
    parts, before = [], 0
    for number, (kind, inner) in content.items():
        assert 0 < number - before < 16
        parts += [bytes([(number - before) << 4 | kind]), value(kind, inner)]
        before = number
    return b"".join(parts) + b"\0"


def element(
    name: bytes, n_children: int = 0, kind: int = BYTE_ARRAY, width: int = 0, is_text: bool = True
) -> bytes:
    if n_children:
        return fields({3: (I32, 0), 4: (BINARY, name), 5: (I32, n_children)})
    size = {2: (I32, width)} if width else {}
    text = {6: (I32, 0)} if is_text and not width else {}
    return fields({1: (I32, kind), **size, 3: (I32, 0), 4: (BINARY, name), **text})


def page(kind: int, n_values: int, content: bytes, unpacked: int, encoding: int = 0) -> bytes:
    levels = {3: (I32, 3), 4: (I32, 3)} if kind == DATA else {}
    header = fields({1: (I32, n_values), 2: (I32, encoding), **levels})
    head = {1: (I32, kind), 2: (I32, unpacked), 3: (I32, len(content))}
    return fields({**head, 5 if kind == DATA else 7: (STRUCT, header)}) + content


def chunk(at: int, n_bytes: int, n_values: int, codec: int, dictionary: bool) -> bytes:
    first = {11: (I64, at)} if dictionary else {}
    return fields({2: (I64, 0), 3: (STRUCT, fields({
        1: (I32, BYTE_ARRAY), 2: (LIST, (I32, [value(I32, 0)])),
        3: (LIST, (BINARY, [value(BINARY, b"a")])), 4: (I32, codec), 5: (I64, n_values),
        6: (I64, 100), 7: (I64, n_bytes), 9: (I64, at + dictionary), **first,
    }))})  # fmt: skip


def group(chunks: Sequence[bytes], n_rows: int) -> bytes:
    return fields({1: (LIST, (STRUCT, chunks)), 2: (I64, 100), 3: (I64, n_rows)})


def footer(elements: Sequence[bytes], n_rows: int, groups: Sequence[bytes]) -> bytes:
    return fields({1: (I32, 2), 2: (LIST, (STRUCT, elements)), 3: (I64, n_rows),
                   4: (LIST, (STRUCT, groups))})  # fmt: skip


def whole(pages: bytes, foot: bytes) -> bytes:
    return b"PAR1" + pages + foot + struct.pack("<I", len(foot)) + b"PAR1"


def columns(
    pages: bytes, n_rows: int, codec: int = ZSTD, dictionary: bool = False, width: int = 0,
    n_bytes: int | None = None, n_values: int | None = None,
) -> bytes:  # fmt: skip
    """A manifest whose columns all are these pages."""
    kind = FIXED_LENGTH if width else BYTE_ARRAY
    elements = [element(b"root", len(COLUMNS)),
                *(element(name.encode(), 0, kind, width) for name in COLUMNS)]  # fmt: skip
    size = len(pages) if n_bytes is None else n_bytes
    one = chunk(4, size, n_rows if n_values is None else n_values, codec, dictionary)
    return whole(pages, footer(elements, n_rows, [group([one] * len(COLUMNS), n_rows)]))


def packed_zeros(n_mebibytes: int) -> bytes:
    """zstd frames of 8 MiB, which may follow each other."""
    frame = pa.compress(bytes(2**23), codec="zstd", asbytes=True)
    return bytes(frame) * (n_mebibytes // 8)


def files(folder: Path) -> dict[Path, str]:
    """By file a word of its refusal."""
    zeros, gigabyte = packed_zeros(1024), 2**30
    one, packed = page(DATA, 1, b"\1\0\0\0a", 5), pa.compress(b"\1\0\0\0a", "zstd", asbytes=True)
    first = page(DATA, 1, packed, 5)
    empties = page(DICTIONARY, 50_000_000, packed_zeros(200), 200 * 2**20)
    wide = page(DICTIONARY, 1, bytes(500_000), 500_000)
    plain = [element(b"root", 1), element(b"patient_id")]
    nested = [element(b"root", 1), *[element(b"a", 1)] * 5000, element(b"a")]
    contents = {
        # A gigabyte of zeros in a page, which its header confesses and the footer does not.
        "page": (columns(page(DATA, 1, zeros, gigabyte), 1), "GiB of memory"),
        "second-page": (columns(first + page(DATA, 1, zeros, gigabyte), 2), "GiB of memory"),
        "unknown-page": (columns(page(DATA, 1, zeros, 2**31 - 1), 1), "GiB of memory"),
        "dictionary": (columns(empties + first, 1, dictionary=True), "GiB of memory"),
        "fixed": (columns(wide + page(DATA, 100_000, b"\0" + varint(200_000) + b"\0", 5, 8),
                          100_000, UNCOMPRESSED, True, 500_000), "GiB of memory"),
        "chunk": (columns(one, 1, n_bytes=100 * gigabyte), "damaged"),
        "values": (columns(one, 1, UNCOMPRESSED, n_values=2**29), "unpacks to"),
        "rows": (columns(one, 2**29, UNCOMPRESSED), "unpacks to"),
        "few-values": (columns(one, 2**29, UNCOMPRESSED, n_values=1), "unpacks to"),
        "negative": (columns(one, -1), "damaged"),
        "other-rows": (whole(one, footer(plain, 2**40, [group([chunk(4, 30, 1, 0, False)], 1)])),
                       "unpacks to"),
        "deep": (whole(b"", footer(nested, 0, [])), "too deeply nested"),
        "wide": (whole(b"", footer([element(b"root", 20_000), *[element(b"a")] * 20_000], 0, [])),
                 "column"),
        "many": (whole(b"", footer([element(b"root", 200_000), *[element(b"a")] * 200_000], 0, [])),
                 "column"),
        "children": (whole(b"", footer([element(b"root", 2**31 - 1), plain[1]], 0, [])), "damaged"),
        "groups": (whole(b"", footer(plain, 0, [group([], 0)] * 200_000)), "of 1 columns"),
        "list": (whole(b"", b"\x15\2\x19\xfc" + varint(2**31 - 1) + b"\0\0"), "damaged"),
        "text": (whole(b"", b"\x15\2\x18" + varint(2**31 - 1)), "damaged"),
        "kinds": (whole(b"", b"\x15\2\x19\xf5" + varint(3) + bytes(9)), "damaged"),
        "twice": (whole(b"", b"\x15\2\5\2\4\0"), "damaged"),
        "footer": (b"PAR1" + bytes(8) + struct.pack("<I", 2**32 - 1) + b"PAR1", "damaged"),
        "empty-pages": (columns(page(DATA, 0, b"", 0) * 100_000, 1), "its footer says"),
    }  # fmt: skip
    found = {}
    for name, (content, word) in contents.items():
        path = folder / f"{name}.parquet"
        path.write_bytes(content)
        found[path] = word
    beginnings = pa.table(dict.fromkeys(COLUMNS, pa.array(["x" * 500_000] * 1000)))
    shared = folder / "beginnings.parquet"
    pq.write_table(beginnings, shared, use_dictionary=False, compression="zstd",
                   column_encoding="DELTA_BYTE_ARRAY", store_schema=False)  # fmt: skip
    return {**found, shared: "GiB of memory"}


def image_set() -> bytes:
    """A page of a gigabyte of zeros where images should be."""
    pages = page(DATA, 100, packed_zeros(1024), 2**30)
    elements = [element(b"root", 1), element(b"image", is_text=False)]
    groups = [group([chunk(4, len(pages), 100, ZSTD, False)], 100)]
    return whole(pages, footer(elements, 100, groups))


def honest() -> bytes:
    """As the others are made, but true; for the test of the tests."""
    return columns(page(DATA, 2, b"\1\0\0\0a\1\0\0\0b", 10), 2, UNCOMPRESSED)
