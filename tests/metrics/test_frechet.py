import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg
import torch

from lussweep.metrics.frechet import fid

pytestmark = pytest.mark.any_processor


def normal(n, d, seed, shift=0.0):
    return np.random.default_rng(seed).normal(size=(n, d)) + shift


def with_moments(x_ND, mean_D, covariance_DD):
    """The samples, moved and stretched until their mean and covariance are exactly these."""
    white_ND = (x_ND - x_ND.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x_ND.T))).T
    return white_ND @ np.linalg.cholesky(covariance_DD).T + mean_D


def scipy_fid(real_ND, fake_MD):
    a, b = np.cov(real_ND.T), np.cov(fake_MD.T)
    gap = ((real_ND.mean(axis=0) - fake_MD.mean(axis=0)) ** 2).sum()
    return gap + np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b).real)


def test_fid_of_gaussians_is_the_closed_form():
    """Commuting covariances: sum of squared differences of means and of standard deviations."""
    a, b = np.array([1.0, 4.0, 9.0]), np.array([4.0, 4.0, 1.0])
    real = with_moments(normal(60, 3, seed=0), np.zeros(3), np.diag(a))
    fake = with_moments(normal(80, 3, seed=1), np.array([1.0, -2.0, 0.5]), np.diag(b))
    expected = 1 + 4 + 0.25 + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    assert fid(real, fake) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_fid_equals_scipy_wherever_the_samples_lie(offset):
    mix = normal(6, 6, seed=5)
    real, fake = normal(50, 6, seed=0) @ mix, normal(40, 6, seed=1, shift=0.3)
    expected = scipy_fid(real, fake)
    assert fid(real + offset, fake + offset) == pytest.approx(expected, rel=1e-6)
    assert fid(fake + offset, real + offset) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("n_features", [1, 5, 40])
def test_fid_of_a_set_against_itself_is_zero(n_features):
    """Also with fewer samples than features, where the covariance is singular."""
    real = normal(20, n_features, seed=0).astype(np.float32)
    assert 0 <= fid(real, real[::-1]) < 1e-5
    assert type(fid(real, torch.from_numpy(real))) is float


def test_fid_counts_every_row_of_many_blocks():
    """600,000 samples of 8 features are two blocks of rows."""
    real, fake = normal(600_000, 8, seed=0), normal(10, 8, seed=1)
    assert fid(real, fake) == pytest.approx(scipy_fid(real, fake), rel=1e-6)


def test_torchmetrics_is_imported_on_use_only():
    code = "import lussweep.metrics.frechet, sys; assert 'torchmetrics' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_too_few_samples_or_too_many_features_are_refused():
    with pytest.raises(ValueError, match="FID needs 2 samples of each: got 1 and 5"):
        fid(normal(1, 2, seed=0), normal(5, 2, seed=1))
    with pytest.raises(ValueError, match="FID of 65536 features: 8192 are the most"):
        fid(np.zeros((2, 65_536), np.float32), np.zeros((2, 65_536), np.float32))
    with pytest.raises(ValueError, match="real samples have 2 features, fake ones 3"):
        fid(normal(5, 2, seed=0), normal(5, 3, seed=0))
