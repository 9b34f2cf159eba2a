import math

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter, uniform_filter
from torch.nn.functional import affine_grid, grid_sample

from lussweep.models.classifiers.augment import (
    BLUR,
    FLIP,
    GAMMA,
    MOVE,
    NOISE,
    OFF,
    Draws,
    augment,
    blur_kernel,
    draw,
    in_groups,
    move,
    one_by_one,
)
from lussweep.study.spec import AugmentSpec

pytestmark = pytest.mark.any_processor

both_ways = pytest.mark.parametrize("way", [one_by_one, in_groups])
"""Through OpenCV, and through the kernels for a GPU, which run on a CPU too."""
EVERYWHERE = {"noise_share": 1.0}
MOVING = {"rotate_degrees": 30.0, "shift": 0.1, "zoom": 0.2}


def random_images(n, size=16, low=0, high=256, seed=0):
    return np.random.default_rng(seed).integers(low, high, (n, size, size), dtype=np.uint8)


def augmented(images, seed=1, **fields):
    """Every operation is on unless `fields` say otherwise."""
    spec = AugmentSpec(**{"probability": 1.0, **fields})
    return augment(torch.from_numpy(images), spec, torch.Generator().manual_seed(seed)).numpy()


def after(way, images, *steps, turn=1.0, shift=0.0, **fields):
    """All images through these steps in this order, with the last gamma and the last blur size."""
    n, spec = len(images), AugmentSpec(**fields)
    draws = Draws(
        step_NK=torch.tensor([*steps, *[OFF] * (5 - len(steps))]).expand(n, 5),
        gamma_N=torch.full((n,), len(spec.gammas) - 1),
        blur_N=torch.full((n,), len(spec.blur_sizes) - 1),
        turn_N=torch.full((n,), turn, dtype=torch.complex64),
        shift_N=torch.full((n,), shift, dtype=torch.complex64),
        noise_seed=3,
    )
    return way(torch.from_numpy(images), spec, draws).numpy()


