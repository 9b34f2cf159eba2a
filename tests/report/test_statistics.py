"""The tables of statistics say what can be computed again from the frame scores."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from lussweep import tables
from lussweep.report.statistics import collect_statistics
from lussweep.spec import load_study

STRENGTH = {"baseline": 1.0, "combined": 1.4, "pure_synthetic": 0.3}
COUNTS = (6, 15, 58)
STUDY = load_study("{name: a, analysis: {n_resamples: 300}}")


def frames(n_patients=20, n_frames=4):
    """Patients of one class each, two videos each."""
    for patient in range(n_patients):
        for frame in range(n_frames):
            video = f"p{patient:02d}-{frame % 2}"
            yield {
                "patient_id": f"p{patient:02d}", "video_id": video, "frame": frame // 2,
                "label": patient % 2,
            }  # fmt: skip


def made(variants=tuple(STRENGTH), replicates=(1, 2, 3), epochs=(None,)):
    """Scores that follow the label the better, the more patients there are."""
    rng = np.random.default_rng(0)
    results, scores, gan_scores = [], [], []
    for n in COUNTS:
        for replicate in replicates:
            for variant in variants:
                for epoch in (None,) if variant == "baseline" else epochs:
                    cell = {
                        "n_patients": n, "replicate": replicate, "variant": variant,
                        "gan_epoch": epoch,
                    }  # fmt: skip
                    own = [
                        {**cell, **frame, "score": _score(rng, frame, STRENGTH[variant], n)}
                        for frame in frames()
                    ]
                    found = roc_auc_score([f["label"] for f in own], [f["score"] for f in own])
                    scores += own
                    results.append({**cell, "status": "done", "auroc": found})
            gan_scores.append(
                {"n_patients": n, "replicate": replicate, "class": "pos", "gan": "base",
                 "epoch": epochs[0], "metric": "kmmd", "embedder": "detector", "space": "conv",
                 "value": float(rng.random())}
            )  # fmt: skip
    return (
        pa.Table.from_pylist(results, tables.RESULTS),
        pa.Table.from_pylist(scores, tables.FRAME_SCORES),
        # As many frames of other patients, with the same scores: thresholds carry over exactly.
        pa.Table.from_pylist(
            [{**row, "patient_id": f"val-{row['patient_id']}"} for row in scores],
            tables.FRAME_SCORES,
        ),
        pa.Table.from_pylist(gan_scores, tables.GAN_SCORES),
    )


def _score(rng, frame, strength, n):
    logit = strength * np.log(n) * (frame["label"] - 0.5) + rng.normal()
    return float(1 / (1 + np.exp(-logit)))


@pytest.fixture(scope="module")
def inputs():
    return made()


@pytest.fixture(scope="module")
def found(inputs):
    return collect_statistics(*inputs, STUDY)


def test_every_cell_has_its_auroc_at_every_level(inputs, found):
    results, scores, *_ = inputs
    rows = found["aurocs"].to_pylist()
    assert {row["level"] for row in rows} == {
        "frame", "video_mean", "video_max", "patient_mean", "patient_max",
    }  # fmt: skip
    by_frame = [row for row in rows if row["level"] == "frame"]
    assert [row["auroc"] for row in by_frame] == pytest.approx(results["auroc"].to_pylist())
    frame_scores = scores.to_pandas()
    for row in rows:
        mine = frame_scores[
            (frame_scores.n_patients == row["n_patients"])
            & (frame_scores.replicate == row["replicate"])
            & (frame_scores.variant == row["variant"])
        ]
        if row["level"] == "patient_max":
            grouped = mine.groupby("patient_id")
            expected = roc_auc_score(grouped.label.max(), grouped.score.max())
            assert row["auroc"] == pytest.approx(expected)
            assert row["n_units"] == 20
        assert row["low"] <= row["auroc"] <= row["high"]
        assert (row["n_pos_patients"], row["n_neg_patients"]) == (10, 10)


def test_precision_and_calibration_are_those_of_scikit_learn(inputs, found):
    frame_scores = inputs[1].to_pandas()
    rows = found["quality"].to_pylist()
    assert len(rows) == len(inputs[0])
    for row in rows:
        mine = frame_scores[
            (frame_scores.n_patients == row["n_patients"])
            & (frame_scores.replicate == row["replicate"])
            & (frame_scores.variant == row["variant"])
        ]
        expected = average_precision_score(mine.label, mine.score)
        assert row["average_precision"] == pytest.approx(expected)
        assert row["brier"] == pytest.approx(brier_score_loss(mine.label, mine.score))
        assert row["prevalence"] == 0.5


def test_thresholds_come_from_validation_and_are_judged_on_holdout(inputs, found):
    frame_scores = inputs[1].to_pandas()
    rows = found["operating"].to_pylist()
    assert len(rows) == 2 * len(inputs[0])
    for row in rows:
        mine = frame_scores[
            (frame_scores.n_patients == row["n_patients"])
            & (frame_scores.replicate == row["replicate"])
            & (frame_scores.variant == row["variant"])
        ]
        called = mine.score >= row["threshold"]
        assert row["sensitivity"] == pytest.approx(called[mine.label == 1].mean())
        assert row["specificity"] == pytest.approx((~called[mine.label == 0]).mean())
        assert row["specificity"] >= row["wanted"], "validation has the very same scores here"
        assert row["val_sensitivity"] == pytest.approx(row["sensitivity"])


def test_delong_compares_patients_of_each_replicate(inputs, found):
    rows = found["delong"].to_pylist()
    assert len(rows) == 2 * len(COUNTS) * 3
    levels = {
        (r["n_patients"], r["replicate"], r["variant"]): r["auroc"]
        for r in found["aurocs"].to_pylist()
        if r["level"] == "patient_mean"
    }
    for row in rows:
        place = (row["n_patients"], row["replicate"])
        assert row["auroc"] == pytest.approx(levels[(*place, row["variant"])])
        assert row["reference_auroc"] == pytest.approx(levels[(*place, "baseline")])
        assert row["low"] <= row["difference"] <= row["high"]


def test_contrasts_are_the_mean_differences_over_replicates(inputs, found):
    results = inputs[0].to_pandas().set_index(["n_patients", "replicate", "variant"]).auroc
    rows = found["contrasts"].to_pylist()
    pairs = {(row["variant"], row["reference"]) for row in rows}
    assert pairs == {("combined", "baseline"), ("pure_synthetic", "baseline")}, "as planned"
    assert len(rows) == len(pairs) * len(COUNTS)
    for row in rows:
        differences = [
            results[row["n_patients"], r, row["variant"]]
            - results[row["n_patients"], r, row["reference"]]
            for r in (1, 2, 3)
        ]
        assert row["difference"] == pytest.approx(np.mean(differences))
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["p_holm"] >= row["p_value"]
        assert row["non_inferior"] == (row["low"] > -STUDY.analysis.margin)
        assert row["two_level_low"] is None
        assert "two_level_interval: 3 replicates" in row["withheld"]
        assert "rank_p_value: 3 replicates" in row["withheld"]


def test_the_baseline_is_worth_its_own_patients_and_a_weak_variant_fewer(found):
    rows = {(r["variant"], r["n_patients"]): r for r in found["worth"].to_pylist()}
    assert len(rows) == len(STRENGTH) * len(COUNTS)
    for n in COUNTS:
        assert rows["baseline", n]["k_low"] <= n <= rows["baseline", n]["k_high"]
        assert rows["pure_synthetic", n]["k_low"] < n


def test_scores_are_correlated_with_the_gain_of_each_variant_apart(found):
    rows = found["usefulness"].to_pylist()
    assert {(r["variant"], r["metric"]) for r in rows} == {
        ("combined", "kmmd"),
        ("pure_synthetic", "kmmd"),
    }
    assert all(row["n_cells"] == 9 and -1 <= row["spearman"] <= 1 for row in rows)


def test_epochs_that_are_an_axis_are_contrasted_one_by_one():
    found = collect_statistics(*made(("baseline", "combined"), epochs=(25, 100)), STUDY)
    places = [(r["n_patients"], r["gan_epoch"]) for r in found["contrasts"].to_pylist()]
    assert places == [(n, epoch) for n in COUNTS for epoch in (25, 100)]
    assert {r["variant"] for r in found["worth"].to_pylist()} == {
        "baseline", "combined epoch 25", "combined epoch 100",
    }  # fmt: skip
    assert len(found["usefulness"]) == 0


def test_cells_that_are_not_done_are_left_out(inputs):
    results, *others = inputs
    status = ["failed" if v == "baseline" else "done" for v in results["variant"].to_pylist()]
    position = results.column_names.index("status")
    results = results.set_column(position, "status", pa.array(status))
    found = collect_statistics(results, *others, STUDY)
    assert "baseline" not in found["aurocs"]["variant"].to_pylist()
    assert len(found["contrasts"]) == len(found["worth"]) == len(found["usefulness"]) == 0


def test_nothing_done_gives_empty_tables():
    empty = (tables.RESULTS, tables.FRAME_SCORES, tables.FRAME_SCORES, tables.GAN_SCORES)
    found = collect_statistics(*(schema.empty_table() for schema in empty), STUDY)
    assert {name: len(table) for name, table in found.items()} == dict.fromkeys(found, 0)
