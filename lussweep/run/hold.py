"""One command at a time in a folder, which ends in order when a signal asks for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lussweep.backend.stop import Stop
from lussweep.run.lease import TakenOver, held, slot_of
from lussweep.run.mirror import Mirror


@dataclass
class Hold:
    """The folder is this command's, unless `lost` says that another one took it."""

    stop: Stop = field(default_factory=Stop)
    lost: str = ""


@contextmanager
def alone_in(folder: Path, mirror: Mirror | None) -> Iterator[Hold]:
    """Hold the lease of a folder, or of its URL, inside this block, where signals mean a stop.

    Raises InputError while another command holds it, TakenOver if one took it in the meantime and
    the block ended for that.
    """
    hold = Hold()

    def lose(reason: str) -> None:
        hold.lost = reason
        os.kill(os.getpid(), signal.SIGINT)  # as a user would: the main thread handles it

    place = mirror.url if mirror else str(folder)
    try:
        slot = slot_of(folder, mirror.url if mirror else None)
        with held(slot, place, lose), hold.stop.listening():
            yield hold
    except KeyboardInterrupt:
        if hold.lost:
            raise TakenOver(hold.lost) from None
        raise
