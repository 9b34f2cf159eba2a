"""The command `report`, and reports of `grid` in environments that would end them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import openpyxl
import pyarrow.parquet as pq
import pytest

from lussweep.cli.exits import CELLS_MISSING
from lussweep.report.page.seam import PageSource
from lussweep.report.sections.results import RESULTS
from lussweep.run.lease import Owner
from lussweep.run.mirror import Mirror
from lussweep.run.status import has_ended
from lussweep.store import tables
from lussweep.store.folders import LocalFolder
from support.bucket import Server
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


class Watch:
    """Stands in for the waits of `report --watch`. Each wait runs the next action.

    An action is a function without arguments. After the last one, Ctrl-C is pressed.
    """

    def __init__(self, run: Path, *actions: Callable[[], object]) -> None:
        self.actions = list(actions)
        self.run = run
        self.pages: list[str] = []
        """The page at each wait."""

    def __call__(self, seconds: float) -> None:
        self.pages.append((self.run / "report-watched.html").read_text())
        if not self.actions:
            raise KeyboardInterrupt
        self.actions.pop(0)()


@pytest.fixture
def watch(
    finished: Path, no_figures: None, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Watch, int, list[str]]]:
    """`report --watch` on a run that goes on, with actions between its looks."""
    monkeypatch.setattr(PageSource, "picture", lambda source, name: None)
    set_ended(finished, None)

    def run(*actions: Callable[[], object]) -> tuple[Watch, int, list[str]]:
        waits = Watch(finished, *actions)
        monkeypatch.setattr("lussweep.cli.report.sleep", waits)
        code, printed = invoke("report", finished, "--watch", "--every", "7")
        return waits, code, printed.splitlines()

    return run


def set_ended(run: Path, ended: str | None) -> None:
    """Let the state of a run's driver say how it ended."""
    path = run / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ended": ended}))


def test_a_watched_page_is_renewed_until_the_run_has_ended(
    finished: Path, watch: Callable[..., tuple[Watch, int, list[str]]]
) -> None:
    results, others = finished / "results.parquet", finished / "moved"
    others.mkdir()
    rows = pq.read_table(results).to_pylist()
    rows[-1] |= {"status": "missing", "auroc": None}
    whole = results.read_bytes()

    def begin() -> None:
        tables.write(results, rows, RESULTS)

    def go_on() -> None:
        for path in others.iterdir():
            path.rename(finished / path.name)
        results.write_bytes(whole)

    for path in finished.glob("*.parquet"):
        path.rename(others / path.name)
    (finished / "report.html").unlink()
    waits, code, printed = watch(begin, lambda: None, go_on, lambda: set_ended(finished, "ended"))
    before, half, same, done = waits.pages
    assert "nothing to show yet" in before
    assert "This run is not whole" in half and "has not come to this yet" in half
    assert same == half, "nothing has changed"
    assert "This run is not whole" not in done
    for page in waits.pages:
        assert 'data-refresh="7"' in page and '<meta http-equiv="refresh" content="7">' in page
    last = (finished / "report-watched.html").read_text()
    assert "refresh" not in last.split("<style>")[0]
    assert last == (finished / "report.html").read_text(), "the end writes the other files too"
    assert code == 0
    n = len(rows)
    assert [line.split(" ", 2)[2] for line in printed if "cells are done" in line] == [
        f"{n - 1} of {n} cells are done", f"{n} of {n} cells are done",
    ]  # fmt: skip


def test_watching_outlives_a_table_and_a_part_that_cannot_be_read(
    finished: Path, watch: Callable[..., tuple[Watch, int, list[str]]]
) -> None:
    results = finished / "results.parquet"
    whole = results.read_bytes()

    def spoil_a_record() -> None:
        results.write_bytes(whole)
        for record in (finished / "artifacts" / "evaluate").glob("*/record.json"):
            record.write_text("{}")

    waits, code, printed = watch(lambda: results.write_bytes(whole[:100]), spoil_a_record)
    first, same, spoilt = waits.pages
    assert same == first
    assert "could not be made" in spoilt and "could not be made" not in first
    assert any(line.startswith("not renewed: cannot read the table") for line in printed)
    assert any(line.startswith("not written: report.html, Provenance") for line in printed)
    assert printed[-1] == "stopped" and code == 0, "the last wait was interrupted"
    last = (finished / "report-watched.html").read_text()
    assert "data-refresh" not in last and "could not be made" in last


def test_watching_says_once_that_the_driver_may_have_been_killed(
    finished: Path, watch: Callable[..., tuple[Watch, int, list[str]]]
) -> None:
    def kill() -> None:
        state = json.loads((finished / "state.json").read_text())
        (finished / "state.json").write_text(json.dumps(state | {"written": 0.0}))

    def lines_after(*actions: Callable[[], object]) -> list[str]:
        *_, printed = watch(*actions)
        return [line for line in printed if "the driver of the run is silent" in line]

    (finished / "lease.json").write_text(Owner.this().text())
    assert lines_after(lambda: None) == []
    (finished / "lease.json").unlink()
    assert len(lines_after(kill, lambda: None, lambda: None)) == 1


def test_watching_a_run_that_ended_early_says_so(
    finished: Path, watch: Callable[..., tuple[Watch, int, list[str]]]
) -> None:
    results = finished / "results.parquet"
    rows = pq.read_table(results).to_pylist()
    rows[0] |= {"status": "failed", "auroc": None}
    tables.write(results, rows, RESULTS)
    set_ended(finished, "interrupted")
    waits, code, printed = watch()
    assert waits.pages == [] and code == CELLS_MISSING
    assert any(line.endswith(f"{len(rows) - 1} of {len(rows)} cells are done") for line in printed)


@pytest.mark.usefixtures("no_figures", "own_cache")
def test_a_run_in_a_bucket_is_watched_in_its_local_copy(
    finished: Path, s3: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PageSource, "picture", lambda source, name: None)
    url = f"{s3.url()}/run"
    mirror = Mirror(url)
    artifacts = finished / "artifacts"
    names = ("experiment.yaml", *(path.name for path in finished.glob("*.parquet")))
    mirror.remote.upload({name: finished / name for name in names})
    mirror.remote.write("state.json", (finished / "state.json").read_bytes())
    printed = succeed("report", url, "--watch", "--store", artifacts).splitlines()
    assert printed[0].startswith(f"{mirror.folder}/report-watched.html is renewed")
    page = (mirror.folder / "report-watched.html").read_bytes()
    assert page == mirror.remote.read("report.html")


def test_a_run_that_is_reported_has_not_ended(finished: Path) -> None:
    """A driver says that it has ended, and then writes the report while it holds its lease."""
    place = LocalFolder(finished)
    assert has_ended(place)
    lease = finished / "lease.json"
    lease.write_text(Owner.this().text())
    assert not has_ended(place)
    lease.write_text(replace(Owner.this(), beat_at=0.0).text())
    assert has_ended(place), "its owner was killed"


def test_what_cannot_be_watched_is_refused(tmp_path: Path) -> None:
    assert "there is no run folder" in refusal("report", tmp_path / "no", "--watch")
    assert "give --watch too" in refusal("report", tmp_path, "--every", "5")


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
