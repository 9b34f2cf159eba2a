"""Lets one command at a time work in a folder, and lets a signal stop it in order."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lussweep.backend.stop import Stop
from lussweep.run.lease import TakenOver, held, lease_file
from lussweep.run.mirror import WorkFolder


@dataclass
class Hold:
    """The lease of a folder that this command holds. `lost` says why it was lost, if it was."""

    stop: Stop = field(default_factory=Stop)
    lost: str = ""


@contextmanager
def hold_folder(folder: WorkFolder) -> Iterator[Hold]:
    """Hold the lease of a folder inside this block, and turn signals there into a stop request.

    Raises InputError if another command holds the lease. Raises TakenOver if the block was
    interrupted because another command took the lease.
    """
    hold = Hold()

    def lose(reason: str) -> None:
        hold.lost = reason
        os.kill(os.getpid(), signal.SIGINT)  # the main thread handles it, as it does Ctrl-C

    try:
        file = lease_file(folder.path, folder.mirror.url if folder.mirror else None)
        with held(file, folder.place, lose), hold.stop.listening():
            yield hold
    except KeyboardInterrupt:
        if hold.lost:
            raise TakenOver(hold.lost) from None
        raise
