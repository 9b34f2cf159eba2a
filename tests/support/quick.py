"""`pytest -m quick`: tests for every save, a plugin of pytest's.

A test is quick where nothing says that it takes long: it is not in a folder of `LONG`, does not ask
for what takes seconds to make, and is marked neither `slow` nor `unhurried`. So a new test is quick
by itself. None of them may import Ray, which takes seconds and holds on to the process.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
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


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In a run of quick tests, the first file that brings Ray in fails."""
    before = "ray" in sys.modules
    report = yield
    if asked_for(collector.config) and not before and "ray" in sys.modules:
        report.outcome, report.longrepr = "failed", f"{collector.nodeid} imports Ray"
    return report


@pytest.fixture(autouse=True)
def without_ray(request: pytest.FixtureRequest) -> Iterator[None]:
    """In a run of quick tests, the first test that brings Ray in fails."""
    before = "ray" in sys.modules
    yield
    if asked_for(request.config) and not before and "ray" in sys.modules:
        pytest.fail(f"{request.node.nodeid} imports Ray", pytrace=False)
