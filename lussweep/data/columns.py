"""Finds the columns of a table by their names, which people write in many ways."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

MAX_COLUMNS = 1000
MAX_ROWS = 10**6
SPLIT = "split"
SPLIT_WORDS = (
    "set", "subset", "fold", "partition", "dataset", "data_set", "data_split", "split_name",
    "splits",
)  # fmt: skip
"""Names under which other tables keep a split."""
OTHER_NAMES = {
    "patient_id": ("patient", "id", "subject", "subject_id", "participant", "pid"),
    "video_id": ("video", "clip", "clip_id", "loop", "cine", "id"),
    "path": ("file", "filename", "file_name", "file_path", "video_path"),
    "frame": ("frames", "frame_number", "frame_index"),
}
"""Names that other tables give to a column of ours. A refusal suggests them, but none is read: `id`
may name a video or a patient."""

_FLOAT = re.compile(r"\d+\.0")

TextRow = dict[str, str]
"""Stripped texts by the name of their column."""


@dataclass(frozen=True)
class TextTable:
    """The cells of a table as text."""

    header: tuple[str, ...]
    """The names of all columns, as the table writes them."""
    rows: list[tuple[int, TextRow]]
    """The number of each row (from 1, below the header) and its cells in the columns that were
    found. Rows without any text are left out."""
    ragged: list[int] = field(default_factory=list)
    """The numbers of rows with more or fewer cells than the header."""
    separators: str = ""
    """What separates the cells of a text table, in words such as `commas`."""
    notes: tuple[str, ...] = ()
    """Unusual features of the file that were recognised, such as its delimiter. One line each."""


def cell_text(value: Any) -> str:
    """The text of a typed cell: whole numbers without a fraction, booleans as 1 and 0."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return str(value).strip()


def name_key(name: str) -> str:
    """The form in which names of columns are compared.

    Case, spaces around the name, invisible characters and the choice of space, hyphen or underscore
    do not count.
    """
    text = unicodedata.normalize("NFKC", name)
    text = "".join(c for c in text if unicodedata.category(c) != "Cf")
    return re.sub(r"[\s-]+", "_", text.strip()).casefold()


def drop_fractions(rows: Collection[tuple[int, TextRow]], columns: Collection[str]) -> None:
    """Turns `1.0` into `1` in a column of ids if all its texts have this form."""
    for column in columns:
        if all(_FLOAT.fullmatch(texts.get(column, "")) for _, texts in rows):
            for _, texts in rows:
                texts[column] = texts[column].removesuffix(".0")


def find_columns(header: Sequence[str], wanted: Collection[str]) -> dict[str, int]:
    """The place of each wanted column that the header has.

    Raises ValueError if there are too many columns, or if two columns have the same wanted name.
    """
    if len(header) > MAX_COLUMNS:
        raise ValueError(f"it has {len(header)} columns, over {MAX_COLUMNS}")
    places: dict[str, int] = {}
    by_key = {name_key(name): name for name in wanted}
    for i, written in enumerate(header):
        name = by_key.get(name_key(written))
        if name is None:
            continue
        if name in places:
            raise ValueError(
                f"a column name occurs twice ({header[places[name]]!r} and {written!r}): remove one"
            )
        places[name] = i
    return places


def missing_columns(header: Sequence[str], required: Collection[str]) -> list[str]:
    """One line for each required column that the header lacks, with what may stand for it."""
    places = find_columns(header, required)
    named = [name for name in header if name.strip()]
    if len(named) == 1 and len(required) > 1 and re.search(r"[^\w.-]", named[0].strip()):
        return [
            f"its header is one cell, {named[0][:100]!r}: separate the columns by commas, "
            "semicolons, tabs or vertical bars"
        ]
    return [
        f"no column {name}{_suggestion(name, header)}" for name in required if name not in places
    ]


def _suggestion(name: str, header: Sequence[str]) -> str:
    # Child processes import this module, and the package of the specs takes long to import.
    from lussweep.study.spec import nearest

    keys = {name_key(written): written for written in header if written.strip()}
    other = next((keys[word] for word in OTHER_NAMES.get(name, ()) if word in keys), None)
    if other is not None:
        return f": did you mean {other}? Rename it {name}"
    return nearest(name, keys.values())


def split_in_disguise(header: Sequence[str]) -> str | None:
    """The column that may hold the split although it has another name; None if there is none."""
    keys = {name_key(written): written for written in header if written.strip()}
    if SPLIT in keys:
        return None
    close = get_close_matches(SPLIT, keys, n=1, cutoff=0.8)
    word = next((word for word in (*SPLIT_WORDS, *close) if word in keys), None)
    return None if word is None else keys[word]


def renamed(header: Sequence[str], places: Mapping[str, int]) -> list[str]:
    """One note for each column that is read although it is written in another way."""
    return [
        f"column {header[i]!r} is read as {name}" for name, i in places.items() if header[i] != name
    ]
