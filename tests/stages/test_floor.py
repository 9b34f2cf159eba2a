"""The floor of scores: real frames of some training patients against those of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lussweep.data.cohort import of_class, patient_ids
from lussweep.data.phantom import phantom_manifest
from lussweep.metrics.distances import Features
from lussweep.metrics.floor import disjoint_sets
from lussweep.stages import Context, execute, floor
from lussweep.store import names, tables
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import make_plan
from lussweep.study.spec import EMBEDDERS, SCORES, Embedder, Goal, Score, load_study

pytestmark = pytest.mark.any_processor

STUDY = """
name: floor
data:
  phantom: {train_patients: 8, val_patients: 1, holdout_patients: 1, frames_per_video: 2}
  preprocess: {image_size: 64}
score: {embedders: [rows], extra_metrics: [shared], n_kid_subsets: 5}
grid: {n_patients: [2, 7], replicates: 2, variants: [pure_synthetic]}
"""
FLOOR_OF_PIXELS = ["kmmd", "one_nn", "one_nn_real", "one_nn_fake", "density", "coverage", "shared"]


def rows_of_frames(frames_NSS: np.ndarray, **given: Any) -> np.ndarray:
    return frames_NSS.mean(axis=2, dtype=np.float32)


def shared_frames(pair: Any) -> float:
    """The number of frames that both sets hold."""
    sets: list[Features] = [pair.real_ND, pair.fake_ND]
    first, second = ({row.tobytes() for row in np.asarray(x_ND)} for x_ND in sets)
    return float(len(first & second))


@pytest.fixture(scope="module")
def floors(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, Any]]]:
    """The rows of the floor of positives by patient count, and the frames of the cohorts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EMBEDDERS, "rows", Embedder(function=rows_of_frames, digest="1"))
        patch.setitem(SCORES, "shared", Score(goal=Goal("minimise"), function=shared_frames))
        study = load_study(STUDY)
        assert study.data.phantom is not None
        plan = make_plan(study, phantom_manifest(study.data.phantom, study.seed), phantom=True)
        store = ArtifactStore(tmp_path_factory.mktemp("floor") / "artifacts")
        found = {}
        for cell in plan.cells:
            ref = cell.refs["floor_pos"]
            for needed in [*plan.steps]:
                if needed in plan.ancestors(ref) | {ref}:
                    execute(plan.steps[needed], Context(store, "cpu"))
            rows = tables.read(store.open(ref) / names.FLOOR, tables.GAN_SCORES).to_pylist()
            cohort = plan.steps[ref].inputs["cohort"]
            frames = tables.read_frames(store.open(cohort) / names.COHORT)
            assert {row["n_images"] for row in rows} == {len(of_class(frames, "pos"))}
            found[cell.coordinates.n_patients] = rows
        return found


def test_twenty_draws_have_every_score_in_its_spaces(
    floors: dict[int, list[dict[str, Any]]],
) -> None:
    rows = floors[2]
    for number in range(1, 21):
        of_draw = [row for row in rows if row["floor_draw"] == number]
        pixel = [row["metric"] for row in of_draw if row["space"] == "pixel"]
        features = [row["metric"] for row in of_draw if row["space"] == "features"]
        assert pixel == [*FLOOR_OF_PIXELS[:-1], "spectral_gap", "shared"]
        assert features == [*FLOOR_OF_PIXELS[:-1], "fid", "kid", "shared"]
    assert {row["floor_draw"] for row in rows} == set(range(1, 21))
    assert {(row["gan"], row["epoch"], row["floor_withheld"]) for row in rows} == {
        (None, None, None)
    }


def test_the_sets_of_a_draw_share_no_frame_and_draws_differ(
    floors: dict[int, list[dict[str, Any]]],
) -> None:
    assert {row["value"] for row in floors[2] if row["metric"] == "shared"} == {0.0}
    kmmd = {
        row["value"] for row in floors[2] if row["metric"] == "kmmd" and row["space"] == "pixel"
    }
    assert len(kmmd) > 10


PART_OF_A_COHORT = """
name: part
data:
  phantom: {train_patients: 24, val_patients: 1, holdout_patients: 1, frames_per_video: 4}
  preprocess: {image_size: 64}
score: {embedders: [rows], n_images: 12, n_kid_subsets: 2}
grid: {n_patients: [2, 4], replicates: 1, variants: [pure_synthetic]}
"""


@pytest.mark.parametrize(("label", "n_patients"), [("pos", 2), ("neg", 2), ("pos", 4)])
def test_a_set_has_about_as_many_patients_as_the_cohort(
    label: str, n_patients: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """12 frames are fewer than a cohort has, so not all frames of a patient are among them."""
    sizes: list[int] = []

    def counted(patient_N: np.ndarray, n: int, rng: np.random.Generator) -> Any:
        drawn = disjoint_sets(patient_N, n, rng)
        assert drawn is not None
        sizes.extend(len(set(patient_N[rows])) for rows in drawn)
        return drawn

    monkeypatch.setitem(EMBEDDERS, "rows", Embedder(function=rows_of_frames, digest="1"))
    monkeypatch.setattr(floor, "disjoint_sets", counted)
    monkeypatch.setattr(floor, "_scores", lambda *given: [])
    study = load_study(PART_OF_A_COHORT)
    assert study.data.phantom is not None
    plan = make_plan(study, phantom_manifest(study.data.phantom, study.seed), phantom=True)
    (cell,) = (cell for cell in plan.cells if cell.coordinates.n_patients == n_patients)
    ref = cell.refs[f"floor_{label}"]
    store = ArtifactStore(tmp_path / "artifacts")
    for needed in [*plan.steps]:
        if needed in plan.ancestors(ref) | {ref}:
            execute(plan.steps[needed], Context(store, "cpu"))
    cohort = tables.read_frames(store.open(plan.steps[ref].inputs["cohort"]) / names.COHORT)
    n_of_cohort = len(patient_ids(of_class(cohort, label)))
    assert len(sizes) == 2 * 20
    assert n_of_cohort <= np.mean(sizes) < n_of_cohort + 2


def test_without_enough_patients_the_floor_is_withheld_with_the_reason(
    floors: dict[int, list[dict[str, Any]]],
) -> None:
    (row,) = floors[7]
    n_images = row["n_images"]
    assert (row["metric"], row["value"], row["floor_draw"]) == (None, None, None)
    assert row["floor_withheld"].startswith("8 training patients with ")
    assert row["floor_withheld"].endswith(f"too few for two disjoint sets of {n_images} frames")
