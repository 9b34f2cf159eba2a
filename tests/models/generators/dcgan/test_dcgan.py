import math

import pytest
import torch
from torch import nn

from lussweep.models.generators.dcgan.networks import Discriminator, Generator

pytestmark = pytest.mark.any_processor


def convolutions(module):
    return [m for m in module.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]


def n_parameters(module):
    return sum(p.numel() for p in module.parameters())


# --- the networks of the paper ------------------------------------------------------------


def test_the_generator_of_the_paper_has_48_million_parameters():
    with torch.device("meta"):
        generator = Generator(256, latent_size=100, ngf=64)
    widths = [2048, 1024, 512, 256, 128, 64]
    kernels = 16 * (100 * 2048 + sum(a * b for a, b in zip(widths, [*widths[1:], 1], strict=True)))
    assert n_parameters(generator) == kernels + 2 * sum(widths)
    assert round(n_parameters(generator) / 1e6, 1) == 48.0


def test_the_discriminator_of_the_paper_has_44_7_million_parameters():
    with torch.device("meta"):
        discriminator = Discriminator(256, ndf=64, dropout=0.25)
    widths = [64, 128, 256, 512, 1024, 2048]
    kernels = 16 * (sum(a * b for a, b in zip([1, *widths], widths, strict=False)) + 2048)
    assert n_parameters(discriminator) == kernels + 2 * sum(widths[1:])
    assert round(n_parameters(discriminator) / 1e6, 1) == 44.7


@pytest.mark.parametrize(
    ("image_size", "doublings"),
    [(256, (32, 16, 8, 4, 2, 1)), (128, (16, 8, 4, 2, 1)), (64, (8, 4, 2, 1))],
)
def test_channels_and_sizes_follow_the_image_size(image_size, doublings):
    generator = Generator(image_size, latent_size=5, ngf=2).eval()
    discriminator = Discriminator(image_size, ndf=3, dropout=0.0).eval()
    up, down = convolutions(generator), convolutions(discriminator)
    assert [c.out_channels for c in up] == [2 * d for d in doublings] + [1]
    assert [c.in_channels for c in up] == [5] + [2 * d for d in doublings]
    assert [c.out_channels for c in down] == [3 * d for d in reversed(doublings)] + [1]
    assert [c.in_channels for c in down] == [1] + [3 * d for d in reversed(doublings)]

    sizes = []
    for convolution in (*up, *down):
        convolution.register_forward_hook(lambda module, given, made: sizes.append(made.shape[-1]))
    with torch.no_grad():
        images = generator(torch.randn(3, 5))
        logits = discriminator(images)
    climb = [4 * 2**k for k in range(len(up))]
    assert sizes == climb + climb[:-1][::-1] + [1]
    assert images.shape == (3, 1, image_size, image_size)
    assert logits.shape == (3,)
    assert images.abs().max() <= 1


@pytest.mark.parametrize("image_size", [100, 4, 0, 96])
def test_an_image_size_that_is_no_power_of_two_is_refused(image_size):
    with pytest.raises(ValueError, match=f"image size {image_size} is not 8, 16"):
        Generator(image_size, 5, 2)


# --- layers -------------------------------------------------------------------------------


def test_convolutions_are_four_by_four_without_bias():
    for module in (Generator(64, 5, 2), Discriminator(64, 2, 0.25)):
        for convolution in convolutions(module):
            assert convolution.bias is None
            assert convolution.kernel_size == (4, 4)


def test_the_order_of_layers_is_that_of_the_paper():
    up = [type(m).__name__ for m in Generator(64, 5, 2).layers]
    assert up == ["ConvTranspose2d", *["BatchNorm2d", "ReLU", "ConvTranspose2d"] * 4, "Tanh"]
    down = [type(m).__name__ for m in Discriminator(64, 2, 0.25).layers]
    first, block = (
        ["Conv2d", "LeakyReLU", "Dropout"],
        ["Conv2d", "BatchNorm2d", "LeakyReLU", "Dropout"],
    )
    assert down == [*first, *block * 3, "Conv2d"]


def test_dropout_follows_every_block_of_the_discriminator_and_acts_in_training_alone():
    discriminator = Discriminator(64, 4, dropout=0.25)
    assert {m.p for m in discriminator.modules() if isinstance(m, nn.Dropout)} == {0.25}
    assert {m.negative_slope for m in discriminator.modules() if isinstance(m, nn.LeakyReLU)} == {
        0.2
    }
    assert not any(isinstance(m, nn.Dropout) for m in Generator(64, 5, 2).modules())
    images = torch.randn(4, 1, 64, 64)
    with torch.no_grad():
        assert (discriminator(images) != discriminator(images)).any()
        discriminator.eval()
        assert (discriminator(images) == discriminator(images)).all()


def test_weights_start_as_in_dcgan():
    torch.manual_seed(0)
    for module in (Generator(64, 100, 16), Discriminator(64, 16, 0.25)):
        for convolution in convolutions(module):
            weight = convolution.weight
            tolerance = 5 * 0.02 / math.sqrt(weight.numel())
            assert weight.mean().item() == pytest.approx(0, abs=tolerance)
            assert weight.std().item() == pytest.approx(0.02, abs=tolerance)
        norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
        gains = torch.cat([norm.weight for norm in norms])
        assert gains.mean().item() == pytest.approx(1, abs=5 * 0.02 / math.sqrt(len(gains)))
        assert gains.std().item() == pytest.approx(0.02, rel=0.3)
        assert all((norm.bias == 0).all() for norm in norms)


