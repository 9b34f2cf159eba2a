import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, conv_transpose2d

from lussweep.errors import InputError
from lussweep.models.generators.dcgan.networks import Discriminator, Generator
from lussweep.models.generators.dcgan.sample import sample
from lussweep.models.generators.dcgan.step import GanStep
from lussweep.models.generators.dcgan.train import train_gan
from lussweep.models.training import precision
from lussweep.models.training.precision import has_bfloat16
from lussweep.study.keys import derive_seed
from support.trainings import (
    CPU,
    SIZE,
    STANDS_STILL,
    copy_of,
    equal,
    judge_by,
    losses,
    random_frames,
    spec_of,
    train,
)

pytestmark = pytest.mark.any_processor

# --- the definition -----------------------------------------------------------------------


class Adam:
    """Kingma and Ba 2015, algorithm 1."""

    def __init__(self, weights, rate, beta1, beta2):
        self.weights, self.rate, self.betas, self.t = weights, rate, (beta1, beta2), 0
        self.m = [torch.zeros_like(w) for w in weights]
        self.v = [torch.zeros_like(w) for w in weights]

    def step(self, gradients):
        self.t += 1
        b1, b2 = self.betas
        for w, g, m, v in zip(self.weights, gradients, self.m, self.v, strict=True):
            m.copy_(b1 * m + (1 - b1) * g)
            v.copy_(b2 * v + (1 - b2) * g * g)
            m_hat, v_hat = m / (1 - b1**self.t), v / (1 - b2**self.t)
            w.data -= self.rate * m_hat / (v_hat.sqrt() + 1e-8)


def normalise(x, gain, shift):
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * gain[:, None, None] + shift[:, None, None]


def generate(w, z):
    x = conv_transpose2d(z[:, :, None, None], w[0])
    for i in range(1, len(w), 3):
        gain, shift, kernel = w[i : i + 3]
        x = conv_transpose2d(normalise(x, gain, shift).clamp(min=0), kernel, stride=2, padding=1)
    return x.tanh()


def leaky(x):
    return torch.where(x > 0, x, 0.2 * x)


def discriminate(w, x):
    """Logits: above 0 for what looks real."""
    x = leaky(conv2d(x, w[0], stride=2, padding=1))
    for i in range(1, len(w) - 1, 3):
        kernel, gain, shift = w[i : i + 3]
        x = leaky(normalise(conv2d(x, kernel, stride=2, padding=1), gain, shift))
    return conv2d(x, w[-1]).flatten()


def probability(logits):
    return 1 / (1 + (-logits).exp())


LOSSES = {
    "bce": (
        lambda real: -probability(real).log().mean(),
        lambda fake: -(1 - probability(fake)).log().mean(),
        lambda fake: -probability(fake).log().mean(),
    ),
    "hinge": (  # Lim and Ye 2017, arXiv 1705.02894
        lambda real: (1 - real).clamp(min=0).mean(),
        lambda fake: (1 + fake).clamp(min=0).mean(),
        lambda fake: -fake.mean(),
    ),
}


