"""Locks between processes. Each lock is a file that one process holds.

The kernel frees a lock when the process that holds it ends, however it ends, so no lock is stale.
Locks work between machines if the locks of the file system do, as those of NFS.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

NO_LOCKS = (
    errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL,
    errno.EIO, errno.ESTALE, getattr(errno, "EREMOTEIO", errno.EIO),
)  # fmt: skip
"""Error numbers of a file system without locks, or of one whose server does not answer."""


class NoLocksError(OSError):
    """The file system has no locks."""


def take(path: Path, *, wait: bool) -> FileLock:
    """Takes the lock at `path` until `release` is called or the process ends.

    Makes the folder of `path`. Raises filelock.Timeout if another holder has the lock and
    `wait` is false. Raises NoLocksError if the file system has no locks.
    """
    # By default filelock may use a file whose existence is the lock, which a killed process would
    # leave behind. Its locks also belong to one thread, and would end with that thread.
    lock = FileLock(path, fallback_to_soft=False, thread_local=False)
    try:
        lock.acquire(blocking=wait)
    except Timeout:  # Timeout is an OSError too
        raise
    except OSError as error:
        if error.errno in NO_LOCKS:
            raise NoLocksError(error.errno, error.strerror, str(path)) from error
        raise
    return lock


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits for the lock and holds it inside the block. Without locks, the block just runs."""
    with ExitStack() as stack:
        with suppress(NoLocksError):
            stack.callback(take(path, wait=True).release)
        yield


@contextmanager
def locked_if_free(path: Path) -> Iterator[bool]:
    """Holds the lock inside the block if nobody has it. Gives whether the block may go on.

    The block may also go on if the file system has no locks.
    """
    with ExitStack() as stack:
        try:
            stack.callback(take(path, wait=False).release)
        except Timeout:
            yield False
            return
        except NoLocksError:
            pass
        yield True
