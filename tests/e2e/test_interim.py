"""The results of a run that goes on."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow.parquet as pq

from lussweep.data.phantom import phantom_manifest
from lussweep.report.write import write_interim
from lussweep.run.folder import open_run
from lussweep.run.mirror import WorkFolder
from lussweep.study.spec import load_study
from support.commands import TINY


def test_interim_results_hold_no_statistics_and_leave_other_tables_alone(finished: Path) -> None:
    study = load_study(TINY).with_embedders(False)
    manifest = phantom_manifest(study.data.phantom, study.seed)
    run = open_run(WorkFolder(finished), study, manifest, phantom=True)
    whole = pq.read_table(finished / "results.parquet")
    others = {path: path.read_bytes() for path in finished.glob("*.parquet")}
    del others[finished / "results.parquet"]

    write_interim(run.reported(), {})

    results = pq.read_table(finished / "results.parquet")
    assert all(why.startswith("no interval: ") for why in whole["reason"].to_pylist())
    assert set(results["reason"].to_pylist()) == {None}, "no interval is looked for yet"
    assert results.drop_columns(["reason"]).equals(whole.drop_columns(["reason"]))
    with (finished / "summary.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(row["auroc_mean"] and not row["patient_auroc_mean"] for row in rows)
    assert {path: path.read_bytes() for path in others} == others
