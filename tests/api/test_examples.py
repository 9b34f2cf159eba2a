"""The notebooks of examples/ run as they are, from the first cell to the last.

They are kept without outputs: a picture or a number in a file would go stale without a failing
test, and every run would change the file.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from support.commands import ROOT, environment

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def test_there_are_two_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["own_scores", "small_grid"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)


@pytest.mark.unhurried
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env=environment() | {"OMP_NUM_THREADS": "1", "IPYTHONDIR": str(tmp_path)})
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    warned = [o["text"] for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    assert [text for text in warned if "TqdmWarning" not in text] == []  # tqdm misses ipywidgets
    shown = [output.data for output in outputs if output.output_type == "execute_result"]
    assert any("text/html" in data for data in shown)
    if path.stem == "small_grid":
        assert sum("image/png" in data for data in shown) == 2
