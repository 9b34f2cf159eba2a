import pytest
from scipy import stats

from lussweep.analysis.power import ASSUMPTION, detectable_difference


@pytest.mark.parametrize(("alpha", "power"), [(0.05, 0.8), (0.05, 0.9), (0.01, 0.8)])
def test_a_test_finds_the_difference_as_often_as_said(alpha, power):
    """The exact two-tailed power of a z test at that difference, by scipy."""
    found = detectable_difference(0.003, alpha=alpha, power=power)
    critical, shift = stats.norm.isf(alpha / 2), found.difference / 0.003
    achieved = stats.norm.sf(critical - shift) + stats.norm.cdf(-critical - shift)
    assert achieved == pytest.approx(power, abs=1e-5)


def test_the_default_is_two_point_eight_standard_errors():
    found = detectable_difference(0.01)
    assert found.difference == pytest.approx(0.0280159, abs=1e-7)
    assert (found.alpha, found.power, found.assumption) == (0.05, 0.8, ASSUMPTION)
    assert detectable_difference(0.0).difference == 0


@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf")])
def test_a_bad_standard_error_is_refused(bad):
    with pytest.raises(ValueError, match="standard_error"):
        detectable_difference(bad)


def test_bad_rates_are_refused():
    with pytest.raises(ValueError, match="alpha is 0"):
        detectable_difference(0.1, alpha=0)
    with pytest.raises(ValueError, match="power 1"):
        detectable_difference(0.1, power=1)
