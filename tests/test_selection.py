"""Two processes share the tests, and `-m quick` selects those for every save."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.commands import ROOT, TESTS

SETTINGS = "[pytest]\nmarkers =\n    quick\n    slow\n    unhurried\n"


def run(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    """Exit code and printed lines of pytest in a folder with the plugins of these tests."""
    plugins = ["-p", "support.quick", "-p", "support.workers", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout.splitlines()


def written(folder: Path, files: Mapping[str, str]) -> Path:
    for name, content in {"pytest.ini": SETTINGS, **files}.items():
        (folder / name).write_text(content)
    return folder


# --- several processes --------------------------------------------------------------------

FIXTURE = """
import os, pytest

@pytest.fixture(scope="session")
def local_ray(): ...

@pytest.fixture(autouse=True)
def worker(request):
    with open(f"{request.config.rootpath}/told", "a") as file:
        file.write(f"{request.node.path.stem} {os.environ['PYTEST_XDIST_WORKER']}\\n")
"""
ASKS = "".join(f"def test_{i}(local_ray): ...\n" for i in range(3))
PLAIN = "".join(f"def test_{i}(): ...\n" for i in range(3))


def test_all_that_asks_for_ray_runs_in_one_process_and_a_file_stays_whole(tmp_path: Path) -> None:
    names = {f"test_{i}.py": ASKS if i % 2 else PLAIN for i in range(8)}
    code, lines = run(written(tmp_path, {"conftest.py": FIXTURE, **names}), "-n", "2")
    assert code == 0, lines
    assert lines[-1].startswith("=") and " 24 passed in " in lines[-1], "CI reads this line"
    told = {tuple(line.split()) for line in (tmp_path / "told").read_text().splitlines()}
    assert len(told) == len(names), "the tests of one file ran in one process"
    worker_of = dict(told)
    assert len({worker_of[f"test_{i}"] for i in range(1, 8, 2)}) == 1
    assert len(set(worker_of.values())) == 2


# --- quick tests --------------------------------------------------------------------------

MIXED = """
import pytest

@pytest.fixture
def finished(): ...

def test_plain(): ...

@pytest.mark.slow
def test_slow(): ...

@pytest.mark.unhurried
def test_unhurried(): ...

def test_of_a_finished_run(finished): ...
"""


def test_a_test_is_quick_where_nothing_says_that_it_takes_long(tmp_path: Path) -> None:
    code, lines = run(written(tmp_path, {"test_mixed.py": MIXED}), "-m", "quick", "-v")
    assert code == 0, lines
    assert [line.split()[0] for line in lines if "PASSED" in line] == ["test_mixed.py::test_plain"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import ray\ndef test_plain(): ...", "test_some.py imports Ray"),
        (
            "def test_first(): ...\ndef test_imports():\n    import ray\n",
            "test_some.py::test_imports imports Ray",
        ),
    ],
)
def test_a_quick_test_that_imports_ray_fails(content: str, message: str, tmp_path: Path) -> None:
    written(tmp_path, {"ray.py": "", "test_some.py": content})
    for processes in (["-n", "0"], ["-n", "2"]):
        code, lines = run(tmp_path, "-m", "quick", *processes)
        assert code != 0
        assert message in lines
    assert run(tmp_path)[0] == 0, "other runs may import it"


@pytest.mark.unhurried
def test_the_quick_tests_are_most_of_the_tests_and_their_files_do_not_import_ray() -> None:
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n0", "-m", "quick"]
    done = subprocess.run(collect, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    selected = [line for line in done.stdout.splitlines() if "::" in line]
    assert len(selected) > 2000
    assert not [test for test in selected if test.startswith(("tests/e2e/", "tests/clusters/"))]
