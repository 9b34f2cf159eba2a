import numpy as np
import pytest
from scipy.stats import binomtest, norm

from lussweep.analysis.shares import share_interval


def test_many_patients_of_one_frame_have_wilsons_interval():
    hits_P = np.repeat([1, 0], [1400, 600])
    found = share_interval(hits_P, np.ones(2000, int))
    wilson = binomtest(1400, 2000).proportion_ci(method="wilson")
    assert found == pytest.approx((wilson.low, wilson.high), abs=1e-4)


def test_frames_that_are_all_alike_within_a_patient_count_as_one():
    hits_P = np.repeat([1, 0], [14, 6])
    one, many = (
        share_interval(hits_P, np.ones(20, int)),
        share_interval(30 * hits_P, np.full(20, 30)),
    )
    assert many == pytest.approx(one)


def test_frames_that_differ_within_a_patient_say_more_than_alike_ones():
    frames_P = np.full(20, 30)
    alike = share_interval(30 * np.repeat([1, 0], [10, 10]), frames_P)
    differ = share_interval(np.full(20, 15), frames_P)
    assert alike[0] < differ[0] < 0.5 < differ[1] < alike[1]


@pytest.mark.parametrize("n_patients", [1, 2, 5, 24])
@pytest.mark.parametrize("share", [0, 1])
def test_an_interval_is_never_empty_and_ends_where_the_share_does(n_patients, share):
    frames_P = np.arange(1, n_patients + 1) * 10
    low, high = share_interval(share * frames_P, frames_P)
    assert (low, high)[share] == share
    assert 0 <= low < high <= 1
    assert high - low > 2 / (n_patients + 10)


def test_counts_of_unequal_patients_are_effective_ones():
    """One patient with nearly all frames leaves hardly more than one effective patient."""
    even = share_interval(np.zeros(10), np.full(10, 100))
    uneven = share_interval(np.zeros(10), np.array([991, *[1] * 9]))
    assert even.high < 0.35
    assert uneven.high > 0.9


def test_hits_and_misses_mirror_each_other():
    rng = np.random.default_rng(0)
    frames_P = rng.integers(1, 30, size=12)
    hits_P = rng.binomial(frames_P, 0.8)
    hits, misses = share_interval(hits_P, frames_P), share_interval(frames_P - hits_P, frames_P)
    assert (hits.low, hits.high) == pytest.approx((1 - misses.high, 1 - misses.low))
    with_empty = share_interval(np.append(hits_P, 0), np.append(frames_P, 0))
    assert with_empty == hits


def test_no_frame_is_refused():
    with pytest.raises(ValueError, match="no patient has a frame"):
        share_interval(np.zeros(3), np.zeros(3))


@pytest.mark.parametrize(
    "n_studies",
    [pytest.param(100, marks=pytest.mark.unhurried), pytest.param(1000, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("n_patients", [5, 10, 24, 100])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.97])
def test_the_interval_covers_the_truth_however_alike_a_patients_frames_are(
    n_studies, n_patients, share
):
    """At least 92 % of studies; broken where the exact binomial test has p < 0.001."""
    for alike in (0.2, 0.5, 0.9):
        covered = 0
        for study in range(n_studies):
            rng = np.random.default_rng([20264, study])
            frames_P = rng.integers(1, 51, size=n_patients)
            margin_P = norm.ppf(share) + np.sqrt(alike) * rng.normal(size=n_patients)
            hits_P = rng.binomial(frames_P, norm.cdf(margin_P / np.sqrt(1 - alike)))
            low, high = share_interval(hits_P, frames_P)
            covered += low <= share <= high
        print(n_patients, share, alike, covered)
        assert binomtest(covered, n_studies, 0.92, alternative="less").pvalue >= 0.001, covered
