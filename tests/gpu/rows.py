"""Figures of one part of the GPU check, written as they are measured: a cut part keeps them."""

from __future__ import annotations

import json
from pathlib import Path


class Rows:
    """Writes one JSON line a figure to `path`, and prints it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, name: str, value: float, unit: str, note: str = "") -> None:
        self._write({"name": name, "value": value, "unit": unit, "note": note, "status": "ok"})

    def tell(self, name: str, finding: str) -> None:
        """A finding that is no number."""
        self._write({"name": name, "note": finding, "status": "ok"})

    def skip(self, name: str, reason: str) -> None:
        """What this machine does not have; no failure."""
        self._write({"name": name, "note": reason, "status": "skipped"})

    def fail(self, name: str, reason: str) -> None:
        """The whole check fails, and the rest of the part goes on."""
        self._write({"name": name, "note": reason, "status": "failed"})

    def _write(self, row: dict[str, object]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(" ".join(str(value) for value in row.values() if value != ""), flush=True)


def first_line(error: BaseException) -> str:
    """The error on one line, for a row."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
