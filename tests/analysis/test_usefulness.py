import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, false_discovery_control, kendalltau, rankdata, spearmanr

from lussweep.analysis.bootstrap import expanded_confidence
from lussweep.analysis.rank_correlation import kendall, spearman
from lussweep.analysis.usefulness import (
    benjamini_hochberg,
    oriented,
    paired_gains,
    usefulness,
)
from lussweep.metrics.auroc import patient_weights

settled = settings(max_examples=150, deadline=None, database=None, derandomize=True)
pairs_with_ties = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=25
).filter(lambda rows: len({x for x, _ in rows}) > 1 and len({y for _, y in rows}) > 1)


def columns(rows):
    return (np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))


def all_pairs(values):
    return np.ones((len(values), len(values)), dtype=bool)


def ones(values):
    return np.ones((1, len(values)), dtype=np.int64)


def study(n_replicates=3, seed=0, noise=0.01):
    """Two variants at five counts; kMMD falls and the gain rises with the generator's quality."""
    rng = np.random.default_rng(seed)
    n_C = np.repeat([6, 15, 29, 44, 58], 2 * n_replicates)
    replicate_C = np.tile(np.repeat(np.arange(n_replicates), 2), 5)
    quality_C = rng.random(len(n_C))
    return 1 - quality_C, 0.05 * quality_C + noise * rng.normal(size=len(n_C)), n_C, replicate_C


# --- correlations -------------------------------------------------------------------------


@settled
@given(pairs_with_ties)
def test_both_correlations_equal_scipys_with_ties(rows):
    x_C, y_C = columns(rows)
    found = spearman(x_C, y_C, ones(x_C), all_pairs(x_C))[0]
    assert found == pytest.approx(spearmanr(x_C, y_C).statistic, abs=1e-12)
    found = kendall(x_C, y_C, ones(x_C), all_pairs(x_C))[0]
    assert found == pytest.approx(kendalltau(x_C, y_C).statistic, abs=1e-12)


@settled
@given(pairs_with_ties, st.integers(0, 1000))
def test_weights_equal_repeated_cells(rows, seed):
    x_C, y_C = columns(rows)
    weight_RC = patient_weights(len(x_C), 5, seed=seed)
    for statistic, oracle in ((spearman, spearmanr), (kendall, kendalltau)):
        for found, weight_C in zip(
            statistic(x_C, y_C, weight_RC, all_pairs(x_C)), weight_RC, strict=True
        ):
            x, y = np.repeat(x_C, weight_C), np.repeat(y_C, weight_C)
            if len(set(x)) == 1 or len(set(y)) == 1:
                assert np.isnan(found)
            else:
                assert found == pytest.approx(oracle(x, y).statistic, abs=1e-12)


def test_within_groups_ranks_and_pairs_of_a_group_alone_count():
    rng = np.random.default_rng(0)
    group_C = np.repeat(np.arange(4), [3, 5, 2, 6])
    x_C, y_C = rng.integers(4, size=(2, 16)).astype(np.float64)
    same_CC = group_C[:, None] == group_C[None, :]
    ranks = []
    for values in (x_C, y_C):
        rank_C = np.zeros(16)
        for group in range(4):
            mine = group_C == group
            rank_C[mine] = rankdata(values[mine]) - rankdata(values[mine]).mean()
        ranks.append(rank_C)
    expected = np.corrcoef(*ranks)[0, 1]
    assert spearman(x_C, y_C, ones(x_C), same_CC)[0] == pytest.approx(expected)

    signs = np.array([
        (np.sign(x_C[i] - x_C[j]), np.sign(y_C[i] - y_C[j]))
        for i in range(16) for j in range(i) if group_C[i] == group_C[j]
    ])  # fmt: skip
    x_S, y_S = signs.T
    expected = (x_S * y_S).sum() / np.sqrt((x_S**2).sum() * (y_S**2).sum())
    assert kendall(x_C, y_C, ones(x_C), same_CC)[0] == pytest.approx(expected)


