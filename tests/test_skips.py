"""A run of the tests ends with the names of those that it skipped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import TESTS

SOME = """
import pytest

@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.skipif(True, reason="needs a GPU:\\n a CPU has no graphs")
def test_marked(n): ...

def test_skips_itself():
    pytest.skip("the videos are not here")

def test_runs(): ...

@pytest.mark.xfail(reason="is known")
def test_fails(): raise ValueError
"""
WHOLE = 'import pytest\npytest.skip("no such library", allow_module_level=True)\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_some.py").write_text(SOME)
    (tmp_path / "test_whole.py").write_text(WHOLE)
    return tmp_path


def printed(folder: Path, *arguments: str) -> list[str]:
    """The lines of a run of the tests in a folder, which takes in the hook."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "support.skips",
            "-p",
            "no:cacheprovider",
            *arguments,
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if line]


@pytest.mark.parametrize("arguments", [[], ["-n", "2"]], ids=["one process", "two"])
def test_skipped_tests_and_modules_are_listed_by_name_with_the_reason(
    folder: Path, arguments: list[str]
) -> None:
    lines = printed(folder, *arguments)
    (start,) = (i for i, line in enumerate(lines) if "= 4 skipped =" in line)
    *listed, last = lines[start + 1 :]
    assert sorted(listed) == [
        "test_some.py::test_marked[1]: needs a GPU: a CPU has no graphs",
        "test_some.py::test_marked[2]: needs a GPU: a CPU has no graphs",
        "test_some.py::test_skips_itself: the videos are not here",
        "test_whole.py: no such library",
    ]
    assert "1 passed, 4 skipped, 1 xfailed in" in last, "pytest's own line stays the last"


def test_a_run_that_skips_nothing_lists_nothing(folder: Path) -> None:
    lines = printed(folder, "test_some.py::test_runs")
    assert not [line for line in lines if "skipped" in line]


def test_this_run_takes_in_the_hook(request: pytest.FixtureRequest) -> None:
    hooks = request.config.pluginmanager.hook.pytest_terminal_summary.get_hookimpls()
    assert [h for h in hooks if h.function.__module__ == "support.skips"]
