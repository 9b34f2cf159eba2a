import numpy as np
import pytest
from scipy import stats

from lussweep.analysis.power import (
    Components,
    detectable_difference,
    detectable_with,
    replicates_needed,
)

MEASURED = Components(0.014**2, 2.0, 3, 0.004**2, 40.0)


@pytest.mark.parametrize(("alpha", "power"), [(0.05, 0.8), (0.05, 0.9), (0.01, 0.8)])
@pytest.mark.parametrize("df", [4, 30, np.inf])
def test_a_test_finds_the_difference_as_often_as_said(alpha, power, df):
    """The power of a t test at that difference, by scipy's noncentral t."""
    found = detectable_difference(0.003, df, alpha=alpha, power=power)
    df = min(df, 1e6)
    critical, shift = stats.t.isf(alpha / 2, df), found / 0.003
    achieved = stats.nct.sf(critical, df, shift) + stats.nct.cdf(-critical, df, shift)
    assert achieved == pytest.approx(power, abs=1e-3)


def test_many_degrees_of_freedom_give_two_point_eight_standard_errors():
    assert detectable_difference(0.01, np.inf) == pytest.approx(0.0280159, abs=1e-7)
    assert detectable_difference(0.01, 2.0) > 0.055


def test_more_replicates_and_more_patients_detect_less_and_patients_set_a_floor():
    by_replicates = [detectable_with(MEASURED, k) for k in (3, 5, 10, 100)]
    assert by_replicates == sorted(by_replicates, reverse=True)
    assert detectable_with(MEASURED, 5, 4.0) < detectable_with(MEASURED, 5)
    floor = detectable_difference(0.004, 40)
    assert detectable_with(MEASURED, 100) > floor * 0.98
    assert replicates_needed(MEASURED, 0.9 * floor) is None


def test_the_replicates_that_are_needed_are_the_fewest():
    n = replicates_needed(MEASURED, 0.02)
    assert detectable_with(MEASURED, n) <= 0.02 < detectable_with(MEASURED, n - 1)
    assert replicates_needed(MEASURED, 0.014, 4.0) < replicates_needed(MEASURED, 0.014)


def test_what_patients_do_in_one_training_falls_with_the_holdout_as_well():
    """Without any spread of trainings, a holdout 4 times as large halves the standard error."""
    patients_alone = Components(1e-4, 1e6, 3, 1e-4, 1e6, 1e-4)
    once, four_times = (detectable_with(patients_alone, 3, factor) for factor in (1.0, 4.0))
    assert four_times == pytest.approx(once / 2)
    trainings_alone = patients_alone._replace(own_variance=0.0, patient_covariance=0.0)
    assert detectable_with(trainings_alone, 3, 4.0) == detectable_with(trainings_alone, 3)


@pytest.mark.parametrize("bad", [-0.1, 0.0, float("nan")])
def test_a_bad_standard_error_is_refused(bad):
    with pytest.raises(ValueError, match="standard_error"):
        detectable_difference(bad, 10)


def test_bad_rates_are_refused():
    with pytest.raises(ValueError, match="alpha is 0"):
        detectable_difference(0.1, 10, alpha=0)
    with pytest.raises(ValueError, match="power 1"):
        detectable_difference(0.1, 10, power=1)