def test_the_weights_follow_the_seed():
    def weights(seed):
        torch.manual_seed(seed)
        return Generator(64, 5, 2).state_dict()

    assert all(
        (a == b).all() for a, b in zip(weights(1).values(), weights(1).values(), strict=True)
    )
    name = "layers.0.weight"
    assert (weights(1)[name] != weights(2)[name]).any()


# --- two classes in one -------------------------------------------------------------------

BOTH = pytest.mark.parametrize("size", [16, 64])


@BOTH
def test_the_label_stands_beside_the_latent_vector_and_beside_the_image(size):
    generator, discriminator = Generator(size, 5, 2, n_classes=2), Discriminator(size, 2, 0.0, 2)
    assert convolutions(generator)[0].in_channels == 5 + 2
    assert convolutions(discriminator)[0].in_channels == 1 + 2
    plain, plain_d = Generator(size, 5, 2), Discriminator(size, 2, 0.0)
    n_doublings = int(math.log2(size // 4))
    assert n_parameters(generator) - n_parameters(plain) == 2 * 16 * 2 * 2 ** (n_doublings - 1)
    assert n_parameters(discriminator) - n_parameters(plain_d) == 2 * 16 * 2


@BOTH
def test_a_label_is_a_one_hot_part_of_what_the_first_layer_sees(size):
    generator, discriminator = Generator(size, 5, 2, n_classes=2), Discriminator(size, 2, 0.0, 2)
    z, images, label = torch.randn(4, 5), torch.randn(4, 1, size, size), torch.tensor([0, 1, 1, 0])
    seen = []
    for module in (generator, discriminator):
        convolutions(module)[0].register_forward_pre_hook(lambda m, given: seen.append(given[0]))
    with torch.no_grad():
        generator(z, label)
        discriminator(images, label)
    one_hot = torch.tensor([[1.0, 0], [0, 1], [0, 1], [1, 0]])
    assert (seen[0][:, :, 0, 0] == torch.cat([z, one_hot], dim=1)).all()
    maps = one_hot[:, :, None, None].expand(4, 2, size, size)
    assert (seen[1] == torch.cat([images, maps], dim=1)).all()


def test_another_label_gives_another_image_and_another_logit():
    generator = Generator(16, 5, 2, n_classes=2).eval()
    discriminator = Discriminator(16, 2, 0.0, n_classes=2).eval()
    z, images = torch.randn(6, 5), torch.randn(6, 1, 16, 16)
    zeros, ones = torch.zeros(6, dtype=torch.long), torch.ones(6, dtype=torch.long)
    with torch.no_grad():
        assert (generator(z, zeros) != generator(z, ones)).flatten(1).any(dim=1).all()
        assert (discriminator(images, zeros) != discriminator(images, ones)).all()


def test_conditional_networks_want_labels():
    with pytest.raises(AssertionError, match="a conditional generator wants labels"):
        Generator(16, 5, 2, n_classes=2)(torch.randn(2, 5))
    with pytest.raises(AssertionError, match="a conditional discriminator wants labels"):
        Discriminator(16, 2, 0.0, n_classes=2)(torch.randn(2, 1, 16, 16))


def test_without_classes_labels_do_nothing():
    generator, discriminator = Generator(16, 5, 2).eval(), Discriminator(16, 2, 0.0).eval()
    z, images, label = torch.randn(2, 5), torch.randn(2, 1, 16, 16), torch.tensor([0, 1])
    with torch.no_grad():
        assert (generator(z, label) == generator(z)).all()
        assert (discriminator(images, label) == discriminator(images)).all()


# --- spectral normalisation ---------------------------------------------------------------


def test_spectral_normalisation_takes_the_place_of_batchnorm():
    network = Discriminator(64, 2, 0.25, spectral_norm=True)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in Discriminator(64, 2, 0.25).modules())
    kinds = [type(m).__name__ for m in network.layers]
    assert len(kinds) == 4 * 3 + 1
    assert [k.removeprefix("Parametrized") for k in kinds] == [
        *["Conv2d", "LeakyReLU", "Dropout"] * 4,
        "Conv2d",
    ]


def test_normalised_convolutions_begin_with_a_largest_singular_value_of_one():
    torch.manual_seed(0)
    for size, n_classes in ((16, 0), (64, 2)):
        network = Discriminator(size, 4, 0.0, n_classes, spectral_norm=True).eval()
        assert len(convolutions(network)) == int(math.log2(size // 4)) + 1
        for convolution in convolutions(network):
            values = torch.linalg.svdvals(convolution.weight.flatten(1))
            assert values[0].item() == pytest.approx(1, abs=0.05)
        plain = convolutions(Discriminator(size, 4, 0.0, n_classes))
        assert all(abs(torch.linalg.svdvals(c.weight.flatten(1))[0] - 1) > 0.1 for c in plain)


def test_in_evaluation_a_normalised_discriminator_gives_the_same_twice_and_keeps_its_state():
    network = Discriminator(16, 2, 0.0, spectral_norm=True).eval()
    images = torch.randn(3, 1, 16, 16)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        assert (network(images) == network(images)).all()
    assert all((before[name] == value).all() for name, value in network.state_dict().items())
