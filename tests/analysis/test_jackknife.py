import numpy as np
import pytest
from scipy.stats import sem, skew, t

from lussweep.analysis.jackknife import (
    jackknife_estimate,
    leave_one_out,
    spread_of,
    too_few_patients,
)
from lussweep.analysis.levels import Scored


def patients(n_pos, n_neg):
    """One frame a patient."""
    label_U = np.repeat([1, 0], [n_pos, n_neg])
    return Scored(label_U, np.zeros(len(label_U)), np.arange(len(label_U)))


def without_each(value_P):
    return (leave_one_out(len(value_P)) @ value_P) / (len(value_P) - 1)


def test_the_spread_of_a_mean_is_the_textbooks_and_it_has_no_bias():
    value_P = np.random.default_rng(0).exponential(size=30)
    found = spread_of(value_P.mean(), without_each(value_P))
    assert found.error == pytest.approx(sem(value_P))
    assert found.bias == pytest.approx(0, abs=1e-12)
    assert found.skewness == pytest.approx(skew(value_P))


def test_the_bias_of_the_plain_variance_is_found():
    """Dividing by n makes a variance too small by its n-th part of the corrected one (Tukey)."""
    value_P = np.random.default_rng(0).normal(size=25)
    without_P = np.array([np.delete(value_P, p).var() for p in range(25)])
    assert spread_of(value_P.var(), without_P).bias == pytest.approx(-value_P.var(ddof=1) / 25)


def test_the_interval_of_a_symmetric_mean_is_students_for_the_scarcer_class():
    value_P = np.concatenate([np.arange(1.0, 11), -np.arange(1.0, 11), [0.0, 0.0]])
    found = jackknife_estimate(value_P.mean(), without_each(value_P), patients(14, 8))
    half = t(7).ppf(0.975) * sem(value_P)
    assert found[:3] == pytest.approx((0, -half, half))
    assert found.withheld is None


def test_skewness_widens_the_side_of_the_longer_tail_alone():
    value_P = np.random.default_rng(0).exponential(size=30)
    found = jackknife_estimate(value_P.mean(), without_each(value_P), patients(15, 15))
    quantile, error = t(14).ppf(0.975), sem(value_P)
    tail = (1 + 2 * quantile**2) / (6 * np.sqrt(30)) * skew(value_P) * error
    assert value_P.mean() - found.low == pytest.approx(quantile * error)
    assert found.high - value_P.mean() == pytest.approx(quantile * error + tail)
    turned = jackknife_estimate(-value_P.mean(), without_each(-value_P), patients(15, 15))
    assert turned[:3] == pytest.approx((-found.value, -found.high, -found.low))


def test_a_bias_widens_the_side_where_the_truth_is():
    value_P = np.concatenate([np.arange(1.0, 11), -np.arange(1.0, 11)])
    without_P = without_each(value_P)
    plain = jackknife_estimate(0.0, without_P, patients(10, 10))
    for shift in (0.01, -0.01):  # leaving a patient out raises the value: all of them lower it
        found = jackknife_estimate(0.0, without_P + shift, patients(10, 10))
        assert found.low - plain.low == pytest.approx(-19 * max(shift, 0))
        assert found.high - plain.high == pytest.approx(-19 * min(shift, 0))


def test_the_logit_scale_stays_between_0_and_1_and_agrees_where_errors_are_small():
    value_P = np.repeat([0.0, 1.0], [2, 28])
    wide = jackknife_estimate(28 / 30, without_each(value_P), patients(15, 15), scale="logit")
    assert 0 < wide.low < 28 / 30 < wide.high < 1
    value_P = 0.5 + 0.001 * np.random.default_rng(0).normal(size=30)
    given = value_P.mean(), without_each(value_P), patients(15, 15)
    plain, logit = jackknife_estimate(*given), jackknife_estimate(*given, scale="logit")
    assert logit[:3] == pytest.approx(plain[:3], abs=1e-8)


@pytest.mark.parametrize(
    ("n_pos", "n_neg", "message"),
    [
        (4, 30, "4 patients with positive frames: an interval needs 5"),
        (30, 2, "2 patients with negative frames: an interval needs 5"),
        (4, 1, "4 patients with positive frames and 1 patient with negative frames"),
    ],
)
def test_few_patients_of_a_class_have_no_interval(n_pos, n_neg, message):
    units = patients(n_pos, n_neg)
    value_P = np.random.default_rng(0).normal(size=n_pos + n_neg)
    found = jackknife_estimate(value_P.mean(), without_each(value_P), units)
    assert found.value == value_P.mean()
    assert np.isnan(found.low) and np.isnan(found.high)
    assert message in found.withheld
    assert too_few_patients(patients(5, 5)) is None


@pytest.mark.parametrize(
    ("value", "without", "message"),
    [
        (0.5, [0.5] * 20, "the same without any"),
        (1.0, [1.0] * 20, "the same without any"),
        (np.nan, [np.nan] * 20, "does not exist"),
        (0.5, [np.nan] + [0.4] * 19, "without one of the patients the value does not exist"),
    ],
)
def test_values_without_a_spread_have_no_interval(value, without, message):
    found = jackknife_estimate(value, np.array(without), patients(10, 10), scale="logit")
    assert message in found.withheld
    assert np.isnan(found.low) and np.isnan(found.high)


@pytest.mark.parametrize("confidence", [0.0, 1.0, np.nan])
def test_a_confidence_that_is_none_is_refused(confidence):
    with pytest.raises(ValueError, match="confidence is"):
        jackknife_estimate(0.5, np.ones(10), patients(5, 5), confidence=confidence)
