import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from lussweep.metrics.distances import (
    Points,
    centre,
    check_features,
    check_samples,
    distance_tiles,
    own_distance_tiles,
)

pytestmark = pytest.mark.any_processor


def points(x_ND, centre_D=None):
    x_ND = check_samples("test", x_ND)
    return Points.around(centre(x_ND) if centre_D is None else centre_D, x_ND)


def assembled(a_ND, b_MD, block_size):
    result = np.full((len(a_ND), len(b_MD)), np.nan)
    a = points(a_ND)
    b = points(b_MD, a.centre_D)
    for rows, columns, tile in distance_tiles(a, b, block_size=block_size):
        assert tile.dtype == torch.float64
        assert np.isnan(result[rows, columns]).all(), "tiles overlap"
        result[rows, columns] = tile.numpy()
    return result


@pytest.mark.parametrize("block_size", [1, 4, 7, None])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tiles_cover_all_pairs_with_the_distances_of_the_definition(block_size, dtype):
    rng = np.random.default_rng(0)
    a_ND, b_MD = rng.normal(size=(9, 5)).astype(dtype), rng.normal(size=(7, 5)).astype(dtype)
    differences = a_ND[:, None].astype(float) - b_MD[None].astype(float)
    expected = (differences**2).sum(axis=2)
    np.testing.assert_allclose(assembled(a_ND, b_MD, block_size), expected, rtol=1e-12)


@pytest.mark.parametrize("block_size", [1, 4, 9, None])
def test_own_tiles_are_the_upper_half_of_all_tiles(block_size):
    x_ND = np.random.default_rng(0).normal(size=(9, 5))
    result = np.full((9, 9), np.nan)
    for rows, columns, tile in own_distance_tiles(points(x_ND), block_size=block_size):
        assert rows.start <= columns.start
        result[columns, rows] = tile.numpy().T
        result[rows, columns] = tile.numpy()
    np.testing.assert_allclose(result, assembled(x_ND, x_ND, None), rtol=1e-12, atol=1e-12)


def test_mean_pair_distance_is_that_of_all_pairs():
    x_ND = np.random.default_rng(0).normal(size=(30, 7)) + 5
    pairs = ((x_ND[:, None] - x_ND[None]) ** 2).sum(axis=2)
    assert points(x_ND).mean_pair_distance() == pytest.approx(pairs.mean(), rel=1e-12)
    assert points(np.full((5, 3), 0.1)).mean_pair_distance() == 0


def test_rows_taken_a_block_at_a_time_give_the_same_centre_and_norms():
    x_ND = np.random.default_rng(4).normal(size=(9, 600_000)).astype(np.float32)  # 6 rows a block
    found = points(x_ND)
    mean_D = x_ND.mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(found.centre_D.numpy(), mean_D, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.norm_N.numpy(), ((x_ND - mean_D) ** 2).sum(axis=1))
    assert not found.is_constant()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_tensor_keeps_its_type_and_stands_for_the_array_of_its_values(dtype):
    x_ND = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    x_ND.requires_grad_()
    kept = check_samples("test", x_ND, device="cpu")
    assert kept.dtype == dtype and not kept.requires_grad
    exact = x_ND.detach().double().numpy()
    expected = ((exact[:, None] - exact[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(assembled(x_ND, x_ND, 3), expected, rtol=1e-12, atol=1e-14)


def test_reversed_and_read_only_arrays_are_taken():
    x_ND = np.random.default_rng(0).normal(size=(6, 3))
    x_ND.flags.writeable = False
    np.testing.assert_array_equal(check_samples("test", x_ND[::-1]).numpy(), x_ND[::-1])


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
        (np.ones((3, 2), dtype=np.int64), np.ones((3, 2)), "not floating point"),
        (torch.ones(3, 2), torch.ones((3, 2), dtype=torch.int64), "fake features are torch.int64"),
    ],
)
def test_bad_features_are_refused_by_name(real, fake, message):
    with pytest.raises(ValueError, match=message):
        check_features(real, fake)


# --- grey levels --------------------------------------------------------------------------


@pytest.mark.parametrize("block_size", [None, 3])
@pytest.mark.parametrize("extremes", [False, True])
def test_distances_of_grey_levels_are_exact_whole_numbers(block_size, extremes):
    """Also where every product is as large as it can be, over more features than one piece has."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (n, 2500), dtype=np.uint8) for n in (7, 5))
    if extremes:
        a, b = np.zeros_like(a), np.where(np.arange(5)[:, None] % 2, 255, 0).astype(np.uint8)
        b = np.broadcast_to(b[:, :1], (5, 2500)).copy()
    x, y = check_features(a, b)
    middle = centre(x)
    tiles = distance_tiles(
        Points.around(middle, x), Points.around(middle, y), block_size=block_size
    )
    found = np.empty((7, 5))
    for rows, columns, squared_BB in tiles:
        found[rows, columns] = squared_BB.numpy()
    expected = ((a[:, None].astype(np.int64) - b[None].astype(np.int64)) ** 2).sum(axis=2)
    assert (found == expected).all()


def test_the_mean_pair_distance_of_grey_levels_is_that_of_all_pairs():
    x = np.random.default_rng(1).integers(0, 90, (9, 300), dtype=np.uint8)
    tensor = check_samples("real", x)
    points = Points.around(centre(tensor), tensor)
    assert points.mean_pair_distance() == pytest.approx(cdist(x, x, "sqeuclidean").mean())


def test_grey_levels_are_not_compared_with_other_features():
    with pytest.raises(ValueError, match=r"real features are torch.uint8, fake ones torch.float64"):
        check_features(np.zeros((3, 4), np.uint8), np.zeros((3, 4)))
