import copy

import pytest
import torch
from torch import nn

from lussweep.models.generators.dcgan.networks import Discriminator, Generator
from lussweep.models.generators.dcgan.step import SUMS, GanStep
from support.host_reads import HostReads, host_reads
from support.trainings import CPU, EVERYTHING, labels_for, random_frames, spec_of, train

pytestmark = pytest.mark.any_processor

BOTH = pytest.mark.parametrize("changes", [{}, EVERYTHING], ids=["the paper", "everything"])


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def step_of(spec, size=64, dtype=torch.float32):
    n_classes = 2 if spec.conditional else 0
    generator = Generator(size, spec.latent_size, spec.ngf, n_classes)
    discriminator = Discriminator(size, spec.ndf, spec.dropout, n_classes, spec.spectral_norm)
    return GanStep(generator.to(dtype), discriminator.to(dtype), spec, CPU)


def batch(spec, n=4, size=64, seed=0):
    rng = torch.Generator().manual_seed(seed)
    label = labels_for(spec, n)
    return (
        torch.randint(256, (n, size, size), generator=rng).to(torch.uint8),
        torch.randn(n, spec.latent_size, generator=rng),
        None if label is None else torch.from_numpy(label),
        n,
    )


# --- the penalty on slopes ----------------------------------------------------------------


def slopes_by_differences(discriminator, x, width=1e-6):
    """The slope of the sum of logits in every pixel, by central differences."""
    slope = torch.zeros_like(x)
    with torch.no_grad():
        for k in range(x.numel()):
            moved = torch.zeros(x.numel(), dtype=x.dtype)
            moved[k] = width
            moved = moved.view(x.shape)
            rise = discriminator(x + moved).sum() - discriminator(x - moved).sum()
            slope.view(-1)[k] = rise / (2 * width)
    return slope


@pytest.mark.parametrize("size", [8, 16], ids=["without BatchNorm", "with BatchNorm"])
def test_the_penalty_is_half_gamma_times_the_squared_slope_at_real_images(size):
    spec = spec_of(r1_gamma=3.0, dropout=0.0)
    step = step_of(spec, size, torch.float64)
    before = copy.deepcopy(step.discriminator)
    frames, z, label, n = batch(spec, 3, size)
    step(frames, z, label, n)
    slope = slopes_by_differences(before, frames[:, None].double() / 127.5 - 1)
    expected = 3.0 / 2 * slope.square().sum(dim=(1, 2, 3)).mean()
    assert expected > 0
    assert step.sums[SUMS.index("r1")].item() / n == pytest.approx(expected.item(), rel=1e-6)


