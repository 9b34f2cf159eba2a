"""Input that has no statistic makes rows that say so; it ends no report and fakes no number."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from lussweep.report.sections.results import RESULTS
from lussweep.store import tables
from support.reports import statistics_of

VARIANTS = ("baseline", "combined", "pure_synthetic")
COUNTS = [6, 15]
PLACE = ("n_patients", "replicate", "variant")
ESTIMATES = {
    "results": ("auroc", "auroc_low", "auroc_high"),
    "means": ("auroc", "sd", "low", "training_sd"),
    "aurocs": ("auroc", "low", "high", "standard_error"),
    "quality": (
        "average_precision",
        "average_precision_low",
        "brier",
        "brier_low",
        "calibration_slope",
        "calibration_slope_low",
        "calibration_error",
    ),
    "calibration": ("bin", "mean_score", "share", "low"),
    "net_benefit": ("threshold", "net_benefit", "net_benefit_low", "treat_all", "gain_low"),
    "operating": ("threshold", "sensitivity", "sensitivity_low", "specificity"),
    "delong": ("auroc", "difference", "low", "p_value"),
    "contrasts": ("auroc", "difference", "low", "p_value", "p_holm", "non_inferior", "margin"),
    "worth": ("worth", "k_low", "interval_low", "power_law_k"),
    "multiplier": ("m", "low", "a", "lack_of_fit_p"),
    "usefulness": ("spearman", "spearman_low", "kendall"),
}


@pytest.fixture
def given(make_tables):
    return make_tables(VARIANTS, counts=COUNTS)


@pytest.fixture
def study(study_of):
    return study_of(VARIANTS, n_patients=COUNTS)


def changed(table, change, where):
    """The table with `change` over the rows of the places in `where`."""
    rows = [
        row | change if tuple(row[name] for name in PLACE) in where else row
        for row in table.to_pylist()
    ]
    return pa.Table.from_pylist(rows, table.schema)


def rows_of(found, name, **wanted):
    return [row for row in found[name].to_pylist() if all(row[k] == v for k, v in wanted.items())]


def outcomes(rows):
    return {(row["status"], row["reason"]) for row in rows}


def assert_nothing_given(name, rows):
    assert rows
    for row in rows:
        assert all(row[field] is None for field in ESTIMATES[name]), (name, row)


# --- scores that are not finite ---------------------------------------------------------------

BROKEN = (6, 2, "combined")


@pytest.fixture
def with_nan(given):
    """Three of the frames of one cell have no number for a score."""
    results, scores, *others = given
    rows, left = scores.to_pylist(), [math.nan, math.inf, None]
    for row in rows:
        if left and tuple(row[name] for name in PLACE) == BROKEN:
            row["score"] = left.pop()
    return results, pa.Table.from_pylist(rows, scores.schema), *others


def test_every_row_of_a_cell_with_scores_that_are_not_finite_says_so(given, with_nan, study):
    whole, found = (statistics_of(*one, study) for one in (given, with_nan))
    why = "3 of 80 scores are not finite"
    place = dict(zip(PLACE, BROKEN, strict=True))
    for name, n_rows in (("aurocs", 8), ("quality", 1), ("calibration", 1), ("net_benefit", 1)):
        mine = rows_of(found, name, **place)
        assert len(mine) == n_rows
        assert outcomes(mine) == {("refused", why)}
        assert_nothing_given(name, mine)
    mine = rows_of(found, "operating", **place)
    assert outcomes(mine) == {("refused", f"holdout: {why}")}
    assert_nothing_given("operating", mine)
    mine = rows_of(found, "delong", **place)
    assert outcomes(mine) == {("refused", f"refused: combined n=6 r=2 ({why})")}
    assert_nothing_given("delong", mine)
    for name in ("aurocs", "quality", "calibration", "net_benefit", "operating", "delong"):
        others = [
            [row for row in each[name].to_pylist() if tuple(row[n] for n in PLACE) != BROKEN]
            for each in (found, whole)
        ]
        assert others[0] == others[1], f"{name} of other cells are unaffected"


def test_a_contrast_goes_without_the_refused_replicate_and_names_it(given, with_nan, study):
    found = statistics_of(*with_nan, study)
    (row,) = rows_of(found, "contrasts", n_patients=6, variant="combined")
    assert (row["status"], row["n_replicates"]) == ("done", 2)
    why = "refused: combined n=6 r=2 (3 of 80 scores are not finite)"
    assert row["reason"].startswith(why)
    left = given[0].to_pandas().query("n_patients == 6 and replicate != 2")
    means = left.groupby("variant").auroc.mean()
    assert row["difference"] == pytest.approx(means["combined"] - means["baseline"])
    (row,) = rows_of(found, "worth", n_patients=6, variant="combined")
    assert (row["status"], row["n_replicates"], row["reason"]) == ("done", 2, why)
    (row,) = rows_of(found, "usefulness", variant="combined")
    assert row["status"] == "refused", "5 cells are left"
    assert "5 of 6 cells have this metric and a gain" in row["reason"]


def test_a_contrast_of_refused_cells_alone_is_refused(given, study):
    results, scores, *others = given
    where = {(15, replicate, "baseline") for replicate in (1, 2, 3)}
    found = statistics_of(results, changed(scores, {"score": math.nan}, where), *others, study)
    for name in ("contrasts", "delong"):
        mine = rows_of(found, name, n_patients=15)
        assert {row["status"] for row in mine} == {"refused"}
        assert all("80 of 80 scores are not finite" in row["reason"] for row in mine)
        assert_nothing_given(name, mine)
        assert "refused" not in {row["status"] for row in rows_of(found, name, n_patients=6)}
    assert {row["status"] for row in rows_of(found, "worth")} == {"refused"}, "one count is left"
    for name in ("worth", "multiplier"):
        assert_nothing_given(name, rows_of(found, name))


def test_results_keep_a_refused_cell_without_its_numbers(with_nan, study):
    results, *others = with_nan
    looks_real = {"auroc": math.nan, "accuracy": 0.5, "sensitivity": 0.4, "n_holdout_frames": 80}
    results = changed(results, looks_real, {BROKEN})
    found = statistics_of(results, *others, study)
    rows = found["results"].to_pylist()
    (row,) = [row for row in rows if tuple(row[name] for name in PLACE) == BROKEN]
    assert (row["status"], row["reason"]) == ("refused", "3 of 80 scores are not finite")
    assert [row[name] for name in ("auroc", "auroc_low", "accuracy", "sensitivity")] == [None] * 4
    assert row["n_holdout_frames"] == 80
    assert all(row["auroc_low"] <= row["auroc"] for row in rows if row["status"] == "done")


def test_frames_of_one_class_and_cells_without_frames_are_refused(given, study):
    results, scores, *others = given
    scores = changed(scores, {"label": 1}, {BROKEN})
    kept = [row for row in scores.to_pylist() if row["n_patients"] != 15 or row["replicate"] != 1]
    found = statistics_of(results, pa.Table.from_pylist(kept, scores.schema), *others, study)
    mine = rows_of(found, "aurocs", **dict(zip(PLACE, BROKEN, strict=True)))
    assert outcomes(mine) == {("refused", "both classes are needed, found [1]")}
    mine = rows_of(found, "aurocs", n_patients=15, replicate=1)
    assert outcomes(mine) == {("refused", "no frame is scored")}


def test_thresholds_say_what_is_wrong_with_validation(given, study):
    results, scores, val_scores, gan_scores = given
    broken = changed(val_scores, {"score": math.nan}, {BROKEN})
    found = statistics_of(results, scores, broken, gan_scores, study)
    mine = rows_of(found, "operating", **dict(zip(PLACE, BROKEN, strict=True)))
    assert outcomes(mine) == {("refused", "validation: 80 of 80 scores are not finite")}
    assert_nothing_given("operating", mine)
    mine = rows_of(found, "net_benefit", recalibrated=True, **dict(zip(PLACE, BROKEN, strict=True)))
    assert outcomes(mine) == {("refused", "validation: 80 of 80 scores are not finite")}
    assert_nothing_given("net_benefit", mine)
    inverted = [row | {"score": 1.0 - row["label"]} for row in val_scores.to_pylist()]
    inverted = pa.Table.from_pylist(inverted, tables.FRAME_SCORES)
    found = statistics_of(results, scores, inverted, gan_scores, study)
    for row in rows_of(found, "operating"):
        assert row["threshold"] == math.inf
        assert row["reason"] == "no validation score reaches it: no frame is called positive"


def test_scores_that_are_no_probabilities_have_no_calibration(given, study):
    results, scores, *others = given
    logits = [row | {"score": 10 * row["score"]} for row in scores.to_pylist()]
    found = statistics_of(results, pa.Table.from_pylist(logits, scores.schema), *others, study)
    for name in ("quality", "calibration", "net_benefit"):
        mine = rows_of(found, name)
        assert len(mine) == len(results)
        assert outcomes(mine) == {("refused", "scores must be probabilities, in [0, 1]")}
        assert_nothing_given(name, mine)
    assert {row["status"] for row in rows_of(found, "aurocs")} == {"done"}


def test_scores_that_separate_the_classes_have_no_calibration_line(given, study):
    results, scores, *others = given
    perfect = [row | {"score": 0.25 + 0.5 * row["label"]} for row in scores.to_pylist()]
    found = statistics_of(results, pa.Table.from_pylist(perfect, scores.schema), *others, study)
    for row in rows_of(found, "quality"):
        assert (row["status"], row["average_precision"]) == ("withheld", 1.0)
        assert row["calibration_slope"] is row["calibration_intercept_low"] is None
        assert row["average_precision_low"] is None, "no interval of width 0"
        assert row["brier_low"] is None, "every frame is 0.25 away from its label"
        for why in (
            "average precision: the value is the same without any of the patients",
            "Brier score: the value is the same without any of the patients",
            "calibration line: the scores separate the classes, or nearly",
        ):
            assert why in row["reason"]
    for row in rows_of(found, "net_benefit", recalibrated=False):
        assert row["status"] == "done"
        assert row["net_benefit_low"] < row["net_benefit_high"]


# --- patients of one class, or too few of one ---------------------------------------------------


def mixed(n_negative_patients):
    """Twelve patients: all but so many have a positive video, and all have a negative one."""
    return [
        {
            "patient_id": f"p{patient:02d}", "video_id": f"p{patient:02d}-{frame % 2}",
            "frame": frame, "label": int(frame % 2 and patient >= n_negative_patients),
        }
        for patient in range(12)
        for frame in range(4)
    ]  # fmt: skip


def test_patients_with_frames_of_both_classes_are_positive_and_may_leave_no_negative_one(
    make_tables, study
):
    found = statistics_of(*make_tables(VARIANTS, counts=COUNTS, frames=mixed(0)), study)
    for row in rows_of(found, "aurocs"):
        if row["level"] in ("patient_mean", "patient_max", "patient_top"):
            assert row["status"] == "refused"
            assert row["reason"] == "all 12 patients have a positive frame: none is negative"
            assert (row["n_units"], row["n_pos_patients"], row["n_neg_patients"]) == (12, 12, 0)
            assert_nothing_given("aurocs", [row])
        else:
            assert row["status"] == "done"
            assert row["low"] <= row["auroc"] <= row["high"]
    mine = rows_of(found, "delong")
    assert outcomes(mine) == {("refused", "all patients have a positive frame: none is negative")}
    assert_nothing_given("delong", mine)
    assert {row["status"] for row in rows_of(found, "contrasts")} == {"done"}, "by frame"


def test_a_class_in_one_patient_has_estimates_and_no_interval(make_tables, study):
    frames = [
        {"patient_id": f"p{p}", "video_id": f"p{p}-{v}", "frame": 0, "label": int(p > 0)}
        for p in range(9)
        for v in range(3)
    ]
    given = make_tables(VARIANTS, counts=COUNTS, frames=frames)
    found = statistics_of(*given, study)
    why = "1 patient with negative frames: an interval needs 5"
    for row in rows_of(found, "aurocs"):
        assert (row["status"], row["reason"]) == ("withheld", why)
        assert 0 <= row["auroc"] <= 1
        assert_nothing_given("aurocs", [row | {"auroc": None}])
    few = "1 patient with negative frames: an interval needs 5"
    for name in ("quality", "calibration", "net_benefit"):
        kept = {"recalibrated": False} if name == "net_benefit" else {}
        assert outcomes(rows_of(found, name, **kept)) == {("withheld", few)}
    for row in rows_of(found, "quality"):
        assert 0 <= row["brier"] <= 1 and 0 <= row["average_precision"] <= 1
        assert row["brier_low"] is row["average_precision_high"] is None
        assert row["calibration_slope_low"] is row["calibration_intercept_high"] is None
    for row in rows_of(found, "calibration"):
        assert row["low"] is row["high"] is None
        assert 0 <= row["share"] <= 1
    for row in rows_of(found, "net_benefit", recalibrated=False):
        assert row["gain_low"] is row["net_benefit_high"] is None
        assert row["gain"] == pytest.approx(row["net_benefit"] - max(row["treat_all"], 0))
    for row in rows_of(found, "operating"):
        assert row["status"] == "withheld"
        assert why in row["reason"]
        assert row["sensitivity_low"] <= row["sensitivity"] <= row["sensitivity_high"]
        assert row["specificity"] is not None
        assert row["specificity_low"] is row["specificity_high"] is None
    for row in rows_of(found, "contrasts"):
        assert row["status"] == "withheld"
        assert row["difference"] == pytest.approx(row["auroc"] - row["reference_auroc"])
        estimates = {"auroc": None, "difference": None, "margin": None}
        assert_nothing_given("contrasts", [row | estimates])
        assert "1 patient of the scarcer class" in row["reason"]
    for row in rows_of(found, "delong"):
        assert (row["status"], row["low"], row["p_value"]) == ("withheld", None, None)
        assert row["difference"] == pytest.approx(row["auroc"] - row["reference_auroc"])
    for row in rows_of(found, "worth"):
        assert (row["status"], row["interval"], row["interval_low"]) == ("withheld", None, None)
        assert row["worth"]
    for row in found["results"].to_pylist():
        assert (row["status"], row["reason"]) == ("done", f"no interval: {why}")
        assert row["auroc"] is not None
        assert row["auroc_low"] is row["auroc_high"] is None


def test_cells_judged_on_other_frames_are_not_compared(given, study):
    results, scores, *others = given
    first = scores.to_pylist()[0]
    fewer = [row for row in scores.to_pylist() if row is not first][1:]
    found = statistics_of(results, pa.Table.from_pylist(fewer, scores.schema), *others, study)
    mine = rows_of(found, "contrasts", n_patients=6)
    assert {row["status"] for row in mine} == {"refused"}
    assert all("differ in" in row["reason"] for row in mine)
    assert {row["status"] for row in rows_of(found, "contrasts", n_patients=15)} == {"done"}
    assert {row["status"] for row in rows_of(found, "worth")} == {"refused"}


# --- cells that are not there -------------------------------------------------------------------


def failed(given, where):
    """Those cells failed: a row of the results without a number, and no scores."""
    results, *scores, gan_scores = given
    results = changed(results, {"status": "failed", "auroc": None, "reason": "no luck"}, where)
    kept = [
        [row for row in table.to_pylist() if tuple(row[name] for name in PLACE) not in where]
        for table in scores
    ]
    return results, *(pa.Table.from_pylist(r, tables.FRAME_SCORES) for r in kept), gan_scores


def test_a_planned_contrast_without_its_reference_names_the_missing_cells(given, study):
    where = {(6, replicate, "baseline") for replicate in (1, 2, 3)}
    found = statistics_of(*failed(given, where), study)
    (row,) = rows_of(found, "contrasts", n_patients=6, variant="combined")
    named = "missing: baseline n=6 r=1, baseline n=6 r=2, baseline n=6 r=3"
    assert (row["status"], row["reason"]) == ("missing", named)
    assert_nothing_given("contrasts", [row])
    mine = rows_of(found, "delong", n_patients=6, replicate=2)
    assert outcomes(mine) == {("missing", "missing: baseline n=6 r=2")}
    assert_nothing_given("delong", mine)
    assert not rows_of(found, "aurocs", n_patients=6, variant="baseline")
    worth = rows_of(found, "worth")
    assert {row["status"] for row in worth} == {"missing"}
    assert all(row["reason"] == named for row in worth), "no curve with one patient count"
    mine = rows_of(found, "usefulness")
    assert all("3 of 6 cells have this metric and a gain" in row["reason"] for row in mine)


def test_a_contrast_of_fewer_replicates_is_done_and_names_what_it_lacks(given, study):
    where = {(6, 1, "baseline"), (6, 3, "combined")}
    found = statistics_of(*failed(given, where), study)
    (row,) = rows_of(found, "contrasts", n_patients=6, variant="combined")
    assert (row["status"], row["n_replicates"]) == ("withheld", 1)
    named = "missing: baseline n=6 r=1, combined n=6 r=3"
    assert row["reason"].startswith(f"{named}; 1 replicate: what other trainings would change")
    assert row["low"] is None and row["conditional_low"] < row["difference"]
    (row,) = rows_of(found, "contrasts", n_patients=6, variant="pure_synthetic")
    assert (row["status"], row["n_replicates"]) == ("done", 2)
    assert row["reason"] == "missing: baseline n=6 r=1"
    assert all(r["reason"] is None for r in rows_of(found, "contrasts", n_patients=15))


def test_variants_that_no_replicate_joins_make_no_contrast_but_a_row(given, study):
    where = {(6, 1, "baseline"), (6, 2, "baseline"), (6, 3, "combined")}
    found = statistics_of(*failed(given, where), study)
    (row,) = rows_of(found, "contrasts", n_patients=6, variant="combined")
    assert row["status"] == "missing"


def test_holm_counts_what_was_planned(given, study):
    where = {(n, r, "pure_synthetic") for n in COUNTS for r in (1, 2, 3)}
    found = statistics_of(*failed(given, where), study)
    tested = rows_of(found, "contrasts", status="done")
    assert len(tested) == 2 < len(found["contrasts"]) == 4
    smallest = min(row["p_value"] for row in tested)
    first = min(tested, key=lambda row: row["p_value"])
    assert first["p_holm"] == pytest.approx(min(1.0, 4 * smallest))


def test_cells_that_are_not_done_are_missing(given, study):
    results, *others = given
    lost = {(n, 3, variant) for n in COUNTS for variant in VARIANTS}
    lost |= {(15, replicate, "pure_synthetic") for replicate in (1, 2)}
    results = changed(results, {"status": "failed", "auroc": None}, lost)
    found = statistics_of(results, *others, study)
    status = {
        (row["n_patients"], row["variant"]): (row["status"], row["n_replicates"])
        for row in rows_of(found, "contrasts")
    }
    assert status == {
        (6, "combined"): ("done", 2),
        (6, "pure_synthetic"): ("done", 2),
        (15, "combined"): ("done", 2),
        (15, "pure_synthetic"): ("missing", None),
    }
    (row,) = rows_of(found, "contrasts", n_patients=6, variant="combined")
    assert row["reason"] == "missing: baseline n=6 r=3, combined n=6 r=3"


def test_cells_that_nobody_asked_for_make_no_row(make_tables, study_of):
    """`--only` leaves them out of the results."""
    given = make_tables(("baseline", "combined"), counts=[6], n_replicates=2)
    found = statistics_of(*given, study_of(VARIANTS, n_patients=COUNTS))
    (row,) = rows_of(found, "contrasts")
    assert (row["n_patients"], row["variant"], row["status"]) == (6, "combined", "done")
    assert not str(row["reason"]).startswith("missing")
    alone = make_tables(("shuffled",), counts=[6], n_replicates=2)
    found = statistics_of(*alone, study_of(("baseline", "shuffled"), n_patients=COUNTS))
    assert len(found["contrasts"]) == len(found["worth"]) == 0
    assert len(found["controls"]) == 1


def test_missing_epochs_of_an_axis_are_named(make_tables, study_of):
    given = make_tables(("baseline", "combined"), counts=[6], epochs=(25, 100))
    rows = given[0].to_pylist()
    for row in rows:
        if (row["replicate"], row["gan_epoch"]) == (2, 100):
            row |= {"status": "failed", "auroc": None}
    results = pa.Table.from_pylist(rows, RESULTS)
    study = study_of(("baseline", "combined"), n_patients=[6], gan_epochs=[25, 100])
    found = statistics_of(results, *given[1:], study)
    whole, part = rows_of(found, "contrasts")
    assert (whole["gan_epoch"], whole["n_replicates"]) == (25, 3)
    assert (part["gan_epoch"], part["n_replicates"]) == (100, 2)
    assert part["reason"] == "missing: combined epoch 100 n=6 r=2"


def test_nothing_done_gives_rows_that_say_so_and_no_number(given, study):
    results, *_ = given
    everywhere = {(n, r, v) for n in COUNTS for r in (1, 2, 3) for v in VARIANTS}
    results = changed(results, {"status": "missing", "auroc": None}, everywhere)
    empty = (tables.FRAME_SCORES, tables.FRAME_SCORES, tables.GAN_SCORES)
    found = statistics_of(results, *(schema.empty_table() for schema in empty), study)
    for name, table in found.items():
        rows = table.to_pylist()
        assert {row["status"] for row in rows} <= {"missing"}
        if rows:
            assert_nothing_given(name, rows)
    assert len(found["contrasts"]) == 4
    of_done_cells = ("aurocs", "quality", "calibration", "net_benefit", "operating", "controls")
    assert [len(found[name]) for name in of_done_cells] == [0] * 6


def test_a_grid_without_a_baseline_or_with_one_patient_count_asks_for_no_worth(
    make_tables, study_of
):
    one_count = statistics_of(*make_tables(VARIANTS, counts=[6]), study_of(n_patients=[6]))
    assert len(one_count["worth"]) == len(one_count["multiplier"]) == 0
    lone = statistics_of(
        *make_tables(("combined",), counts=COUNTS), study_of(("combined",), n_patients=COUNTS)
    )
    assert len(lone["worth"]) == len(lone["contrasts"]) == len(lone["usefulness"]) == 0


def test_an_infinite_gan_score_is_refused_and_too_few_cohorts_have_no_interval(given, study):
    *others, gan_scores = given
    column = gan_scores.column_names.index("value")
    infinite = gan_scores.set_column(column, "value", pa.array([np.inf] * len(gan_scores)))
    found = statistics_of(*others, infinite, study)
    assert outcomes(rows_of(found, "usefulness")) == {
        ("refused", "a metric is infinite or a gain is not finite")
    }
    failed_one = {(6, 1, "pure_synthetic")}
    found = statistics_of(*failed(given, failed_one), study)
    (row,) = rows_of(found, "usefulness", variant="pure_synthetic")
    assert row["status"] == "refused"
    assert_nothing_given("usefulness", [row])


# --- shuffled labels ----------------------------------------------------------------------------


@pytest.mark.parametrize("n_replicates", [3, 20])
def test_shuffled_labels_are_judged_over_replicates(make_tables, study_of, n_replicates):
    variants = ("baseline", "shuffled")
    given = make_tables(variants, counts=[15], n_replicates=n_replicates)
    study = study_of(variants, n_patients=[15], replicates=n_replicates)
    (row,) = statistics_of(*given, study)["controls"].to_pylist()
    aurocs = given[0].to_pandas().query("variant == 'shuffled'").auroc
    assert row["auroc"] == pytest.approx(aurocs.mean())
    assert row["low"] < row["auroc"] < row["high"]
    assert (row["n_patients"], row["variant"]) == (15, "shuffled")
    assert row["n_permutations"] == n_replicates
    if n_replicates == 20:
        assert (row["status"], row["verdict"], row["reason"]) == ("done", "chance", None)
    else:
        assert (row["status"], row["verdict"]) == ("withheld", None)
        assert row["reason"] == "3 of 20 permutations"


def test_the_intervals_of_shuffled_labels_hold_together(make_tables, study_of):
    """Each of five counts alone would be called no chance once in 20 times."""
    variants, counts = ("baseline", "shuffled"), [6, 15, 29, 44, 58]
    given = make_tables(variants, counts=counts, n_replicates=20)
    study = study_of(variants, n_patients=counts, replicates=20)
    rows = statistics_of(*given, study)["controls"].to_pylist()
    aurocs = given[0].to_pandas().query("variant == 'shuffled'").groupby("n_patients").auroc
    reach = stats.t.ppf(1 - 0.01 / 2, 19) * aurocs.sem()
    assert [row["high"] - row["auroc"] for row in rows] == pytest.approx(reach.tolist())


def test_permutations_that_are_missing_are_named(make_tables, study_of):
    variants = ("baseline", "shuffled")
    results, *others = make_tables(variants, counts=COUNTS, n_replicates=3)
    lost = {(15, 3, "shuffled")} | {(6, replicate, "shuffled") for replicate in (1, 2, 3)}
    results = changed(results, {"status": "failed", "auroc": None}, lost)
    study = study_of(variants, n_patients=COUNTS, replicates=3)
    none, part = statistics_of(results, *others, study)["controls"].to_pylist()
    assert (none["n_patients"], none["status"], none["n_permutations"]) == (6, "missing", 0)
    assert none["auroc"] is none["verdict"] is None
    assert (part["status"], part["n_permutations"]) == ("withheld", 2)
    assert part["reason"] == "2 of 20 permutations; missing: shuffled n=15 r=3"


# --- sector masks -------------------------------------------------------------------------------


@pytest.mark.parametrize("n_replicates", [1, 3])
def test_masks_that_tell_the_class_are_above_chance(make_tables, study_of, n_replicates):
    variants = ("baseline", "mask_only", "outline")
    given = make_tables(variants, counts=[58], n_replicates=n_replicates)
    study = study_of(variants, n_patients=[58], replicates=n_replicates)
    found = statistics_of(*given, study)
    chance, above = found["controls"].to_pylist()
    assert (chance["variant"], chance["verdict"], chance["control"]) == (
        "mask_only", "chance", "sector masks",
    )  # fmt: skip
    assert (above["variant"], above["verdict"], above["status"]) == (
        "outline", "above chance", "done",
    )  # fmt: skip
    assert 0.5 < above["low"] < above["auroc"] < above["high"]
    table = "means" if n_replicates > 1 else "aurocs"
    (same,) = rows_of(found, table, variant="outline", level="frame")
    assert (above["low"], above["high"]) == (same["low"], same["high"])
    assert above["n_permutations"] is None


def test_masks_that_are_missing_are_named(make_tables, study_of):
    variants = ("baseline", "mask_only")
    results, *others = make_tables(variants, counts=[6], n_replicates=1)
    results = changed(results, {"status": "failed", "auroc": None}, {(6, 1, "mask_only")})
    study = study_of(variants, n_patients=[6], replicates=1)
    (row,) = statistics_of(results, *others, study)["controls"].to_pylist()
    assert (row["status"], row["verdict"]) == ("missing", None)
    assert row["reason"] == "missing: mask_only n=6 r=1"


def test_thresholds_of_shuffled_validation_labels_are_refused(make_tables, study_of):
    variants = ("baseline", "shuffled")
    found = statistics_of(*make_tables(variants, counts=[6]), study_of(variants))
    for rows in (rows_of(found, "operating"), rows_of(found, "net_benefit", recalibrated=True)):
        status = {row["variant"]: row["status"] for row in rows}
        assert status == {"baseline": "done", "shuffled": "refused"}
    status = {row["status"] for row in rows_of(found, "net_benefit", recalibrated=False)}
    assert status == {"done"}


def test_models_that_rank_every_pair_alike_have_no_delong_test(make_tables, study_of):
    """One is always right and one says nothing: no variance, so neither p-value nor interval."""
    results, scores, *others = make_tables(("baseline", "combined"), counts=[6], n_replicates=1)
    label = np.array(scores["label"].to_pylist())
    perfect = np.array(scores["variant"].to_pylist()) == "combined"
    made = np.where(perfect, 0.2 + 0.6 * label, 0.5)
    place = scores.column_names.index("score")
    scores = scores.set_column(place, scores.schema.field(place), pa.array(made))
    study = study_of(("baseline", "combined"), n_patients=[6])
    (row,) = rows_of(statistics_of(results, scores, *others, study), "delong")
    assert (row["status"], row["difference"]) == ("withheld", 0.5)
    assert row["p_value"] is row["low"] is row["standard_error"] is None
