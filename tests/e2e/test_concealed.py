"""Nothing that a run writes for reading names a patient; errors on the terminal do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lussweep.backend.driver import run_plan
from lussweep.backend.kept import KEPT
from lussweep.run.execute import write_failure_logs
from lussweep.run.folder import open_run
from lussweep.run.mirror import WorkFolder
from lussweep.stages import Context
from lussweep.study.keys import hashed_id
from lussweep.study.plan import Plan
from lussweep.study.spec import load_study
from support.commands import TINY, invoke

BY_DESIGN = ("frames", "cohorts", "frame_scores", "val_scores", "copies", "closest_pairs")
"""Tables that hold ids: docs/results.md says so."""


def texts(folder: Path) -> dict[str, bytes]:
    """Every file but pixels, weights, artifacts and the tables that hold ids."""
    files = (path for path in folder.rglob("*") if path.is_file())
    own = [p for p in files if "artifacts" not in p.relative_to(folder).parts]
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in own if p.stem not in BY_DESIGN
    }  # fmt: skip


def break_cohorts(run: Path) -> set[str]:
    """Each holds a patient of another split, for the GANs to find; those patients."""
    victims = set()
    for path in (run / "artifacts" / "cohort").glob("*/cohort.parquet"):
        table = pq.read_table(path)
        at = table.column_names.index("split")
        victim = table["patient_id"][0].as_py()
        split = ["holdout" if p == victim else "train" for p in table["patient_id"].to_pylist()]
        changed = table.set_column(at, table.field(at), pa.array(split, pa.string()))
        pq.write_table(changed, path)
        victims.add(victim)
    for stage in ("gan", "trial", "search", "evaluate"):
        shutil.rmtree(run / "artifacts" / stage)
    return victims


def test_logs_and_failures_hash_what_the_terminal_names(
    finished: Path, tiny_yaml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victims = break_cohorts(finished)
    arguments = ("grid", tiny_yaml, "--out", finished, "--backend", "inline")
    code, output = invoke(*arguments)
    assert code == 1 and any(victim in output for victim in victims)
    ids = {v for p in pq.read_table(finished / "frames.parquet")["patient_id"].unique().to_pylist()
           for v in (p.encode(), str(finished).encode())}  # fmt: skip
    written = texts(finished)
    assert {name for name, text in written.items() if any(i in text for i in ids)} == set()
    logs = [text.decode() for name, text in written.items() if name.startswith("logs")]
    assert logs and all('File "lussweep/stages/' in text for text in logs)
    assert any(hashed_id(victim) in text for text in logs for victim in victims)
    monkeypatch.setenv(KEPT, "1")  # as `submit` sets it for a job, whose output Ray keeps
    code, output = invoke(*arguments)
    assert code == 1 and "failed: gan" in output.lower()
    assert not any(victim in output for victim in victims)
    assert any(hashed_id(victim) in output for victim in victims)
    monkeypatch.delenv(KEPT)
    code, _ = invoke(*arguments, "--reveal-ids")
    assert code == 1
    logs = [text.decode() for name, text in texts(finished).items() if name.startswith("logs")]
    assert any(victim in text for text in logs for victim in victims)
    reasons = pq.read_table(finished / "results.parquet")["reason"].to_pylist()
    assert any(victim in reason for reason in reasons if reason for victim in victims)


def test_ray_leaves_refs_alone(finished: Path, local_ray: None) -> None:
    from lussweep.backend.cluster.executor import ClusterExecutor
    from lussweep.data.phantom import phantom_manifest

    victims = break_cohorts(finished)
    study = load_study(TINY).with_embedders(False)
    assert study.data.phantom is not None
    manifest = phantom_manifest(study.data.phantom, study.seed)
    run = open_run(WorkFolder(finished), study, manifest, phantom=True)
    some = Plan({r: s for r, s in run.requested.steps.items() if s.stage in
                 ("shard", "ingest", "cohort", "gan")}, [])  # fmt: skip
    folder = finished / "ray"
    with ClusterExecutor(some, Context(run.store, "cpu"), folder) as executor:
        progress = run_plan(some, run.store, executor)
    assert progress.failed
    for outcome in progress.failed.values():
        assert outcome.error and outcome.error.startswith("LeakageError")
        assert any(victim in outcome.error for victim in victims)
        assert "Traceback" in outcome.traceback
    assert any(progress.plan.steps[ref].stage == "gan" for ref in progress.failed)
    left = texts(folder)
    ids = {v.patient_id for v in manifest.videos} | {v.video_id for v in manifest.videos}
    assert left, "Tune writes something"
    for text in left.values():
        assert not any(name.encode() in text for name in ids)
    assert not [name for name in left if "error" in name]
    write_failure_logs(finished, progress, run.conceal)
    logs = [path.read_text() for path in (finished / "logs").iterdir()]
    assert logs and not any(victim in text for text in logs for victim in victims)
