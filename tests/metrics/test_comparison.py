import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from lussweep.metrics.comparison import Reference, compare

pytestmark = pytest.mark.any_processor


def loop_density_coverage(real_ND, fake_ND, k):
    """Naeem et al. 2020, section 3, with closed balls, on the full matrices."""
    own_NN, cross_NM = cdist(real_ND, real_ND), cdist(real_ND, fake_ND)
    radius_N = np.sort(own_NN, axis=1)[:, k]  # column 0 is the sample itself
    inside_NM = cross_NM <= radius_N[:, None] * (1 + 1e-12)
    return inside_NM.sum() / (k * len(fake_ND)), inside_NM.any(axis=1).mean()


def normal(n, d, seed, shift=0.0):
    return (np.random.default_rng(seed).normal(size=(n, d)) + shift).astype(np.float32)


def scores(real_ND, fake_ND, **settings):
    block_size = settings.get("block_size")
    return compare(Reference.of(real_ND, **settings), fake_ND, block_size=block_size)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("shift", [0.0, 0.4, 2.0])
def test_density_and_coverage_equal_their_definition(k, shift):
    real, fake = normal(40, 4, seed=0), normal(40, 4, seed=1, shift=shift)
    found = scores(real, fake, k=k)
    expected = loop_density_coverage(real, fake, k)
    assert (found.density, found.coverage) == pytest.approx(expected, rel=1e-12)


def test_one_reference_serves_many_synthetic_sets():
    real = normal(30, 6, seed=0)
    reference = Reference.of(real)
    for seed in (1, 2, 1):
        fake = normal(30, 6, seed=seed, shift=0.3)
        assert compare(reference, fake) == scores(real, fake)


@pytest.mark.parametrize("block_size", [1, 7, 30, 64])
def test_block_size_does_not_matter(block_size):
    real, fake = normal(30, 6, seed=0), normal(30, 6, seed=1, shift=0.3)
    blocks, whole = scores(real, fake, block_size=block_size), scores(real, fake)
    assert blocks.kmmd == pytest.approx(whole.kmmd, rel=1e-10)
    assert blocks[1:] == whole[1:]


def test_order_of_samples_does_not_matter():
    real, fake = normal(30, 6, seed=0), normal(30, 6, seed=1, shift=0.3)
    order = np.random.default_rng(2).permutation(30)
    shuffled, whole = scores(real[order], fake[::-1]), scores(real, fake)
    assert shuffled.kmmd == pytest.approx(whole.kmmd, rel=1e-10)
    assert shuffled[1:] == whole[1:]


@pytest.mark.parametrize("block_size", [None, 7])
def test_a_set_against_itself(block_size):
    """kMMD and 1-NN are 0; each ball holds its centre and k neighbours, on its surface or in it."""
    real = normal(50, 20, seed=0, shift=5)
    found = scores(real, real[::-1].copy(), k=5, block_size=block_size)
    assert found == (0, 0, 0, 0, 6 / 5, 1)


def test_one_distribution_has_density_near_1_and_the_expected_coverage():
    found = np.array(
        [scores(normal(300, 3, seed=2 * s), normal(300, 3, seed=2 * s + 1)) for s in range(10)]
    )
    density, coverage = found[:, 4].mean(), found[:, 5].mean()
    assert density == pytest.approx(1, abs=0.05)
    assert coverage == pytest.approx(1 - 2**-5, abs=0.02)


def test_far_away_samples_cover_nothing():
    found = scores(normal(30, 4, seed=0), normal(30, 4, seed=1, shift=100))
    assert found[1:] == (1, 1, 1, 0, 0)


def test_a_collapsed_generator_is_dense_and_covers_little():
    real = normal(100, 4, seed=0)
    crowded = real[np.argsort((real**2).sum(axis=1))[0]]
    found = scores(real, np.tile(crowded, (100, 1)))
    assert found.density > 1 and found.coverage < 0.3


def test_duplicates_of_a_real_sample_are_covered():
    """7 real samples in one place have balls of radius 0."""
    real = np.concatenate([np.zeros((7, 3)), 10 + normal(7, 3, seed=0)])
    assert scores(real, np.zeros((14, 3))).coverage == 0.5


def test_k_is_limited_to_the_other_samples():
    real, fake = normal(4, 3, seed=0), normal(4, 3, seed=1)
    assert Reference.of(real).k == 3
    assert scores(real, fake, k=50) == scores(real, fake, k=3)
    assert Reference.of(normal(2, 3, seed=0)).k == 1


def test_tensors_and_arrays_give_the_same_scores():
    real, fake = normal(20, 5, seed=0), normal(20, 5, seed=1)
    device = torch.device("cpu")
    found = compare(Reference.of(torch.from_numpy(real), device=device), torch.from_numpy(fake))
    assert found == scores(real, fake)
    assert all(type(value) is float for value in found)


def test_the_inputs_are_left_as_they_were():
    real, fake = normal(20, 5, seed=0).astype(np.float64), normal(20, 5, seed=1).astype(np.float64)
    before = real.copy(), fake.copy()
    scores(real, fake, block_size=6)
    assert (real == before[0]).all() and (fake == before[1]).all()


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        (np.ones((4, 2)), normal(4, 2, seed=0), "the 4 real samples have the same features"),
        (normal(1, 2, seed=0), normal(1, 2, seed=0), "the 1 real samples have the same"),
        (normal(4, 2, seed=0), normal(3, 2, seed=0), "got 4 and 3"),
        (normal(4, 2, seed=0), normal(4, 3, seed=0), "real samples have 2 features, fake ones 3"),
        (np.full((4, 2), np.inf), normal(4, 2, seed=0), "real features hold a value"),
        (normal(4, 2, seed=0), np.full((4, 2), np.nan), "fake features hold a value"),
    ],
)
def test_bad_sets_are_refused(real, fake, message):
    with pytest.raises(ValueError, match=message):
        scores(real, fake)


def test_no_neighbours_are_refused():
    with pytest.raises(ValueError, match="k is 0"):
        Reference.of(normal(4, 2, seed=0), k=0)
