from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from lussweep.metrics.features import embed, features_by_space, pixels
from lussweep.metrics.features import embedder as embedder_of

pytestmark = pytest.mark.any_processor


def features(image_NHW, embedder, **how):
    return {"pixel": pixels(image_NHW), **embed(image_NHW, embedder, **how)}


class TinyEmbedder(nn.Module):
    """A convolution with BatchNorm, pooled, and a linear layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 3)

    def embed(self, image_NHW):
        assert image_NHW.dtype == torch.uint8
        x = self.norm(self.conv(image_NHW.float().unsqueeze(1) / 255))
        conv_ND = x.relu().mean(dim=(2, 3))
        return conv_ND, self.head(conv_ND)


@pytest.fixture
def embedder():
    torch.manual_seed(0)
    return TinyEmbedder().eval()


@pytest.fixture
def image_NHW():
    return np.random.default_rng(0).integers(256, size=(11, 9, 8), dtype=np.uint8)


def test_spaces_shapes_and_types(embedder, image_NHW):
    found = features(image_NHW, embedder, batch_size=4, device="cpu")
    assert tuple(found) == ("pixel", "conv", "logit", "softmax")
    assert {k: v.shape for k, v in found.items()} == {
        "pixel": (11, 72),
        "conv": (11, 6),
        "logit": (11, 3),
        "softmax": (11, 3),
    }
    assert found.pop("pixel").dtype == np.uint8
    assert all(v.dtype == np.float32 for v in found.values())


def test_values_are_those_of_the_network(embedder, image_NHW):
    found = features(image_NHW, embedder, batch_size=4, device="cpu")
    with torch.no_grad():
        conv_ND, logit_NK = embedder.embed(torch.from_numpy(image_NHW))
    np.testing.assert_allclose(found["conv"], conv_ND.numpy(), atol=1e-6)
    np.testing.assert_allclose(found["logit"], logit_NK.numpy(), atol=1e-6)
    exp = np.exp(logit_NK.numpy())
    np.testing.assert_allclose(found["softmax"], exp / exp.sum(axis=1, keepdims=True), atol=1e-6)
    assert (found["pixel"] == image_NHW.reshape(11, 72)).all()


@pytest.mark.parametrize("batch_size", [1, 3, 11, 100])
def test_batch_size_and_neighbours_do_not_matter(embedder, image_NHW, batch_size):
    whole = features(image_NHW, embedder, batch_size=5, device="cpu")
    other = features(image_NHW[::-1], embedder, batch_size=batch_size, device="cpu")
    for space in ("pixel", "conv", "logit", "softmax"):
        np.testing.assert_allclose(other[space][::-1], whole[space], atol=1e-6)


def test_the_network_is_left_as_it_was(embedder, image_NHW):
    before = {k: v.clone() for k, v in embedder.state_dict().items()}
    features(image_NHW, embedder, batch_size=4, device="cpu")
    assert not embedder.training
    assert all(torch.equal(v, before[k]) for k, v in embedder.state_dict().items())


def test_a_network_in_training_mode_is_refused(embedder, image_NHW):
    with pytest.raises(ValueError, match="training mode"):
        features(image_NHW, embedder.train(), batch_size=4, device="cpu")


@pytest.mark.parametrize(
    "bad", [np.zeros((2, 4, 4)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 4), np.uint8)]
)
def test_what_is_no_stack_of_frames_is_refused(embedder, bad):
    with pytest.raises(ValueError, match="not uint8"):
        features(bad, embedder, batch_size=4, device="cpu")


def test_the_embedder_of_a_network_gives_its_features_by_space(embedder, image_NHW):
    function = partial(embedder_of(embedder), device=torch.device("cpu"))
    spaces = ("conv", "logit", "softmax")
    found = features_by_space("tiny", spaces, function, image_NHW, batch_size=4)
    expected = embed(image_NHW, embedder, batch_size=4, device="cpu")
    assert set(found) == set(expected)
    assert all((found[space] == expected[space]).all() for space in spaces)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (np.zeros((11, 3), np.uint8), r"embedder mine returned uint8 \(11, 3\) in the space wide"),
        (np.zeros((10, 3)), r"returned float64 \(10, 3\).*let it return floats \(11, D\)"),
        (np.zeros(11), r"returned float64 \(11,\)"),
        ({"narrow": np.zeros((11, 3))}, "returned the spaces narrow, but declares wide"),
    ],
)
def test_what_an_embedder_returns_is_checked(image_NHW, returned, message):
    with pytest.raises(ValueError, match=message):
        features_by_space("mine", ("wide",), lambda *_, **__: returned, image_NHW, batch_size=4)


def test_one_array_is_enough_for_one_space_alone(image_NHW):
    x_ND = np.ones((11, 3))
    found = features_by_space("mine", ("wide",), lambda *_, **__: x_ND, image_NHW, batch_size=4)
    assert list(found) == ["wide"]
    assert (found["wide"] == x_ND).all()
    with pytest.raises(ValueError, match="declares wide, narrow"):
        features_by_space(
            "mine", ("wide", "narrow"), lambda *_, **__: x_ND, image_NHW, batch_size=4
        )