def test_the_discriminator_goes_down_the_penalty_as_well():
    """What gamma adds to its gradient is the penalty's own, by central differences."""
    plain, spec = (spec_of(r1_gamma=gamma, dropout=0.0) for gamma in (0.0, 3.0))
    steps = [step_of(plain, 16, torch.float64)]
    steps.append(GanStep(*copy.deepcopy((steps[0].generator, steps[0].discriminator)), spec, CPU))
    network = copy.deepcopy(steps[0].discriminator)
    frames, z, label, n = batch(spec, 3, 16)
    for step in steps:
        step(frames, z, label, n)
    added = [
        with_penalty.grad - without.grad
        for without, with_penalty in zip(
            steps[0].discriminator.parameters(), steps[1].discriminator.parameters(), strict=True
        )
    ]
    real = (frames[:, None].double() / 127.5 - 1).requires_grad_()

    def penalty():
        (slope,) = torch.autograd.grad(network(real).sum(), real)
        return (3.0 / 2 * slope.square().sum() / n).item()

    for weight, found in zip(network.parameters(), added, strict=True):
        for k in range(0, weight.numel(), max(1, weight.numel() // 5)):
            place = torch.unravel_index(torch.tensor(k), weight.shape)
            was, rises = weight.data[place].item(), []
            for width in (1e-6, -1e-6):
                weight.data[place] = was + width
                rises.append(penalty())
            weight.data[place] = was
            expected = (rises[0] - rises[1]) / 2e-6
            assert found[place].item() == pytest.approx(expected, rel=1e-4, abs=1e-7)
    assert max(found.abs().max() for found in added) > 1e-3


# --- spectral normalisation ---------------------------------------------------------------


def test_normalised_convolutions_keep_a_largest_singular_value_near_one():
    spec = spec_of(spectral_norm=True, lr_discriminator=1e-4)
    step = step_of(spec)
    first = [p.detach().clone() for p in step.discriminator.parameters()]
    for seed in range(5):
        step(*batch(spec, seed=seed))
    moved = [
        (p - was).abs().max() for p, was in zip(step.discriminator.parameters(), first, strict=True)
    ]
    assert min(moved) > 2e-4
    network = step.discriminator.eval()
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 5
    for convolution in convolutions:
        largest = torch.linalg.svdvals(convolution.weight.flatten(1))[0].item()
        assert largest == pytest.approx(1, abs=0.05)
        raw = convolution.parametrizations.weight.original.flatten(1)
        assert abs(torch.linalg.svdvals(raw)[0].item() - 1) > 0.05


# --- nothing waits for the device ---------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [{}, {"dropout": 0.0, "loss": "hinge"}, {**EVERYTHING, "conditional": False}],
    ids=["the paper", "hinge", "everything"],
)
def test_a_step_reads_no_value_from_the_device(changes, monkeypatch):
    # Labels apart: on a CPU, unlike on a GPU, PyTorch's one_hot looks at them.
    spec = spec_of(**changes)
    step, given = step_of(spec), batch(spec)
    assert host_reads(lambda: (step(*given), step(*given)), monkeypatch) == []


def test_the_count_of_reads_counts():
    with HostReads() as reads:
        x = torch.rand(3)
        x[0].item(), float(x[1]), bool(x[2] > 0), x.nonzero(), x.masked_select(x > 0)
    assert reads.n == 5


@pytest.mark.parametrize("changes", [{}, {**EVERYTHING, "conditional": False}])
def test_an_epoch_of_many_batches_reads_as_few_values_as_one_of_one_batch(changes):
    def n_reads(images_per_epoch):
        spec = spec_of(n_epochs=2, images_per_epoch=images_per_epoch, **changes)
        with HostReads() as reads:
            train(random_frames(8), spec)
        return reads.n

    assert n_reads(4) == n_reads(28) > 0


# --- its state ----------------------------------------------------------------------------


@BOTH
def test_a_step_goes_on_from_the_state_of_another_to_the_same_weights(changes):
    spec = spec_of(**changes, lr_generator=1e-2)
    first, second = step_of(spec), step_of(spec)
    first(*batch(spec, seed=1))
    second(*batch(spec, seed=2))
    second.load_state(first.state())
    for step in (first, second):
        torch.manual_seed(3)
        step(*batch(spec, seed=3))
    assert list(first.state()) == list(second.state())
    found, expected = (tensors(step.state()) for step in (second, first))
    assert found.keys() == expected.keys() and len(found) > 30
    assert all((found[name] == expected[name]).all() for name in found)


def test_what_is_loaded_is_a_copy():
    spec = spec_of()
    first, second = step_of(spec), step_of(spec)
    first(*batch(spec))
    second.load_state(first.state())
    before = {name: value.clone() for name, value in tensors(first.state()).items()}
    second(*batch(spec, seed=1))
    assert all((before[name] == value).all() for name, value in tensors(first.state()).items())


def tensors(tree, prefix=""):
    """Every tensor in nested dictionaries, by its path."""
    if isinstance(tree, torch.Tensor):
        return {prefix: tree}
    if not isinstance(tree, dict):
        return {}
    return {k: v for name, sub in tree.items() for k, v in tensors(sub, f"{prefix}/{name}").items()}
