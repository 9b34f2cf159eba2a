"""`lussweep show`: say what a file, an artifact or a run folder is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lussweep.cli.exits import clear_errors
from lussweep.cli.options import DebugOption
from lussweep.errors import InputError, one_line, printable
from lussweep.run.state import RUN_FILE, STATE_FILE
from lussweep.store.artifacts import RECORD
from lussweep.store.remote import is_url
from lussweep.study.plan.words import stage_words

if TYPE_CHECKING:
    from lussweep.report.contents import Contents

STORE_FILE = "store.json"
LEAST_VALUE = 13
"""Fewest characters for the values of a row, with the space beside them."""
LEAST_MEANING = 20
MOST_NAME = 24
"""Longer names of columns go on in the next line."""


def show(
    path: Annotated[
        str,
        typer.Argument(help="A file, the folder of an artifact, or a run folder.", metavar="PATH"),
    ],
    rows: Annotated[
        int, typer.Option(min=0, help="How many rows of a table to print.", metavar="N")
    ] = 3,
    debug: DebugOption = False,
) -> None:
    """Say what a table, checkpoint, artifact or run folder holds, and how it was made."""
    with clear_errors(debug):
        if is_url(path):
            raise InputError(f"show reads files of this machine: copy {path} to it first")
        place = Path(path)
        if (place / RUN_FILE).is_file():
            _show_run(place)
        elif (place / RECORD).is_file():
            _show_artifact(place)
        elif (place / STORE_FILE).is_file():
            _show_files(place, f"{place}: a store of frames, made by `lussweep ingest`")
        elif place.is_dir():
            raise InputError(
                f"{place} is neither a run folder, an artifact nor a store of frames: give one of "
                "these, or a file"
            )
        elif not place.exists():
            raise InputError(f"there is no {place}: give a file, an artifact or a run folder")
        elif not place.is_file():  # to open a pipe would wait for whoever writes to it
            raise InputError(
                f"{place} is neither a file nor a folder: give a file, an artifact or a run folder"
            )
        else:
            _show_file(place, rows)


def _show_run(folder: Path) -> None:
    """Print how far a run is, and its files. A damaged state does not hide the files."""
    from lussweep.cli.status import cells_line, headline
    from lussweep.run.status import status_of
    from lussweep.store.folders import folder_at

    try:
        status = status_of(folder_at(str(folder)))
        lines = [f"a run folder of {status['name']}", headline(status), *cells_line(status)]
    except InputError as error:
        lines = ["a run folder", *error.problems]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        lines = ["a run folder", f"its {STATE_FILE} cannot be read: {one_line(error)}"]
    _say(f"{folder}: {lines[0]}")
    for line in lines[1:]:
        _say(line)
    _show_files(folder, "its files:")


def _show_artifact(folder: Path) -> None:
    """Print how an artifact was made, and its files."""
    from lussweep.report.contents import json_of

    _say(f"{folder}: an artifact")
    _print_facts(record_facts(json_of(folder / RECORD)))
    _show_files(folder, "its files:")


def _show_files(folder: Path, title: str) -> None:
    """Print the files of a folder with their sizes and, for tables, rows and columns."""
    _say(title)
    table = Table(box=None, show_header=False, pad_edge=False)
    for path in sorted(folder.iterdir()):
        table.add_row(*(Text(printable(text)) for text in _entry(path)))
    _console().print(table)


def _entry(path: Path) -> tuple[str, str, str]:
    """The name, the size and the content of an entry of a folder, of which any may be damaged."""
    from lussweep.report.contents import contents_of

    size = ""
    try:
        if path.is_dir():
            return f"{path.name}/", f"{len(list(path.iterdir()))} entries", ""
        if not path.is_file():
            what = "a link to nothing" if path.is_symlink() else "neither a file nor a folder"
            return path.name, "", what
        size = _size(path.stat().st_size)
        if path.suffix != ".parquet":
            return path.name, size, ""
        found = contents_of(path, 0)
    except (InputError, OSError):
        return path.name, size, "cannot be read"
    facts = dict(found.facts)
    is_table = {"rows", "columns"} <= facts.keys()
    what = f"{facts['rows']} rows x {facts['columns']} columns" if is_table else found.kind
    return path.name, size, what


def _show_file(path: Path, n_rows: int) -> None:
    """Print what one file holds and, if it is of an artifact, how that was made."""
    from lussweep.report.contents import contents_of, json_of

    found = contents_of(path, n_rows)
    _say(f"{path}: {found.kind}, {_size(path.stat().st_size)}")
    _print_facts(dict(found.facts))
    for folder in (path.parent, path.parent.parent):  # snapshots lie one folder deeper
        if (folder / RECORD).is_file():
            _print_facts(record_facts(json_of(folder / RECORD)))
            break
    _print_columns(found)


def record_facts(record: dict[str, Any]) -> dict[str, str]:
    """How an artifact was made, in words, from its record."""
    made, inputs, summary = (
        part if isinstance(part := record.get(name), dict) else {}
        for name in ("circumstances", "inputs", "summary")
    )
    facts = {
        "made by": record.get("name"),
        "stage": stage_words(str(record.get("stage")), 1),
        "key": record.get("key"),
        "version of the stage": record.get("version"),
        "when": made.get("started"),
        "seconds": made.get("seconds"),
        "where": f"{made['host']} ({made.get('device')})" if made.get("host") else None,
        "inputs": ", ".join(map(str, inputs.values())),
        **summary,
    }
    return {name: brief(value) for name, value in facts.items() if value not in (None, "")}


def brief(value: Any) -> str:
    """A value in a few words: of what lies deeper, only the size.

    >>> brief({"train": ["P1", "P2"], "auroc": 0.98765, "n": {"pos": 1}})
    'train: 2 items, auroc: 0.9877, n: 1 items'
    """
    if isinstance(value, dict):
        return ", ".join(
            f"{key}: {f'{len(item)} items' if isinstance(item, dict | list) else brief(item)}"
            for key, item in value.items()
        )
    if isinstance(value, list):
        return ", ".join(map(str, value)) if len(value) <= 6 else f"{len(value)} items"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _print_facts(facts: dict[str, str]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(Text(printable(name)), Text(printable(value)))
    if facts:
        _console().print(table)


def _print_columns(found: Contents) -> None:
    """Print a line for each column: its name, its type, its first values and its meaning.

    Rows that do not fit beside these come in further tables, of names and values alone.
    """
    if not found.columns:
        return
    names, kinds, meanings = zip(*found.columns, strict=True)
    room = _console().width - min(max(map(len, names)), MOST_NAME) - 2
    beside = max(map(len, kinds)) + 2 + (LEAST_MEANING if any(meanings) else 0)
    n_first, n_further = (max(1, width // LEAST_VALUE) for width in (room - beside, room))
    n_rows = len(found.rows)
    _print_rows(found, range(min(n_first, n_rows)), is_first=True)
    for start in range(n_first, n_rows, n_further):
        _say("")
        _print_rows(found, range(start, min(start + n_further, n_rows)), is_first=False)


def _print_rows(found: Contents, rows: range, *, is_first: bool) -> None:
    """Print a table of some rows; the first has the types and the meanings, too."""
    has_meanings = is_first and any(meaning for _, _, meaning in found.columns)
    table = Table(box=None, pad_edge=False)
    is_short = max(len(name) for name, _, _ in found.columns) <= MOST_NAME
    table.add_column("name", overflow="fold", no_wrap=is_short)
    if is_first:
        table.add_column("type", no_wrap=True)
    for row in rows:
        table.add_column(f"row {row + 1}", overflow="fold")
    if has_meanings:
        table.add_column(found.remark, overflow="fold")
    for i, (name, kind, meaning) in enumerate(found.columns):
        texts = (
            name,
            *([kind] if is_first else []),
            *(found.rows[row][i] for row in rows),
            *([meaning] if has_meanings else []),
        )
        table.add_row(*map(Text, texts))
    _console().print(table)


def _say(line: str) -> None:
    _console().print(Text(printable(line)), soft_wrap=True)


def _size(n_bytes: int) -> str:
    """The size of a file in words."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.1f} {unit}"
    return f"{n_bytes} bytes"


def _console() -> Console:
    return Console(highlight=False)
