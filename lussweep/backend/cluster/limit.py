"""Ends steps that hang: after a time limit their process ends itself and writes where it hung."""

from __future__ import annotations

import faulthandler
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lussweep.backend.cluster.nodes import alive_nodes, ask_all, names_of, on
from lussweep.backend.driver import Outcome


@dataclass(frozen=True)
class TimeLimit:
    """The minutes that a step may take from its start."""

    minutes: float
    mark: str = field(default_factory=lambda: f"lussweep-limit-{uuid.uuid4().hex[:12]}")
    """The prefix of this driver's files in the temporary folder of each node."""

    @contextmanager
    def watching(self, ref: str) -> Iterator[None]:
        """End this process unless the block ends in time.

        The watchdog is a thread in C. It works without Python's global lock, which a step that
        hangs in a library may hold for ever.
        """
        path = self.path(ref)
        with path.open("w") as file:
            faulthandler.dump_traceback_later(60 * self.minutes, exit=True, file=file)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()
                path.unlink(missing_ok=True)

    def timeout_outcome(self, ref: str) -> Outcome | None:
        """The outcome of a lost step whose process the limit has ended; None otherwise."""
        nodes = alive_nodes()
        answers, _ = ask_all(nodes, names_of(nodes), lambda n: on(n, _take).remote(self, ref))
        where = "".join(answers.values())
        if not where:
            return None
        return Outcome(ref, f"TimeLimit: no end within {self.minutes:g} min", where)

    def path(self, ref: str) -> Path:
        """The file on this node that says where a step hung."""
        return Path(tempfile.gettempdir()) / f"{self.mark}-{ref.replace('/', '-')}.txt"


def _take(limit: TimeLimit, ref: str) -> str:
    """The traceback of a step that hung on this node, empty if there is none. Deletes its file."""
    path = limit.path(ref)
    where = path.read_text() if path.exists() else ""
    path.unlink(missing_ok=True)
    return where
