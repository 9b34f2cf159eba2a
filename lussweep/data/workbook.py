"""Reads the sheet of an Excel workbook (.xlsx)."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from lussweep.data.columns import MAX_COLUMNS, MAX_ROWS, TextTable, cell_text, find_columns, renamed
from lussweep.errors import one_line

MAX_UNPACKED_BYTES = 2**27
"""Most bytes of a workbook's parts after decompression. `zipfile` reads no more than announced."""


def read_workbook(path: Path, wanted: Collection[str]) -> TextTable:
    """Reads the wanted columns of the only sheet that has cells.

    Formulas give the value that was last computed. Raises ValueError with the reason: the file is
    not a whole workbook, several sheets have cells, or Excel made a date of a cell.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            n_bytes = sum(part.file_size for part in archive.infolist())
        if n_bytes > MAX_UNPACKED_BYTES:
            raise _RefusedError(f"it unpacks to {n_bytes} bytes, over {MAX_UNPACKED_BYTES}")
        return _read(path, wanted)
    except _RefusedError as error:
        raise ValueError(str(error)) from None
    except MemoryError:
        raise ValueError("it takes more memory than there is: save it as CSV") from None
    except Exception as error:
        # openpyxl raises any error for a broken part (KeyError, ParseError, TypeError, ...).
        raise ValueError(f"it is not a whole XLSX workbook ({one_line(error)})") from None


class _RefusedError(Exception):
    """A finding about a workbook that can be read."""


def _read(path: Path, wanted: Collection[str]) -> TextTable:
    import openpyxl

    with path.open("rb") as file:  # given a path, openpyxl refuses suffixes that it does not know
        book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        sheets = [sheet for sheet in book.worksheets if _header(sheet)]
        if len(sheets) > 1:
            names = ", ".join(sheet.title for sheet in sheets)
            raise _RefusedError(f"several of its sheets have cells ({names}): keep one")
        return _read_sheet(sheets[0], wanted) if sheets else TextTable((), [])


def _read_sheet(sheet: Any, wanted: Collection[str]) -> TextTable:
    at, cells = _header(sheet) or (0, ())
    header = tuple(map(cell_text, cells))
    try:
        places = find_columns(header, wanted)
    except ValueError as error:
        raise _RefusedError(str(error)) from None
    rows = []
    for number, row in enumerate(_rows(sheet, at + 1, len(header)), 1):
        if any(cell not in (None, "") for cell in row):
            rows.append((number, {name: _text(row[i], name, number) for name, i in places.items()}))
    return TextTable(header, rows, notes=tuple(renamed(header, places)))


def _header(sheet: Any) -> tuple[int, Sequence[Any]] | None:
    """The number of the first row that has a cell, and its cells. None for an empty sheet."""
    for number, row in enumerate(_rows(sheet, 1, MAX_COLUMNS + 1), 1):
        filled = [i for i, cell in enumerate(row) if cell not in (None, "")]
        if filled:
            return number, row[: filled[-1] + 1]
    return None


def _rows(sheet: Any, first: int, n_columns: int) -> Iterator[Sequence[Any]]:
    # A sheet announces its size. openpyxl would leave out rows beyond it without an error.
    sheet.reset_dimensions()
    rows = sheet.iter_rows(min_row=first, max_col=n_columns, values_only=True)
    for number, row in enumerate(rows):
        if number > MAX_ROWS:
            raise _RefusedError(f"it has over {MAX_ROWS} rows: split the study")
        yield row


def _text(value: Any, name: str, number: int) -> str:
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta):
        raise _RefusedError(
            f"row {number}: {name} is a date ({value}): format the column as text and type it again"
        )
    return cell_text(value)
