import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss

from lussweep.analysis.calibration import (
    CLIP,
    CalibrationLine,
    brier,
    calibration_curve,
    calibration_line,
    expected_calibration_error,
    line_estimate,
    recalibrated,
    weighted_lines,
)
from lussweep.analysis.levels import Scored
from lussweep.analysis.shares import share_interval
from lussweep.metrics.auroc import patient_weights
from support.labelled import arrays, cohort, labelled_scores, settled

STATISTICS = [
    calibration_line,
    lambda *given: calibration_line(*given).intercept,
    expected_calibration_error,
]


# --- calibration: what every statistic keeps --------------------------------------------------


@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_order_of_frames_does_not_matter(statistic):
    label_N, score_N, _ = cohort()
    order = np.random.default_rng(0).permutation(len(label_N))
    found = statistic(label_N[order], score_N[order])
    assert found == pytest.approx(statistic(label_N, score_N), abs=1e-9)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(
    ("label", "score", "message"),
    [
        ([1, 1], [0.1, 0.2], "both classes are needed"),
        ([0, 2], [0.1, 0.2], "labels must be 0 or 1"),
        ([0, 1, 1], [0.1, 0.2], "labels have shape"),
        ([0, 1], [0.1, np.inf], "not finite"),
        ([0, 1], [0.1, np.nan], "not finite"),
    ],
)
def test_bad_input_is_refused(statistic, label, score, message):
    with pytest.raises(ValueError, match=message):
        statistic(np.array(label), np.array(score))


@pytest.mark.parametrize("statistic", STATISTICS)
def test_scores_that_are_no_probabilities_are_refused(statistic):
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        statistic(np.array([0, 1, 0]), np.array([0.1, 1.5, 0.2]))


# --- calibration --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_the_line_equals_sklearns_without_penalty_and_a_general_minimiser(seed):
    label_N, score_N, _ = cohort(seed=seed)
    clipped_N = score_N.clip(CLIP, 1 - CLIP)
    logit_N = np.log(clipped_N / (1 - clipped_N))
    found = calibration_line(label_N, score_N)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000, solver="newton-cholesky")
    model.fit(logit_N[:, None], label_N)
    assert found == pytest.approx((model.coef_[0, 0], model.intercept_[0]), abs=1e-5)

    def loss(line):
        margin_N = line[1] + line[0] * logit_N
        return (np.logaddexp(0, margin_N) - label_N * margin_N).sum()

    best = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    assert found == pytest.approx(best.x, abs=1e-5)
    assert loss(found) <= best.fun + 1e-9


def test_calibrated_scores_have_slope_1_and_intercept_0_and_sharpened_ones_half_the_slope():
    rng = np.random.default_rng(0)
    score_N = 1 / (1 + np.exp(-2 * rng.normal(size=200_000)))
    label_N = (rng.random(200_000) < score_N).astype(np.int64)
    assert calibration_line(label_N, score_N) == pytest.approx((1, 0), abs=0.02)
    assert expected_calibration_error(label_N, score_N) < 0.005
    sharpened_N = score_N**2 / (score_N**2 + (1 - score_N) ** 2)  # twice the logit
    assert calibration_line(label_N, sharpened_N).slope == pytest.approx(0.5, abs=0.01)
    assert expected_calibration_error(label_N, sharpened_N) > 0.05


def test_the_line_undoes_a_known_change_of_the_logit():
    """Halving the logit and adding 1 divides the slope and moves the intercept, exactly."""
    label_N, score_N, _ = cohort(decimals=6)
    score_N = score_N.clip(0.01, 0.99)
    slope, intercept = calibration_line(label_N, score_N)
    changed_N = 1 / (1 + np.exp(-(0.5 * np.log(score_N / (1 - score_N)) + 1)))
    expected = (2 * slope, intercept - 2 * slope)
    assert calibration_line(label_N, changed_N) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    ("label", "score"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4]),
        ([1, 1, 0, 0], [0.1, 0.2, 0.3, 0.4]),
        ([0, 0, 1, 1], [0.1, 0.2, 0.2, 0.4]),  # separable but for a tie
        ([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5]),
    ],
)
def test_a_line_that_does_not_exist_is_not_a_number(label, score):
    assert np.isnan(calibration_line(np.array(label), np.array(score))).all()


def test_saturated_scores_give_a_finite_line_that_the_clip_decides():
    label_N, score_N = np.array([0, 0, 0, 1, 1, 1]), np.array([0.0, 0.0, 1.0, 1.0, 1.0, 0.0])
    # both groups fitted exactly: logit(1/3) at logit(CLIP), logit(2/3) at its mirror
    slope, intercept = calibration_line(label_N, score_N)
    assert (slope, intercept) == pytest.approx((np.log(2) / np.log((1 - CLIP) / CLIP), 0))