def naive_gan(frames, spec, seed):
    """The loop of the paper in float64, from the same first weights, order and latents.

    Of each epoch: losses on real, on synthetic, of the generator, the penalty, the shares of
    real and of synthetic images that were told right, and the norm of the generator's gradient.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "initialisation"))
        generator = Generator(SIZE, spec.latent_size, spec.ngf)
        discriminator = Discriminator(SIZE, spec.ndf, 0.0)
    on_real, on_fake, on_generator = LOSSES[spec.loss]
    g = [p.detach().double().requires_grad_() for p in generator.parameters()]
    d = [p.detach().double().requires_grad_() for p in discriminator.parameters()]
    g_adam = Adam(g, spec.lr_generator, spec.beta1, spec.beta2)
    d_adam = Adam(d, spec.lr_discriminator, spec.beta1, spec.beta2)
    rng = torch.Generator().manual_seed(derive_seed(seed, "order and latents"))
    epochs = []
    for _ in range(spec.n_epochs):
        order = torch.randperm(len(frames), generator=rng)
        latents = torch.randn(len(frames), spec.latent_size, generator=rng).double()
        total = np.zeros(7)
        for start in range(0, len(frames), spec.batch_size):
            batch = order[start : start + spec.batch_size]
            z = latents[start : start + spec.batch_size]
            real = torch.from_numpy(frames[batch.numpy()])[:, None].double() / 127.5 - 1
            real.requires_grad_()
            fake = generate(g, z)
            real_logits, fake_logits = discriminate(d, real), discriminate(d, fake.detach())
            loss_real, loss_fake = on_real(real_logits), on_fake(fake_logits)
            slope = torch.autograd.grad(real_logits.sum(), real, create_graph=True)[0]
            r1 = spec.r1_gamma / 2 * (slope**2).sum(dim=(1, 2, 3)).mean()
            d_adam.step(torch.autograd.grad(loss_real + loss_fake + r1, d))
            loss_g = on_generator(discriminate(d, fake))
            gradients = torch.autograd.grad(loss_g, g)
            g_adam.step(gradients)
            right = ((real_logits > 0).double().mean(), (fake_logits <= 0).double().mean())
            norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
            values = (loss_real, loss_fake, loss_g, r1, *right, norm)
            total += len(batch) * np.array([value.item() for value in values])
        epochs.append(total / len(frames))
    return epochs, g


def means(row):
    return [
        row.loss_d_real, row.loss_d_fake, row.loss_g, row.r1, row.d_accuracy_real,
        row.d_accuracy_fake, row.g_gradient_norm,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [{}, {"loss": "hinge"}, {"r1_gamma": 10.0}, {"loss": "hinge", "r1_gamma": 0.3}],
    ids=["the paper", "hinge", "R1", "hinge and R1"],
)
def test_losses_and_weights_equal_those_of_the_plain_loop(changes):
    frames = random_frames(10)
    rates = {"lr_generator": 1e-3, "lr_discriminator": 5e-4}
    spec = spec_of(n_epochs=2, dropout=0.0, **rates, **changes)  # batches of 4, 4 and 2
    expected_means, expected_weights = naive_gan(frames, spec, seed=3)
    trained, _ = train(frames, spec, seed=3)
    assert np.allclose([means(row) for row in trained.rows], expected_means, rtol=2e-4)
    assert (expected_means[0][3] > 0) == ("r1_gamma" in changes)
    n_steps, moved, apart = 6, [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(3, "initialisation"))
        start = Generator(SIZE, spec.latent_size, spec.ngf)
    for first, weight, expected in zip(
        start.parameters(), trained.generator.parameters(), expected_weights, strict=True
    ):
        moved.append((weight - first).abs().flatten())
        apart.append((weight - expected).abs().flatten())
    moved, apart = torch.cat(moved), torch.cat(apart)
    assert moved.mean() > 0.2 * spec.lr_generator * n_steps
    assert apart.mean() < 0.01 * moved.mean()  # Adam turns on the sign of gradients near zero


def test_the_generator_sees_each_batch_once():
    trained, _ = train(random_frames(10), spec_of(n_epochs=2))
    weights = trained.generator.state_dict()
    seen = [v.item() for k, v in weights.items() if k.endswith("num_batches_tracked")]
    assert seen == [6] * 4


# --- learning -----------------------------------------------------------------------------


def test_a_generator_moves_to_where_the_discriminator_sees_real_images(monkeypatch):
    """The discriminator takes for real what is bright in its left half and dark in its right one,
    as the frames are: it looks at 2 x 2 pixels at a time, and adds or takes away their sums."""

    def bright_on_the_left(first, last):
        first.zero_()
        first[..., 1:3, 1:3] = 1.0
        last.fill_(-1.0)
        last[..., :2] = 1.0

    judge_by(monkeypatch, bright_on_the_left)
    frames = np.random.default_rng(0).integers(0, 20, (16, 8, 8))
    frames[:, :, :4] += 235
    spec = spec_of(
        n_epochs=40, batch_size=8, ngf=16, ndf=1, dropout=0.0, loss="hinge", lr_generator=1e-2,
        lr_discriminator=STANDS_STILL,
    )  # fmt: skip
    trained, _ = train(frames.astype(np.uint8), spec)

    def distance(g):
        with torch.no_grad():
            z = torch.randn(64, spec.latent_size, generator=torch.Generator().manual_seed(5))
            mean = (g.train()(z).mean(dim=(0, 1)) + 1) * 127.5
        return float(np.abs(mean.numpy() - frames.mean(axis=0)).mean())

    with torch.random.fork_rng(devices=[]):
        untrained = Generator(8, spec.latent_size, spec.ngf)
    assert distance(trained.generator) < 0.2 * distance(untrained)
    assert all(
        (row.d_accuracy_real, row.d_accuracy_fake) == (1.0, 0.0) for row in trained.rows[-9:]
    )


def test_a_discriminator_against_a_generator_that_stands_still_gets_better():
    spec = spec_of(n_epochs=4, ndf=4, dropout=0.0, lr_generator=STANDS_STILL, lr_discriminator=2e-3)
    rows = train(random_frames(24), spec)[0].rows
    total = [row.loss_d_real + row.loss_d_fake for row in rows]
    assert total[-1] < 0.5 * total[0]
    assert rows[-1].loss_g > rows[0].loss_g


# --- randomness ---------------------------------------------------------------------------


def test_one_seed_gives_one_gan_and_another_seed_another():
    frames, spec = random_frames(6), spec_of()
    first, snapshots = train(frames, spec, seed=1)
    again, again_snapshots = train(frames, spec, seed=1)
    other, _ = train(frames, spec, seed=2)
    assert equal(copy_of(first.generator), copy_of(again.generator))
    assert equal(snapshots[1], again_snapshots[1])
    assert losses(first) == losses(again)
    assert not equal(copy_of(first.generator), copy_of(other.generator))


def test_ambient_randomness_neither_matters_nor_changes():
    frames, spec = random_frames(6), spec_of()
    torch.manual_seed(0)
    np.random.seed(0)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = copy_of(train(frames, spec)[0].generator)
    assert (torch.get_rng_state() == state).all()
    assert (np.random.get_state()[1] == numpy_state).all()
    torch.manual_seed(12345)
    assert equal(copy_of(train(frames, spec)[0].generator), first)


def test_the_frames_are_left_as_they_were():
    frames = random_frames(6)
    before = frames.copy()
    train(frames, spec_of())
    assert (frames == before).all()


def test_what_a_snapshot_does_with_the_generator_does_not_change_training():
    frames, spec = random_frames(6), spec_of(n_epochs=2)

    def rough(row, generator, snapshot_due):
        torch.rand(7)

    without = spec.model_copy(update={"dropout": 0.0})
    quiet = copy_of(train(frames, without)[0].generator)
    assert equal(copy_of(train(frames, without, on_epoch=rough)[0].generator), quiet)
    assert not equal(copy_of(train(frames, spec)[0].generator), quiet), "dropout does something"


def test_what_is_done_after_an_epoch_may_be_left_out():
    frames, spec = random_frames(6), spec_of()
    alone = train_gan(frames, spec, seed=1, device=CPU)
    assert equal(copy_of(alone.generator), copy_of(train(frames, spec)[0].generator))
    assert (len(alone.rows), alone.events, alone.how) == (1, [], "eager")


# --- epochs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_frames", "images_per_epoch", "expected"),
    [(10, None, 10), (10, 6, 6), (5, 13, 13), (6, 6, 6)],
)
def test_an_epoch_has_as_many_images_as_asked_for(n_frames, images_per_epoch, expected):
    spec = spec_of(n_epochs=2, images_per_epoch=images_per_epoch)
    trained, _ = train(random_frames(n_frames), spec)
    rows, generator = trained.rows, trained.generator
    assert [row.n_images_seen for row in rows] == [expected, 2 * expected]
    assert [row.epoch for row in rows] == [1, 2]
    n_batches = 2 * -(-expected // spec.batch_size)
    assert generator.state_dict()["layers.1.num_batches_tracked"] == n_batches


def test_snapshots_are_due_after_the_epochs_of_the_spec():
    spec = spec_of(n_epochs=5, snapshot_every=2, images_per_epoch=2)
    trained, snapshots = train(random_frames(4), spec)
    assert list(snapshots) == [2, 4, 5] == list(spec.snapshot_epochs())
    assert equal(snapshots[5], copy_of(trained.generator))
    assert not equal(snapshots[4], snapshots[5])


def test_a_longer_training_begins_with_the_shorter_one():
    frames = random_frames(6)
    _, short = train(frames, spec_of(n_epochs=1))
    _, long = train(frames, spec_of(n_epochs=2))
    assert equal(short[1], long[1])


def test_a_last_batch_of_one_image_is_kept():
    trained, _ = train(random_frames(5), spec_of())
    assert trained.rows[0].n_images_seen == 5
    assert np.isfinite(losses(trained)).all()


def test_too_few_frames_are_refused():
    with pytest.raises(ValueError, match="needs at least 2 frames, got 1"):
        train(random_frames(1), spec_of())


def test_labels_belong_to_conditional_gans_and_to_no_others():
    for spec, label in ((spec_of(), np.arange(4) % 2), (spec_of(conditional=True), None)):
        with pytest.raises(AssertionError, match="labels belong to conditional GANs"):
            train(random_frames(4), spec, label_N=label)


# --- the average of the weights -----------------------------------------------------------


def watch_steps(monkeypatch, watch):
    """Call `watch` with the step's networks after each step of a training."""
    original = GanStep.__call__

    def step_and_watch(step, *arguments):
        original(step, *arguments)
        watch(step)

    monkeypatch.setattr(GanStep, "__call__", step_and_watch)


