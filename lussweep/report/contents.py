"""Says what any one file holds: a table, an array, weights, a checkpoint, a picture, a video, text.

The file may come from elsewhere, so a child process that has limits opens it, and nothing in it is
unpickled (`file_kinds.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lussweep.errors import InputError, one_line, printable
from lussweep.report.file_kinds import describe, read_json
from lussweep.store import child
from lussweep.store.child_process import Limits

MAX_TEXT = 60
"""Most characters of a value that is shown."""
LIMITS = Limits(memory_bytes=2**30, cpu_seconds=120)


@dataclass(frozen=True)
class Contents:
    """What a file holds, in texts."""

    kind: str
    facts: tuple[tuple[str, str], ...] = ()
    """Names and values, such as the shape of an array."""
    columns: tuple[tuple[str, str, str], ...] = ()
    """Name, type and remark of each column or tensor."""
    rows: tuple[tuple[str, ...], ...] = ()
    """The first rows of a table, with a text for each column."""
    remark: str = "meaning"
    """What the remarks on the columns are, such as the shape of a tensor."""


def contents_of(path: Path, n_rows: int) -> Contents:
    """Say what a file holds, with the first `n_rows` rows if it is a table.

    Raises InputError, with the path and the reason, if it cannot be read.
    """
    try:
        plain = child.call(path, describe, path, n_rows, limits=LIMITS)
        return Contents(
            _shown(plain["kind"]),
            tuple((_shown(name), _shown(value)) for name, value in plain.get("facts", ())),
            tuple(
                (_shown(name), _shown(kind), _shown(meaning, limit=None))
                for name, kind, meaning in plain.get("columns", ())
            ),
            tuple(tuple(map(_shown, row)) for row in plain.get("rows", ())),
            _shown(plain.get("remark", Contents.remark)),
        )
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {one_line(error)}") from None


def json_of(path: Path) -> dict[str, Any]:
    """The JSON object in a file, read in a child. Raises InputError if there is none."""
    try:
        value = child.call(path, read_json, path, limits=LIMITS)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {one_line(error)}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no JSON object")
    return value


def _shown(value: Any, limit: int | None = MAX_TEXT) -> str:
    """A text that can be printed, cut to `limit` characters."""
    text = printable(str(value))
    return text if limit is None or len(text) <= limit else f"{text[: limit - 3]}..."
