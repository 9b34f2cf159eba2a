"""Writes a run's figures and tables for a paper: PNG, SVG and PDF, CSV and LaTeX, one workbook."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from lussweep.report.alone import alone
from lussweep.report.cells import Row
from lussweep.report.drawings import DRAWINGS
from lussweep.report.panels import save
from lussweep.report.sections import Collected, NotWritten
from lussweep.store.files import whole_file, write_whole

FOLDER = "publication"
FIGURE_KINDS = ("png", "svg", "pdf")
TABLES = (
    "results", "means", "contrasts", "worth", "multiplier", "aurocs", "quality", "operating",
    "delong", "usefulness", "controls", "memorisation",
)  # fmt: skip
"""Tables that hold no ids of patients."""
SHEETS = ("results", "contrasts", "worth", "multiplier", "means")
"""Tables of the workbook."""
WORKBOOK = "results.xlsx"
_TEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$",
        "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
        "<": r"$<$", ">": r"$>$"}  # fmt: skip


def write_publication(collected: Collected, folder: Path) -> list[Path]:
    """Writes every figure and table below `folder`/publication, and returns the paths.

    A file that cannot be made has its error in `collected.failed`. A table that the run has not
    come to is left out.
    """
    place, written = folder / FOLDER, []
    for name in DRAWINGS:
        with alone(f"{FOLDER}/figures/{name}", collected.failed, collected.reported.redact):
            written += _figure(name, collected, place / "figures" / name)
    tables: dict[str, pa.Table] = {}
    for name in TABLES:
        with alone(f"{FOLDER}/tables/{name}", collected.failed, collected.reported.redact):
            table = _table(name, collected)
            if table is not None and len(table):
                tables[name] = table
                written += write_table(table, name, place / "tables" / name)
    with alone(f"{FOLDER}/{WORKBOOK}", collected.failed, collected.reported.redact):
        sheets = {name: tables[name] for name in SHEETS if name in tables}
        written.append(write_workbook(sheets, place / WORKBOOK))
    return written


def _figure(name: str, collected: Collected, stem: Path) -> list[Path]:
    try:
        figure = collected.once(DRAWINGS[name].build)
    except NotWritten:
        return []
    return save(figure, stem, FIGURE_KINDS) if figure is not None else []


def _table(name: str, collected: Collected) -> pa.Table | None:
    try:
        return collected.table(name)
    except NotWritten:
        return None


def write_table(table: pa.Table, name: str, stem: Path) -> list[Path]:
    """Writes a table as CSV, with all digits, and as LaTeX, with three significant digits."""
    rows = table.to_pylist()
    csv_path, tex_path = stem.with_suffix(".csv"), stem.with_suffix(".tex")
    with (
        whole_file(csv_path) as scratch,
        scratch.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.column_names)
        writer.writerows([plain(value) for value in row.values()] for row in rows)
    write_whole(tex_path, latex(rows, table.column_names, name))
    return [csv_path, tex_path]


def plain(value: Any) -> Any:
    """A value of a table as one of a CSV file or a workbook; a list becomes a text."""
    return "; ".join(map(str, value)) if isinstance(value, list) else value


def latex(rows: Sequence[Row], names: Sequence[str], caption: str) -> str:
    """A `longtable` with rules of the package booktabs. Columns without any value are left out."""
    shown = [name for name in names if any(row[name] is not None for row in rows)]
    numbers = {
        n for n in shown if all(isinstance(row[n], (int, float, type(None))) for row in rows)
    }
    head = " & ".join(_escaped(name.replace("_", " ")) for name in shown)
    lines = [" & ".join(_tex(row[name]) for name in shown) + r" \\" for row in rows]
    return "\n".join(
        [
            r"% \usepackage{booktabs, longtable}",
            rf"\begin{{longtable}}{{{''.join('r' if n in numbers else 'l' for n in shown)}}}",
            rf"\caption{{{_escaped(caption)}}} \\",
            r"\toprule", head + r" \\", r"\midrule", r"\endhead",
            *lines,
            r"\bottomrule", r"\end{longtable}", "",
        ]
    )  # fmt: skip


def _tex(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}".replace("inf", r"$\infty$").replace("-", "$-$")
    return _escaped(str(plain(value)))


def _escaped(text: str) -> str:
    return "".join(_TEX.get(character, character) for character in text)


def write_workbook(tables: Mapping[str, pa.Table], path: Path) -> Path:
    """Writes an XLSX workbook with a sheet for each table, and returns `path`.

    A second line of each sheet holds the units of its columns.
    """
    from openpyxl import Workbook
    from openpyxl.styles import Font

    book = Workbook()
    assert book.active is not None
    book.remove(book.active)
    for name, table in tables.items():
        sheet = book.create_sheet(name)
        sheet.append(table.column_names)
        sheet.append([(field.metadata or {}).get(b"unit", b"").decode() for field in table.schema])
        for row in table.to_pylist():
            sheet.append([_in_workbook(value) for value in row.values()])
        for cell in sheet[1]:
            cell.font = Font(bold=True)
        sheet.freeze_panes = "A3"
    if not tables:
        book.create_sheet("empty")
    with whole_file(path) as scratch:
        book.save(scratch)
    return path


def _in_workbook(value: Any) -> Any:
    """A value that a workbook can hold: it has no infinity, and a text must not be a formula."""
    value = plain(value)
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return str(value)
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@"):
        return f"'{value}"
    return value
