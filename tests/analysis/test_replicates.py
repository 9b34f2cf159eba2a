import itertools

import numpy as np
import pytest
from scipy import stats

from lussweep.analysis.replicates import rank_test, t_interval, two_level_interval
from lussweep.metrics.auroc import WinMatrix


@pytest.mark.parametrize("n", [2, 3, 10])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_t_interval_equals_scipy(n, confidence):
    difference_K = np.random.default_rng(n).normal(size=n)
    oracle = stats.ttest_1samp(difference_K, 0).confidence_interval(confidence)
    assert t_interval(difference_K, confidence).interval == pytest.approx((oracle.low, oracle.high))


def test_one_replicate_has_no_spread():
    found = t_interval(np.array([0.1]), 0.95)
    assert found.interval is None and "2 are needed" in found.withheld


@pytest.mark.parametrize("n", [6, 9, 20])
def test_the_rank_test_equals_scipy_without_ties(n):
    difference_K = np.random.default_rng(n).normal(0.5, 1, size=n)
    found = rank_test(difference_K)
    assert found.p_value == pytest.approx(stats.wilcoxon(difference_K, method="exact").pvalue)
    positive = stats.rankdata(abs(difference_K))[difference_K > 0].sum()
    assert found.rank_sum == positive


@pytest.mark.parametrize("seed", range(5))
def test_the_rank_test_with_ties_and_zeros_equals_all_signs(seed):
    difference_K = np.random.default_rng(seed).integers(-2, 4, size=11).astype(float)
    nonzero = difference_K[difference_K != 0]
    found = rank_test(difference_K)
    if len(nonzero) < 6:
        assert found.p_value is None
        return
    ranks = stats.rankdata(abs(nonzero))
    observed = ranks[nonzero > 0].sum()
    sums = [np.dot(ranks, signs) for signs in itertools.product([0, 1], repeat=len(ranks))]
    tail = min(np.mean(np.array(sums) <= observed), np.mean(np.array(sums) >= observed))
    assert found.p_value == pytest.approx(min(1, 2 * tail))


def test_five_replicates_have_no_rank_test_and_the_reason_says_why():
    found = rank_test(np.arange(1.0, 6.0))
    assert found.p_value is None and "0.0625" in found.withheld
    assert rank_test(np.arange(1.0, 7.0)).p_value == 2 / 2**6
    assert rank_test(np.zeros(8)).p_value is None


def test_nine_replicates_have_no_two_level_interval():
    matrix = WinMatrix(np.zeros((2, 2)), np.array([1, 1]), np.array([1, 1]))
    found = two_level_interval([matrix] * 9, n_resamples=10, confidence=0.95, seed=0)
    assert found.interval is None and found.withheld.startswith("9 replicates")
    found = two_level_interval([matrix] * 10, n_resamples=10, confidence=0.95, seed=0)
    assert found.interval == (0, 0) and found.withheld is None


@pytest.mark.parametrize(("n", "low", "high"), [(3, 0.70, 0.80), (10, 0.87, 0.93)])
def test_why_three_replicates_are_not_resampled(n, low, high):
    """How often the percentile bootstrap over n normal differences covers their mean, 0."""
    rng = np.random.default_rng(0)
    drawn_RK = rng.integers(n, size=(1000, n))
    means = rng.normal(size=(2000, n))[:, drawn_RK].mean(axis=2)
    ends = np.quantile(means, [0.025, 0.975], axis=1)
    covered = np.mean((ends[0] <= 0) & (ends[1] >= 0))
    assert low < covered < high