def flat(parameters):
    return torch.cat([p.detach().double().flatten() for p in parameters])


def test_the_average_follows_its_recursion_and_is_what_is_sampled_from(monkeypatch):
    decay, weights, statistics = 0.8, [], []

    def watch(step):
        weights.append(flat(step.generator.parameters()))
        statistics.append([b.clone() for b in step.generator.buffers()])

    watch_steps(monkeypatch, watch)
    spec = spec_of(n_epochs=3, ema_decay=decay, lr_generator=1e-2)
    sampled = []
    trained, snapshots = train(
        random_frames(8), spec, on_epoch=lambda row, g, due: sampled.append(flat(g.parameters()))
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(1, "initialisation"))
        first = flat(Generator(SIZE, spec.latent_size, spec.ngf).parameters())
    assert len(weights) == 6
    for epoch in (1, 2, 3):
        n = 2 * epoch
        expected = decay**n * first
        for k, weight in enumerate(weights[:n]):
            expected = expected + (1 - decay) * decay ** (n - 1 - k) * weight
        assert torch.allclose(sampled[epoch - 1], expected, rtol=0, atol=1e-6)
        assert (expected - weights[n - 1]).abs().max() > 1e-3
        names = [name for name, _ in trained.generator.named_parameters()]
        assert (flat(snapshots[epoch][name] for name in names) == sampled[epoch - 1]).all()
        buffers = [v for k, v in snapshots[epoch].items() if k not in names]
        for buffer, expected_buffer in zip(buffers, statistics[n - 1], strict=True):
            assert (buffer == expected_buffer).all(), "BatchNorm's statistics are copied"
    assert (flat(trained.generator.parameters()) == sampled[-1]).all()


