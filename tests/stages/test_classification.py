"""Trials and searches on artifacts of a version without kinds of classifiers."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lussweep.data.phantom import phantom_manifest
from lussweep.models.classifiers.vgg import ReducedVGG
from lussweep.stages import Context, execute, load_classifier
from lussweep.store import names, tables
from lussweep.store.artifacts import RECORD, ArtifactStore
from lussweep.study.plan import make_plan
from lussweep.study.spec import load_study

pytestmark = pytest.mark.any_processor

STUDY = """
name: searched
data:
  phantom: {train_patients: 2, val_patients: 2, holdout_patients: 2, frames_per_video: 2}
  preprocess: {image_size: 64}
classifier: {n_epochs: 1}
search: {n_trials: 2, channels: [1, 2], learning_rates: [0.003], dropouts: [0.25], sampler: tpe,
         n_concurrent: 1}
grid: {n_patients: [1], replicates: 1, variants: [baseline]}
"""


def made_before_kinds(folder: Path) -> None:
    """Rewrite a trial as it was before its table had the column and its summary the kind."""
    table = pq.read_table(folder / names.TRIALS)
    pq.write_table(table.drop_columns(["hyperparameters"]), folder / names.TRIALS)
    record = json.loads((folder / RECORD).read_text())
    del record["summary"]["kind"]
    (folder / RECORD).write_text(json.dumps(record))


def test_earlier_trials_are_learned_from_searched_and_judged(tmp_path: Path) -> None:
    study = load_study(STUDY).with_embedders(False)
    assert study.data.phantom is not None
    plan = make_plan(study, phantom_manifest(study.data.phantom, study.seed), phantom=True)
    (cell,) = plan.cells
    context = Context(ArtifactStore(tmp_path / "artifacts"), "cpu")
    search = cell.refs["search"]
    wanted = {*plan.ancestors(cell.refs["evaluate"]), cell.refs["evaluate"]}
    for ref, step in plan.steps.items():
        if ref in wanted:
            execute(step, context)
            if step.stage == "trial":
                made_before_kinds(context.store.open(ref))
    rows = tables.read(context.store.open(search) / names.TRIALS, tables.TRIALS).to_pylist()
    assert [row["trial"] for row in rows] == [1, 2]
    assert {row["learning_rate"] for row in rows} == {0.003}
    assert {row["hyperparameters"] for row in rows} == {None}
    assert "kind" not in context.store.record(search)["summary"]
    assert isinstance(load_classifier(search, context), ReducedVGG)
    assert 0 <= context.store.record(cell.refs["evaluate"])["summary"]["auroc"] <= 1
