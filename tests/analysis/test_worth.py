import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from lussweep.analysis.worth import Worth, invert, isotonic, worths
from lussweep.metrics.auroc import auroc, patient_weights, resampled_auroc, win_matrix

COUNTS = np.array([6, 15, 29, 44, 58])


def worth_of(asked, raw, counts=COUNTS, weight=None):
    mean_RK = np.array([raw], dtype=np.float64)
    weight_K = np.ones(len(counts)) if weight is None else np.asarray(weight)
    low_R, high_R = invert(counts, mean_RK, isotonic(mean_RK, weight_K), np.array([asked]))
    return low_R[0], high_R[0]


def rows_of(aurocs, resampled=None, replicates=(1,), **options):
    """Worths of {variant: {n: AUC}}, by (variant, n); every replicate has the same AUC."""
    cells = [(v, n, r, a) for v, at in aurocs.items() for n, a in at.items() for r in replicates]
    variant, n, replicate, value = (list(column) for column in zip(*cells, strict=True))
    value_C = np.array(value)
    auroc_RC = value_C[None].repeat(3, axis=0) if resampled is None else resampled(value_C)
    found = worths(variant, np.array(n), np.array(replicate), value_C, auroc_RC, **options)
    return found, {(row.variant, row.n_patients): row for row in found.rows}


aucs = st.lists(st.integers(50, 60), min_size=5, max_size=5).map(lambda x: np.array(x) / 60)
weights = st.lists(st.integers(1, 4), min_size=5, max_size=5).map(np.array)
settled = settings(max_examples=200, deadline=None, database=None, derandomize=True)


@settled
@given(aucs, weights)
def test_the_fit_equals_sklearn_with_weights_and_never_falls(raw, weight):
    fit = isotonic(raw[None], weight)[0]
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
    assert isotonic(mean[None], weight)[0] == pytest.approx(expected, abs=1e-12)


def test_a_row_of_a_batch_is_fitted_as_it_is_alone_and_a_rising_one_is_left_alone():
    raw_RK = np.random.default_rng(1).random((50, 5))
    weight_K = np.array([3, 3, 2, 1, 3])
    alone = [isotonic(row[None], weight_K)[0] for row in raw_RK]
    assert (isotonic(raw_RK, weight_K) == alone).all()
    rising = np.sort(raw_RK, axis=1)
    assert (isotonic(rising, weight_K) == rising).all()


@settled
@given(aucs, weights, st.integers(49, 61))
def test_the_inversion_equals_a_search_over_a_fine_grid(raw, weight, sixtieths):
    """The range holds all counts whose curve has the AUC; it is wider in pooled blocks only."""
    asked, fit = sixtieths / 60, isotonic(raw[None], weight)[0]
    low, high = worth_of(asked, raw, weight=weight)
    assert low <= high
    grid = np.linspace(6, 58, 5201)
    curve = np.interp(grid, COUNTS, fit)
    below, above = grid[curve < asked - 1e-9], grid[curve > asked + 1e-9]
    is_pooled = np.abs(fit - raw).max() > 1e-9
    searched_low = -np.inf if asked < fit[0] - 1e-9 else below.max(initial=6)
    searched_high = np.inf if asked > fit[-1] + 1e-9 else above.min(initial=58)
    if asked > fit[-1] + 1e-9:
        searched_low = np.inf
    if asked < fit[0] - 1e-9:
        searched_high = -np.inf
    for found, searched, outward in ((low, searched_low, -1), (high, searched_high, 1)):
        if not np.isinf(found) and not np.isinf(searched) and not is_pooled:
            assert found == pytest.approx(searched, abs=0.011)
        elif not is_pooled:
            assert found == searched
        else:
            assert outward * found >= outward * searched - 0.011


@settled
@given(aucs, weights)
def test_the_baselines_own_worth_at_n_holds_n_and_is_n_where_the_curve_rises(raw, weight):
    fit = isotonic(raw[None], weight)[0]
    for k, count in enumerate(COUNTS):
        low, high = worth_of(raw[k], raw, weight=weight)
        assert low <= count <= high
        if (np.delete(fit, k) != fit[k]).all():
            blocks = [raw[fit == value] for value in np.delete(fit, k)]
            if not any(block.min() <= raw[k] <= block.max() for block in blocks):
                assert low == high == count


@settled
@given(aucs, weights)
def test_a_greater_auc_is_never_worth_less(raw, weight):
    asked = np.sort(np.concatenate([np.linspace(0.8, 1.01, 60), raw]))
    found = np.array([worth_of(a, raw, weight=weight) for a in asked])
    for ends in found.T:
        assert all(a <= b for a, b in itertools.pairwise(ends))


