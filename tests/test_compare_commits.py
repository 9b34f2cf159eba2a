"""The comparison of two commits sees what differs, and only that."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compare_commits import compare

ROW = {"cell": "n=2", "auroc": 0.75, "intervals": [0.5, 1.0], "train_seconds": 1.5, "n": 3}


def run_with(folder: Path, **changes: object) -> Path:
    folder.mkdir()
    pq.write_table(pa.Table.from_pylist([{**ROW, **changes}, ROW]), folder / "results.parquet")
    return folder


@pytest.mark.parametrize("change", [{}, {"auroc": 0.75 + 1e-12}, {"train_seconds": 9.0}])
def test_rounding_and_circumstance_are_no_difference(
    tmp_path: Path, change: dict[str, object]
) -> None:
    assert compare(run_with(tmp_path / "a"), run_with(tmp_path / "b", **change)) == []


@pytest.mark.parametrize(
    "change", [{"auroc": 0.7500001}, {"cell": "n=3"}, {"intervals": [0.5]}, {"n": 4}]
)
def test_a_changed_value_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    (line,) = compare(run_with(tmp_path / "a"), run_with(tmp_path / "b", **change))
    assert line.startswith(f"results.parquet: row 0, {next(iter(change))}: ")


def test_missing_tables_and_artifacts_are_named(tmp_path: Path) -> None:
    before, after = run_with(tmp_path / "a"), run_with(tmp_path / "b")
    (after / "results.parquet").unlink()
    (after / "artifacts" / "gan" / "0123").mkdir(parents=True)
    told = compare(before, after)
    assert told == ["results.parquet: only before", "artifacts/gan/0123: only after"]


def test_a_column_that_is_gone_is_named(tmp_path: Path) -> None:
    before, after = run_with(tmp_path / "a"), run_with(tmp_path / "b")
    table = pq.read_table(after / "results.parquet").drop(["n"])
    pq.write_table(table, after / "results.parquet")
    assert compare(before, after) == ["results.parquet: schema"]
