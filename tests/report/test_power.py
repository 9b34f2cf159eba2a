"""`lussweep plan --power`: the variances of a run, and the replicates that detect a difference."""

from __future__ import annotations

import pyarrow as pa
import pytest

from lussweep.analysis.power import replicates_needed
from lussweep.cli.power import power_table
from lussweep.errors import InputError
from lussweep.report.power import assumed_components, measured_components
from lussweep.report.sections.contrasts import CONTRASTS
from lussweep.store import tables
from support.commands import refused, succeed

ROW = {
    "n_patients": 6, "variant": "combined", "reference": "baseline", "n_replicates": 3,
    "standard_error": 0.01, "training_sd": 0.012, "training_df": 5.0, "patient_sd": 0.004,
    "patient_df": 40.0, "own_sd": 0.008,
}  # fmt: skip


def run_with(folder, *rows):
    tables.write(folder / "contrasts.parquet", pa.Table.from_pylist(rows, CONTRASTS), CONTRASTS)
    return folder


def test_components_are_those_of_contrasts_with_an_interval(tmp_path):
    withheld = {"n_patients": 15, "variant": "combined", "reference": "baseline"}
    of_epoch = ROW | {"gan_epoch": 50, "patient_df": None}
    found = measured_components(run_with(tmp_path, ROW, withheld, of_epoch))
    assert list(found) == ["combined - baseline, n = 6", "combined epoch 50 - baseline, n = 6"]
    assert found["combined - baseline, n = 6"] == pytest.approx(
        (0.012**2, 5, 3, 0.004**2, 40, 0.008**2)
    )
    assert found["combined epoch 50 - baseline, n = 6"].patient_df == float("inf")


def test_the_table_says_how_many_replicates_are_needed():
    components = assumed_components()
    table = power_table(components, 0.02)
    first, one = next(iter(components.items()))
    cells = [next(iter(column.cells)) for column in table.columns]
    assert str(cells[0]) == first
    assert cells[4:] == [str(replicates_needed(one, 0.02, k) or "none") for k in (1, 3, 10)]


@pytest.mark.parametrize("rows", [None, []])
def test_a_run_without_such_contrasts_is_refused(tmp_path, rows):
    if rows is not None:
        run_with(tmp_path, *rows)
    with pytest.raises(InputError, match=r"contrasts\.parquet|no contrast has an interval"):
        measured_components(tmp_path)


def test_a_table_of_another_version_is_refused(tmp_path):
    old = pa.table({"n_patients": [6], "difference": [0.1]})
    pa.parquet.write_table(old, tmp_path / "contrasts.parquet")
    with pytest.raises(InputError, match="other columns"):
        measured_components(tmp_path)


def test_the_command_prints_assumed_variances_without_a_run(tmp_path):
    done = succeed("plan", "--power", "0.02", "--out", tmp_path / "run")
    assert "assumed, not measured" in done
    assert "Replicates that detect a difference of 0.02" in done
    told = refused("plan", "--power", "0.02", "--from", tmp_path, "--out", tmp_path / "run")
    assert "contrasts.parquet" in told[0]
