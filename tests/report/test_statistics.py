"""The tables of statistics say what can be computed again from the frame scores."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from lussweep.analysis.net_benefit import THRESHOLDS
from lussweep.report.sections import SECTIONS
from lussweep.report.sections.steps import COHORTS
from support.reports import statistics_of

VARIANTS = ("baseline", "combined", "pure_synthetic")
COUNTS = (6, 15, 58)


@pytest.fixture(scope="module")
def inputs(make_tables):
    return make_tables()


@pytest.fixture(scope="module")
def study(study_of):
    return study_of()


@pytest.fixture(scope="module")
def found(inputs, study):
    return statistics_of(*inputs, study)


def test_every_cell_has_its_auroc_at_every_level(inputs, found):
    results, scores, *_ = inputs
    rows = found["aurocs"].to_pylist()
    assert {row["level"] for row in rows} == {
        "frame", "video_mean", "video_max", "video_top",
        "patient_mean", "patient_max", "patient_top", "patient_weighted",
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
        grouped = mine.groupby("patient_id")
        if row["level"] == "patient_max":
            expected = roc_auc_score(grouped.label.max(), grouped.score.max())
            assert row["auroc"] == pytest.approx(expected)
            assert row["n_units"] == 20
        if row["level"] == "patient_top":
            top = grouped.score.apply(lambda s: s.nlargest(3).mean())
            assert row["auroc"] == pytest.approx(roc_auc_score(grouped.label.max(), top))
        if row["level"] == "patient_weighted":
            weight = 1 / mine.groupby(["patient_id", "label"]).score.transform("size")
            expected = roc_auc_score(mine.label, mine.score, sample_weight=weight)
            assert row["auroc"] == pytest.approx(expected)
            assert (row["n_effective_pos"], row["n_effective_neg"]) == (10, 10)
        assert row["top_k"] == (3 if row["level"].endswith("_top") else None)
        assert (row["status"], row["reason"]) == ("done", None)
        assert row["low"] <= row["auroc"] <= row["high"] > row["low"]
        assert (row["n_pos_patients"], row["n_neg_patients"]) == (10, 10)


def test_the_highest_score_alone_is_the_maximum(inputs, study):
    analysis = study.analysis.model_copy(update={"top_k": 1})
    found = statistics_of(*inputs, study.model_copy(update={"analysis": analysis}))
    by_level = {
        level: [
            (row["auroc"], row["low"], row["high"])
            for row in found["aurocs"].to_pylist()
            if row["level"] == level
        ]
        for level in ("video_max", "video_top", "patient_max", "patient_top")
    }
    assert by_level["video_top"] == by_level["video_max"]
    assert by_level["patient_top"] == by_level["patient_max"]
    assert set(found["aurocs"]["top_k"].to_pylist()) == {None, 1}


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
        assert (row["n_pos_patients"], row["n_neg_patients"]) == (10, 10)
        assert row["brier_low"] < row["brier"] < row["brier_high"]
        if row["status"] == "done":
            for name in ("average_precision", "calibration_slope", "calibration_intercept"):
                assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
        else:
            assert row["n_patients"] > 6, "more patients separate the classes, or nearly"
            assert row["calibration_slope_low"] is None
            assert row["reason"]
    assert sum(row["status"] == "done" for row in rows) >= 20


def test_the_calibration_curve_of_a_cell_holds_all_its_frames_by_score(inputs, found):
    curves = found["calibration"].to_pandas()
    frame_scores = inputs[1].to_pandas()
    axes = ["n_patients", "replicate", "variant"]
    assert curves.groupby(axes).size().eq(10).all()
    for place, curve in curves.groupby(axes):
        mine = frame_scores.set_index(axes).loc[place].sort_values("score")
        assert curve.bin.tolist() == list(range(1, 11))
        assert curve.n_frames.tolist() == [8] * 10
        parts = np.array_split(np.arange(80), 10)
        shares = [mine.label.iloc[part].mean() for part in parts]
        assert curve.share.tolist() == pytest.approx(shares)
        scores = [mine.score.iloc[part].mean() for part in parts]
        assert curve.mean_score.tolist() == pytest.approx(scores)
        assert (curve.low <= curve.share).all() and (curve.share <= curve.high).all()
        assert (curve.low < curve.high).all()
        assert curve.n_patients_in_bin.between(1, 8).all()
    quality = found["quality"].to_pandas().set_index(axes).calibration_error
    errors = (
        curves.assign(error=(curves.share - curves.mean_score).abs()).groupby(axes).error.mean()
    )
    np.testing.assert_allclose(errors, quality.reindex(errors.index))


def test_net_benefit_is_that_of_the_frames_that_are_called_positive(inputs, found):
    frame_scores = inputs[1].to_pandas()
    rows = [row for row in found["net_benefit"].to_pylist() if not row["recalibrated"]]
    assert len(rows) == len(THRESHOLDS) * len(inputs[0])
    for row in rows:
        mine = frame_scores[
            (frame_scores.n_patients == row["n_patients"])
            & (frame_scores.replicate == row["replicate"])
            & (frame_scores.variant == row["variant"])
        ]
        odds = row["threshold"] / (1 - row["threshold"])
        called = mine[mine.score >= row["threshold"]]
        value = ((called.label == 1).sum() - (called.label == 0).sum() * odds) / len(mine)
        assert row["net_benefit"] == pytest.approx(value)
        assert row["treat_all"] == pytest.approx(0.5 - 0.5 * odds)
        assert row["treat_none"] == 0
        assert row["gain"] == pytest.approx(value - max(row["treat_all"], 0))
        assert row["net_benefit_low"] < value <= row["net_benefit_high"]
        assert row["gain_low"] < row["gain"] <= row["gain_high"]
        assert (row["status"], row["reason"]) == ("done", None)


def test_recalibrated_net_benefit_takes_the_line_of_validation(inputs, found):
    """Validation has the very same scores here: its line is that of the holdout."""
    frame_scores, lines = inputs[1].to_pandas(), found["quality"].to_pandas()
    axes = ["n_patients", "replicate", "variant"]
    lines = lines.set_index(axes)
    rows = [row for row in found["net_benefit"].to_pylist() if row["recalibrated"]]
    done = [row for row in rows if row["status"] == "done"]
    for row in done:
        place = tuple(row[axis] for axis in axes)
        mine, line = frame_scores.set_index(axes).loc[place], lines.loc[place]
        odds = row["threshold"] / (1 - row["threshold"])
        margin = line.calibration_slope * np.log(mine.score / (1 - mine.score))
        called = mine[margin + line.calibration_intercept >= np.log(odds)]
        value = ((called.label == 1).sum() - (called.label == 0).sum() * odds) / len(mine)
        assert row["net_benefit"] == pytest.approx(value)
    assert len(done) >= 20 * len(THRESHOLDS)
    refused = [row for row in rows if row["status"] != "done"]
    assert len(refused) == lines.calibration_slope.isna().sum()
    assert {row["reason"] for row in refused} == {
        "validation: the scores separate the classes, or nearly"
    }


@pytest.mark.parametrize("name", ["quality", "calibration", "net_benefit"])
def test_every_number_of_quality_says_what_it_is_about(name):
    for field in SECTIONS[name].schema:
        if field.name not in ("n_patients", "replicate", "variant", "gan_epoch"):
            assert field.metadata, field.name
        if field.name.endswith(("low", "high")):
            unit = field.metadata[b"unit"].decode()
            assert "95 % over holdout patients, for these trained models" in unit, field.name


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
        if row["status"] == "done":
            assert row["low"] <= row["difference"] <= row["high"]
    assert {row["status"] for row in rows} >= {"done"}


def test_contrasts_are_the_mean_differences_over_replicates(inputs, found, study):
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
        near = max(row["auroc"], row["reference_auroc"]) > 0.95
        above = row["low"] > -study.analysis.margin
        assert row["non_inferior"] == (None if near and above else above)
        reason = (
            "non-inferiority is not judged above an AUC-ROC of 0.95" if near and above else None
        )
        assert (row["level"], row["status"], row["reason"]) == ("frame", "done", reason)
        assert row["conditional_low"] <= row["difference"] <= row["conditional_high"]
        assert row["standard_error"] ** 2 == pytest.approx(
            row["training_sd"] ** 2 / 3 + row["patient_sd"] ** 2
        )


def test_means_are_over_replicates_at_three_levels(inputs, found):
    by_level = {"frame": "frame", "patient_mean": "patient_mean"}
    aurocs = found["aurocs"].to_pylist()
    rows, n_done = found["means"].to_pylist(), 0
    assert len(rows) == len(COUNTS) * len(VARIANTS) * 3
    for row in rows:
        if row["status"] == "done":
            assert row["low"] < row["auroc"] < row["high"] <= 1
            n_done += 1
        assert row["auroc"] == pytest.approx(np.mean(row["aurocs"]))
        if row["level"] in by_level:
            assert row["aurocs"] == [
                one["auroc"]
                for one in aurocs
                if (one["level"], one["n_patients"], one["variant"])
                == (row["level"], row["n_patients"], row["variant"])
            ]
    assert n_done > len(rows) / 2


def test_one_replicate_tells_neither_variance_apart(make_tables, study_of):
    found = statistics_of(*make_tables(VARIANTS, n_replicates=1), study_of(replicates=1))
    rows = found["contrasts"].to_pylist()
    assert {row["status"] for row in rows} == {"withheld"}
    for row in rows:
        assert row["patient_sd"] is row["own_sd"] is row["training_sd"] is row["low"] is None
    assert any(row["conditional_low"] is not None for row in rows)


def test_contrasts_are_judged_at_the_level_of_the_analysis(inputs, study):
    changed = study.model_copy(
        update={"analysis": study.analysis.model_copy(update={"level": "patient_mean"})}
    )
    found = statistics_of(*inputs, changed)
    by_patient = {
        (r["n_patients"], r["replicate"], r["variant"]): r["auroc"]
        for r in found["aurocs"].to_pylist()
        if r["level"] == "patient_mean"
    }
    for row in found["contrasts"].to_pylist():
        expected = np.mean([by_patient[row["n_patients"], k, row["variant"]] for k in (1, 2, 3)])
        assert (row["level"], row["auroc"]) == ("patient_mean", pytest.approx(expected))


def test_replicates_that_share_training_patients_are_marked(inputs, study):
    patients = {1: "abcd", 2: "abxy", 3: "abcx"}
    cohorts = pa.Table.from_pylist(
        [
            {"n_patients": n, "replicate": k, "patient_id": p}
            for k, ids in patients.items()
            for n, own in ((6, ids), (15, f"{k}"), (58, "z"))
            for p in own
        ],
        COHORTS,
    )
    found = statistics_of(*inputs, study, cohorts)
    for row in found["worth"].to_pylist():
        shares = row["reason"] and "67 % of their training patients" in row["reason"]
        assert bool(shares) == (row["n_patients"] == 6)
    rows = found["contrasts"].to_pylist()
    overlap = {row["n_patients"]: (row["cohort_overlap"], row["reason"]) for row in rows}
    assert overlap[6][0] == pytest.approx((2 + 3 + 3) / 4 / 3)
    assert "replicates share 67 % of their training patients" in overlap[6][1]
    assert overlap[15] == (0, None)
    assert "seeds alone" in overlap[58][1]


def test_a_gain_is_judged_against_other_controls_where_the_grid_has_them(make_tables, study_of):
    variants = ("baseline", "combined", "oversample", "classic")
    given = make_tables(variants, counts=(6,))
    found = statistics_of(*given, study_of(variants, n_patients=[6]))
    rows = found["contrasts"].to_pylist()
    assert [(row["variant"], row["reference"]) for row in rows] == [
        ("combined", "baseline"), ("combined", "oversample"), ("combined", "classic"),
    ]  # fmt: skip
    assert all(row["status"] == "done" for row in rows)


def test_the_baseline_is_worth_its_own_patients_and_a_weak_variant_fewer(found):
    rows = {(r["variant"], r["n_patients"]): r for r in found["worth"].to_pylist()}
    assert len(rows) == len(VARIANTS) * len(COUNTS)
    for n in COUNTS:
        assert rows["baseline", n]["k_low"] <= n <= rows["baseline", n]["k_high"]
        assert rows["pure_synthetic", n]["k_low"] < n


def test_a_worth_has_an_interval_over_trainings_and_patients_and_a_second_reading(found):
    rows = found["worth"].to_pylist()
    assert {row["level"] for row in rows} == {"frame"}
    for row in rows:
        if row["auroc"] == 1:
            assert (row["status"], row["interval"]) == ("withheld", None)
            assert "AUC-ROC 1" in row["reason"]
            continue
        assert (row["status"], row["reason"]) == ("done", None)
        assert row["interval_low"] <= row["k_low"] <= row["k_high"] <= row["interval_high"]
        assert row["power_law_low"] <= row["power_law_k"] <= row["power_law_high"]
        assert 0 <= row["share_below"] + row["share_above"] <= 1
    for row in found["multiplier"].to_pylist():
        assert (row["variant"] in VARIANTS[1:], row["status"], row["m"]) == (True, "withheld", None)
        assert "a power law needs 4" in row["reason"]


def test_a_grid_of_five_counts_has_a_multiplier(make_tables, study_of):
    counts = (2, 3, 4, 5, 6)
    given = make_tables(VARIANTS[:2], counts=counts)
    (row,) = statistics_of(*given, study_of(VARIANTS[:2], n_patients=list(counts)))[
        "multiplier"
    ].to_pylist()
    assert row["variant"] == "combined"
    assert (row["status"], row["reason"]) == ("done", None)
    assert row["low"] <= row["m"] <= row["high"]
    assert row["n_counts"] == sum(2 <= row["m"] * n <= 6 for n in counts)
    assert 0.05 < row["lack_of_fit_p"] < 1
    assert row["b"] > 0


def test_shuffled_labels_have_no_worth_and_change_none(make_tables, study_of):
    variants = ("baseline", "combined", "shuffled")
    given = make_tables(variants)
    found = statistics_of(*given, study_of(variants))["worth"].to_pylist()
    assert {row["variant"] for row in found} == {"baseline", "combined"}
    without = [
        pa.Table.from_pylist([r for r in t.to_pylist() if r["variant"] != "shuffled"], t.schema)
        if "variant" in t.column_names
        else t
        for t in given
    ]
    assert statistics_of(*without, study_of(variants))["worth"].to_pylist() == found


def test_one_replicate_has_a_worth_without_an_interval(make_tables, study_of):
    found = statistics_of(*make_tables(n_replicates=1), study_of(replicates=1))
    for row in found["worth"].to_pylist():
        assert (row["status"], row["interval"], row["interval_low"]) == ("withheld", None, None)
        assert "one replicate at every patient count" in row["reason"]
        assert row["worth"]


def test_worth_is_read_at_the_level_of_the_analysis(inputs, study):
    changed = study.model_copy(
        update={"analysis": study.analysis.model_copy(update={"level": "patient_mean"})}
    )
    found = statistics_of(*inputs, changed)
    of_contrast = {
        (r["variant"], r["n_patients"]): r["auroc"] for r in found["contrasts"].to_pylist()
    }
    for row in found["worth"].to_pylist():
        assert row["level"] == "patient_mean"
        expected = of_contrast.get((row["variant"], row["n_patients"]), row["auroc"])
        assert row["auroc"] == pytest.approx(expected)


def test_scores_are_correlated_with_the_gain_of_each_variant_apart(found):
    rows = found["usefulness"].to_pylist()
    assert {(r["variant"], r["metric"]) for r in rows} == {
        ("combined", "kmmd"),
        ("pure_synthetic", "kmmd"),
    }
    assert all(row["n_cells"] == 9 and -1 <= row["spearman"] <= 1 for row in rows)
    assert {row["status"] for row in rows} == {"done"}


def test_epochs_that_are_an_axis_are_contrasted_one_by_one(make_tables, study_of):
    variants = ("baseline", "combined")
    given = make_tables(variants, epochs=(25, 100))
    found = statistics_of(*given, study_of(variants, gan_epochs=[25, 100]))
    places = [(r["n_patients"], r["gan_epoch"]) for r in found["contrasts"].to_pylist()]
    assert places == [(n, epoch) for n in COUNTS for epoch in (25, 100)]
    assert {r["variant"] for r in found["worth"].to_pylist()} == {
        "baseline", "combined epoch 25", "combined epoch 100",
    }  # fmt: skip
    assert len(found["usefulness"]) == 0


def test_the_interval_of_a_result_is_that_of_its_frames(inputs, found):
    results = found["results"]
    frames = [row for row in found["aurocs"].to_pylist() if row["level"] == "frame"]
    for row, frame in zip(results.to_pylist(), frames, strict=True):
        assert (row["auroc_low"], row["auroc_high"]) == (frame["low"], frame["high"])
        assert (row["status"], row["reason"]) == ("done", None)
    assert results.drop_columns(["auroc_low", "auroc_high"]).equals(
        inputs[0].drop_columns(["auroc_low", "auroc_high"])
    )


def test_intervals_of_an_epoch_axis_go_to_their_epoch(make_tables, study_of):
    variants = ("baseline", "combined")
    given = make_tables(variants, counts=(6,), epochs=(25, 100))
    found = statistics_of(*given, study_of(variants, n_patients=[6], gan_epochs=[25, 100]))
    for row in found["results"].to_pylist():
        assert row["auroc_low"] < row["auroc"] < row["auroc_high"]


def test_the_tables_have_their_schemas(found):
    for name, table in found.items():
        assert table.schema.equals(SECTIONS[name].schema), name
        assert set(table["status"].to_pylist()) <= {"done", "withheld", "missing", "refused"}
        for row in table.to_pylist():
            assert row["status"] == "done" or row["reason"], (name, row)