def test_averaging_does_not_change_the_training(monkeypatch):
    last = {}

    def watch(step):
        last[step.spec.ema_decay] = (copy_of(step.generator), copy_of(step.discriminator))

    watch_steps(monkeypatch, watch)
    for decay in (0.0, 0.9):
        spec = spec_of(n_epochs=2, ema_decay=decay, lr_generator=1e-2)
        trained, _ = train(random_frames(8), spec)
        last[decay] += (losses(trained), copy_of(trained.generator))
    plain, averaged = last[0.0], last[0.9]
    assert equal(plain[0], averaged[0]) and equal(plain[1], averaged[1])
    assert plain[2] == averaged[2]
    assert equal(plain[0], plain[3]), "without an average the last weights are sampled from"
    assert not equal(averaged[0], averaged[3])


# --- both classes in one ------------------------------------------------------------------


def test_a_conditional_generator_learns_what_the_discriminator_wants_of_each_class(monkeypatch):
    """Label 1 is to be bright and label 0 dark: with y = -1 or 1 for the label and s the sum of a
    window's 16 pixels, the leaky slopes of s + 64 y and of -s - 64 y add up to 0.8 (y s + 64)."""

    def bright_where_the_label_says(first, last):
        first[0, 0], first[1, 0] = 1.0, -1.0
        first[0, 1], first[0, 2] = -4.0, 4.0
        first[1, 1], first[1, 2] = 4.0, -4.0
        last.fill_(1.0)

    judge_by(monkeypatch, bright_where_the_label_says)
    label = np.arange(16) % 2
    frames = np.where(label[:, None, None] == 1, 220, 35) * np.ones((1, 8, 8))
    spec = spec_of(
        n_epochs=40, batch_size=8, ngf=16, conditional=True, dropout=0.0, loss="hinge",
        lr_generator=1e-2, lr_discriminator=STANDS_STILL,
    )  # fmt: skip
    trained, _ = train(frames.astype(np.uint8), spec, label_N=label)
    options = {"batchnorm": "batch", "batch_size": 8, "seed": 1, "device": CPU}
    dark, bright = (
        sample(trained.generator, 8, class_label=k, **options).mean(axis=(1, 2)) for k in (0, 1)
    )
    assert dark.max() < 64 and bright.min() > 192


