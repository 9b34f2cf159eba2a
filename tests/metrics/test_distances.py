import numpy as np
import pytest

from lussweep.metrics.distances import centre, check_features, distance_tiles


def assembled(a_ND, b_MD, block_size):
    result = np.full((len(a_ND), len(b_MD)), np.nan)
    for rows, columns, tile in distance_tiles(a_ND, b_MD, centre(a_ND), block_size=block_size):
        assert np.isnan(result[rows, columns]).all(), "tiles overlap"
        result[rows, columns] = tile
    return result


@pytest.mark.parametrize("block_size", [1, 4, 7, None])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiles_cover_all_pairs_with_the_distances_of_the_definition(block_size, dtype):
    rng = np.random.default_rng(0)
    a_ND, b_MD = rng.normal(size=(9, 5)).astype(dtype), rng.normal(size=(7, 5)).astype(dtype)
    differences = a_ND[:, None].astype(float) - b_MD[None].astype(float)
    expected = (differences**2).sum(axis=2)
    np.testing.assert_allclose(assembled(a_ND, b_MD, block_size), expected, rtol=1e-12)


def test_features_are_summed_over_all_pieces():
    rng = np.random.default_rng(3)
    a_ND, b_MD = rng.normal(size=(3, 9001)), rng.normal(size=(2, 9001))
    expected = ((a_ND[:, None] - b_MD[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(assembled(a_ND, b_MD, None), expected, rtol=1e-12)


@pytest.mark.parametrize("n_features", [3, 300, 9000])
@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
def test_equal_rows_are_exactly_zero_apart_and_no_distance_is_negative(offset, n_features):
    x_ND = (np.random.default_rng(1).normal(size=(40, n_features)) + offset).astype(np.float32)
    squared = assembled(x_ND, x_ND.copy(), 16)
    assert (np.diag(squared) == 0).all()
    assert (squared >= 0).all()
    off_diagonal = squared[~np.eye(len(squared), dtype=bool)]
    assert (off_diagonal > 0).all()


def test_far_from_the_origin_distances_keep_their_precision():
    x_ND = np.random.default_rng(2).normal(size=(12, 20))
    near, far = assembled(x_ND, x_ND, None), assembled(x_ND + 2.0**20, x_ND + 2.0**20, None)
    np.testing.assert_allclose(far, near, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        (np.ones(3), np.ones((3, 1)), "real features have shape"),
        (np.ones((3, 2)), np.ones((0, 2)), "fake features have shape"),
        (np.ones((3, 2)), np.ones((3, 4)), "real samples have 2 features, fake ones 4"),
        (np.ones((3, 2)), np.full((3, 2), np.nan), "fake features hold a value that is not finite"),
        (np.ones((3, 2), dtype=np.uint8), np.ones((3, 2)), "not floating point"),
    ],
)
def test_bad_features_are_refused_by_name(real, fake, message):
    with pytest.raises(ValueError, match=message):
        check_features(real, fake)