@settled
@given(labelled_scores, st.integers(1, 6))
def test_the_calibration_error_equals_a_loop(pairs, n_bins):
    label_N, score_N = arrays(pairs)
    bins = {}
    for score in set(score_N.tolist()):
        middle = (score_N < score).sum() + (score_N == score).sum() / 2
        bins.setdefault(int(n_bins * middle / len(score_N)), []).append(score)
    error = 0.0
    for scores in bins.values():
        mine = np.isin(score_N, scores)
        error += mine.mean() * abs(label_N[mine].mean() - score_N[mine].mean())
    found = expected_calibration_error(label_N, score_N, n_bins=n_bins)
    assert found == pytest.approx(error, abs=1e-12)


def test_without_ties_bins_hold_equally_many_frames():
    rng = np.random.default_rng(0)
    score_N = rng.permutation(120) / 120
    label_N = rng.integers(2, size=120)
    parts = np.array_split(np.argsort(score_N), 8)
    error = np.mean([abs(label_N[part].mean() - score_N[part].mean()) for part in parts])
    found = expected_calibration_error(label_N, score_N, n_bins=8)
    assert found == pytest.approx(error, abs=1e-12)
    one_bin = expected_calibration_error(label_N, score_N, n_bins=1)
    assert one_bin == pytest.approx(abs(label_N.mean() - score_N.mean()))
    with pytest.raises(ValueError, match="n_bins is 0"):
        expected_calibration_error(label_N, score_N, n_bins=0)


def test_separated_classes_have_no_line():
    label_N, score_N = np.array([0, 0, 1, 1] * 3), np.array([0.1, 0.2, 0.8, 0.9] * 3)
    assert np.isnan(calibration_line(label_N, score_N)).all()


@pytest.mark.parametrize(
    ("label", "score"),
    [
        ([0, 1, 0, 1, 1, 0], [0.5, 0.500001, 0.500002, 0.500002, 0.500003, 0.499999]),
        ([0] * 50 + [1] + [1] * 50 + [0], [0.3] * 50 + [0.3] + [0.7] * 50 + [0.7]),
        ([0] * 999 + [1, 0, 1], [1e-9] * 999 + [0.2, 0.5, 0.9]),
    ],
)
def test_the_line_is_found_where_it_is_steep_or_far_from_where_the_search_begins(label, score):
    label_N, score_N = np.array(label), np.array(score)
    slope, intercept = calibration_line(label_N, score_N)
    clipped_N = score_N.clip(CLIP, 1 - CLIP)
    logit_N = np.log(clipped_N / (1 - clipped_N))
    excess_N = label_N - 1 / (1 + np.exp(-(intercept + slope * logit_N)))
    scale = np.abs(logit_N).max()
    assert (excess_N.sum(), excess_N @ logit_N / scale) == pytest.approx((0, 0), abs=1e-7)


def test_recalibrated_scores_are_calibrated_and_keep_their_order():
    label_N, score_N, _ = cohort(decimals=6)
    line = calibration_line(label_N, score_N)
    probable_N = recalibrated(line, score_N)
    assert calibration_line(label_N, probable_N) == pytest.approx((1, 0), abs=1e-7)
    assert probable_N.mean() == pytest.approx(label_N.mean())
    assert (np.argsort(probable_N, kind="stable") == np.argsort(score_N, kind="stable")).all()
    same_N = recalibrated(CalibrationLine(1.0, 0.0), score_N)
    assert same_N == pytest.approx(score_N.clip(CLIP, 1 - CLIP))
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        recalibrated(line, 10 * score_N)


# --- the line's interval ---------------------------------------------------------------------


def units(n_patients=40, n_frames=600, seed=0):
    """Many patients of either class, or both."""
    label_N, score_N, patient_N = cohort(n_patients, n_frames, seed, decimals=9)
    return Scored(label_N, score_N, patient_N)


def test_every_weighted_line_equals_that_of_repeated_frames():
    label_N, score_N, patient_N = cohort(8, 90, seed=1)
    weight_RP = patient_weights(8, 40, seed=2)
    found_R2 = weighted_lines(label_N.astype(float), score_N, patient_N, weight_RP)
    n_lines = 0
    for found, weight_P in zip(found_R2, weight_RP, strict=True):
        rows = np.repeat(np.arange(90), weight_P[patient_N])
        if len(set(label_N[rows])) == 1:
            assert np.isnan(found).all()
            continue
        expected = calibration_line(label_N[rows], score_N[rows])
        n_lines += not np.isnan(expected.slope)
        assert found == pytest.approx(expected, nan_ok=True, abs=1e-8)
    assert n_lines > 30