def test_a_rising_transform_changes_nothing_and_a_negation_mirrors():
    x_C, y_C = np.random.default_rng(0).normal(size=(2, 12))
    for statistic in (spearman, kendall):
        found = statistic(x_C, y_C, ones(x_C), all_pairs(x_C))
        assert statistic(np.exp(x_C), y_C**3, ones(x_C), all_pairs(x_C)) == found
        assert statistic(-x_C, y_C, ones(x_C), all_pairs(x_C)) == -found
        assert statistic(y_C, x_C, ones(x_C), all_pairs(x_C)) == found
        assert statistic(x_C, np.exp(x_C), ones(x_C), all_pairs(x_C)) == pytest.approx([1])


# --- orientation --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metric", "worse", "better"),
    [
        ("kmmd", 0.5, 0.1),
        ("fid", 80.0, 20.0),
        ("kid", 0.3, 0.1),
        ("kid", 0.0, -0.1),
        ("mmd2_unbiased", 0.2, 0.1),
        ("one_nn", 1.0, 0.6),
        ("one_nn", 0.1, 0.6),
        ("one_nn_real", 0.9, 0.5),
        ("one_nn_fake", 0.2, 0.7),
        ("density", 1.8, 0.9),
        ("coverage", 0.2, 0.9),
        ("confidence", 0.5, 0.9),
    ],
)
def test_the_better_value_is_the_larger(metric, worse, better):
    turned = oriented(metric, np.array([worse, better]))
    assert turned[0] < turned[1]


def test_equal_distances_from_the_goal_are_equally_good():
    turned = oriented("one_nn", np.array([0.25, 0.75, 0.5]))
    assert turned.tolist() == [-0.25, -0.25, 0.0]
    with pytest.raises(ValueError, match="kid_low has no goal"):
        oriented("kid_low", np.zeros(2))


# --- gains --------------------------------------------------------------------------------


def test_gains_are_over_the_baseline_of_the_same_cohort():
    cells = [
        ("combined", 6, 1, 0.80),
        ("baseline", 15, 1, 0.90),
        ("baseline", 6, 1, 0.75),
        ("baseline", 6, 2, 0.60),
        ("pure_synthetic", 6, 2, 0.55),
        ("combined", 15, 2, 0.95),  # its baseline failed
        ("combined", 15, 1, 0.90),
    ]
    variant, n, replicate, value = (np.array(column) for column in zip(*cells, strict=True))
    found = paired_gains(variant, n, replicate, value)
    assert found.cell_G.tolist() == [0, 4, 6]
    assert found.gain_G == pytest.approx([0.05, -0.05, 0.0])
    assert len(paired_gains(variant, n, replicate, value, baseline="absent").gain_G) == 0


def test_two_baselines_of_a_cohort_or_a_missing_auc_are_refused():
    n = np.array([6, 6])
    with pytest.raises(ValueError, match="two 'baseline' cells at 6 patients, replicate 6"):
        paired_gains(["baseline", "baseline"], n, n, np.array([0.8, 0.9]))
    with pytest.raises(ValueError, match="not finite"):
        paired_gains(["baseline", "combined"], n, n, np.array([0.8, np.nan]))


# --- usefulness ---------------------------------------------------------------------------


def test_estimates_are_scipys_and_the_interval_is_that_of_whole_cohorts():
    value_C, gain_C, n_C, replicate_C = study()
    found = usefulness("kmmd", value_C, gain_C, n_C, replicate_C, n_resamples=50, seed=4)
    assert (found.n_cells, found.n_units, found.n_missing, found.reason) == (30, 15, 0, "")
    cohorts = sorted(set(zip(n_C.tolist(), replicate_C.tolist(), strict=True)))
    rows_of = [np.flatnonzero((n_C == n) & (replicate_C == r)) for n, r in cohorts]
    draws = [
        np.concatenate([np.tile(rows, w) for rows, w in zip(rows_of, weight, strict=True)])
        for weight in patient_weights(15, 50, seed=4)
    ]
    for estimate, oracle in ((found.spearman, spearmanr), (found.kendall, kendalltau)):
        assert estimate.value == pytest.approx(oracle(-value_C, gain_C).statistic)
        values = [oracle(-value_C[rows], gain_C[rows]).statistic for rows in draws]
        wider = expanded_confidence(0.95, 15)
        ends = np.quantile(values, [(1 - wider) / 2, (1 + wider) / 2])
        assert estimate[1:3] == pytest.approx(tuple(ends))
    assert found.spearman.value > 0.8