def test_labels_go_with_their_frames(monkeypatch):
    """Each class has a grey level of its own, so that a batch tells whether its labels fit."""
    label = np.random.default_rng(0).integers(0, 2, 13)
    frames = np.where(label[:, None, None] == 1, 200, 50) * np.ones((1, SIZE, SIZE))
    seen = []
    original = GanStep.__call__

    def look(step, frames_NSS, z_NL, label_N, n_batch):
        seen.extend(zip((frames_NSS[:, 0, 0] > 100).tolist(), label_N.tolist(), strict=True))
        original(step, frames_NSS, z_NL, label_N, n_batch)

    monkeypatch.setattr(GanStep, "__call__", look)
    train(frames.astype(np.uint8), spec_of(conditional=True), label_N=label)
    assert sorted(k for _, k in seen) == sorted(label)
    assert all(is_bright == k for is_bright, k in seen)


# --- what a device can do -----------------------------------------------------------------

needs_bfloat16 = pytest.mark.skipif(
    not has_bfloat16(CPU), reason="needs a CPU with products in bfloat16"
)


@needs_bfloat16
@pytest.mark.parametrize("changes", [{}, {"loss": "hinge", "spectral_norm": True, "r1_gamma": 1.0}])
def test_bf16_keeps_weights_in_float32_and_losses_near(changes, monkeypatch):
    steps = []
    watch_steps(monkeypatch, steps.append)
    spec = spec_of(dropout=0.0, lr_generator=1e-4, lr_discriminator=1e-4, **changes)
    frames = random_frames(16)
    exact = losses(train(frames, spec)[0])
    trained, snapshots = train(frames, spec.model_copy(update={"precision": "bf16"}))
    assert losses(trained) != exact, "the products are in bfloat16"
    assert np.allclose(losses(trained), exact, rtol=0.05, atol=0.01)
    step = steps[-1]
    tensors = [*step.generator.parameters(), *step.discriminator.parameters()]
    tensors += [*step.generator.buffers(), *snapshots[1].values()]
    for optimiser in (step.g_optimiser, step.d_optimiser):
        tensors += [tensor for state in optimiser.state.values() for tensor in state.values()]
    assert {t.dtype for t in tensors if t.is_floating_point()} == {torch.float32}


def test_bf16_is_refused_in_one_line_where_the_device_lacks_it(monkeypatch):
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    expected = r"^gan\.precision bf16 is not supported on this cpu device: set it to fp32$"
    with pytest.raises(InputError, match=expected):
        train(random_frames(4), spec_of(precision="bf16"))
    train(random_frames(4), spec_of())


def test_synchronised_batchnorm_is_refused_in_one_line_on_a_cpu():
    expected = r"^gan\.sync_batchnorm needs GPUs, .* set it to false, .*$"
    with pytest.raises(InputError, match=expected):
        train(random_frames(4), spec_of(sync_batchnorm=True))
