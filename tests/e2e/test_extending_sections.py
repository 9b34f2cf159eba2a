"""The section of docs/extending.md: the page's file and command, as they stand."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from e2e.test_backends import snapshot
from support.commands import ROOT, TINY, environment, lussweep
from support.pages import blocks

SECTION = (ROOT / "docs" / "extending.md").read_text().split("## A report section")[1]
SECTION = SECTION.split("\n## ")[0]
TABLE = "mean_scores.parquet"


@pytest.fixture
def page(finished: Path, tmp_path: Path) -> Path:
    """A folder with the page's file, its experiment, and a finished run of that experiment."""
    (text,) = blocks(SECTION, "py")
    (tmp_path / "mean_scores.py").write_text(text)
    (tmp_path / "pixels.yaml").write_text(TINY)
    finished.rename(tmp_path / "mean-scores-run")
    return tmp_path


def run_command(page: Path) -> str:
    """Runs the page's command and returns what it prints."""
    (command,) = blocks(SECTION, "bash")
    python, *arguments = shlex.split(command)
    assert python == "python"
    # A rewritten module of the same size and second must not come from the cache.
    found = {**environment(), "PYTHONDONTWRITEBYTECODE": "1"}
    found["PYTHONPATH"] = os.pathsep.join(filter(None, [str(page), found.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, *arguments], cwd=page, env=found, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def changed(page: Path, old: str, new: str) -> None:
    path = page / "mean_scores.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_section_is_one_file(page: Path) -> None:
    """Its table is written with units, listed, kept, and made anew when its version changes."""
    run = page / "mean-scores-run"
    before = snapshot(run)
    printed = run_command(page).splitlines()

    table = pq.read_table(run / TABLE)
    scores = pq.read_table(run / "frame_scores.parquet").to_pandas()
    assert len(table) == len(pq.read_table(run / "results.parquet"))
    for row in table.to_pylist():
        place = scores[
            (scores.n_patients == row["n_patients"]) & (scores.variant == row["variant"])
        ]
        means = place.groupby("label").score.mean()
        assert (row["negative"], row["positive"]) == pytest.approx((means[0], means[1]))
    unit = b"probability, mean over positive holdout frames"
    assert pq.read_schema(run / TABLE).field("positive").metadata[b"unit"] == unit

    listed = [line.rpartition("/")[2] for line in printed]
    at = listed.index(TABLE)
    assert listed[at - 1] == "usefulness.parquet" and listed[at + 1] == "auroc.png"
    assert TABLE in json.loads((run / "report.json").read_text())["files"]
    written = snapshot(run)
    same = {name for name, (_, content) in before.items() if written[name][1] == content}
    assert {name for name in before if name.endswith((".parquet", ".png", ".csv"))} <= same

    run_command(page)
    assert snapshot(run) == written, "nothing is written where nothing has changed"

    changed(page, "label_U == 0", "label_U == 1")
    run_command(page)
    assert snapshot(run) == written, "the version says whether rows have changed"
    changed(page, "version=1", "version=2")
    run_command(page)
    rows = pq.read_table(run / TABLE).to_pylist()
    assert all(row["negative"] == row["positive"] for row in rows)


def test_a_section_may_use_another_and_a_new_schema_needs_no_new_version(page: Path) -> None:
    run = page / "mean-scores-run"
    run_command(page)
    changed(page, "collected.cells.scored.items()\n", "collected.cells.scored.items()\n"
            "        if collected.table(\"means\").num_rows\n")  # fmt: skip
    changed(page, "mean over negative holdout frames", "0 to 1")
    run_command(page)
    assert pq.read_schema(run / TABLE).field("negative").metadata[b"unit"] == b"probability, 0 to 1"
    assert len(pq.read_table(run / TABLE))


def test_a_report_without_the_section_removes_its_table(page: Path) -> None:
    run = page / "mean-scores-run"
    run_command(page)
    (run / "own.parquet").write_bytes(b"a user's own file")
    done = lussweep("grid", page / "pixels.yaml", "--out", run, "--backend", "inline", cwd=page)
    assert done.returncode == 0, done.stderr
    assert not (run / TABLE).exists()
    assert TABLE not in done.stdout
    assert TABLE not in json.loads((run / "report.json").read_text())["files"]
    assert (run / "own.parquet").exists()


def test_a_section_that_fails_leaves_no_report_that_counts_as_whole(page: Path) -> None:
    run = page / "mean-scores-run"
    before = {path: path.stat().st_mtime_ns for path in run.glob("*.parquet")}
    changed(page, "    return [\n", '    raise ValueError("no mean")\n    return [\n')
    with pytest.raises(AssertionError, match="no mean"):
        run_command(page)
    assert not (run / "report.json").exists()
    assert {path: path.stat().st_mtime_ns for path in run.glob("*.parquet")} == before
    changed(page, '    raise ValueError("no mean")\n', "")
    run_command(page)
    assert (run / TABLE).exists()
