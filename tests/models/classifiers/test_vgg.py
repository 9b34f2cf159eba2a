import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lussweep.models.classifiers.network import standardise
from lussweep.models.classifiers.vgg import ReducedVGG

pytestmark = pytest.mark.any_processor

WIDTHS = [4, 4, 8, 8, 16, 16, 32, 32, 64, 64]
LAST_OF_BRACKET = [False, True, False, True, False, True, False, True, True, True]
SEPARABLE = ["Conv2d", "Conv2d", "ReLU", "BatchNorm2d"]


def random_images(n, size, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, size, size), generator=rng, dtype=torch.uint8)


def convolutions(model):
    found = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    return found[::2], found[1::2]  # depthwise, pointwise


# --- shapes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image_size", "convolved", "pooled"),
    [
        (256, [254, 252, 124, 122, 59, 57, 26, 24, 10, 3], [126, 61, 28, 12, 5, 1]),
        (128, [128, 128, 64, 64, 32, 32, 16, 16, 8, 4], [64, 32, 16, 8, 4, 2]),
        (64, [64, 64, 32, 32, 16, 16, 8, 8, 4, 2], [32, 16, 8, 4, 2, 1]),
    ],
)
def test_feature_maps_have_the_sizes_of_the_paper(image_size, convolved, pooled):
    model = ReducedVGG(image_size, channels=1, dropout=0.25).eval()
    shapes, pools = [], []
    for convolution in convolutions(model)[1]:
        convolution.register_forward_hook(
            lambda m, given, made: shapes.append(tuple(made.shape[1:]))
        )
    for pool in [m for m in model.modules() if isinstance(m, nn.MaxPool2d)]:
        pool.register_forward_hook(lambda m, given, made: pools.append(made.shape[-1]))
    with torch.no_grad():
        features, logits = model.embed(random_images(2, image_size))
    assert shapes == [(w, s, s) for w, s in zip(WIDTHS, convolved, strict=True)]
    assert pools == pooled
    assert features.shape == (2, 64)
    assert logits.shape == (2, 2)


@pytest.mark.parametrize("channels", [1, 3, 5, 8])
def test_parameters_are_as_many_as_by_hand(channels):
    model = ReducedVGG(256, channels, 0.25)
    widths = [w * channels for w in WIDTHS]
    by_hand = sum(
        9 * before + before * after + after + 2 * after  # depthwise, pointwise with bias, norm
        for before, after in zip([1, *widths], widths, strict=False)
    )
    by_hand += 2 * 64 * channels + 2
    assert sum(p.numel() for p in model.parameters()) == by_hand


def test_the_order_of_layers_is_that_of_the_paper():
    model = ReducedVGG(64, 1, 0.35)
    expected = []
    for last in LAST_OF_BRACKET:
        expected += SEPARABLE + (["MaxPool2d", "Dropout"] if last else [])
    assert [type(layer).__name__ for layer in model.layers] == expected
    assert {m.p for m in model.modules() if isinstance(m, nn.Dropout)} == {0.35}
    assert len([m for m in model.modules() if isinstance(m, nn.Dropout)]) == 6 + 1


def test_convolutions_are_separable():
    depthwise, pointwise = convolutions(ReducedVGG(64, 2, 0.25))
    assert len(depthwise) == len(pointwise) == 10
    for deep, point in zip(depthwise, pointwise, strict=True):
        assert deep.groups == deep.in_channels == deep.out_channels == point.in_channels
        assert (deep.kernel_size, point.kernel_size) == ((3, 3), (1, 1))
        assert deep.bias is None
        assert point.bias is not None


# --- Keras's constants --------------------------------------------------------------------


def test_batchnorm_has_the_constants_of_keras():
    norms = [m for m in ReducedVGG(64, 1, 0.25).modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 10
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


def test_weights_start_as_in_keras():
    torch.manual_seed(0)
    model = ReducedVGG(64, 8, 0.25)
    depthwise, pointwise = convolutions(model)
    limits = [(d.weight, math.sqrt(6 / (9 * d.in_channels + 9))) for d in depthwise]
    limits += [(p.weight, math.sqrt(6 / (p.in_channels + p.out_channels))) for p in pointwise]
    limits += [(model.head.weight, math.sqrt(6 / (64 * 8 + 2)))]
    for weight, limit in limits:
        assert weight.abs().max() <= limit
        if weight.numel() > 500:
            assert weight.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.1)
            assert weight.mean().item() == pytest.approx(
                0, abs=3 * limit / math.sqrt(weight.numel())
            )
    assert all((p.bias == 0).all() for p in pointwise)
    assert (model.head.bias == 0).all()


# --- standardisation ----------------------------------------------------------------------


@given(st.integers(0, 2**32))
def test_an_image_is_given_zero_mean_and_unit_standard_deviation(seed):
    x = standardise(random_images(2, 16, seed))
    assert x.dtype == torch.float32
    assert x.mean(dim=(1, 2)).abs().max() < 1e-5
    assert (x.std(dim=(1, 2), correction=0) - 1).abs().max() < 1e-5


def test_standardised_images_do_not_depend_on_gain_and_offset():
    images = random_images(3, 32) // 4
    assert torch.allclose(standardise(images * 3 + 20), standardise(images), atol=1e-5)


def test_images_are_standardised_one_by_one():
    images = random_images(3, 32)
    images[1] //= 8
    for image, expected in zip(images, standardise(images), strict=True):
        assert torch.allclose(standardise(image[None])[0], expected, atol=1e-6)


@pytest.mark.parametrize("level", [0, 1, 77, 255])
@pytest.mark.parametrize("size", [64, 256])
def test_a_constant_image_becomes_zero(level, size):
    assert (standardise(torch.full((2, size, size), level, dtype=torch.uint8)) == 0).all()


def test_an_image_with_one_bright_pixel_stays_finite():
    image = torch.zeros(1, 64, 64, dtype=torch.uint8)
    image[0, 3, 3] = 1
    assert standardise(image).max().item() == pytest.approx(63.99, abs=0.02)


# --- use ----------------------------------------------------------------------------------


def test_in_evaluation_an_image_does_not_depend_on_its_batch():
    torch.manual_seed(1)
    model = ReducedVGG(64, 2, 0.45)
    model(random_images(8, 64, 1))  # running statistics of some batch
    model.eval()
    images = random_images(5, 64, 2)
    with torch.no_grad():
        together = model(images)
        alone = torch.cat([model(image[None]) for image in images])
        assert torch.allclose(together, alone, atol=1e-5)
        assert (model(images) == together).all()


def test_in_training_dropout_acts_and_the_running_statistics_move():
    torch.manual_seed(1)
    model = ReducedVGG(64, 1, 0.45)
    before = {k: v.clone() for k, v in model.state_dict().items() if "running" in k}
    with torch.no_grad():
        assert (model(random_images(4, 64)) != model(random_images(4, 64))).any()
    after = model.state_dict()
    assert all((after[name] != value).any() for name, value in before.items())


def test_logits_are_the_head_on_the_features():
    torch.manual_seed(1)
    model = ReducedVGG(64, 1, 0.45).eval()
    with torch.no_grad():
        features, logits = model.embed(random_images(3, 64))
        assert torch.allclose(features @ model.head.weight.T + model.head.bias, logits, atol=1e-6)
        assert (model(random_images(3, 64)) == logits).all()