def test_values_by_hand():
    raw = [0.80, 0.86, 0.90, 0.92, 0.94]
    assert worth_of(0.83, raw) == pytest.approx((10.5, 10.5))  # half way from 6 to 15
    assert worth_of(0.93, raw) == pytest.approx((51, 51))
    assert worth_of(0.799, raw) == (-np.inf, -np.inf)
    assert worth_of(0.941, raw) == (np.inf, np.inf)
    assert worth_of(0.94 + 1e-15, raw) == (58, 58)  # rounding is not a gain


def test_flat_stretches_give_ranges():
    assert worth_of(0.9, [0.8, 0.9, 0.9, 0.9, 0.95]) == (15, 44)
    assert worth_of(0.9, [0.8, 0.85, 0.86, 0.9, 0.9]) == (44, 58)
    assert worth_of(0.9, [0.9] * 5) == (6, 58)
    assert worth_of(0.8999, [0.9] * 5) == (-np.inf, -np.inf)
    # 29 and 44 are pooled at 0.90: what lies between 0.89 and 0.91 cannot be placed within
    pooled = [0.80, 0.85, 0.91, 0.89, 0.95]
    assert worth_of(0.90, pooled) == (29, 44)
    low, high = worth_of(0.895, pooled)
    assert (15 < low < 29, high) == (True, 44)
    # the baseline at 44 beats the end of the curve, and is still one of the counts it may be worth
    assert worth_of(0.93, [0.80, 0.85, 0.90, 0.93, 0.91]) == (44, np.inf)


def test_a_variant_equal_to_the_baseline_is_worth_n_and_gains_nothing():
    curve = {6: 0.80, 15: 0.86, 29: 0.90}
    found, rows = rows_of({"baseline": curve, "combined": curve}, replicates=(1, 2, 3))
    for (_, n), row in rows.items():
        assert (row.k_low, row.k_high) == (n, n)
        assert (row.interval_low, row.interval_high) == (n, n)
        assert row.text == row.interval_text == str(n)
    assert found.n_replicates_K.tolist() == [3, 3, 3]


def test_a_variant_at_a_count_without_a_baseline_has_a_worth():
    _, rows = rows_of({"baseline": {6: 0.8, 16: 0.9}, "combined": {10: 0.87}})
    assert rows["combined", 10].k_low == pytest.approx(13)
    assert (rows["combined", 10].k_low, rows["combined", 10].k_high) == pytest.approx((13, 13))


def test_censored_worth_is_said_and_counted():
    def resampled(value_C):  # the variant is lifted in half of the resamples, lowered in a quarter
        lift = np.repeat([0.0, 0.2, -0.2], [25, 50, 25])
        return value_C + lift[:, None] * (np.arange(len(value_C)) == 2)

    _, rows = rows_of({"baseline": {6: 0.7, 16: 0.75}, "combined": {6: 0.73}}, resampled)
    row = rows["combined", 6]
    assert (row.share_below, row.share_above) == (0.25, 0.5)
    assert (row.interval_low, row.interval_high) == (-np.inf, np.inf)
    assert (row.text, row.interval_text) == ("12", "< 6 to > 16")


def test_the_interval_takes_flat_stretches_whole():
    def resampled(value_C):  # a flat curve with the variant on it, a rising one in one of ten
        flat, rising = np.array([0.7, 0.8, 0.8, 0.8]), np.array([0.7, 0.8, 0.9, 0.8])
        return np.array([flat] * 36 + [rising] * 4)

    aurocs = {"baseline": {6: 0.7, 15: 0.8, 29: 0.9}, "combined": {6: 0.8}}
    _, rows = rows_of(aurocs, resampled)
    row = rows["combined", 6]
    assert (row.k_low, row.k_high) == (15, 15)
    assert (row.interval_low, row.interval_high, row.interval_text) == (15, 29, "15 to 29")
    assert (row.share_below, row.share_above) == (0, 0)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-np.inf, -np.inf, "< 6"),
        (np.inf, np.inf, "> 58"),
        (23.44, 23.44, "23.4"),
        (44.0, 58.0, "44 to 58"),
        (44.0, np.inf, "44 to > 58"),
        (-np.inf, 7.25, "< 6 to 7.2"),
    ],
)
def test_the_words(low, high, text):
    row = Worth(
        variant="combined", n_patients=6, n_replicates=3, auroc=0.9, k_low=low, k_high=high,
        interval_low=low, interval_high=high, share_below=0, share_above=0, smallest=6, largest=58,
    )  # fmt: skip
    assert row.text == row.interval_text == text


def holdout_study(n_patients=40, seed=0):
    """Scores of five cells on the same holdout frames; more training patients, less noise."""
    rng = np.random.default_rng(seed)
    patient_N = np.repeat(np.arange(n_patients), 5)
    label_N = (patient_N % 2).astype(np.int64)
    shared = rng.normal(size=n_patients)[patient_N]
    cells = [("baseline", 6, 3.0), ("baseline", 15, 2.0), ("baseline", 29, 1.2)]
    cells += [("combined", 6, 2.0), ("combined", 15, 1.6)]
    scores = [label_N + 0.5 * shared + noise * rng.normal(size=len(label_N)) for *_, noise in cells]
    return cells, label_N, scores, patient_N


