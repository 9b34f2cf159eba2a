"""Which of pytest's processes runs which test: a plugin of pytest's.

The tests of a file stay together, so that what they share is made once. All files that ask for
`local_ray` go to one process, so that there is one such Ray. They come first, then what takes
minutes, so that no process waits long for another at the end.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

LONG = (
    "tests/e2e/", "tests/gpu/", "tests/backend/", "tests/models/", "tests/clusters/", "tests/test_",
)  # fmt: skip
"""Where most of the time goes, from the longest on."""


def pytest_configure() -> None:
    """All processes, and all that they start, share the processors evenly."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("RAY_worker_niceness", "0")  # else whatever else computes goes first
    with suppress(ImportError):  # where a GPU is checked there is no Hypothesis
        from hypothesis import HealthCheck, settings

        # An example may take as long as the other processes let it.
        patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
        settings.register_profile("patient", patient)
        settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: rank(file_of(item.nodeid), config.rootpath))


def rank(file: str, root: Path) -> int:
    """A file with a lower one is begun earlier."""
    if asks_for_ray(root / file):
        return -1
    return next((i for i, start in enumerate(LONG) if file.startswith(start)), len(LONG))


def file_of(nodeid: str) -> str:
    return nodeid.split("::")[0]


@cache
def asks_for_ray(path: Path) -> bool:
    return "local_ray" in path.read_text()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Instead of the scheduler that `--dist` names."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduler(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = file_of(nodeid)
            return "local_ray" if asks_for_ray(config.rootpath / file) else file

    config.option.loadscopereorder = False  # in the order of `rank`
    return Scheduler(config, log)
