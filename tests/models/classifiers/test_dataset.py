import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lussweep.models.classifiers.dataset import epoch_indices, make_train_set, noise_images
from lussweep.study.spec import MADE, PAPER_VARIANTS, Recipe

F, SIZE = 6, 64


def grey(level, n):
    return np.full((n, SIZE, SIZE), level, np.uint8)


REAL = {"neg": grey(10, F), "pos": grey(20, F)}
SYNTHETIC = {"neg": grey(30, 2 * F), "pos": grey(40, 2 * F)}
MASKS = {c: np.random.default_rng(i).random((F, SIZE, SIZE)) < 0.5 for i, c in enumerate(REAL)}


def made(recipe, seed=0):
    return make_train_set(recipe.sources(), REAL, MASKS, SYNTHETIC, seed)


# --- epochs -------------------------------------------------------------------------------


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 90), st.integers(0, 2**32))
def test_an_epoch_alternates_between_the_classes_and_repeats_no_frame_too_early(
    n_pos, n_neg, n_images, seed
):
    classes, within = epoch_indices(n_pos, n_neg, n_images, np.random.default_rng(seed))
    half = max(1, n_images // 2)
    assert len(classes) == len(within) == 2 * half
    assert (classes == np.arange(2 * half) % 2).all()
    for label, n in ((0, n_neg), (1, n_pos)):
        counts = np.bincount(within[classes == label], minlength=n)
        assert len(counts) == n, "an index outside of the class"
        assert counts.sum() == half
        assert counts.max() - counts.min() <= 1, "a frame came again before another came at all"


def test_the_order_follows_the_generator_and_changes_from_epoch_to_epoch():
    rng = np.random.default_rng(3)
    first, second = (epoch_indices(9, 9, 18, rng)[1] for _ in range(2))
    again = epoch_indices(9, 9, 18, np.random.default_rng(3))[1]
    assert (first == again).all()
    assert (first != second).any()
    assert (first[0::2] != first[1::2]).any(), "the classes have orders of their own"


def test_a_part_of_an_epoch_is_a_fair_draw():
    rng = np.random.default_rng(0)
    draws = [epoch_indices(10, 10, 8, rng)[1][1::2] for _ in range(500)]
    counts = np.bincount(np.concatenate(draws), minlength=10)
    assert np.abs(counts - 200).max() < 60  # 5.5 standard deviations


# --- recipes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variant", "pos", "neg"),
    [
        ("baseline", (F, 0), (F, 0)),
        ("combined", (F, 2 * F), (F, 0)),
        ("positive_synthetic", (0, 2 * F), (F, 0)),
        ("pure_synthetic", (0, 2 * F), (0, 2 * F)),
    ],
)
def test_the_sources_of_each_variant_are_what_the_paper_says(variant, pos, neg):
    train_set = made(PAPER_VARIANTS[variant])
    levels = {"neg": (10, 30), "pos": (20, 40)}
    for label, (n_real, n_synthetic) in (("pos", pos), ("neg", neg)):
        images, (real, synthetic) = train_set.images[label], levels[label]
        assert train_set.counts[label] == {
            "real": n_real,
            "synthetic": n_synthetic,
            "external": 0,
            "simulated": 0,
            "copies": 0,
            "noise": 0,
        }
        assert (images[:n_real] == real).all()
        assert (images[n_real:] == synthetic).all()
        assert images.shape == (n_real + n_synthetic, SIZE, SIZE)
        assert images.dtype == np.uint8
    assert train_set.n_real_per_class == F


def test_a_source_named_twice_is_used_twice():
    train_set = made(Recipe(pos=("real", "real"), neg=("real",)))
    assert train_set.counts["pos"]["real"] == 2 * F == len(train_set.images["pos"])
    assert train_set.counts["neg"]["real"] == F


def test_sources_stand_in_the_order_of_the_recipe():
    images = made(Recipe(pos=("synthetic", "real"), neg=("real",))).images["pos"]
    assert images[:, 0, 0].tolist() == [40] * 2 * F + [20] * F


def test_the_smaller_class_sets_the_number_of_real_frames():
    real = {"neg": grey(0, 4), "pos": grey(0, 9)}
    masks = {c: np.ones_like(frames, bool) for c, frames in real.items()}
    recipe = Recipe(pos=("real",), neg=("real",))
    assert make_train_set(recipe.sources(), real, masks, {}, 0).n_real_per_class == 4


def test_a_recipe_leaves_its_sources_as_they_were():
    train_set = made(PAPER_VARIANTS["combined"])
    train_set.images["pos"][:] = 0
    assert (REAL["pos"] == 20).all()
    assert (SYNTHETIC["pos"] == 40).all()


# --- noise --------------------------------------------------------------------------------

NOISE = Recipe(pos=("real", "noise"), neg=("noise",))


def test_noise_lies_inside_the_mask_of_each_frame_and_nowhere_else():
    train_set = made(NOISE)
    assert train_set.counts == {
        "pos": dict.fromkeys(MADE, 0) | {"real": F, "noise": F},
        "neg": dict.fromkeys(MADE, 0) | {"real": 0, "noise": F},
    }
    assert ((train_set.images["pos"][F:] > 0) == MASKS["pos"]).all()
    assert ((train_set.images["neg"] > 0) == MASKS["neg"]).all()


def test_noise_bears_no_hint_of_the_class():
    images = made(NOISE).images
    inside = [images["pos"][F:][MASKS["pos"]], images["neg"][MASKS["neg"]]]
    for grey_levels in inside:  # uniform on 1..255
        n = len(grey_levels)
        assert grey_levels.mean() == pytest.approx(128, abs=5 * 73.6 / n**0.5)
        assert grey_levels.std() == pytest.approx(73.6, rel=0.02)
        assert (grey_levels.min(), grey_levels.max()) == (1, 255)


def test_noise_follows_the_seed_and_differs_between_frames_and_classes():
    assert (made(NOISE, 1).images["neg"] == made(NOISE, 1).images["neg"]).all()
    assert (made(NOISE, 1).images["neg"] != made(NOISE, 2).images["neg"]).any()
    everywhere = np.ones((2, SIZE, SIZE), bool)
    first, second = noise_images(everywhere, 0)
    assert (first != second).mean() > 0.99
    masks = {c: np.ones((F, SIZE, SIZE), bool) for c in REAL}
    both = make_train_set(
        Recipe(pos=("noise",), neg=("noise",)).sources(), REAL, masks, {}, 0
    ).images
    assert (both["pos"] != both["neg"]).mean() > 0.99