def test_the_interval_is_that_of_resampled_and_refitted_frames():
    cells, label_N, scores, patient_N = holdout_study()
    weight_RP = patient_weights(40, 60, seed=1)
    auroc_RC = np.stack(
        [resampled_auroc(win_matrix(label_N, s, patient_N), weight_RP) for s in scores], axis=1
    )
    auroc_C = np.array([auroc(label_N, s) for s in scores])
    names, n_C = [name for name, *_ in cells], np.array([n for _, n, _ in cells])
    found = worths(names, n_C, np.ones(5, dtype=np.int64), auroc_C, auroc_RC, confidence=0.9)

    def brute(weight_P):
        rows = np.concatenate([np.tile(np.flatnonzero(patient_N == p), w)
                               for p, w in enumerate(weight_P)])  # fmt: skip
        values = [auroc(label_N[rows], s[rows]) for s in scores]
        return worth_of(values[3], values[:3], counts=np.array([6, 15, 29]))

    ends = np.array([brute(weight_P) for weight_P in weight_RP])
    row = next(r for r in found.rows if (r.variant, r.n_patients) == ("combined", 6))
    assert (row.k_low, row.k_high) == worth_of(
        auroc_C[3], auroc_C[:3], counts=np.array([6, 15, 29])
    )
    at = int(0.05 * 59)
    assert row.interval_low == pytest.approx(np.sort(ends[:, 0])[at], abs=1e-6)
    assert row.interval_high == pytest.approx(np.sort(ends[:, 1])[59 - at], abs=1e-6)
    assert row.share_below == (ends[:, 0] == -np.inf).mean()
    assert row.share_above == (ends[:, 1] == np.inf).mean()


def test_order_of_cells_does_not_matter():
    _, rows = rows_of({"baseline": {6: 0.8, 15: 0.9}, "combined": {6: 0.87}})
    _, rows_again = rows_of({"combined": {6: 0.87}, "baseline": {15: 0.9, 6: 0.8}})
    assert rows == rows_again


def test_resamples_of_one_class_are_left_out_and_counted():
    def resampled(value_C):
        return np.stack([value_C, np.full(len(value_C), np.nan), value_C])

    found, _ = rows_of({"baseline": {6: 0.8, 15: 0.9}}, resampled)
    assert (found.n_resamples, found.n_one_class) == (2, 1)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """AUC rises by 0.01 a patient; shared noise of holdout patients cancels, own noise does not."""
    counts, covered = np.array([6, 10, 14, 18]), 0
    names = ["baseline"] * 4 + ["combined"]
    n_C, truth = np.array([*counts, 6]), 0.6 + 0.01 * np.array([*counts, 12])
    for seed in range(200):
        rng = np.random.default_rng(seed)
        auroc_C = truth + 0.01 * rng.normal(size=5)
        auroc_RC = auroc_C + 0.05 * rng.normal(size=(300, 1)) + 0.01 * rng.normal(size=(300, 5))
        found = worths(names, n_C, np.ones(5, dtype=np.int64), auroc_C, auroc_RC.clip(0, 1))
        row = next(r for r in found.rows if r.variant == "combined")
        covered += row.interval_low <= 12 <= row.interval_high
    assert 180 <= covered <= 200


@pytest.mark.parametrize(
    ("aurocs", "options", "message"),
    [
        ({"baseline": {6: 0.8}}, {}, "has 1 patient counts, a curve needs 2"),
        ({"combined": {6: 0.8, 15: 0.9}}, {}, "'baseline' has 0 patient counts"),
        ({"baseline": {6: 0.8, 15: 1.2}}, {}, r"outside \[0, 1\]"),
        ({"baseline": {6: 0.8, 15: np.nan}}, {}, r"outside \[0, 1\]"),
        ({"baseline": {6: 0.8, 15: 0.9}}, {"confidence": 1.0}, "confidence is 1"),
        ({"baseline": {6: 0.8, 15: 0.9}}, {"replicates": (1, 1)}, "given more than once"),
        (
            {"baseline": {6: 0.8, 15: 0.9}},
            {"resampled": lambda x: np.full((4, len(x)), np.nan)},
            "none of 4 resamples",
        ),
        (
            {"baseline": {6: 0.8, 15: 0.9}},
            {"resampled": lambda x: np.ones((4, len(x) + 1))},
            "have the shapes",
        ),
    ],
)
def test_bad_input_is_refused(aurocs, options, message):
    with pytest.raises(ValueError, match=message):
        rows_of(aurocs, **options)


def test_bad_points_are_refused():
    with pytest.raises(ValueError, match="positive weights"):
        isotonic(np.ones((1, 2)), np.array([1, 0]))
    with pytest.raises(ValueError, match="must be finite"):
        isotonic(np.array([[1.0, np.nan]]), np.ones(2))
