"""The built-in experiment, whole: minutes long, so it runs with `-m slow`."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from support.commands import lussweep


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_more_patients_make_a_better_baseline(tmp_path: Path) -> None:
    done = lussweep("grid", "--replicates", "3", "--out", "run", cwd=tmp_path, timeout_s=1800)
    assert done.returncode == 0, done.stderr
    results = pq.read_table(tmp_path / "run" / "results.parquet").to_pandas()
    assert len(results) == 75
    assert set(results.status) == {"done"}
    baseline = results[results.variant == "baseline"].groupby("n_patients").auroc.mean()
    assert baseline[58] >= 0.85
    assert baseline[58] >= baseline[6] + 0.05
