"""The rows of a manifest: one video each, with every cell read and judged."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lussweep.data.columns import SPLIT, TextRow, drop_fractions, split_in_disguise
from lussweep.data.labels import describe_labels, parse_label
from lussweep.data.paths import within
from lussweep.data.tables import read_cells
from lussweep.errors import InputError
from lussweep.study.spec import SPLITS
from lussweep.study.spec.data import Box

OTHER_SPLITS = {
    "test": "holdout", "testing": "holdout", "training": "train", "validation": "val",
    "valid": "val", "dev": "val",
}  # fmt: skip
"""Our split for each name that other data use (`split_meanings`)."""
EMPTY_IDS = ("nan", "#n/a", "<na>", "none", "null")
"""Texts, in lower case, that stand for an empty cell where an id belongs."""

NO_LABEL = "it has no label"

Skipped = tuple[str, str, str]
"""Patient, video and the reason why the video was left out."""


@dataclass(frozen=True)
class Row:
    """One video as its row gives it. A cell that is missing or wrong is None and was reported."""

    number: int
    name: str
    patient_id: str | None
    video_id: str | None
    path: Path | None
    label: int | None
    split: str | None
    crop: Box | None = None
    mask_boxes: tuple[Box, ...] = ()
    device: str = ""
    is_unlabelled: bool = False


@dataclass(frozen=True)
class Rows:
    """All rows of a manifest."""

    rows: list[Row]
    notes: tuple[str, ...]
    """What was recognised in the table, for the user to check."""


@dataclass(frozen=True)
class _Cells:
    """The cells of one row. A problem with a cell is added to `findings`."""

    name: str
    texts: TextRow
    findings: dict[str, list[str]]
    """The names of the rows that have a problem, by problem."""

    def read(self, column: str, judge: Callable[[str], Any]) -> Any:
        """The value that `judge` returns for a cell. None without a column, or for a wrong cell."""
        try:
            return judge(self.texts[column]) if column in self.texts else None
        except InputError as error:
            self.findings.setdefault(f"{column} {error}", []).append(self.name)
            return None


def read_rows(
    path: Path, label: str, positive: Collection[str], allow_absolute: bool, problems: list[str]
) -> Rows:
    """Reads the videos of a manifest. Adds one line to `problems` for each thing that is wrong."""
    optional = (SPLIT, "crop", "mask_box", "device")
    table = read_cells(path, ("patient_id", "video_id", "path", label), problems, optional)
    if disguised := split_in_disguise(table.header):
        problems.append(
            f"{path}: no column split, but {disguised!r}: rename it split if it says which "
            "patients are train, val and holdout, or give it another name to have the splits drawn"
        )
    notes = [f"{path.name}: {note}" for note in table.notes]
    if positive and table.rows and label in table.rows[0][1]:
        note, wrong = describe_labels([texts[label] for _, texts in table.rows], positive)
        notes.append(note)
        problems += wrong
    drop_fractions(table.rows, ("patient_id", "video_id"))
    meanings = split_meanings([texts.get(SPLIT, "") for _, texts in table.rows])
    notes += [
        f"{path.name}: split {name!r} is read as {split}"
        for name, split in meanings.items()
        if name != split
    ]
    findings: dict[str, list[str]] = {}
    rows = []
    for number, texts in table.rows:
        name = f"row {number} (video {texts.get('video_id') or 'without id'})"
        cells = _Cells(name, texts, findings)
        value = cells.read(label, lambda text: (parse_label(text, positive),))
        rows.append(
            Row(
                number,
                name,
                cells.read("patient_id", _filled),
                cells.read("video_id", _filled),
                cells.read("path", lambda text: _place(text, path.parent, allow_absolute)),
                value[0] if value else None,
                cells.read(SPLIT, lambda text: _split_name(text, meanings)),
                cells.read("crop", _crop),
                cells.read("mask_box", _boxes) or (),
                texts.get("device", ""),
                value == (None,),
            )
        )
    problems += [
        f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {finding}"
        for finding, names in findings.items()
    ]
    return Rows(rows, tuple(notes))


def _filled(text: str) -> str:
    if not text or text.casefold() in EMPTY_IDS:
        raise InputError("is empty")
    return text


def _boxes(text: str) -> tuple[Box, ...]:
    """The boxes of a cell, such as `10,20,300,400`. Semicolons separate several."""
    boxes = []
    for part in filter(None, map(str.strip, text.split(";"))):
        corners = re.fullmatch(r"(\d{1,5})[, ]+(\d{1,5})[, ]+(\d{1,5})[, ]+(\d{1,5})", part)
        x0, y0, x1, y1 = map(int, corners.groups()) if corners else (0, 0, 0, 0)
        if not (x0 < x1 and y0 < y1):
            raise InputError(f"is {text!r}: give x0,y0,x1,y1 in pixels with x0 < x1 and y0 < y1")
        boxes.append((x0, y0, x1, y1))
    return tuple(boxes)


def _crop(text: str) -> Box | None:
    boxes = _boxes(text)
    if len(boxes) > 1:
        raise InputError(f"is {text!r}: give one box")
    return boxes[0] if boxes else None


def split_meanings(names: Iterable[str]) -> dict[str, str]:
    """Our split for each name, in lower case, that a table or a tree may use.

    `test` can mean the holdout or the validation split. So names of OTHER_SPLITS count only if all
    `names` together give each of our splits one name.
    """
    used = {name.casefold() for name in names} - {""}
    meanings = {name: OTHER_SPLITS.get(name, name) for name in sorted(used)}
    if sorted(meanings.values()) == sorted(SPLITS):
        return meanings
    return {name: name for name in SPLITS}


def _split_name(text: str, meanings: Mapping[str, str]) -> str:
    name = text.casefold()
    if name and name not in meanings:
        meant = OTHER_SPLITS.get(name)
        hint = f" ({meant} is the nearest)" if meant else ""
        raise InputError(f"is {text!r}: use {', '.join(SPLITS)}{hint}")
    return meanings.get(name, "")


def _place(text: str, folder: Path, allow_absolute: bool) -> Path:
    """The path of a cell. Windows' separators and the other Unicode form are tried as well."""
    place = within(text, folder, allow_absolute=allow_absolute)
    if _exists(place):
        return place
    slashes = text.replace("\\", "/")
    forms = (slashes, *(unicodedata.normalize(form, slashes) for form in ("NFC", "NFD")))
    others = [
        within(other, folder, allow_absolute=allow_absolute)
        for other in dict.fromkeys(forms)
        if other != text
    ]
    return next((other for other in others if _exists(other)), place)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # the reader reports such a path
        return False


def unlabelled(rows: Sequence[Row], label: str) -> list[str]:
    """One line for the rows without a label. Empty if there are none."""
    names = [row.name for row in rows if row.is_unlabelled]
    if not names:
        return []
    where = names[0] if len(names) == 1 else f"{len(names)} rows, the first {names[0]}"
    return [f"{label} is empty in {where}: fill it, or leave them out with --skip-unlabelled"]