def test_the_lines_interval_is_about_as_wide_as_the_clustered_sandwich():
    """Liang and Zeger 1986, with the correction for the number of clusters."""
    given = units(400, 4000)
    found = line_estimate(given)
    clipped_N = given.score_U.clip(CLIP, 1 - CLIP)
    x_N2 = np.stack([np.log(clipped_N / (1 - clipped_N)), np.ones(4000)], axis=1)
    p_N = 1 / (1 + np.exp(-x_N2 @ np.array([found.slope.value, found.intercept.value])))
    bread = np.linalg.inv(x_N2.T @ (x_N2 * (p_N * (1 - p_N))[:, None]))
    score_P2 = np.zeros((400, 2))
    np.add.at(score_P2, given.patient_U, x_N2 * (given.label_U - p_N)[:, None])
    error_2 = np.sqrt(np.diag(bread @ (score_P2.T @ score_P2) @ bread) * 400 / 399)
    for one, error in zip(found, error_2, strict=True):
        assert one.value - one.low == pytest.approx(1.97 * error, rel=0.1)
        assert one.high - one.value == pytest.approx(1.97 * error, rel=0.1)


def test_the_line_estimate_is_the_line_and_copies_within_patients_change_nothing():
    given = units()
    found = line_estimate(given)
    line = calibration_line(given.label_U, given.score_U)
    assert (found.slope.value, found.intercept.value) == line
    thrice = line_estimate(Scored(*(np.repeat(x, 3) for x in given[:3])))
    for one, copied in zip(found, thrice, strict=True):
        assert one.low < one.value < one.high
        assert copied[:3] == pytest.approx(one[:3], abs=1e-6)


def test_a_line_that_one_patient_holds_up_has_no_interval():
    label_N, score_N = np.repeat([0, 1], 30), np.repeat([0.2, 0.8], 30)
    score_N[:3], score_N[30:33] = 0.9, 0.1
    patient_N = np.repeat(np.arange(20), 3)
    patient_N[30:33] = 0  # the only patient with frames of the wrong side
    found = line_estimate(Scored(label_N, score_N, patient_N))
    for one in found:
        assert np.isfinite(one.value)
        assert one.withheld == "without one of the patients the value does not exist"
    separated = line_estimate(Scored(label_N, np.repeat([0.2, 0.8], 30), patient_N))
    assert [one.withheld for one in separated] == ["the value does not exist"] * 2


# --- Brier score and curve -------------------------------------------------------------------


def test_the_brier_score_is_scikit_learns_and_its_interval_that_of_its_patients():
    given = units()
    found = brier(given)
    assert found.value == pytest.approx(brier_score_loss(given.label_U, given.score_U))
    assert 0 < found.low < found.value < found.high < 1
    thrice = Scored(*(np.repeat(x, 3) for x in given[:3]))
    assert brier(thrice)[:3] == pytest.approx(found[:3])
    by_frame = brier(thrice._replace(patient_U=np.arange(1800)))
    assert found.high - found.low > 1.6 * (by_frame.high - by_frame.low)  # about sqrt(3)


def test_the_curve_equals_a_loop_over_sorted_frames():
    given = units()
    found = calibration_curve(given)
    order = np.argsort(given.score_U, kind="stable")
    assert len(set(given.score_U)) == 600, "no ties: bins have equal size"
    for one, part in zip(found, np.array_split(order, 10), strict=True):
        assert (one.n_frames, one.n_patients) == (60, len(set(given.patient_U[part])))
        assert one.mean_score == pytest.approx(given.score_U[part].mean())
        assert one.share == pytest.approx(given.label_U[part].mean())
        frames_P = np.bincount(given.patient_U[part], minlength=40)
        hits_P = np.bincount(given.patient_U[part], given.label_U[part], minlength=40)
        assert (one.low, one.high) == pytest.approx(share_interval(hits_P, frames_P))
        assert one.low <= one.share <= one.high
    error = expected_calibration_error(given.label_U, given.score_U)
    assert error == pytest.approx(np.mean([abs(one.share - one.mean_score) for one in found]))


def test_equal_scores_share_a_bin_of_the_curve():
    label_N = np.arange(40) % 2
    (one,) = calibration_curve(Scored(label_N, np.full(40, 0.3), np.arange(40) // 2))
    assert (one.mean_score, one.share, one.n_frames, one.n_patients) == (
        pytest.approx(0.3), 0.5, 40, 20,
    )  # fmt: skip


@pytest.mark.parametrize("statistic", [brier, line_estimate, calibration_curve])
def test_units_that_are_no_probabilities_or_of_one_class_are_refused(statistic):
    given = units()
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        statistic(given._replace(score_U=10 * given.score_U))
    with pytest.raises(ValueError, match="both classes are needed"):
        statistic(given._replace(label_U=np.ones(600, int)))
