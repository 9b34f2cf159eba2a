import math

import numpy as np
import pytest

from lussweep.metrics.comparison import Reference, compare

pytestmark = pytest.mark.any_processor


def kmmd(real_ND, fake_ND, block_size=None):
    reference = Reference.of(real_ND, block_size=block_size)
    return compare(reference, fake_ND, block_size=block_size).kmmd


def loop_kmmd(real_ND, fake_MD):
    """The definition, pair by pair."""

    def squared(a_D, b_D):
        return sum((float(a) - float(b)) ** 2 for a, b in zip(a_D, b_D, strict=True))

    scale = np.mean([squared(a, b) for a in real_ND for b in real_ND])

    def mean_kernel(x_ND, y_ND):
        return np.mean([math.exp(-squared(a, b) / (2 * scale)) for a in x_ND for b in y_ND])

    total = (
        mean_kernel(real_ND, real_ND)
        + mean_kernel(fake_MD, fake_MD)
        - 2 * mean_kernel(real_ND, fake_MD)
    )
    return math.sqrt(max(0.0, total))


def normal(n, d, seed, shift=0.0, dtype=np.float32):
    return (np.random.default_rng(seed).normal(size=(n, d)) + shift).astype(dtype)


@pytest.mark.parametrize("n", [2, 5, 8])
def test_equals_the_definition_pair_by_pair(n):
    real, fake = normal(n, 6, seed=0), normal(n, 6, seed=1, shift=0.7)
    assert kmmd(real, fake) == pytest.approx(loop_kmmd(real, fake), rel=1e-10)


def test_two_points_by_hand():
    real, fake = np.array([[0.0], [2.0]]), np.array([[1.0], [1.0]])  # s = 2
    expected = (1 + math.exp(-1)) / 2 + 1 - 2 * math.exp(-0.25)
    assert kmmd(real, fake) == pytest.approx(math.sqrt(expected), rel=1e-12)


@pytest.mark.parametrize("block_size", [None, 7])
def test_a_set_against_itself_is_zero(block_size):
    real = normal(50, 20, seed=0, shift=5)
    assert kmmd(real, real.copy(), block_size=block_size) == 0.0
    assert kmmd(real, real[::-1].copy(), block_size=block_size) < 1e-6


def test_order_of_samples_does_not_matter():
    real, fake = normal(40, 8, seed=0), normal(40, 8, seed=1, shift=0.5)
    order = np.random.default_rng(2).permutation(40)
    assert kmmd(real[order], fake[order[::-1]]) == pytest.approx(kmmd(real, fake), rel=1e-10)


@pytest.mark.parametrize("block_size", [1, 13, 64, 100])
def test_block_size_does_not_matter(block_size):
    real, fake = normal(64, 8, seed=0), normal(64, 8, seed=1, shift=0.5)
    assert kmmd(real, fake, block_size=block_size) == pytest.approx(kmmd(real, fake), rel=1e-10)


def test_scale_and_shift_of_both_sets_do_not_matter():
    real, fake = normal(30, 8, seed=0, dtype=float), normal(30, 8, seed=1, shift=0.5, dtype=float)
    assert kmmd(3 * real + 7, 3 * fake + 7) == pytest.approx(kmmd(real, fake), rel=1e-10)


def test_bandwidth_comes_from_the_real_set():
    narrow, wide = normal(30, 4, seed=0), 10 * normal(30, 4, seed=1)
    assert kmmd(narrow, wide) == pytest.approx(loop_kmmd(narrow, wide), rel=1e-10)
    assert kmmd(wide, narrow) == pytest.approx(loop_kmmd(wide, narrow), rel=1e-10)
    assert kmmd(narrow, wide) != pytest.approx(kmmd(wide, narrow), rel=0.05)


def test_bias_on_one_distribution_shrinks_with_n_as_predicted():
    """In many dimensions every off-diagonal kernel is near exp(-1/2)."""
    values = {n: kmmd(normal(n, 512, seed=n), normal(n, 512, seed=n + 1)) for n in (60, 240, 960)}
    for n, value in values.items():
        assert value == pytest.approx(math.sqrt(2 * (1 - math.exp(-0.5)) / n), rel=0.05)
    assert values[60] > values[240] > values[960]


def test_grows_with_the_distance_between_distributions():
    real = normal(100, 8, seed=0)
    values = [kmmd(real, normal(100, 8, seed=1, shift=shift)) for shift in (0, 0.5, 1, 2)]
    assert values == sorted(values)


def test_a_constant_real_set_is_refused():
    real = np.full((5, 3), 0.1)  # whose mean is not exactly 0.1
    with pytest.raises(ValueError, match="the 5 real samples have the same features"):
        kmmd(real, normal(5, 3, seed=0))


def test_a_constant_fake_set_is_scored():
    real, fake = normal(12, 3, seed=0), np.full((12, 3), 0.1, dtype=np.float32)
    assert kmmd(real, fake) == pytest.approx(loop_kmmd(real, fake), rel=1e-10)
