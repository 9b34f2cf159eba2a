import numpy as np
import pytest
from scipy.stats import binom, t

from lussweep.analysis.effective import (
    dominance,
    effective_patients,
    independent_units,
    too_few,
    unit_interval,
    variance_of_mean,
)

MANY = {"n_least": 0.0, "df": 1e9, "confidence": 0.95}


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (81, 263, 0.2544, 0.3658), (15, 148, 0.0601, 0.1581), (0, 20, 0.0, 0.1391),
        (1, 29, 0.0017, 0.1585),
    ],
)  # fmt: skip
def test_whole_units_have_the_published_mid_p_interval(hits, n, low, high):
    """Newcombe 1998, Statistics in Medicine 17, 857-872, table I."""
    assert unit_interval(hits / n, n, **MANY) == pytest.approx((low, high), abs=6e-5)


def test_the_limits_leave_the_tail_by_mid_p():
    low, high = unit_interval(0.7, 20, **MANY)
    for limit in (low, 1 - high):
        hits = 14 if limit == low else 6
        tail = binom.sf(hits, 20, limit) + binom.pmf(hits, 20, limit) / 2
        assert tail == pytest.approx(0.025, abs=1e-9)


def test_hits_and_misses_mirror_each_other():
    for estimate in (0.0, 0.03, 0.5, 0.99, 1.0):
        low, high = unit_interval(estimate, 7.3, n_least=2, df=6, confidence=0.9)
        mirrored = unit_interval(1 - estimate, 7.3, n_least=2, df=6, confidence=0.9)
        assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


@pytest.mark.parametrize("estimate", [0.0, 1e-9, 0.5, 1 - 1e-9, 1.0])
@pytest.mark.parametrize("n_units", [0.02, 1, 5, 1000])
def test_no_interval_is_empty_or_leaves_zero_to_one(estimate, n_units):
    low, high = unit_interval(estimate, n_units, n_least=0, df=4, confidence=0.95)
    assert 0 <= low <= estimate <= high <= 1
    assert high - low > 1e-3


def test_t_takes_units_away_but_leaves_the_least():
    fewer = 30 * (1.959964 / t.ppf(0.975, 9)) ** 2
    found = unit_interval(0.8, 30, n_least=4, df=9, confidence=0.95)
    assert found == pytest.approx(unit_interval(0.8, fewer, **MANY), abs=1e-6)
    found = unit_interval(0.8, 10, n_least=9, df=9, confidence=0.95)
    assert found == pytest.approx(unit_interval(0.8, 9, **MANY), abs=1e-9)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 1.5])
def test_a_confidence_that_is_none_is_refused(confidence):
    with pytest.raises(ValueError, match="confidence is"):
        unit_interval(0.5, 5, n_least=0, df=4, confidence=confidence)


def test_kish_counts_patients_who_have_as_many_frames_and_one_who_has_them_all():
    assert effective_patients(np.full(8, 200)) == 8
    assert effective_patients(np.array([1, 0, 0])) == 1
    assert effective_patients(np.array([30, *[1] * 30])) == pytest.approx(3600 / 930)


def test_dominance_undoes_what_a_weighted_mean_takes_from_its_residuals():
    rng = np.random.default_rng(0)
    weight_P = np.array([0.5, 0.2, 0.1, 0.1, 0.1])
    share_SP = rng.normal(size=(200_000, 5))
    residual_SP = weight_P * (share_SP - (share_SP @ weight_P)[:, None])
    found = dominance(weight_P) * (residual_SP**2).sum(axis=1).mean()
    assert found == pytest.approx((weight_P**2).sum(), rel=0.01)
    assert dominance(np.full(7, 1 / 7)) == pytest.approx(7 / 6)


def test_the_variance_of_patients_alike_in_frames_is_the_usual_one():
    share_P = np.random.default_rng(0).random(9)
    found = variance_of_mean(share_P, np.full(9, 1 / 9))
    assert found == pytest.approx(share_P.var(ddof=1) / 9)
    assert variance_of_mean(share_P[:1], np.ones(1)) == 0


def test_an_unusual_patient_with_half_of_the_frames_adds_variance():
    weight_P = np.array([0.5, *[0.05] * 10])
    share_P = np.array([0.8, *np.linspace(0.7, 0.9, 10)])
    usual, unusual = share_P.copy(), share_P.copy()
    unusual[0] = 0.1
    assert variance_of_mean(unusual, weight_P) > 10 * variance_of_mean(usual, weight_P)


def test_units_are_those_of_the_variance_at_a_half_and_effective_patients_at_the_ends():
    assert independent_units(0.5, 0.25 / 80, 20, 200) == pytest.approx(80, rel=0.01)
    for estimate in (0.0, 1.0):
        assert independent_units(estimate, 0.0, 20, 200) == 20
    assert independent_units(0.9999, 1e-9, 20, 19) == pytest.approx(20, rel=0.01)
    assert independent_units(0.5, 0.0, 6, 0) == 6


def test_too_few_patients_are_named():
    assert too_few(5, 5) is None
    assert too_few(5, 1) == "1 patient with negative frames: an interval needs 5"
    assert too_few(2, 4).startswith("2 patients with positive frames and 4 patients with negative")
