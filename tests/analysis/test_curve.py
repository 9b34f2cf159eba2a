import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator
from sklearn.isotonic import IsotonicRegression

from lussweep.analysis.curve import accepted, cubic, invert, isotonic, steepest, straight

COUNTS = np.array([6, 15, 29, 44, 58])
CONCAVE = {
    "a power law": lambda n: 0.97 - 0.35 * n**-0.5,
    "a slow power law": lambda n: 1 - 0.3 * n**-0.25,
    "a steep power law": lambda n: 0.95 - 0.9 / n,
    "a logarithm": lambda n: 0.7 + 0.05 * np.log(n),
    "a saturated curve": lambda n: 0.93 - 0.12 * np.exp(-n / 8),
}


def read(asked, raw, counts=COUNTS, weight=None):
    mean_K = np.array(raw, dtype=np.float64)
    weight_K = np.ones(len(counts)) if weight is None else np.asarray(weight)
    return tuple(invert(counts, mean_K, isotonic(mean_K, weight_K), asked))


aucs = st.lists(st.integers(50, 60), min_size=5, max_size=5).map(lambda x: np.array(x) / 60)
weights = st.lists(st.integers(1, 4), min_size=5, max_size=5).map(np.array)
settled = settings(max_examples=200, deadline=None, database=None, derandomize=True)


@settled
@given(aucs, weights)
def test_the_fit_equals_sklearn_with_weights_and_never_falls(raw, weight):
    fit = isotonic(raw, weight)
    expected = IsotonicRegression().fit_transform(COUNTS, raw, sample_weight=weight)
    assert fit == pytest.approx(expected, abs=1e-12)
    assert (np.diff(fit) >= 0).all()
    assert fit @ weight == pytest.approx(raw @ weight)  # pooling keeps the mean


def test_replicates_as_points_give_the_fit_of_their_means_weighted_by_their_number():
    rng = np.random.default_rng(0)
    n = np.repeat(COUNTS, [3, 1, 2, 3, 3])
    value = 0.9 + rng.normal(size=len(n)) * 0.02
    mean = np.array([value[n == count].mean() for count in COUNTS])
    weight = np.array([(n == count).sum() for count in COUNTS])
    expected = IsotonicRegression().fit(n, value).predict(COUNTS)
    assert isotonic(mean, weight) == pytest.approx(expected, abs=1e-12)


def test_a_rising_row_is_left_alone():
    rising = np.sort(np.random.default_rng(1).random(5))
    assert (isotonic(rising, np.array([3, 3, 2, 1, 3])) == rising).all()


@settled
@given(aucs, weights, st.integers(49, 61))
def test_the_inversion_equals_a_search_over_scipys_curve(raw, weight, sixtieths):
    """The range holds all counts whose curve has the AUC; it is wider in pooled blocks only."""
    asked, fit = sixtieths / 60, isotonic(raw, weight)
    low, high = read(asked, raw, weight=weight)
    assert low <= high
    grid = np.geomspace(6, 58, 20001)
    curve = PchipInterpolator(np.log(COUNTS), fit)(np.log(grid))
    below, above = grid[curve < asked - 1e-9], grid[curve > asked + 1e-9]
    if asked < fit[0] - 1e-9:
        searched = (-np.inf, -np.inf)
    elif asked > fit[-1] + 1e-9:
        searched = (np.inf, np.inf)
    else:
        searched = (below.max(initial=6), above.min(initial=58))
    is_pooled = np.abs(fit - raw).max() > 1e-9
    for found, expected, outward in zip((low, high), searched, (-1, 1), strict=True):
        if is_pooled:
            assert outward * found >= outward * expected - 0.1
        else:  # a curve that starts flat leaves a knot slowly: the grid sees that late
            assert found == expected or found == pytest.approx(expected, rel=0.005)


@settled
@given(aucs, weights)
def test_the_baselines_own_worth_at_n_holds_n_and_is_n_where_the_curve_rises(raw, weight):
    fit = isotonic(raw, weight)
    for k, count in enumerate(COUNTS):
        low, high = read(raw[k], raw, weight=weight)
        assert low <= count <= high
        if (np.delete(fit, k) != fit[k]).all():
            blocks = [raw[fit == value] for value in np.delete(fit, k)]
            if not any(block.min() <= raw[k] <= block.max() for block in blocks):
                assert low == high == count


@settled
@given(aucs, weights)
def test_a_greater_auc_is_never_worth_less(raw, weight):
    asked = np.sort(np.concatenate([np.linspace(0.8, 1.01, 60), raw]))
    found = np.array([read(a, raw, weight=weight) for a in asked])
    for ends in found.T:
        assert all(a <= b for a, b in itertools.pairwise(ends))