def test_copies_within_a_cohort_do_not_narrow_the_interval():
    value_C, gain_C, n_C, replicate_C = study(noise=0.03)
    once = usefulness("kmmd", value_C, gain_C, n_C, replicate_C, seed=0)
    copied = (np.repeat(x, 10) for x in (value_C, gain_C, n_C, replicate_C))
    again = usefulness("kmmd", *copied, seed=0)
    assert again.spearman == pytest.approx(once.spearman)
    assert again.kendall == pytest.approx(once.kendall)


def test_a_correlation_that_patient_counts_make_vanishes_within_them():
    """More patients, better GAN and smaller gain; within a count neither knows the other."""
    rng = np.random.default_rng(0)
    n_C, replicate_C = np.repeat(np.arange(1, 6), 12), np.tile(np.arange(12), 5)
    value_C = 1 / n_C + 0.01 * rng.normal(size=60)
    gain_C = 0.1 / n_C + 0.001 * rng.normal(size=60)
    found = usefulness("kmmd", value_C, gain_C, n_C, replicate_C, n_resamples=400, seed=0)
    assert found.spearman.high < -0.8 and found.kendall.high < -0.6
    assert found.spearman_within.low < 0 < found.spearman_within.high
    assert found.kendall_within.low < 0 < found.kendall_within.high


def test_few_cells_give_a_reason_in_place_of_a_correlation():
    value_C, gain_C, n_C, replicate_C = study()
    value_C[5:] = np.nan
    found = usefulness("kmmd", value_C, gain_C, n_C, replicate_C, seed=0)
    assert (found.n_cells, found.n_missing) == (5, 25)
    assert found.spearman is found.kendall is found.kendall_within is None
    assert found.reason == "5 cells with this metric: 6 are needed for a correlation"
    empty = usefulness("kmmd", value_C * np.nan, gain_C, n_C, replicate_C, seed=0)
    assert (empty.n_cells, empty.n_units) == (0, 0)
    assert empty.reason.startswith("0 cells")


def test_a_constant_metric_or_gain_gives_a_reason():
    value_C, gain_C, n_C, replicate_C = study()
    found = usefulness("kmmd", value_C * 0, gain_C, n_C, replicate_C, seed=0)
    assert (found.spearman, found.reason) == (None, "the metric is the same in all 30 cells")
    found = usefulness("kmmd", value_C, gain_C * 0, n_C, replicate_C, seed=0)
    assert (found.kendall, found.reason) == (None, "the gain is the same in all 30 cells")


def test_few_cohorts_give_a_correlation_without_an_interval():
    columns = (x[:10] for x in study())
    found = usefulness("kmmd", *columns, seed=0)
    assert (found.n_cells, found.n_units) == (10, 5)
    assert np.isnan(found.spearman[1:3]).all() and not np.isnan(found.spearman.value)
    assert found.reason == "5 cohorts: 6 are needed for an interval"


def test_one_cell_a_count_cannot_be_compared_within():
    rng = np.random.default_rng(0)
    found = usefulness("fid", *rng.random((2, 7)), np.arange(7), np.ones(7, dtype=int), seed=0)
    assert found.spearman is not None and found.spearman_within is found.kendall_within is None
    assert found.reason == "within patient counts nothing differs"


def test_resamples_in_which_nothing_differs_are_counted():
    value_C = np.array([0.0] * 5 + [1.0])
    gain_C = np.arange(6.0)
    found = usefulness(
        "coverage", value_C, gain_C, np.full(6, 6), np.arange(6), n_resamples=500, seed=0
    )
    assert found.spearman.n_undefined == pytest.approx(500 * (5 / 6) ** 6, abs=45)


