"""The command `report`, and reports of `grid` in environments that would end them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import openpyxl
import pyarrow.parquet as pq
import pytest

from lussweep.cli.exits import CELLS_MISSING
from support.commands import command, environment, invoke, refusal, succeed


def test_report_writes_a_page_and_what_a_paper_needs(finished: Path) -> None:
    before = {path: path.read_bytes() for path in finished.glob("*.parquet")}
    page = (finished / "report.html").read_text()
    (finished / "report.html").unlink()
    printed = succeed("report", finished)
    assert (finished / "report.html").read_text() == page, "it is that of `grid`"
    assert f"{finished}/report.html" in printed.splitlines()
    place = finished / "publication"
    for kind in ("png", "svg", "pdf"):
        assert (place / "figures" / f"auroc.{kind}").stat().st_size > 1000
    book = openpyxl.load_workbook(place / "results.xlsx")
    n_cells = len(pq.read_table(finished / "results.parquet"))
    assert len(list(book["results"].values)) == n_cells + 2, "names and units stand above the cells"
    assert {path: path.read_bytes() for path in before} == before, "it changes no table"


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the figures for a paper, which take seconds."""
    monkeypatch.setattr("lussweep.report.publication.DRAWINGS", {})


@pytest.mark.usefixtures("no_figures")
def test_a_shareable_page_is_another_file_without_frames(finished: Path) -> None:
    succeed("report", finished, "--shareable")
    shared = (finished / "report-shareable.html").read_text()
    assert "<img" not in shared and "Frames are left out" in shared
    assert "<img" in (finished / "report.html").read_text()


@pytest.mark.usefixtures("no_figures")
def test_a_run_that_goes_on_has_a_page(finished: Path) -> None:
    for path in finished.glob("*.parquet"):
        if path.stem not in ("results",):
            path.unlink()
    succeed("report", finished)
    assert "has not come to this yet" in (finished / "report.html").read_text()


@pytest.mark.usefixtures("no_figures")
def test_a_part_that_cannot_be_made_is_named(finished: Path) -> None:
    """A table of another schema is an error; a record that is gone is one of its part alone."""
    for record in (finished / "artifacts" / "evaluate").glob("*/record.json"):
        record.write_text("{}")
    code, printed = invoke("report", finished)
    assert code == CELLS_MISSING
    (line,) = (line for line in printed.splitlines() if line.startswith("not written: "))
    assert line.startswith("not written: report.html, Provenance: ")
    assert "Contrasts" in (finished / "report.html").read_text()


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    assert "is not a run folder" in refusal("report", tmp_path)
    (tmp_path / "experiment.yaml").write_text("name: a\n")
    assert "no results.parquet yet" in refusal("report", tmp_path)


def test_a_notebook_s_backend_and_a_terminal_of_ascii_end_no_run(
    finished: Path, tiny_yaml: Path, tmp_path: Path
) -> None:
    figures = {path.name: path.read_bytes() for path in (finished / "figures").iterdir()}
    page = (finished / "report.html").read_text()
    for path in (*finished.glob("*.parquet"), *(finished / "figures").iterdir()):
        path.unlink()
    strange = {
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONIOENCODING": "ascii",
    }
    done = subprocess.run(
        command("grid", tiny_yaml, "--out", finished, "--backend", "inline"),
        cwd=tmp_path, env={**environment(), **strange}, capture_output=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert "not written" not in done.stdout.decode("ascii")
    assert {path.name: path.read_bytes() for path in (finished / "figures").iterdir()} == figures
    assert (finished / "report.html").read_text() == page
    assert os.listdir(finished / "figures")