@pytest.mark.parametrize("curve", CONCAVE.values(), ids=CONCAVE)
def test_without_noise_a_concave_curve_is_read_within_5_percent_everywhere(curve):
    for n in np.geomspace(6, 58, 100):
        low, high = read(curve(n), curve(COUNTS.astype(float)))
        assert low == high == pytest.approx(n, rel=0.05)


def test_a_logarithm_is_read_exactly_and_a_line_between_counts_would_not_do():
    curve = CONCAVE["a logarithm"]
    assert read(curve(9.0), curve(COUNTS.astype(float))) == pytest.approx((9, 9))
    power = CONCAVE["a steep power law"]
    straight = np.interp(power(9.0), power(COUNTS.astype(float)), COUNTS)
    assert straight > 10.3


def test_ends_and_knots():
    raw = [0.80, 0.86, 0.90, 0.92, 0.94]
    assert [read(a, raw)[0] for a in raw] == COUNTS.tolist()
    assert read(0.799, raw) == (-np.inf, -np.inf)
    assert read(0.941, raw) == (np.inf, np.inf)
    assert read(0.94 + 1e-15, raw) == (58, 58)  # rounding is not a gain


def test_flat_stretches_give_ranges():
    assert read(0.9, [0.8, 0.9, 0.9, 0.9, 0.95]) == (15, 44)
    assert read(0.9, [0.8, 0.85, 0.86, 0.9, 0.9]) == (44, 58)
    assert read(0.9, [0.9] * 5) == (6, 58)
    assert read(0.8999, [0.9] * 5) == (-np.inf, -np.inf)
    # 29 and 44 are pooled at 0.90: what lies between 0.89 and 0.91 cannot be placed within
    pooled = [0.80, 0.85, 0.91, 0.89, 0.95]
    assert read(0.90, pooled) == (29, 44)
    low, high = read(0.895, pooled)
    assert (15 < low < 29, high) == (True, 44)
    # the baseline at 44 beats the end of the curve, and is still one of the counts it may be worth
    assert read(0.93, [0.80, 0.85, 0.90, 0.93, 0.91]) == (44, np.inf)


def test_rows_are_evaluated_as_scipy_evaluates_each():
    rows = np.random.default_rng(2).random((4, 5))
    at = np.geomspace(6, 58, 31)
    found = cubic(COUNTS, rows, at)
    assert found.shape == (31, 4)
    for row, column in zip(rows, found.T, strict=True):
        expected = PchipInterpolator(np.log(COUNTS), row)(np.log(at))
        assert column == pytest.approx(expected)
    assert cubic(COUNTS, rows, COUNTS) == pytest.approx(rows.T, abs=1e-15)


@pytest.mark.parametrize("name", ["a power law", "a steep power law", "a saturated curve"])
def test_a_concave_curve_runs_between_lines_and_the_steepest_curve(name):
    """Between the first two counts the steepest is a guess: a cubic in 1 / n."""
    curve, at = CONCAVE[name], np.geomspace(6, 58, 400)
    knots = curve(COUNTS.astype(float))
    lines, most = (f(COUNTS, knots[None], at)[:, 0] for f in (straight, steepest))
    assert (lines <= curve(at) + 1e-12).all()
    assert (curve(at) <= most + 1e-12)[at >= 15].all()
    for rows in (knots[None], knots[None, ::-1], np.random.default_rng(4).random((20, 5))):
        for f in (cubic, straight, steepest):
            assert f(COUNTS, rows, COUNTS) == pytest.approx(rows.T, abs=1e-12)
            assert f(COUNTS, rows, at).max() <= rows.max() + 1e-12


def test_the_accepted_points_are_those_that_a_percentile_interval_holds():
    """Where every resampled difference falls through 0 once, the two are the same."""
    zero_R = np.random.default_rng(3).normal(30, 4, size=801)
    at = np.linspace(6, 58, 400)
    found = accepted(at, zero_R - at[:, None], 0.95)
    assert found == pytest.approx(np.sort(zero_R)[[20, 780]], abs=1e-6)


def test_differences_that_keep_their_sign_are_censored():
    at, one = np.array([6.0, 58.0]), np.ones((2, 50))
    assert accepted(at, one, 0.95) == (np.inf, np.inf)
    assert accepted(at, -one, 0.95) == (-np.inf, -np.inf)
    either = np.concatenate([one, -one], axis=1)
    assert accepted(at, either, 0.95) == (-np.inf, np.inf)
    assert accepted(at, 0 * one, 0.95) == (6, 58), "equal at every count: none is excluded"


def test_bad_points_are_refused():
    with pytest.raises(ValueError, match="positive weights"):
        isotonic(np.ones(2), np.array([1, 0]))
    with pytest.raises(ValueError, match="must be finite"):
        isotonic(np.array([1.0, np.nan]), np.ones(2))
