"""The stage that scores a GAN, with scores and an embedder that are registered here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from lussweep.data.phantom import phantom_manifest
from lussweep.metrics.pair import Pair
from lussweep.stages import Context, execute
from lussweep.store import names, tables
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import make_plan
from lussweep.study.spec import EMBEDDERS, SCORES, Embedder, Goal, Score, load_study
from lussweep.study.spec.scores import BUILT_IN_SCORES
from support.commands import TINY

CHANGES = [
    "score.embedders=[halves]",
    "score.extra_metrics=[of_negatives, of_detector, of_grey]",
    "grid={n_patients: [2], replicates: 1, variants: [positive_synthetic]}",
]
CALLS: list[tuple[Any, ...]] = []
TF32: list[bool] = []


def halves(frames_NSS: np.ndarray, device: torch.device, batch_size: int) -> dict[str, Any]:
    """The pixels of the upper and of the lower half, in two spaces."""
    CALLS.append((frames_NSS.dtype, frames_NSS.shape, device, batch_size))
    TF32.append(torch.backends.cudnn.allow_tf32)
    x_NSS, middle = frames_NSS.astype(np.float32), frames_NSS.shape[1] // 2
    spaces = {"upper": x_NSS[:, :middle], "lower": x_NSS[:, middle:]}
    return {space: values.reshape(len(values), -1) for space, values in spaces.items()}


def width(pair: Pair) -> float:
    assert pair.real_ND.shape == pair.fake_ND.shape
    return pair.real_ND.shape[1]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """The scores of one GAN of positives."""
    goal = Goal("maximise")
    with pytest.MonkeyPatch.context() as patch:
        entry = Embedder(function=halves, digest="1", spaces=("upper", "lower"), has_seen=True)
        patch.setitem(EMBEDDERS, "halves", entry)
        patch.setitem(SCORES, "of_negatives", Score(goal=goal, function=width, classes=("neg",)))
        of_detector = Score(goal=goal, function=width, embedders=("detector",), spaces=("logit",))
        patch.setitem(SCORES, "of_detector", of_detector)
        patch.setitem(SCORES, "of_grey", Score(goal=goal, function=width))
        study = load_study(TINY, overrides=CHANGES)
        assert study.data.phantom is not None
        plan = make_plan(study, phantom_manifest(study.data.phantom, study.seed), phantom=True)
        store = ArtifactStore(tmp_path_factory.mktemp("scored") / "artifacts")
        ref = plan.cells[0].refs["score_pos"]
        needed = plan.ancestors(ref) | {ref}
        with torch.backends.cudnn.flags(allow_tf32=True):
            for step in plan.steps.values():
                if step.ref in needed:
                    execute(step, Context(store, "cpu"))
        yield tables.read(store.open(ref) / names.SCORES, tables.SNAPSHOT_SCORES).to_pylist()


def places(rows: list[dict[str, Any]], metric: str) -> list[tuple[str, str]]:
    return [
        (row["embedder"], row["space"])
        for row in rows
        if (row["metric"], row["epoch"]) == (metric, 1)
    ]


def test_scores_are_computed_in_their_spaces_of_the_named_embedders(
    rows: list[dict[str, Any]],
) -> None:
    every = [("none", "pixel"), ("halves", "upper"), ("halves", "lower")]
    assert places(rows, "kmmd") == places(rows, "of_grey") == every
    assert places(rows, "fid") == []
    assert places(rows, "of_negatives") == []
    widths = {row["space"]: row["value"] for row in rows if row["metric"] == "of_grey"}
    assert widths == {"pixel": 64 * 64, "upper": 64 * 32, "lower": 64 * 32}


def test_scores_of_the_detector_need_no_other_mention_of_it(rows: list[dict[str, Any]]) -> None:
    assert places(rows, "confidence") == [("detector", "softmax")]
    assert places(rows, "of_detector") == [("detector", "logit")]
    assert {row["value"] for row in rows if row["metric"] == "of_detector"} == {2}
    assert all(0 <= row["value"] <= 1 for row in rows if row["metric"] == "confidence")


def test_each_epoch_has_every_score_in_one_order(rows: list[dict[str, Any]]) -> None:
    first, second = (
        [(row["metric"], row["space"]) for row in rows if row["epoch"] == epoch] for epoch in (1, 2)
    )
    assert first == second
    pixel = [metric for metric, space in first if space == "pixel"]
    assert pixel == [*BUILT_IN_SCORES[:6], "spectral_gap", "of_grey"]
    assert [metric for metric, _ in first[-2:]] == ["of_detector", "confidence"]


def test_what_has_seen_the_patients_is_marked(rows: list[dict[str, Any]]) -> None:
    marked = {(row["embedder"], row["saw_all_train_patients"]) for row in rows}
    assert marked == {("none", False), ("halves", True), ("detector", True)}


def test_features_are_computed_in_full_precision(rows: list[dict[str, Any]]) -> None:
    assert TF32 and not any(TF32)


def test_the_embedder_is_called_for_the_real_frames_and_every_snapshot(
    rows: list[dict[str, Any]],
) -> None:
    (n,) = {row["n_images"] for row in rows}
    assert [(np.uint8, (n, 64, 64), torch.device("cpu"), 16)] * 3 == CALLS