def window_sums(image, size):
    """Over a box, from the definition."""
    before = (size - 1) // 2
    wide = np.pad(image.astype(int), (before, size - 1 - before), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(wide, (size, size)).sum(axis=(2, 3))


def round_half_up(numerator, denominator):
    return (2 * numerator + denominator) // (2 * denominator)


# --- one operation at a time --------------------------------------------------------------


@both_ways
def test_no_operation_changes_nothing(way):
    images = random_images(5)
    assert (after(way, images) == images).all()


@both_ways
def test_the_flip_is_from_left_to_right(way):
    images = random_images(5)
    assert (after(way, images, FLIP) == images[:, :, ::-1]).all()


@both_ways
@pytest.mark.parametrize("power", [0.5, 0.7, 0.8, 0.9, 1.1, 1.2, 1.3])
def test_gamma_equals_the_power_of_grey_levels_over_255(way, power):
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    made = after(way, images, GAMMA, gammas=(3.0, power)).ravel()
    assert made.tolist() == [round((level / 255) ** power * 255) for level in range(256)]


@both_ways
@pytest.mark.parametrize("size", [2, 3, 4, 5, 6, 18, 31, 64])
def test_a_box_is_the_mean_of_its_window_with_halves_rounded_up(way, size):
    images = random_images(3, size=37)
    images[1] = 100 + np.arange(37) % 2  # the mean is 100.5 in every even window inside
    images[2] = 255
    for image, made in zip(images, after(way, images, BLUR, blur_sizes=(7, size)), strict=True):
        assert (made == round_half_up(window_sums(image, size), size**2)).all()


@pytest.mark.parametrize(("size", "origin"), [(2, -1), (3, 0), (4, -1), (5, 0)])
def test_the_window_of_the_oracle_is_scipys(size, origin):
    image = random_images(1)[0]
    expected = uniform_filter(image.astype(float), size, mode="nearest", origin=origin)
    np.testing.assert_allclose(window_sums(image, size) / size**2, expected)


@both_ways
@pytest.mark.parametrize("size", [2, 3, 4, 5, 16])
def test_a_gaussian_has_the_standard_deviation_of_the_box(way, size):
    # Its weights are 256ths: up to 1 level of difference, and 2 on white noise.
    sigma = math.sqrt((size**2 - 1) / 12)
    noise, step = random_images(1, size=64), np.zeros((1, 64, 64), np.uint8)
    step[:, :, 32:] = 255
    smooth = gaussian_filter(np.float64(255 * (noise > 127)), (0, 2, 2)).astype(np.uint8)
    images = np.concatenate([smooth, step, noise])
    made = after(way, images, BLUR, blur="gaussian", blur_sizes=(2, size))
    for image, result, bound in zip(images, made, (1, 1, 2), strict=True):
        radius = math.ceil(3 * sigma)
        expected = gaussian_filter(np.float64(image), sigma, mode="nearest", radius=radius)
        assert np.abs(result - np.rint(expected)).max() <= bound


@both_ways
@pytest.mark.parametrize("size", [2, 3, 4, 5, 64])
def test_a_gaussian_is_exact_in_256ths(way, size):
    images, kernel = random_images(2, size=37), blur_kernel("gaussian", size).astype(int)
    assert kernel.sum() == 256
    assert (kernel == kernel[::-1]).all()
    reach = len(kernel) // 2
    for image, made in zip(
        images, after(way, images, BLUR, blur="gaussian", blur_sizes=(size,)), strict=True
    ):
        wide = np.pad(image.astype(int), reach, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(wide, (len(kernel), len(kernel)))
        sums = np.einsum("yxij,i,j->yx", windows, kernel, kernel)
        assert (made == round_half_up(sums, 256**2)).all()


@both_ways
@pytest.mark.parametrize("blur", ["box", "gaussian"])
def test_blur_leaves_a_constant_image_and_its_border_alone(way, blur):
    images = np.arange(256, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    for size in (2, 3, 4, 5):
        assert (after(way, images, BLUR, blur=blur, blur_sizes=(size,)) == images).all()


@both_ways
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_noise_adds_its_levels_to_its_share_of_pixels(way, share):
    images = random_images(40, size=33, low=0, high=240)
    change = after(way, images, NOISE, noise_levels=10, noise_share=share).astype(int) - images
    assert set(np.unique(change)) == {0, 10}
    noisy = change == 10

    def bound(n):
        return 5 * (share * (1 - share) / n) ** 0.5

    assert noisy.mean() == pytest.approx(share, abs=bound(noisy.size))
    assert noisy.mean(axis=(1, 2)) == pytest.approx(share, abs=bound(33 * 33))
    assert noisy.mean(axis=(0, 1)) == pytest.approx(share, abs=bound(40 * 33))
    together = (noisy[:, :, 1:] & noisy[:, :, :-1]).mean()
    assert together == pytest.approx(share**2, abs=5 * share / noisy.size**0.5)
    assert len({tuple(pixels.ravel()) for pixels in noisy}) == 40, "each image has its own"


@both_ways
@pytest.mark.parametrize(("levels", "expected"), [(10, [10, 254, 255, 255]), (255, [255] * 4)])
def test_noise_stops_at_white(way, levels, expected):
    images = np.array([0, 244, 246, 255], np.uint8).reshape(1, 2, 2)
    made = after(way, images, NOISE, noise_levels=levels, **EVERYWHERE)
    assert made.ravel().tolist() == expected


# --- movement -----------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize(("right", "down"), [(3, 0), (0, 5), (-4, 2), (-1, -6)])
def test_a_shift_by_whole_pixels_brings_in_black(way, right, down):
    images = random_images(3)
    rows, columns = np.arange(16) - down, np.arange(16) - right
    inside = ((rows >= 0) & (rows < 16))[:, None] & ((columns >= 0) & (columns < 16))
    expected = np.where(inside, np.roll(images, (down, right), axis=(1, 2)), 0)
    assert (after(way, images, MOVE, shift=complex(right, down) / 8) == expected).all()


@both_ways
def test_a_quarter_turn_and_a_half_turn_lose_nothing(way):
    images = random_images(3)
    quarter = after(way, images, MOVE, turn=-1j)
    assert (quarter == np.rot90(images, -1, axes=(1, 2))).all(), "clockwise, as y points down"
    assert (after(way, images, MOVE, turn=-1) == images[:, ::-1, ::-1]).all()


@both_ways
def test_a_zoom_by_two_makes_a_square_twice_as_wide(way):
    images = np.zeros((1, 32, 32), np.uint8)
    images[:, 12:20, 12:20] = 200
    made = after(way, images, MOVE, turn=0.5)
    assert (made[0, 9:23, 9:23] == 200).all()
    assert made.mean() == pytest.approx(4 * images.mean(), rel=0.01)


def test_movement_equals_the_affine_grid_of_torch():
    images = torch.from_numpy(random_images(20, size=24))
    draws = draw(20, AugmentSpec(**MOVING), torch.Generator().manual_seed(5))
    turn, shift = draws.turn_N, -draws.turn_N * draws.shift_N
    rows = [turn.real, -turn.imag, shift.real, turn.imag, turn.real, shift.imag]
    grid = affine_grid(torch.stack(rows, 1).view(-1, 2, 3), [20, 1, 24, 24], align_corners=False)
    expected = grid_sample(images.double()[:, None], grid.double(), align_corners=False)[:, 0]
    made = move(images, draws.turn_N, draws.shift_N)
    assert made.dtype == torch.uint8
    assert (made.double() - expected).abs().max() < 0.501


def test_movement_is_drawn_within_its_bounds():
    spec = AugmentSpec(rotate_degrees=30, shift=0.1, zoom=0.2)
    draws = draw(5000, spec, torch.Generator().manual_seed(1))
    angles, zooms = -draws.turn_N.angle() * 180 / math.pi, 1 / draws.turn_N.abs()
    shifts = torch.view_as_real(draws.shift_N) / 2
    for values, low, high in ((angles, -30, 30), (zooms, 0.8, 1.2), (shifts, -0.1, 0.1)):
        width, slack = high - low, 1e-5
        assert low - slack <= values.min() < low + 0.01 * width
        assert high - 0.01 * width < values.max() <= high + slack
        assert values.std().item() == pytest.approx(width / 12**0.5, rel=0.03)  # uniform
    assert abs(np.corrcoef(np.stack([angles, zooms, *shifts.T])) - np.eye(4)).max() < 0.08


@pytest.mark.parametrize("field", list(MOVING))
def test_movement_is_an_operation_where_it_moves_anything(field):
    still, moving = AugmentSpec(probability=1), AugmentSpec(probability=1, **{field: 0.5})
    assert MOVE not in draw(50, still, torch.Generator()).step_NK
    draws = draw(50, moving, torch.Generator())
    assert (draws.step_NK == MOVE).sum(dim=1).eq(1).all()
    assert (draws.turn_N == 1).all() == (field == "shift")
    assert (draws.shift_N == 0).all() == (field != "shift")


# --- the faults of the published code -------------------------------------------------------


def dcgan(way, images, *steps, **fields):
    made = after(way, images, *steps, faults="us_dcgan", **EVERYWHERE, **fields)
    assert made.dtype == np.float32
    return made


@both_ways
def test_us_dcgan_noise_wraps_without_gamma(way):
    images = np.array([0, 245, 246, 250], np.uint8).reshape(1, 2, 2)
    assert dcgan(way, images, NOISE).ravel().tolist() == [10, 255, 0, 4]
    assert dcgan(way, images, NOISE, FLIP).ravel().tolist() == [255, 10, 4, 0]


@both_ways
def test_us_dcgan_noise_after_gamma_adds_whole_levels_to_fractions(way):
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    made = dcgan(way, images, GAMMA, NOISE, gammas=(0.7,))
    assert made.min() == 10
    assert made.max() == 11
    np.testing.assert_allclose(made, 10 + (images / 255) ** 0.7, rtol=1e-6)


@both_ways
def test_us_dcgan_noise_before_gamma_wraps_and_stays_within_one(way):
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    made = dcgan(way, images, NOISE, GAMMA, gammas=(1.3,))
    np.testing.assert_allclose(made, ((images.astype(int) + 10) % 256 / 255) ** 1.3, rtol=1e-6)
    assert made.min() == 0
    assert made.max() == 1


@both_ways
def test_us_dcgan_blur_rounds_before_gamma_and_not_after(way):
    images = random_images(1)
    mean = window_sums(images[0], 4) / 16
    before = dcgan(way, images, BLUR, GAMMA, gammas=(1.0,), blur_sizes=(4,))
    np.testing.assert_allclose(before[0] * 255, np.floor(mean + 0.5), rtol=1e-6)
    after_it = dcgan(way, images, GAMMA, BLUR, gammas=(1.0,), blur_sizes=(4,))
    np.testing.assert_allclose(after_it[0] * 255, mean, rtol=1e-5)


def test_us_dcgan_mixes_scales_in_one_chunk():
    images = np.full((200, 4, 4), 100, np.uint8)
    tops = augmented(images, probability=0.5, faults="us_dcgan", **EVERYWHERE).max(axis=(1, 2))
    assert (tops <= 1).any() and ((tops > 10) & (tops < 11)).any()
    assert (tops == 100).any() and (tops == 110).any()


# --- what is drawn ------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{}, MOVING])
def test_with_probability_zero_nothing_happens(fields):
    images = random_images(20)
    assert (augmented(images, probability=0, **fields) == images).all()
    assert (augmented(images, probability=0, faults="us_dcgan", **fields) == images).all()


def test_each_operation_is_on_for_half_of_the_images_whatever_the_others_are():
    steps = draw(4000, AugmentSpec(**MOVING), torch.Generator().manual_seed(1)).step_NK
    on = torch.stack([(steps == operation).any(dim=1) for operation in range(5)]).double()
    assert on.mean(dim=1).numpy() == pytest.approx(0.5, abs=0.04)  # 5 standard deviations
    assert np.abs(np.corrcoef(on) - np.eye(5)).max() < 0.08


def test_all_orders_are_drawn_alike():
    steps = draw(24_000, AugmentSpec(probability=1), torch.Generator().manual_seed(1)).step_NK
    orders, counts = steps.unique(dim=0, return_counts=True)
    assert len(orders) == 24
    assert (steps.sort(dim=1).values == torch.arange(4)).all()
    assert counts.numpy() == pytest.approx(1000, abs=5 * 1000**0.5)


def test_the_order_decides_what_becomes_of_an_image():
    images = np.full((300, 2, 2), 100, np.uint8)
    out = augmented(images, gammas=(0.5,), noise_levels=50, **EVERYWHERE)
    gamma_first, noise_first = round((100 / 255) ** 0.5 * 255) + 50, round((150 / 255) ** 0.5 * 255)
    assert set(np.unique(out)) == {gamma_first, noise_first}
    assert (out[:, 0, 0] == gamma_first).mean() == pytest.approx(0.5, abs=0.15)


def test_every_gamma_and_every_blur_size_is_drawn():
    powers = (0.7, 0.8, 0.9, 1.1, 1.2, 1.3)
    levels = augmented(np.full((200, 1, 1), 100, np.uint8), gammas=powers, noise_levels=0)
    assert set(levels.ravel()) == {round((100 / 255) ** power * 255) for power in powers}
    dots = np.zeros((200, 9, 9), np.uint8)
    dots[:, 4, 4] = 200
    blurred = augmented(dots, gammas=(1.0,), noise_levels=0, blur_sizes=(2, 3, 4, 5))
    assert set((blurred > 0).sum(axis=(1, 2))) == {4, 9, 16, 25}


# --- one definition, two ways ---------------------------------------------------------------


@pytest.mark.parametrize("blur", ["box", "gaussian"])
@pytest.mark.parametrize("faults", ["corrected", "us_dcgan"])
@pytest.mark.parametrize("movement", [{}, MOVING])
def test_both_ways_give_the_same_grey_levels(blur, faults, movement):
    spec = AugmentSpec(probability=0.8, blur=blur, faults=faults, **EVERYWHERE, **movement)
    images = torch.from_numpy(random_images(150, size=21))
    draws = draw(150, spec, torch.Generator().manual_seed(2))
    singly, grouped = one_by_one(images, spec, draws), in_groups(images, spec, draws)
    assert singly.dtype == grouped.dtype
    if faults == "corrected":
        assert (singly == grouped).all()
    else:
        torch.testing.assert_close(singly, grouped, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
@pytest.mark.parametrize("faults", ["corrected", "us_dcgan"])
def test_a_gpu_gives_the_same_and_nothing_waits_for_it(faults):
    spec = AugmentSpec(faults=faults, **EVERYWHERE)
    images = torch.from_numpy(random_images(150, size=64))
    there = images.cuda()
    augment(there, AugmentSpec(**MOVING), torch.Generator())
    torch.cuda.set_sync_debug_mode("error")
    try:
        out = augment(there, spec, torch.Generator().manual_seed(1))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = augment(images, spec, torch.Generator().manual_seed(1))
    assert out.is_cuda
    torch.testing.assert_close(out.cpu(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.gpu
def test_movement_on_a_gpu_is_that_of_a_cpu_but_for_a_level_here_and_there():
    spec = AugmentSpec(**(MOVING | {"probability": 1.0, "noise_share": 0.0}))
    images = torch.from_numpy(random_images(50, size=64))
    there = images.cuda()
    augment(there, spec, torch.Generator())
    torch.cuda.set_sync_debug_mode("error")
    try:
        out = augment(there, spec, torch.Generator().manual_seed(1))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = augment(images, spec, torch.Generator().manual_seed(1))
    differ = (out.cpu().int() - expected.int()).abs()
    assert (differ > 0).float().mean() < 0.02
    assert differ.max() <= 2


# --- purity -------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("faults", ["corrected", "us_dcgan"])
def test_the_input_is_left_as_it_was_and_need_not_be_contiguous(way, faults):
    spec = AugmentSpec(probability=0.8, faults=faults, **MOVING)
    draws = draw(12, spec, torch.Generator().manual_seed(1))
    wide = torch.from_numpy(random_images(12, size=40))
    before = wide.clone()
    sparse = wide[:, ::2, 1::2].transpose(1, 2)
    out = way(sparse, spec, draws)
    assert (out == way(sparse.contiguous(), spec, draws)).all()
    assert (wide == before).all()
    assert out.shape == sparse.shape
    assert out.dtype == (torch.uint8 if faults == "corrected" else torch.float32)
    way(wide, spec, draws).fill_(0)
    assert (wide == before).all(), "images that no operation touched are copied too"


@both_ways
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_tiny_images_keep_their_shape(way, size):
    spec = AugmentSpec(probability=1, **MOVING)
    images = torch.from_numpy(random_images(9, size=size))
    assert way(images, spec, draw(9, spec, torch.Generator())).shape == (9, size, size)


@both_ways
@pytest.mark.parametrize("faults", ["corrected", "us_dcgan"])
def test_a_chunk_may_be_empty(way, faults):
    spec = AugmentSpec(faults=faults, **MOVING)
    out = way(torch.zeros((0, 8, 8), dtype=torch.uint8), spec, draw(0, spec, torch.Generator()))
    assert out.shape == (0, 8, 8)
    assert out.dtype == (torch.uint8 if faults == "corrected" else torch.float32)


@both_ways
def test_the_generator_decides_and_ambient_randomness_does_not(way):
    images, spec = torch.from_numpy(random_images(10)), AugmentSpec(**MOVING)
    rng = torch.Generator().manual_seed(4)
    ambient, ambient_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second = (way(images, spec, draw(10, spec, rng)) for _ in range(2))
    again = way(images, spec, draw(10, spec, torch.Generator().manual_seed(4)))
    assert (first == again).all()
    assert (first != second).any()
    assert (torch.get_rng_state() == ambient).all()
    assert (np.random.get_state()[1] == ambient_numpy).all()


def test_the_number_of_threads_changes_nothing():
    images, threads = random_images(32, size=96), (torch.get_num_threads(), cv2.getNumThreads())
    try:
        made = []
        for n in (1, 2):
            torch.set_num_threads(n)
            cv2.setNumThreads(n)
            made.append(augmented(images, **MOVING))
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])
    assert (made[0] == made[1]).all()
