import numpy as np
import pytest
from scipy import stats

from lussweep.analysis.replicates import t_interval


@pytest.mark.parametrize("n", [2, 3, 10])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_the_t_interval_equals_scipy(n, confidence):
    difference_K = np.random.default_rng(n).normal(size=n)
    oracle = stats.ttest_1samp(difference_K, 0).confidence_interval(confidence)
    assert t_interval(difference_K, confidence).interval == pytest.approx((oracle.low, oracle.high))


def test_one_replicate_has_no_spread():
    found = t_interval(np.array([0.1]), 0.95)
    assert found.interval is None and "2 are needed" in found.withheld
