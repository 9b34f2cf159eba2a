"""One command at a time in a folder, which ends in order when a signal asks for it."""

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
    """A folder's lease in this command's hands, unless `lost` says that another command took it."""

    stop: Stop = field(default_factory=Stop)
    lost: str = ""


@contextmanager
def hold_folder(folder: WorkFolder) -> Iterator[Hold]:
    """Hold the lease of a folder inside this block, where a signal asks for a stop.

    Raises InputError while another command holds the lease. Raises TakenOver if another command
    took it in the meantime and the block ended for that reason.
    """
    hold = Hold()

    def lose(reason: str) -> None:
        hold.lost = reason
        os.kill(os.getpid(), signal.SIGINT)  # as a user would: the main thread handles it

    try:
        file = lease_file(folder.path, folder.mirror.url if folder.mirror else None)
        with held(file, folder.place, lose), hold.stop.listening():
            yield hold
    except KeyboardInterrupt:
        if hold.lost:
            raise TakenOver(hold.lost) from None
        raise
