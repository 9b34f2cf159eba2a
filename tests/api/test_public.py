"""What `import lussweep` brings, and the examples in the docstrings."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import lussweep
from lussweep import metrics
from support.commands import ROOT, environment

HEAVY = ("torch", "ray", "numpy", "pyarrow", "matplotlib", "pandas", "scipy")


def loaded(code: str) -> set[str]:
    """The heavy modules that a process has imported at the end of some code."""
    code += f"; import sys; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.mark.unhurried
def test_the_import_brings_nothing_heavy() -> None:
    assert loaded("import lussweep; dir(lussweep)") == set()


@pytest.mark.unhurried
def test_statistics_need_no_torch() -> None:
    assert not {"torch", "ray", "matplotlib"} & loaded("import lussweep; lussweep.contrast")


@pytest.mark.unhurried
def test_loading_a_run_needs_no_torch_and_no_ray() -> None:
    assert not {"torch", "ray"} & loaded("import lussweep; lussweep.load_run")


def test_every_public_name_is_there_and_listed() -> None:
    assert set(lussweep.__all__) <= set(dir(lussweep))
    for name in lussweep.__all__:
        assert callable(getattr(lussweep, name))
    with pytest.raises(AttributeError, match="has no attribute 'kmd'"):
        lussweep.kmd  # noqa: B018


def test_editors_see_the_public_names() -> None:
    """The imports for type checkers and the lazy ones name the same functions."""
    text = Path(lussweep.__file__).read_text()
    for name in lussweep.__all__:
        module = getattr(lussweep, name).__module__
        assert f"    from {module} import {name} as {name}\n" in text


@pytest.mark.parametrize("name", metrics.__all__)
def test_scores_of_sets_are_attributes_of_metrics(name: str) -> None:
    assert getattr(metrics, name) is getattr(lussweep, name)


@pytest.mark.parametrize("name", [n for n in lussweep.__all__ if n[0].islower()])
def test_the_example_of_a_docstring_is_right(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (found,) = doctest.DocTestFinder(recurse=False).find(getattr(lussweep, name), name)
    assert found.examples
    report: list[str] = []
    result = doctest.DocTestRunner().run(found, out=report.append)
    assert result.failed == 0, "".join(report)


@pytest.mark.parametrize("name", [n for n in lussweep.__all__ if n[0].islower()])
def test_a_function_is_typed_and_explained_on_its_page(name: str) -> None:
    function = getattr(lussweep, name)
    signature = inspect.signature(function)
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(p.annotation is not p.empty for p in signature.parameters.values())
    assert f"`{name}(" in (ROOT / "docs" / "python.md").read_text()
