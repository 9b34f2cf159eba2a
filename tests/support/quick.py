"""`pytest -m quick`: tests for every save, a plugin of pytest's.

A test is quick where nothing says that it takes long: it is not in a folder of `LONG`, does not ask
for what takes seconds to make, and is marked neither `slow` nor `unhurried`. So a new test is quick
by itself. None of them may import Ray, which takes seconds and holds on to the process.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.commands import TESTS

LONG = ("e2e", "clusters", "gpu", "backend/cluster")
"""Folders whose files `-m quick` does not even import."""
MADE_SLOWLY = {"local_ray", "uninterrupted", "finished", "bucket", "s3", "gcs"}
MARKS = ("slow", "unhurried")


def asked_for(config: pytest.Config) -> bool:
    return str(config.option.markexpr) == "quick"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if asked_for(config) and is_long(collection_path):
        return True
    return None


def is_long(path: Path) -> bool:
    return any(path.is_relative_to(TESTS / folder) for folder in LONG)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if is_quick(item):
            item.add_marker("quick")


def is_quick(item: pytest.Item) -> bool:
    return not (
        is_long(item.path)
        or any(map(item.get_closest_marker, MARKS))
        or MADE_SLOWLY.intersection(getattr(item, "fixturenames", ()))
    )


def pytest_collection_finish(session: pytest.Session) -> None:
    if asked_for(session.config) and "ray" in sys.modules:
        raise pytest.UsageError("a file of quick tests imports Ray")


@pytest.fixture(autouse=True)
def without_ray(request: pytest.FixtureRequest) -> Iterator[None]:
    """In a run of quick tests, the first that brings Ray in fails."""
    before = "ray" in sys.modules
    yield
    assert not asked_for(request.config) or before or "ray" not in sys.modules, "it imports Ray"
