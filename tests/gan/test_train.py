import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, conv_transpose2d

from lussweep.gan.train import train_gan
from lussweep.keys import derive_seed
from lussweep.models.dcgan import Discriminator, Generator
from lussweep.spec import GanSpec

CPU = torch.device("cpu")
SIZE = 64


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def spec_of(**changes):
    small = {
        "n_epochs": 1,
        "batch_size": 4,
        "latent_size": 6,
        "ngf": 2,
        "ndf": 2,
        "snapshot_every": 1,
    }
    return GanSpec(**{**small, **changes})


def random_frames(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, SIZE, SIZE), dtype=np.uint8)


def train(frames, spec, seed=1):
    """Losses of every epoch, the weights after each snapshot, and the generator."""
    rows, snapshots = [], {}

    def on_epoch(row, generator, snapshot_due):
        rows.append(row)
        if snapshot_due:
            snapshots[row.epoch] = copy_of(generator)

    generator = train_gan(frames, spec, seed=seed, device=CPU, on_epoch=on_epoch)
    return rows, snapshots, generator


def copy_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(first, second):
    return first.keys() == second.keys() and all((first[k] == second[k]).all() for k in first)


def losses(rows):
    return [(row.loss_d_real, row.loss_d_fake, row.loss_g) for row in rows]


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
    """Probability that an image is real."""
    x = leaky(conv2d(x, w[0], stride=2, padding=1))
    for i in range(1, len(w) - 1, 3):
        kernel, gain, shift = w[i : i + 3]
        x = leaky(normalise(conv2d(x, kernel, stride=2, padding=1), gain, shift))
    return 1 / (1 + (-conv2d(x, w[-1]).flatten()).exp())


