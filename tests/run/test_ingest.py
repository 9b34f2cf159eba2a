"""Which videos a store is made of, if some cannot be decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lussweep.backend.driver import Outcome, Progress
from lussweep.data.splits import MISJUDGED
from lussweep.run import ingest
from lussweep.stages import Context
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import Plan
from lussweep.study.spec import SPLITS, Manifest, PreprocessSpec, Video


def test_no_positive_patient_becomes_negative_by_what_cannot_be_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def video(patient: str, name: str, label: int, split: str = "train") -> Video:
        fields: dict[str, Any] = {"patient_id": patient, "video_id": name, "sha256": name}
        return Video.model_validate({**fields, "label": label, "split": split})

    others = [video(f"{s}{label}", f"{s}{label}", label, s) for s in SPLITS for label in (0, 1)]
    manifest = Manifest(videos=(*others, video("A", "damaged", 1), video("A", "sound", 0)))
    n_runs = 0

    def run_steps(plan: Plan, context: Context) -> Progress:
        nonlocal n_runs
        n_runs += 1
        shards = {ref: step for ref, step in plan.steps.items() if step.stage == "shard"}
        failed = {r: Outcome(r, "error") for r, s in shards.items() if s.spec["patient_id"] == "A"}
        return Progress(plan, failed=failed)

    monkeypatch.setattr(ingest, "_problem", lambda video, _: "cut" * (video.video_id == "damaged"))
    store = ArtifactStore(tmp_path)
    kept, skipped = ingest.bring_in(manifest, PreprocessSpec(), store, True, run_steps)
    assert n_runs == 2
    assert kept.videos == tuple(others)
    assert skipped == [("A", "damaged", "cut"), ("A", "sound", MISJUDGED)]
