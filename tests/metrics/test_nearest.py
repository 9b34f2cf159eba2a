import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lussweep.metrics.comparison import Reference, compare
from lussweep.metrics.nearest import OneNN

pytestmark = pytest.mark.any_processor


def one_nn(real_ND, fake_ND, block_size=None):
    reference = Reference.of(real_ND, block_size=block_size)
    found = compare(reference, fake_ND, block_size=block_size)
    return OneNN(found.one_nn, found.one_nn_real, found.one_nn_fake)


REAL = np.array(
    [
        [0.0, 0.0],
        [1.0, 0.2],
        [2.1, 0.1],
        [0.3, 1.4],
        [5.0, 5.0],
        [5.6, 4.4],
        [9.0, 0.0],
        [9.1, 1.5],
        [3.0, 7.0],
        [4.2, 2.2],
    ]
)
FAKE = np.array(
    [
        [0.1, 0.1],
        [1.9, 0.9],
        [4.9, 5.3],
        [6.5, 4.0],
        [9.0, 0.4],
        [3.3, 6.5],
        [7.0, 7.0],
        [7.4, 7.3],
        [6.8, 7.6],
        [4.0, 2.9],
    ]
)


def loop_one_nn(real_ND, fake_ND):
    """The definition, sample by sample; a tie between the kinds is wrong."""
    pooled = np.concatenate([real_ND, fake_ND])
    is_real = [True] * len(real_ND) + [False] * len(fake_ND)
    correct = []
    for i, x in enumerate(pooled):
        own, other = [], []
        for j, y in enumerate(pooled):
            if i != j:
                (own if is_real[i] == is_real[j] else other).append(((x - y) ** 2).sum())
        correct.append(min(own) < min(other))
    n = len(real_ND)
    return OneNN(np.mean(correct), np.mean(correct[:n]), np.mean(correct[n:]))


def test_twenty_points_by_hand():
    """Nearest to their own kind: the real (5.6, 4.4) and the three fakes near (7, 7)."""
    expected = loop_one_nn(REAL, FAKE)
    assert expected == pytest.approx((0.2, 0.1, 0.3))
    assert one_nn(REAL, FAKE) == pytest.approx(expected)
    assert one_nn(REAL.astype(np.float32), FAKE.astype(np.float32)) == pytest.approx(expected)


@pytest.mark.parametrize("block_size", [1, 6, 10, 64])
def test_block_size_does_not_matter(block_size):
    assert one_nn(REAL, FAKE, block_size=block_size) == one_nn(REAL, FAKE)


def test_order_of_samples_does_not_matter():
    assert one_nn(REAL[::-1], FAKE[[3, 1, 4, 0, 5, 9, 2, 6, 8, 7]]) == one_nn(REAL, FAKE)


def test_swapping_the_sets_swaps_the_halves():
    here, there = one_nn(REAL, FAKE), one_nn(FAKE, REAL)
    assert there == (here.accuracy, here.fake_accuracy, here.real_accuracy)


def test_separable_sets_are_one():
    assert one_nn(REAL, FAKE + 100) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("n_features", [2, 700])
def test_identical_sets_are_zero_even_with_duplicates_inside(n_features):
    x_ND = np.random.default_rng(0).normal(3, 1, size=(30, n_features)).astype(np.float32)
    x_ND[7] = x_ND[3]
    assert one_nn(x_ND, x_ND[::-1].copy()) == (0.0, 0.0, 0.0)


def test_a_tie_between_the_kinds_is_wrong():
    real, fake = np.array([[0.0], [2.0]]), np.array([[1.0], [9.0]])
    assert one_nn(real, fake) == (0.0, 0.0, 0.0)  # 1 lies between two reals, 9 is nearest to 2


def test_a_collapsed_generator_shows_in_the_fake_half():
    real = np.random.default_rng(0).normal(size=(30, 5))
    fake = np.repeat(real[:1] + 0.01, 30, axis=0)
    result = one_nn(real, fake)
    assert result.fake_accuracy == 1.0
    assert result == pytest.approx(loop_one_nn(real, fake))


def test_one_distribution_is_near_a_half():
    rng = np.random.default_rng(0)
    result = one_nn(rng.normal(size=(1000, 3)), rng.normal(size=(1000, 3)))
    assert result.accuracy == pytest.approx(0.5, abs=0.05)


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(st.data())
def test_equals_the_definition_on_grids_full_of_ties(data):
    n = data.draw(st.integers(2, 6))
    points = st.lists(st.tuples(*[st.integers(-2, 2)] * 2), min_size=n, max_size=n)
    real, fake = (np.array(data.draw(points), dtype=float) for _ in range(2))
    assume(len(np.unique(real, axis=0)) > 1)  # kMMD has no bandwidth otherwise
    assert one_nn(real, fake) == pytest.approx(loop_one_nn(real, fake))


def test_unequal_samples_are_refused():
    with pytest.raises(ValueError, match="got 10 and 9"):
        one_nn(REAL, FAKE[1:])
