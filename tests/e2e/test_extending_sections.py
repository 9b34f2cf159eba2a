"""The section of docs/extending.md in a run that is finished, and what a change of it does."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from e2e.test_backends import snapshot
from support.commands import TINY
from support.packages import run

TABLE = "mean_scores.parquet"


@dataclass(frozen=True)
class Extended:
    """A folder with a plugin, experiments, and a run that was reported without and with it."""

    folder: Path
    before: dict[str, tuple[int, bytes]]
    """The files of the run, which was made without the plugin. `tiny.yaml` does not name it."""
    printed: str
    """What the command with the plugin printed."""


@pytest.fixture(scope="module")
def extended(site: Path, uninterrupted: Path, tmp_path_factory: pytest.TempPathFactory) -> Extended:
    folder = tmp_path_factory.mktemp("extended")
    ran = shutil.copytree(uninterrupted, folder / "run")
    shutil.copytree(site, folder / "site", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tiny.yaml").write_text(TINY)
    (folder / "section.yaml").write_text(f"plugins: [blurred]{TINY}")
    return Extended(folder, snapshot(ran), run_grid(folder))


@pytest.fixture
def folder(extended: Extended, tmp_path: Path) -> Path:
    """A copy, to be changed at will."""
    return Path(shutil.copytree(extended.folder, tmp_path / "extended"))


def run_grid(folder: Path, experiment: str = "section.yaml") -> str:
    """Run the experiment into the finished run, and return what the command prints."""
    given = ("--out", "run", "--backend", "inline")
    return run("grid", experiment, *given, cwd=folder, site=folder / "site")


def change(folder: Path, old: str, new: str, file: str = "mean_scores.py") -> None:
    path = folder / "site" / "blurred" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_a_section_is_a_table_of_the_report(extended: Extended, folder: Path) -> None:
    """Its table is written with units, listed, kept, and made anew when its version changes."""
    ran, before = folder / "run", extended.before
    printed = extended.printed.splitlines()

    table = pq.read_table(ran / TABLE)
    scores = pq.read_table(ran / "frame_scores.parquet").to_pandas()
    assert len(table) == len(pq.read_table(ran / "results.parquet"))
    for row in table.to_pylist():
        place = scores[
            (scores.n_patients == row["n_patients"]) & (scores.variant == row["variant"])
        ]
        means = place.groupby("label").score.mean()
        assert (row["negative"], row["positive"]) == pytest.approx((means[0], means[1]))
    unit = b"probability, mean over positive holdout frames"
    assert pq.read_schema(ran / TABLE).field("positive").metadata[b"unit"] == unit

    listed = [line.rpartition("/")[2] for line in printed]
    at = listed.index(TABLE)
    assert listed[at - 1] == "usefulness.parquet" and listed[at + 1] == "auroc.png"
    assert TABLE in json.loads((ran / "report.json").read_text())["files"]
    written = snapshot(ran)
    same = {name for name, (_, content) in before.items() if written[name][1] == content}
    assert {name for name in before if name.endswith((".parquet", ".png", ".csv"))} <= same

    run_grid(folder)
    assert snapshot(ran) == written, "nothing is written where nothing has changed"

    change(folder, "label_U == 0", "label_U == 1")
    run_grid(folder)
    assert snapshot(ran) == written, "the version says whether rows have changed"
    change(folder, "version=1", "version=2", "__init__.py")
    run_grid(folder)
    rows = pq.read_table(ran / TABLE).to_pylist()
    assert all(row["negative"] == row["positive"] for row in rows)


def test_a_section_may_use_another_and_a_new_schema_needs_no_new_version(folder: Path) -> None:
    ran = folder / "run"
    change(folder, "collected.cells.scored.items()\n", "collected.cells.scored.items()\n"
            "        if collected.table(\"means\").num_rows\n")  # fmt: skip
    change(folder, "mean over negative holdout frames", "0 to 1")
    run_grid(folder)
    assert pq.read_schema(ran / TABLE).field("negative").metadata[b"unit"] == b"probability, 0 to 1"
    assert len(pq.read_table(ran / TABLE))


def test_a_report_without_the_section_removes_its_table(folder: Path) -> None:
    ran = folder / "run"
    (ran / "own.parquet").write_bytes(b"a user's own file")
    printed = run_grid(folder, "tiny.yaml")
    assert not (ran / TABLE).exists()
    assert TABLE not in printed
    assert TABLE not in json.loads((ran / "report.json").read_text())["files"]
    assert (ran / "own.parquet").exists()


def test_a_section_that_fails_is_named_and_every_other_file_is_written(folder: Path) -> None:
    ran = folder / "run"
    (ran / "report.json").unlink()
    (ran / "means.parquet").unlink()
    change(folder, "    return [\n", '    raise ValueError("no mean")\n    return [\n')
    printed = run_grid(folder)
    (line,) = (line for line in printed.splitlines() if line.startswith("not written: "))
    assert line.startswith(f"not written: {TABLE}: ValueError: no mean: ")
    assert (ran / "means.parquet").exists() and not (ran / TABLE).exists()
    change(folder, '    raise ValueError("no mean")\n', "")
    run_grid(folder)
    assert (ran / TABLE).exists()
