import pytest
import torch

from lussweep.models.generators.dcgan import step as module
from lussweep.models.generators.dcgan.augment import (
    HOLE,
    SHIFT,
    augment,
    brightness,
    cutout,
    translation,
)
from lussweep.models.generators.dcgan.networks import Discriminator, Generator
from lussweep.models.generators.dcgan.step import GanStep
from support.trainings import CPU, random_frames, spec_of

pytestmark = pytest.mark.any_processor

NAMES = ("brightness", "translation", "cutout")
EACH = pytest.mark.parametrize("names", [(name,) for name in NAMES] + [NAMES, NAMES[::-1]])
SIZE = 16


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def images(n=200, size=SIZE):
    return torch.rand(n, 1, size, size) * 2 - 1


@EACH
def test_shape_kind_and_order_of_the_images_stay(names):
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        made = augment(images(5).to(dtype), names)
        assert made.shape == (5, 1, SIZE, SIZE)
        assert made.dtype == dtype


def test_nothing_is_done_where_nothing_is_asked():
    before, state = images(), torch.get_rng_state()
    assert augment(before, ()) is before
    assert (torch.get_rng_state() == state).all()


@EACH
def test_one_seed_gives_the_same_and_another_others(names):
    given = images()

    def made(seed):
        torch.manual_seed(seed)
        return augment(given, names)

    assert (made(1) == made(1)).all()
    assert (made(1) != made(2)).any()


@EACH
def test_the_images_themselves_are_left_alone(names):
    given = images()
    before = given.clone()
    augment(given, names)
    assert (given == before).all()


# --- brightness ---------------------------------------------------------------------------


def test_brightness_adds_one_bounded_grey_level_to_each_image():
    given = images(2000)
    added = (brightness(given) - given).flatten(1)
    level = added.mean(dim=1)
    assert (added - level[:, None]).abs().max() < 1e-6
    assert level.abs().max() <= 0.5 + 1e-6
    assert level.min() < -0.45 and level.max() > 0.45
    assert level.mean().abs() < 5 * (1 / 12) ** 0.5 / 2000**0.5


# --- translation --------------------------------------------------------------------------


def shifted(images_N1SS, down, right, most):
    """Cut out of a larger black image."""
    size = images_N1SS.shape[-1]
    larger = torch.nn.functional.pad(images_N1SS, [most] * 4, value=-1.0)
    top, left = most - down, most - right
    return larger[:, :, top : top + size, left : left + size]


def test_translation_moves_by_whole_pixels_and_black_comes_in():
    given = images(300)
    moved = translation(given)
    most = round(SIZE * SHIFT)
    assert most == 2
    shifts = [(a, b) for a in range(-most, most + 1) for b in range(-most, most + 1)]
    fits = torch.stack([(shifted(given, *s, most) == moved).flatten(1).all(dim=1) for s in shifts])
    assert (fits.sum(dim=0) == 1).all(), "every image is shifted by one of them"
    assert fits.any(dim=1).all(), "every shift comes up"


# --- cutout -------------------------------------------------------------------------------


def test_cutout_blanks_a_square_to_mid_grey_and_nothing_else():
    given = images(400) + 3  # nowhere mid-grey
    made = cutout(given)
    side = round(SIZE * HOLE)
    areas, corners = set(), set()
    for before, after in zip(given[:, 0], made[:, 0], strict=True):
        hole = after == 0
        assert (after[~hole] == before[~hole]).all()
        rows, columns = hole.any(dim=1).nonzero()[:, 0], hole.any(dim=0).nonzero()[:, 0]
        height, width = len(rows), len(columns)
        assert hole.sum() == height * width, "a rectangle without gaps"
        for length, first, last in ((height, rows[0], rows[-1]), (width, columns[0], columns[-1])):
            assert last - first + 1 == length <= side
            assert length == side or first == 0 or last == SIZE - 1, "smaller at the edge alone"
        areas.add(height * width)
        corners.add((int(rows[0]), int(columns[0])))
    assert side == 8 and max(areas) == side**2
    assert len(corners) > 50


# --- in the pixels ------------------------------------------------------------------------


@EACH
def test_slopes_in_the_pixels_are_those_of_finite_differences(names):
    given = images(2, 8).double().requires_grad_()

    def made(x):
        torch.manual_seed(5)
        return augment(x, names)

    assert torch.autograd.gradcheck(made, (given,))


@EACH
def test_slopes_reach_exactly_the_pixels_that_are_still_seen(names):
    given = images(50).requires_grad_()
    made = augment(given, names)
    (slope,) = torch.autograd.grad(made.sum(), given)
    assert set(slope.unique().tolist()) <= {0.0, 1.0}
    seen = slope.flatten(1).sum(dim=1)
    if names == ("brightness",):
        assert (seen == SIZE**2).all()
    else:
        assert (seen > 0).all() and (seen < SIZE**2).any()


# --- in training --------------------------------------------------------------------------


def test_real_and_synthetic_images_are_augmented_alike(monkeypatch):
    """Each of the discriminator's three looks goes through the augmentations of the spec."""
    spec, looks, judged = spec_of(augment=NAMES), [], []
    generator, discriminator = Generator(64, 6, 2), Discriminator(64, 2, 0.0)

    def watched(x, names):
        looks.append((x.detach().clone(), tuple(names), x.requires_grad))
        return augment(x, names)

    monkeypatch.setattr(module, "augment", watched)
    discriminator.register_forward_pre_hook(lambda m, given: judged.append(given[0].detach()))
    frames = torch.from_numpy(random_frames(4))
    GanStep(generator, discriminator, spec, CPU)(frames, torch.randn(4, 6), None, 4)
    real, fake, fake_again = looks
    assert [names for _, names, _ in looks] == [NAMES] * 3
    assert torch.allclose(real[0][:, 0], frames / 127.5 - 1, atol=1e-6)
    assert (fake[0] == fake_again[0]).all()
    assert not fake[2] and fake_again[2], "the generator learns through them"
    for (before, _, _), after in zip(looks, judged, strict=True):
        assert (before != after).flatten(1).any(dim=1).all()
    assert any(p.grad is not None and (p.grad != 0).any() for p in generator.parameters())
