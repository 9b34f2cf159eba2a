"""Steps that hang: after so many minutes their process ends itself, and says where it hung."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lussweep.backend.driver import Outcome


@dataclass(frozen=True)
class TimeLimit:
    """Minutes that a step may take from its start, and a folder that all nodes see."""

    minutes: float
    folder: Path

    @contextmanager
    def watching(self, ref: str) -> Iterator[None]:
        """Ends this process unless the block ends in time.

        The watchdog is a thread in C: it needs no lock of Python's, which a step that hangs in a
        library may hold for ever.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(ref)
        with path.open("w") as file:
            faulthandler.dump_traceback_later(60 * self.minutes, exit=True, file=file)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()
        path.unlink(missing_ok=True)

    def told(self, ref: str) -> Outcome | None:
        """The failure of a step whose process was lost, if the limit ended it."""
        path = self._path(ref)
        where = path.read_text() if path.exists() else ""
        if not where:
            return None
        path.unlink()
        return Outcome(ref, f"TimeLimit: no end within {self.minutes:g} min", where)

    def _path(self, ref: str) -> Path:
        return self.folder / f"{ref.replace('/', '-')}.txt"