def naive_gan(frames, spec, seed):
    """The loop of the paper in float64, from the same first weights, order and latents."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "initialisation"))
        generator = Generator(SIZE, spec.latent_size, spec.ngf)
        discriminator = Discriminator(SIZE, spec.ndf, 0.0)
    g = [p.detach().double().requires_grad_() for p in generator.parameters()]
    d = [p.detach().double().requires_grad_() for p in discriminator.parameters()]
    g_adam = Adam(g, spec.lr_generator, spec.beta1, spec.beta2)
    d_adam = Adam(d, spec.lr_discriminator, spec.beta1, spec.beta2)
    rng = torch.Generator().manual_seed(derive_seed(seed, "order and latents"))
    epochs = []
    for _ in range(spec.n_epochs):
        order, total, n_seen = torch.randperm(len(frames), generator=rng), np.zeros(3), 0
        for start in range(0, len(frames), spec.batch_size):
            batch = order[start : start + spec.batch_size]
            z = torch.randn(len(batch), spec.latent_size, generator=rng).double()
            real = torch.from_numpy(frames[batch.numpy()])[:, None].double() / 127.5 - 1
            fake = generate(g, z)
            loss_real = -discriminate(d, real).log().mean()
            loss_fake = -(1 - discriminate(d, fake.detach())).log().mean()
            d_adam.step(torch.autograd.grad(loss_real + loss_fake, d))
            loss_g = -discriminate(d, fake).log().mean()
            g_adam.step(torch.autograd.grad(loss_g, g))
            total += len(batch) * np.array([x.item() for x in (loss_real, loss_fake, loss_g)])
            n_seen += len(batch)
        epochs.append(tuple(total / n_seen))
    return epochs, g


def test_losses_and_weights_equal_those_of_the_plain_loop_of_the_paper():
    frames = random_frames(10)
    spec = spec_of(n_epochs=2, dropout=0.0, lr_generator=1e-3, lr_discriminator=5e-4)  # 4 + 4 + 2
    expected_losses, expected_weights = naive_gan(frames, spec, seed=3)
    rows, _, generator = train(frames, spec, seed=3)
    assert np.allclose(losses(rows), expected_losses, rtol=2e-4)
    n_steps, moved, apart = 6, [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(3, "initialisation"))
        start = Generator(SIZE, spec.latent_size, spec.ngf)
    for first, weight, expected in zip(
        start.parameters(), generator.parameters(), expected_weights, strict=True
    ):
        moved.append((weight - first).abs().flatten())
        apart.append((weight - expected).abs().flatten())
    moved, apart = torch.cat(moved), torch.cat(apart)
    assert moved.mean() > 0.2 * spec.lr_generator * n_steps
    assert apart.mean() < 0.01 * moved.mean()  # Adam turns on the sign of gradients near zero


def test_the_generator_sees_each_batch_once():
    _, _, generator = train(random_frames(10), spec_of(n_epochs=2))
    seen = [
        v.item() for k, v in generator.state_dict().items() if k.endswith("num_batches_tracked")
    ]
    assert seen == [6] * 4


# --- learning -----------------------------------------------------------------------------


def test_the_mean_image_of_the_generator_moves_toward_that_of_the_data():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 60, (32, SIZE, SIZE))
    frames[:, :, : SIZE // 2] += 170
    frames = frames.astype(np.uint8)
    spec = spec_of(
        n_epochs=30, batch_size=8, ngf=4, ndf=4, lr_generator=1e-2, lr_discriminator=1e-3
    )
    rows, _, generator = train(frames, spec)

    def distance(g):
        with torch.no_grad():
            z = torch.randn(64, spec.latent_size, generator=torch.Generator().manual_seed(5))
            mean = (g.train()(z).mean(dim=(0, 1)) + 1) * 127.5
        return float(np.abs(mean.numpy() - frames.mean(axis=0)).mean())

    with torch.random.fork_rng(devices=[]):
        untrained = Generator(SIZE, spec.latent_size, spec.ngf)
    assert distance(generator) < 0.5 * distance(untrained)
    assert np.isfinite(losses(rows)).all()


def test_a_discriminator_against_a_generator_that_stands_still_gets_better():
    spec = spec_of(n_epochs=4, ndf=4, dropout=0.0, lr_generator=1e-12, lr_discriminator=2e-3)
    rows, _, _ = train(random_frames(24), spec)
    total = [row.loss_d_real + row.loss_d_fake for row in rows]
    assert total[-1] < 0.5 * total[0]
    assert rows[-1].loss_g > rows[0].loss_g


# --- randomness ---------------------------------------------------------------------------


def test_one_seed_gives_one_gan_and_another_seed_another():
    frames, spec = random_frames(6), spec_of()
    rows, snapshots, generator = train(frames, spec, seed=1)
    again_rows, again_snapshots, again = train(frames, spec, seed=1)
    assert equal(copy_of(generator), copy_of(again))
    assert equal(snapshots[1], again_snapshots[1])
    assert losses(rows) == losses(again_rows)
    assert not equal(copy_of(generator), copy_of(train(frames, spec, seed=2)[2]))


def test_ambient_randomness_neither_matters_nor_changes():
    frames, spec = random_frames(6), spec_of()
    torch.manual_seed(0)
    np.random.seed(0)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = copy_of(train(frames, spec)[2])
    assert (torch.get_rng_state() == state).all()
    assert (np.random.get_state()[1] == numpy_state).all()
    torch.manual_seed(12345)
    assert equal(copy_of(train(frames, spec)[2]), first)


def test_the_frames_are_left_as_they_were():
    frames = random_frames(6)
    before = frames.copy()
    train(frames, spec_of())
    assert (frames == before).all()


def test_what_a_snapshot_does_with_the_generator_does_not_change_training():
    frames, spec = random_frames(6), spec_of(n_epochs=2)

    def rough(row, generator, snapshot_due):
        torch.rand(7)

    rough_one = train_gan(frames, spec, seed=1, device=CPU, on_epoch=rough)
    with_dropout_off = spec.model_copy(update={"dropout": 0.0})
    quiet = train(frames, with_dropout_off)[2]
    drawing = train_gan(frames, with_dropout_off, seed=1, device=CPU, on_epoch=rough)
    assert equal(copy_of(quiet), copy_of(drawing))
    assert not equal(copy_of(rough_one), copy_of(quiet)), "dropout does something"


# --- epochs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_frames", "images_per_epoch", "expected"),
    [(10, None, 10), (10, 6, 6), (5, 13, 13), (6, 6, 6)],
)
def test_an_epoch_has_as_many_images_as_asked_for(n_frames, images_per_epoch, expected):
    spec = spec_of(n_epochs=2, images_per_epoch=images_per_epoch)
    rows, _, generator = train(random_frames(n_frames), spec)
    assert [row.n_images_seen for row in rows] == [expected, 2 * expected]
    assert [row.epoch for row in rows] == [1, 2]
    n_batches = 2 * -(-expected // spec.batch_size)
    assert generator.state_dict()["layers.1.num_batches_tracked"] == n_batches


def test_snapshots_are_due_after_the_epochs_of_the_spec():
    spec = spec_of(n_epochs=5, snapshot_every=2, images_per_epoch=2)
    _, snapshots, generator = train(random_frames(4), spec)
    assert list(snapshots) == [2, 4, 5] == list(spec.snapshot_epochs())
    assert equal(snapshots[5], copy_of(generator))
    assert not equal(snapshots[4], snapshots[5])


def test_a_longer_training_begins_with_the_shorter_one():
    frames = random_frames(6)
    _, short, _ = train(frames, spec_of(n_epochs=1))
    _, long, _ = train(frames, spec_of(n_epochs=2))
    assert equal(short[1], long[1])


def test_a_last_batch_of_one_image_is_kept():
    rows, _, _ = train(random_frames(5), spec_of())
    assert rows[0].n_images_seen == 5
    assert np.isfinite(losses(rows)).all()


def test_too_few_frames_are_refused():
    with pytest.raises(ValueError, match="needs at least 2 frames, got 1"):
        train(random_frames(1), spec_of())


def test_losses_that_are_no_longer_finite_stop_the_training() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (8, 64, 64), dtype=np.uint8)
    spec = GanSpec(n_epochs=50, ngf=2, ndf=2, lr_generator=1e30, lr_discriminator=1e30)
    with pytest.raises(ValueError, match=r"no longer finite in epoch \d+: lower gan.lr_generator"):
        train_gan(
            frames, spec, seed=1, device=torch.device("cpu"), on_epoch=lambda row, g, due: None
        )
