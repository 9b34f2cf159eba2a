"""Reads text tables: CSV with any usual delimiter, in any encoding that its bytes make certain."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Collection, Iterator
from itertools import chain
from pathlib import Path
from typing import IO

from lussweep.data.columns import MAX_COLUMNS, MAX_ROWS, TextTable, find_columns, renamed

MAX_LINE = 2**16
"""Most characters of a line."""
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
WESTERN = "cp1252"
"""Windows-1252. The letters that are accepted are the same in Latin-1."""

_BLOCK = 2**20
_ASCII = bytes(range(128))
_LETTERS = frozenset(range(0xC0, 0x100)) - {0xD7, 0xF7}
"""Bytes of the accented letters in Latin-1 and Windows-1252. Every accented letter in UTF-8, and in
DOS and Mac encodings, has a byte outside this set."""
_NOT_WESTERN = re.compile(rb"[\xc0-\xff]{3}")
"""Western languages write no three accented letters in a row; Cyrillic and Greek encodings do."""


def read_delimited(path: Path, wanted: Collection[str]) -> TextTable:
    """Reads the wanted columns of a text table.

    The encoding is UTF-8 or UTF-16, or Windows-1252 if all bytes beyond ASCII are its letters. The
    delimiter is the one that gives most wanted columns, then most columns. A first line `sep=;`,
    which Excel knows, sets the delimiter. Raises ValueError or csv.Error with the reason, OSError,
    and UnicodeError.
    """
    encoding = _encoding(path)
    notes = [f"its text is read as {encoding}"] if encoding not in ("utf-8", "utf-8-sig") else []
    with path.open(newline="", encoding=encoding) as file:
        lines = _lines(file)
        first = next((line for line in lines if line.strip()), "")
        if sep_line := re.fullmatch(r'"?sep=(.)"?\s*', first, re.IGNORECASE):
            delimiter, first = sep_line[1], next(lines, "")
        else:
            delimiter = _delimiter(first, wanted)
        separators = DELIMITERS.get(delimiter, delimiter)
        if delimiter != ",":
            notes.append(f"its columns are separated by {separators}")
        reader = csv.reader(
            chain([first], lines), delimiter=delimiter, skipinitialspace=True, strict=True
        )
        header = next((row for row in reader if any(row) or len(row) > MAX_COLUMNS), [])
        places = find_columns(header, wanted)
        n_named = max((i + 1 for i, name in enumerate(header) if name.strip()), default=0)
        rows, ragged = [], []
        for number, row in enumerate(reader, 1):
            if not any(map(str.strip, row)):
                continue
            if len(row) < n_named or any(map(str.strip, row[len(header) :])):
                ragged.append(number)
            else:
                rows.append((number, {name: row[i].strip() for name, i in places.items()}))
    notes += renamed(header, places)
    return TextTable(tuple(header), rows, ragged, separators, tuple(notes))


def _lines(file: IO[str]) -> Iterator[str]:
    """Yields the lines of a file. Raises ValueError for a line of over MAX_LINE characters."""
    while line := file.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise ValueError(f"it has a line of over {MAX_LINE} characters: is it a CSV table?")
        yield line


def _delimiter(header: str, wanted: Collection[str]) -> str:
    """The delimiter of a header. Raises ValueError if two fit equally well."""
    fits = {}
    for delimiter in DELIMITERS:
        try:
            names = next(csv.reader([header], delimiter=delimiter, skipinitialspace=True), [])
            fits[delimiter] = (len(find_columns(names[:MAX_COLUMNS], wanted)), len(names))
        except (csv.Error, ValueError):
            fits[delimiter] = (0, header.count(delimiter) + 1)
    best = [delimiter for delimiter, fit in fits.items() if fit == max(fits.values())]
    if len(best) > 1 and fits[best[0]][1] > 1:
        words = " or ".join(DELIMITERS[delimiter] for delimiter in best)
        raise ValueError(f"its columns may be separated by {words}: write it with commas alone")
    return best[0]


# --- encoding -----------------------------------------------------------------------------


def _encoding(path: Path) -> str:
    """The encoding of a text file. Raises ValueError if it is uncertain, or for too many lines."""
    encoding = _marked_encoding(path)
    try:
        _count_lines(path, encoding)
    except UnicodeDecodeError:
        if encoding != "utf-8":
            raise ValueError(f"it begins as {encoding}, and is not: save it as UTF-8") from None
        if not _is_western(path):
            raise ValueError(
                "its text is neither UTF-8 nor plain Latin-1: save it as UTF-8 (Excel: CSV UTF-8)"
            ) from None
        _count_lines(path, WESTERN)
        return WESTERN
    return encoding


def _marked_encoding(path: Path) -> str:
    """The encoding that the first bytes tell. UTF-8 if they tell nothing else."""
    with path.open("rb") as file:
        head = file.read(2**12)
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if 0 not in head:
        return "utf-8"
    if 0 not in head[::2] and not any(head[1::2]):
        return "utf-16-le"
    if 0 not in head[1::2] and not any(head[::2]):
        return "utf-16-be"
    raise ValueError("it holds zero bytes: is it a CSV table?")


def _count_lines(path: Path, encoding: str) -> None:
    """Decodes the whole file. Raises ValueError for too many lines, and UnicodeDecodeError."""
    n_lines = 0
    with path.open(encoding=encoding) as file:
        while block := file.read(_BLOCK):
            n_lines += block.count("\n")
            if n_lines > MAX_ROWS + 1:
                raise ValueError(f"it has over {MAX_ROWS} lines: split the study")


def _is_western(path: Path) -> bool:
    """Whether all bytes beyond ASCII are letters of Latin-1, few in a row."""
    with path.open("rb") as file:
        for line in iter(lambda: file.readline(_BLOCK), b""):
            if not _LETTERS.issuperset(line.translate(None, _ASCII)) or _NOT_WESTERN.search(line):
                return False
    return True
