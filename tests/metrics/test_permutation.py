import itertools

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from lussweep.metrics.permutation import kmmd_test

pytestmark = pytest.mark.any_processor


def normal(n, d, seed, shift=0.0):
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


def loop_mmd2(pooled_SD, is_real_S):
    """The unbiased estimator on the full matrix, bandwidth from all pooled pairs."""
    squared = cdist(pooled_SD, pooled_SD, "sqeuclidean")
    kernel = np.exp(-squared / (2 * squared.mean()))
    real, fake = kernel[np.ix_(is_real_S, is_real_S)], kernel[np.ix_(~is_real_S, ~is_real_S)]
    cross = kernel[np.ix_(is_real_S, ~is_real_S)]
    n, m = len(real), len(fake)
    own = (real.sum() - n) / (n * (n - 1)) + (fake.sum() - m) / (m * (m - 1))
    return own - 2 * cross.mean()


@pytest.mark.parametrize(("n", "m"), [(12, 12), (7, 15), (2, 3)])
def test_the_statistic_is_the_unbiased_estimator(n, m):
    real, fake = normal(n, 4, seed=0), normal(m, 4, seed=1, shift=0.7)
    found = kmmd_test(real, fake, seed=0, n_permutations=5, block_size=4)
    expected = loop_mmd2(np.concatenate([real, fake]), np.arange(n + m) < n)
    assert found.mmd2_unbiased == pytest.approx(expected, rel=1e-9)


def test_many_permutations_approach_the_p_value_over_all_splits():
    """4 against 4 samples: all 70 splits can be counted; the tolerance is 4 standard errors."""
    pooled = np.concatenate([normal(4, 2, seed=0), normal(4, 2, seed=1, shift=0.8)])
    values = [
        loop_mmd2(pooled, np.isin(np.arange(8), chosen))
        for chosen in itertools.combinations(range(8), 4)
    ]
    exact = np.mean(np.array(values) >= values[0] - 1e-12)
    assert 0.02 < exact < 0.98
    found = kmmd_test(pooled[:4], pooled[4:], seed=0, n_permutations=2000)
    assert found.p_value == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 2000))


def test_p_values_are_uniform_for_one_distribution_and_the_statistic_is_0_on_average():
    """200 tests with p in {0.05, ..., 1}; tolerances of 4 standard errors of a binomial share."""
    tests = [
        kmmd_test(
            normal(12, 3, seed=2 * s), normal(12, 3, seed=2 * s + 1), n_permutations=19, seed=s
        )
        for s in range(200)
    ]
    p = np.array([test.p_value for test in tests])
    for level in (0.1, 0.25, 0.5, 0.75):
        assert np.mean(p <= level + 1e-9) == pytest.approx(
            level, abs=4 * np.sqrt(level * (1 - level) / 200)
        )
    mmd2 = np.array([test.mmd2_unbiased for test in tests])
    assert (mmd2 < 0).any()
    assert abs(mmd2.mean()) < 4 * mmd2.std() / np.sqrt(len(mmd2))


def test_a_shift_gives_the_least_p_value():
    found = kmmd_test(normal(40, 5, seed=0), normal(40, 5, seed=1, shift=1.5), seed=0)
    assert found.p_value == 1 / 201
    assert found.mmd2_unbiased > 0.1
    assert found.n_permutations == 200


def test_the_observed_split_counts_each_time_it_comes_up():
    """2 against 2: it and its mirror image are 2 of 6 splits; 4 standard errors."""
    found = kmmd_test(normal(2, 3, seed=0), normal(2, 3, seed=1, shift=9), seed=0, block_size=3)
    assert found.p_value == pytest.approx(1 / 3, abs=4 * np.sqrt(2 / 9 / 200))


def test_a_set_against_itself_is_never_flagged():
    real = normal(30, 5, seed=0)
    found = kmmd_test(real, real[::-1].copy(), seed=0)
    assert found.p_value == 1
    assert found.mmd2_unbiased < 0


@pytest.mark.parametrize("block_size", [1, 9, 33, 100])
def test_block_size_does_not_matter(block_size):
    real, fake = normal(20, 5, seed=0), normal(16, 5, seed=1, shift=0.2)
    blocks = kmmd_test(real, fake, seed=3, n_permutations=50, block_size=block_size)
    whole = kmmd_test(real, fake, seed=3, n_permutations=50)
    assert blocks.mmd2_unbiased == pytest.approx(whole.mmd2_unbiased, rel=1e-9)
    assert blocks[1:] == whole[1:]


def test_swapping_the_sets_keeps_the_statistic():
    real, fake = normal(20, 5, seed=0), normal(16, 5, seed=1, shift=0.2)
    here, there = kmmd_test(real, fake, seed=0), kmmd_test(fake, real, seed=0)
    assert there.mmd2_unbiased == pytest.approx(here.mmd2_unbiased, rel=1e-9)


def test_the_seed_decides_and_nothing_ambient_does():
    real, fake = normal(20, 5, seed=0), normal(20, 5, seed=1, shift=0.1)
    first = kmmd_test(real, fake, seed=1)
    np.random.seed(0)
    torch.manual_seed(0)
    assert kmmd_test(real, torch.from_numpy(fake), seed=1, device="cpu") == first
    assert kmmd_test(real, fake, seed=2) != first


@pytest.mark.parametrize(
    ("n", "m", "n_permutations", "message"),
    [
        (1, 5, 10, "got 1 real and 5 fake samples, 10 permutations"),
        (5, 1, 10, "got 5 real and 1 fake samples"),
        (5, 5, 0, "0 permutations"),
    ],
)
def test_too_little_is_refused(n, m, n_permutations, message):
    with pytest.raises(ValueError, match=message):
        kmmd_test(normal(n, 2, 0), normal(m, 2, 1), n_permutations=n_permutations, seed=0)


def test_constant_samples_are_refused():
    with pytest.raises(ValueError, match="all 7 samples have the same features"):
        kmmd_test(np.full((4, 2), 0.1), np.full((3, 2), 0.1), seed=0)
