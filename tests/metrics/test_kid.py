import warnings

import numpy as np
import pytest
import torch

from lussweep.metrics.inception import kid

pytestmark = pytest.mark.any_processor


def normal(n, d, seed, shift=0.0):
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


def loop_mmd2(x_ND, y_ND):
    """Unbiased MMD^2 with the cubic kernel, of one pair of subsets."""
    n, d = x_ND.shape
    own, other = (x_ND @ x_ND.T / d + 1) ** 3, (y_ND @ y_ND.T / d + 1) ** 3
    within = own.sum() - np.trace(own) + other.sum() - np.trace(other)
    return within / (n * (n - 1)) - 2 * ((x_ND @ y_ND.T / d + 1) ** 3).mean()


def library_kid(real_ND, fake_MD, n_subsets, subset_size, seed):
    """Mean and standard deviation by torchmetrics, which multiplies every subset anew."""
    from torchmetrics.image.kid import KernelInceptionDistance

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # features are kept in a buffer
        metric = KernelInceptionDistance(
            feature=torch.nn.Identity(), subsets=n_subsets, subset_size=subset_size
        )
    metric.update(torch.from_numpy(real_ND), real=True)
    metric.update(torch.from_numpy(fake_MD), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean, deviation = metric.compute()
    return float(mean), float(deviation)


@pytest.mark.parametrize(("n", "m", "size"), [(50, 50, 25), (30, 80, 7), (40, 20, 20)])
@pytest.mark.parametrize("scale", [0.1, 1, 10])
def test_value_and_draw_are_those_of_torchmetrics(n, m, size, scale):
    real, fake = scale * normal(n, 6, seed=0), scale * normal(m, 6, seed=1, shift=0.4)
    found = kid(real, fake, seed=3, n_subsets=12, subset_size=size, block_size=16)
    mean, deviation = library_kid(real, fake, 12, size, seed=3)
    assert found.mean == pytest.approx(mean, rel=1e-9)
    expected = (mean - 1.96 * deviation, mean + 1.96 * deviation)
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("block_size", [1, 7, 30, 64])
def test_block_size_does_not_matter(block_size):
    real, fake = normal(30, 6, seed=0), normal(25, 6, seed=1, shift=0.3)
    blocks = kid(real, fake, seed=0, n_subsets=5, block_size=block_size)
    assert blocks == pytest.approx(kid(real, fake, seed=0, n_subsets=5), rel=1e-9)


def test_features_are_multiplied_over_all_pieces():
    real, fake = normal(4, 9001, seed=0), normal(4, 9001, seed=1, shift=0.3)
    found = kid(real, fake, seed=0, n_subsets=1, subset_size=4)
    assert found.mean == pytest.approx(loop_mmd2(real, fake), rel=1e-9)


def test_kid_of_whole_sets_is_the_unbiased_estimator():
    real, fake = normal(30, 6, seed=0), normal(30, 6, seed=1, shift=0.4)
    found = kid(real, fake, seed=0, n_subsets=3, subset_size=30)
    assert found.mean == pytest.approx(loop_mmd2(real, fake), rel=1e-9)
    assert (found.low, found.high) == pytest.approx((found.mean, found.mean), rel=1e-9)


def test_kid_is_0_on_average_for_one_distribution_and_may_be_negative():
    """The tolerance is 4 standard errors of the mean over independent pairs of sets."""
    means = np.array(
        [
            kid(normal(40, 4, 2 * s), normal(40, 4, 2 * s + 1), seed=s, n_subsets=20).mean
            for s in range(60)
        ]
    )
    assert (means < 0).any()
    assert abs(means.mean()) < 4 * means.std() / np.sqrt(len(means))


def test_kid_grows_with_a_shift():
    real = normal(100, 8, seed=0)
    found = [kid(real, normal(100, 8, seed=1, shift=shift), seed=0) for shift in (0, 0.5, 1, 2)]
    assert [k.mean for k in found] == sorted(k.mean for k in found)
    assert found[0].low < 0 < found[0].high
    assert found[3].low > 0


def test_kid_subsets_spread_about_their_mean():
    found = kid(normal(100, 8, seed=0), normal(60, 8, seed=1), seed=0)
    assert (
        found.high - found.mean == pytest.approx(found.mean - found.low) and found.low < found.mean
    )


def test_default_subsets_are_half_the_smaller_set():
    real, fake = normal(100, 4, seed=0), normal(60, 4, seed=1)
    assert kid(real, fake, seed=0) == kid(real, fake, seed=0, n_subsets=100, subset_size=30)
    assert kid(real[:3], fake[:2], seed=0) == kid(real[:3], fake[:2], seed=0, subset_size=2)


def test_the_seed_decides_and_the_ambient_state_stays_as_it_was():
    real, fake = normal(40, 4, seed=0), normal(40, 4, seed=1)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = kid(real, fake, seed=1, n_subsets=10)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert kid(real, fake, seed=1, n_subsets=10) == first
    assert kid(real, fake, seed=2, n_subsets=10) != first


@pytest.mark.parametrize(("n_subsets", "subset_size"), [(0, 2), (5, 1), (5, 5)])
def test_impossible_subsets_are_refused(n_subsets, subset_size):
    with pytest.raises(ValueError, match=f"got {n_subsets} of {subset_size}"):
        kid(normal(4, 2, 0), normal(9, 2, 1), seed=0, n_subsets=n_subsets, subset_size=subset_size)
    with pytest.raises(ValueError, match="2 to 1 samples"):
        kid(normal(1, 2, 0), normal(9, 2, 1), seed=0)
