"""The score and the embedder of docs/extending.md, with several patient counts and replicates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scipy.stats import spearmanr

from lussweep.report.metric_figure import build_metric_figure
from lussweep.report.sections.results import RESULTS
from lussweep.report.sections.usefulness import USEFULNESS
from lussweep.store import tables
from support.packages import run_inline

DRAWS = [(n, replicate) for n in (2, 3) for replicate in (1, 2, 3)]
Row = dict[str, Any]
EXPERIMENT = """
name: sharpness
plugins: [blurred]
data:
  phantom: {train_patients: 4, val_patients: 2, holdout_patients: 4, frames_per_video: 4}
  preprocess: {image_size: 64}
gan: {n_epochs: 2, ngf: 2, ndf: 2, snapshot_every: 1}
score: {n_images: 8, embedders: [thumbnails, detector], extra_metrics: [sharpness]}
select: {best: sharpness, space: pixel}
classifier: {n_epochs: 2}
search: {n_trials: 1, channels: [1], learning_rates: [0.003], dropouts: [0.25]}
analysis: {n_resamples: 100}
grid: {n_patients: [2, 3], replicates: 3, variants: [baseline, positive_synthetic]}
"""


@pytest.fixture(scope="module")
def ran(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of the experiment."""
    folder = tmp_path_factory.mktemp("scores")
    return run_inline("sharpness", EXPERIMENT, folder=folder, site=site)


@pytest.fixture(scope="module")
def scores(ran: Path) -> list[Row]:
    rows = tables.read(ran / "gan_scores.parquet", tables.GAN_SCORES).to_pylist()
    return [row for row in rows if row["gan"] is not None]


@pytest.fixture(scope="module")
def results(ran: Path) -> dict[tuple[str, int, int], Row]:
    rows = tables.read(ran / "results.parquet", RESULTS).to_pylist()
    assert {row["status"] for row in rows} == {"done"}
    return {(row["variant"], row["n_patients"], row["replicate"]): row for row in rows}


def sharpness(scores: list[Row], n: int, replicate: int) -> dict[int, float]:
    """The score of each epoch of one GAN."""
    return {
        row["epoch"]: row["value"]
        for row in scores
        if (row["metric"], row["n_patients"], row["replicate"]) == ("sharpness", n, replicate)
    }


def test_the_score_has_a_row_for_each_snapshot_in_its_space_alone(scores: list[Row]) -> None:
    own = [row for row in scores if row["metric"] == "sharpness"]
    assert {(row["embedder"], row["space"]) for row in own} == {("none", "pixel")}
    assert len(own) == len(DRAWS) * 2
    assert all(row["value"] > 0 and not row["saw_all_train_patients"] for row in own)


def test_built_in_scores_are_computed_in_the_features_of_the_embedder(scores: list[Row]) -> None:
    def computed(embedder: str, space: str) -> set[str]:
        at = (embedder, space)
        return {row["metric"] for row in scores if (row["embedder"], row["space"]) == at}

    assert computed("thumbnails", "features") == computed("detector", "conv")
    assert {"kmmd", "fid", "kid", "mmd2_p_value"} <= computed("thumbnails", "features")
    marked = {row["embedder"] for row in scores if row["saw_all_train_patients"]}
    assert marked == {"detector"}


def test_the_snapshot_whose_sharpness_is_nearest_its_goal_is_chosen(
    scores: list[Row], results: dict[tuple[str, int, int], Row]
) -> None:
    for n, replicate in DRAWS:
        values = sharpness(scores, n, replicate)
        assert set(values) == {1, 2}
        best = min(values, key=lambda epoch: abs(values[epoch] - 1))
        assert results["positive_synthetic", n, replicate]["gan_epoch"] == best


def test_results_hold_the_scores_in_the_features_of_the_first_embedder(
    scores: list[Row], results: dict[tuple[str, int, int], Row]
) -> None:
    row = results["positive_synthetic", 3, 1]
    (expected,) = (
        score["value"]
        for score in scores
        if all(score[name] == row[name] for name in ("n_patients", "replicate"))
        and (score["metric"], score["embedder"]) == ("kmmd", "thumbnails")
        and score["epoch"] == row["gan_epoch"]
    )
    assert (row["score_embedder"], row["kmmd_pos"]) == ("thumbnails", expected)


def test_usefulness_takes_the_distance_to_the_goal(
    ran: Path, scores: list[Row], results: dict[tuple[str, int, int], Row]
) -> None:
    rows = tables.read(ran / "usefulness.parquet", USEFULNESS).to_pylist()
    (row,) = (row for row in rows if row["metric"] == "sharpness")
    goodness, gains = [], []
    for n, replicate in DRAWS:
        cell = results["positive_synthetic", n, replicate]
        goodness.append(-abs(sharpness(scores, n, replicate)[cell["gan_epoch"]] - 1))
        gains.append(cell["auroc"] - results["baseline", n, replicate]["auroc"])
    assert row["n_cells"] == len(DRAWS)
    assert row["spearman"] == pytest.approx(spearmanr(goodness, gains).statistic)
    kmmd_in = {row["embedder"] for row in rows if row["metric"] == "kmmd"}
    assert kmmd_in == {"thumbnails", "detector", "none"}
    assert "kid_low" in {row["metric"] for row in scores}
    assert "kid_low" not in {row["metric"] for row in rows}  # it has no goal


def test_the_figure_has_a_column_for_the_score_and_shows_the_embedder(ran: Path) -> None:
    """This process has not loaded the plugin."""
    table = tables.read(ran / "gan_scores.parquet", tables.GAN_SCORES)
    titles = [panel.get_title() for panel in build_metric_figure(table).axes]
    assert titles[0] == "kMMD (goal 0)\nfeatures space of thumbnails"
    assert titles[-1] == "sharpness\npixel space"
    assert (ran / "figures" / "gan_metrics.png").stat().st_size > 0
