import cv2
import numpy as np
import pytest
import torch

from lussweep.classifier.augment import augment
from lussweep.spec import AugmentSpec

NEUTRAL = {"probability": 1.0, "gammas": (1.0,), "blur_sizes": (1,), "noise_levels": 0}


def random_images(n, size=16, low=0, high=256, seed=0):
    return np.random.default_rng(seed).integers(low, high, (n, size, size), dtype=np.uint8)


def augmented(images, seed=1, **fields):
    """All four operations are on, and all but the flip do nothing unless `fields` say so."""
    spec = AugmentSpec(**{**NEUTRAL, **fields})
    return augment(torch.from_numpy(images), spec, torch.Generator().manual_seed(seed)).numpy()


def flip(image):
    return np.ascontiguousarray(image[..., ::-1])


def gamma(image, power):
    """In float64, and where float32 cannot round it another way."""
    exact = (image / 255) ** power * 255
    return np.rint(exact), np.abs(exact % 1 - 0.5) > 1e-3


def box_blur(image, size):
    corner = ((size - 1) // 2,) * 2
    smooth = cv2.blur(
        image.astype(np.float64), (size, size), anchor=corner, borderType=cv2.BORDER_REPLICATE
    )
    return np.rint(smooth.round(6))


# --- one operation at a time --------------------------------------------------------------


def test_the_flip_is_from_left_to_right():
    images = random_images(5)
    assert (augmented(images) == flip(images)).all()


@pytest.mark.parametrize("power", [0.7, 0.8, 0.9, 1.1, 1.2, 1.3])
def test_gamma_equals_the_power_of_grey_levels_over_255(power):
    images = random_images(4)
    images[0] = np.arange(256).reshape(16, 16)
    for made, image in zip(augmented(images, gammas=(power,)), flip(images), strict=True):
        expected, certain = gamma(image, power)
        assert (made == expected)[certain].all()
        assert certain.mean() > 0.98


def test_gamma_leaves_black_and_white_alone():
    images = np.stack([np.zeros((8, 8), np.uint8), np.full((8, 8), 255, np.uint8)])
    assert (augmented(images, gammas=(0.7, 1.3)) == images).all()


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_blur_equals_the_mean_over_a_box(size):
    # A box of even size is not symmetric, so before and after the flip are two things.
    images = random_images(12)
    n_before = 0
    for made, image in zip(augmented(images, blur_sizes=(size,)), images, strict=True):
        before, after = box_blur(flip(image), size), flip(box_blur(image, size))
        assert (made == before).all() or (made == after).all()
        n_before += (made == before).all()
    if size % 2 == 0:
        assert 0 < n_before < 12, "the order is drawn for each image"


def test_blur_leaves_a_constant_image_and_its_border_alone():
    images = np.full((4, 8, 8), 201, np.uint8)
    assert (augmented(images, blur_sizes=(2, 3, 4, 5)) == images).all()


def test_noise_adds_its_levels_to_its_share_of_pixels():
    images = random_images(40, size=32, low=0, high=240)
    change = augmented(images, noise_levels=10, noise_share=0.05).astype(int) - flip(images)
    assert set(np.unique(change)) == {0, 10}
    n = change.size
    assert (change == 10).mean() == pytest.approx(0.05, abs=5 * (0.05 * 0.95 / n) ** 0.5)
    shares = (change == 10).mean(axis=(1, 2))
    assert (shares > 0).all()
    assert len({tuple(c.ravel()) for c in change}) == 40, "each image has noise of its own"


@pytest.mark.parametrize(
    ("level", "expected"), [(0, 10), (244, 254), (245, 255), (250, 255), (255, 255)]
)
def test_noise_stops_at_white(level, expected):
    images = np.full((2, 4, 4), level, np.uint8)
    assert (augmented(images, noise_levels=10, noise_share=1.0) == expected).all()


def test_the_strongest_noise_does_not_wrap():
    assert (augmented(random_images(3), noise_levels=255, noise_share=1.0) == 255).all()


# --- what is drawn ------------------------------------------------------------------------


def test_with_probability_zero_nothing_happens():
    images = random_images(20)
    out = augment(torch.from_numpy(images), AugmentSpec(probability=0), torch.Generator())
    assert (out.numpy() == images).all()


def test_each_operation_is_on_for_half_of_the_images_whatever_the_others_are():
    n = 800
    images = np.full((n, 8, 8), 100, np.uint8)
    images[:, :, 0] = 50
    out = augmented(images, probability=0.5, gammas=(2.0,), noise_levels=1, noise_share=1.0).astype(
        int
    )
    flipped = out[:, 0, 0] > out[:, 0, -1]
    bright = np.where(flipped, out[:, 0, 0], out[:, 0, -1])  # 100, 101, 39, 40 by gamma and noise
    darker, noisy = bright < 70, np.isin(bright, (101, 40))
    assert set(np.unique(bright)) == {39, 40, 100, 101}
    for chosen in (flipped, darker, noisy):
        assert chosen.mean() == pytest.approx(0.5, abs=0.09)  # 5 standard deviations
    for first, second in ((flipped, darker), (flipped, noisy), (darker, noisy)):
        assert (first & second).mean() == pytest.approx(0.25, abs=0.08)


def test_the_order_of_operations_is_drawn_for_each_image():
    images = np.full((300, 2, 2), 100, np.uint8)
    out = augmented(images, gammas=(0.5,), noise_levels=50, noise_share=1.0)
    gamma_first, noise_first = round((100 / 255) ** 0.5 * 255) + 50, round((150 / 255) ** 0.5 * 255)
    assert set(np.unique(out)) == {gamma_first, noise_first}
    assert (out[:, 0, 0] == gamma_first).mean() == pytest.approx(0.5, abs=0.15)


def test_every_gamma_and_every_blur_size_is_drawn():
    images = np.full((200, 1, 1), 100, np.uint8)
    powers = (0.7, 0.8, 0.9, 1.1, 1.2, 1.3)
    levels = augmented(images, gammas=powers)[:, 0, 0]
    assert set(levels) == {round((100 / 255) ** power * 255) for power in powers}
    dots = np.zeros((200, 9, 9), np.uint8)
    dots[:, 4, 4] = 200
    sizes = (augmented(dots, blur_sizes=(2, 3, 4, 5)) > 0).sum(axis=(1, 2))
    assert set(sizes) == {4, 9, 16, 25}


# --- purity -------------------------------------------------------------------------------


def test_images_keep_their_type_and_shape_and_the_input_is_left_as_it_was():
    images = torch.from_numpy(random_images(10))
    before = images.clone()
    out = augment(images, AugmentSpec(probability=1), torch.Generator())
    assert (images == before).all()
    assert out.dtype == torch.uint8
    assert out.shape == images.shape
    assert (out != images).any(dim=2).any(dim=1).all()


def test_the_generator_decides_and_ambient_randomness_does_not():
    images = torch.from_numpy(random_images(10))
    rng = torch.Generator().manual_seed(4)
    ambient = torch.get_rng_state()
    first, second = (augment(images, AugmentSpec(), rng) for _ in range(2))
    again = augment(images, AugmentSpec(), torch.Generator().manual_seed(4))
    assert (first == again).all()
    assert (first != second).any()
    assert (torch.get_rng_state() == ambient).all()