@pytest.mark.parametrize(
    "n_studies",
    [
        pytest.param(100, id="100", marks=pytest.mark.unhurried),
        pytest.param(1000, id="1000", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(("nested", "n_replicates"), [(False, 3), (True, 6), (True, 10)])
def test_without_relation_intervals_cover_zero_and_tests_reject_seldom(
    nested, n_replicates, n_studies
):
    """Metric and gain do not know each other; nested cohorts of one replicate are alike.

    Coverage at least 92 %, p-values of 0.05 or less in at most 5 % (bound 7 %). A bound counts as
    broken where the exact binomial test against it has p < 0.001.
    """
    n_C, replicate_C = (
        np.repeat([6, 15, 29, 44, 58], n_replicates),
        np.tile(np.arange(n_replicates), 5),
    )
    missed = dict.fromkeys(("spearman", "spearman_within", "kendall", "p_value"), 0)
    for study_ in range(n_studies):
        rng = np.random.default_rng([811, nested, n_replicates, study_])

        def drawn(rng=rng):
            of_replicate = 0.7 * nested * rng.normal(size=n_replicates)[replicate_C]
            return of_replicate + 0.7 * rng.normal(size=len(n_C))

        found = usefulness(
            "coverage", drawn(), drawn(), n_C, replicate_C,
            nested=nested, n_resamples=500, seed=study_,
        )  # fmt: skip
        missed["p_value"] += found.p_value <= 0.05
        for name in ("spearman", "spearman_within", "kendall"):
            estimate = getattr(found, name)
            missed[name] += not estimate.low <= 0 <= estimate.high
    print(nested, n_replicates, {name: n / n_studies for name, n in missed.items()})
    for name, n in missed.items():
        bound = 0.07 if name == "p_value" else 0.08
        assert binomtest(n, n_studies, bound, alternative="greater").pvalue >= 1e-3, name


def test_permutations_find_a_relation_that_is_there():
    n_C, replicate_C = np.repeat([6, 15, 58], 5), np.tile(np.arange(5), 3)
    value_C = np.random.default_rng(0).normal(size=15)
    found = usefulness("coverage", value_C, value_C, n_C, replicate_C, seed=0)
    assert found.p_value == pytest.approx(1 / 2000)
    nested = usefulness("coverage", value_C, value_C, n_C, replicate_C, nested=True, seed=0)
    assert nested.p_value == pytest.approx(1 / 120, rel=0.7)
    assert (nested.n_units, nested.reason) == (
        5, "5 replicates of nested cohorts: 6 are needed for an interval",
    )  # fmt: skip
    lacking = usefulness(
        "coverage", value_C[1:], value_C[1:], n_C[1:], replicate_C[1:], nested=True, seed=0
    )
    assert lacking.p_value is None


def test_false_discoveries_are_adjusted_as_scipy_does():
    p_values = np.random.default_rng(3).beta(0.4, 2, size=9).tolist()
    assert benjamini_hochberg(p_values) == pytest.approx(false_discovery_control(p_values))
    assert benjamini_hochberg([]) == ()
    with pytest.raises(ValueError, match="between 0 and 1"):
        benjamini_hochberg([1.5])


def test_the_seed_decides():
    cells = study(noise=0.03)
    first = usefulness("kmmd", *cells, n_resamples=50, seed=1)
    assert usefulness("kmmd", *cells, n_resamples=50, seed=1) == first
    assert usefulness("kmmd", *cells, n_resamples=50, seed=2) != first


def test_bad_input_is_refused():
    value_C, gain_C, n_C, replicate_C = study()
    with pytest.raises(ValueError, match="have shapes"):
        usefulness("kmmd", value_C[:-1], gain_C, n_C, replicate_C, seed=0)
    with pytest.raises(ValueError, match="'beauty': no score has this name"):
        usefulness("beauty", value_C, gain_C, n_C, replicate_C, seed=0)
    with pytest.raises(ValueError, match="gain is not finite"):
        usefulness("kmmd", value_C, gain_C * np.nan, n_C, replicate_C, seed=0)
    with pytest.raises(ValueError, match="metric is infinite"):
        usefulness("kmmd", value_C + np.inf, gain_C, n_C, replicate_C, seed=0)
    with pytest.raises(ValueError, match="n_resamples is 0"):
        usefulness("kmmd", value_C, gain_C, n_C, replicate_C, n_resamples=0, seed=0)
