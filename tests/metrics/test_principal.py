"""The plane of principal components, against scikit-learn and by laws."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA

from lussweep.metrics.principal import plane

SAMPLES = np.random.default_rng(0).normal(size=(40, 6)) * np.arange(6, 0, -1)


def test_equal_weights_give_the_components_of_scikit_learn() -> None:
    found = plane(SAMPLES, np.full(40, 3.0))
    oracle = PCA(2, svd_solver="full").fit(SAMPLES)
    assert found is not None
    assert found.shares == pytest.approx(oracle.explained_variance_ratio_)
    assert np.abs(found.axes_2D) == pytest.approx(np.abs(oracle.components_))
    place = oracle.transform(SAMPLES) / oracle.transform(SAMPLES)[:, 0].std()
    assert np.abs(found.place(SAMPLES)) == pytest.approx(np.abs(place))
    assert found.place(SAMPLES)[:, 0].std() == pytest.approx(1)


def test_a_weight_of_two_counts_as_the_sample_twice() -> None:
    weight_N = np.ones(40)
    weight_N[:10] = 2
    weighted = plane(SAMPLES, weight_N)
    repeated = plane(np.concatenate([SAMPLES, SAMPLES[:10]]), np.ones(50))
    assert weighted is not None and repeated is not None
    assert weighted.place(SAMPLES) == pytest.approx(repeated.place(SAMPLES))


def test_signs_do_not_depend_on_the_order_of_samples() -> None:
    one, other = plane(SAMPLES, np.ones(40)), plane(SAMPLES[::-1], np.ones(40))
    assert one is not None and other is not None
    assert one.place(SAMPLES) == pytest.approx(other.place(SAMPLES))


def test_samples_on_a_line_have_no_plane() -> None:
    assert plane(np.outer(np.arange(5.0), np.ones(3)), np.ones(5)) is None
    assert plane(np.ones((1, 3)), np.ones(1)) is None
    with pytest.raises(ValueError, match="weights of shape"):
        plane(SAMPLES, np.ones(3))
