import numpy as np
import pytest
import torch

from lussweep.models.generators.dcgan import train as module
from lussweep.models.generators.dcgan.networks import Discriminator, Generator
from lussweep.models.generators.dcgan.step import GanStep
from lussweep.models.generators.dcgan.train import train_gan
from lussweep.models.training.capture import _Rewind, captured
from support.trainings import (
    CPU,
    EVERYTHING,
    SIZE,
    copy_of,
    labels_for,
    losses,
    random_frames,
    spec_of,
)

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.any_processor]

BOTH = pytest.mark.parametrize(
    "changes", [{"dropout": 0.0}, {**EVERYTHING, "augment": (), "dropout": 0.0}],
    ids=["the paper", "everything"],
)  # fmt: skip


def step_of(spec):
    n_classes = 2 if spec.conditional else 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = Generator(SIZE, spec.latent_size, spec.ngf, n_classes)
        discriminator = Discriminator(SIZE, spec.ndf, 0.0, n_classes, spec.spectral_norm)
    return GanStep(generator, discriminator, spec, CPU)


def run(step, seeds):
    for seed in seeds:
        rng = torch.Generator().manual_seed(seed)
        label = labels_for(step.spec, 4)
        step(
            torch.from_numpy(random_frames(4, seed)),
            torch.randn(4, 6, generator=rng),
            None if label is None else torch.from_numpy(label),
            4,
        )


def tensors(step):
    """Every tensor that a graph would refer to."""
    modules = [step.generator, step.discriminator]
    modules += [] if step.average is None else [step.average]
    found = [t for m in modules for t in m.state_dict().values()]
    for optimiser in (step.g_optimiser, step.d_optimiser):
        found += [t for state in optimiser.state.values() for t in state.values()]
    return [*found, step.sums]


def test_on_a_cpu_the_step_itself_is_run():
    step = step_of(spec_of())
    assert captured(step, step.example(SIZE)) == (step, "eager")


@BOTH
@pytest.mark.parametrize("n_before", [0, 2], ids=["fresh", "in training"])
def test_rewinding_puts_every_tensor_back_in_its_place(changes, n_before):
    step = step_of(spec_of(lr_generator=1e-2, lr_discriminator=1e-2, **changes))
    run(step, range(n_before))
    before = [t.clone() for t in tensors(step)]
    rewind = _Rewind(step)
    run(step, range(10, 13))
    after = tensors(step)
    places = [t.data_ptr() for t in after]
    values = [t.clone() for t in after]
    rewind.rewind(step)
    now = tensors(step)
    assert [t.data_ptr() for t in now] == places
    if n_before:
        assert all((t == was).all() for t, was in zip(now, before, strict=True))
        assert sum((a != b).any().item() for a, b in zip(values, before, strict=True)) > 30
    else:
        optimised = sum(
            len(s) for o in (step.g_optimiser, step.d_optimiser) for s in o.state.values()
        )
        assert optimised > 30 and len(now) == len(before) + optimised
        states = now[len(now) - 1 - optimised : -1]
        assert all((t == 0).all() for t in states)
        rest = [*now[: len(now) - 1 - optimised], now[-1]]
        assert all((t == was).all() for t, was in zip(rest, before, strict=True))


@BOTH
@pytest.mark.parametrize("n_before", [0, 2], ids=["fresh", "in training"])
def test_after_rewinding_training_goes_on_as_if_nothing_had_been(changes, n_before):
    spec = spec_of(lr_generator=1e-2, lr_discriminator=1e-2, **changes)
    plain, rewound = step_of(spec), step_of(spec)
    for step in (plain, rewound):
        run(step, range(n_before))
    rewind = _Rewind(rewound)
    run(rewound, range(10, 13))
    rewind.rewind(rewound)
    for step in (plain, rewound):
        run(step, range(20, 22))
    assert all((a == b).all() for a, b in zip(tensors(plain), tensors(rewound), strict=True))


# --- on a GPU -----------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 2e-3), ("bf16", 5e-2)])
@pytest.mark.parametrize("changes", [{}, EVERYTHING], ids=["the paper", "everything"])
def test_a_captured_training_has_the_losses_of_an_eager_one(
    precision, tolerance, changes, monkeypatch
):
    spec = spec_of(n_epochs=2, dropout=0.0, **{**changes, "augment": ()}, precision=precision)
    frames = random_frames(22)  # the last batch is incomplete

    def trained():
        return train_gan(
            frames, spec, seed=1, device=torch.device("cuda"), label_N=labels_for(spec, len(frames))
        )

    graph = trained()
    assert graph.how == "captured"
    monkeypatch.setattr(module, "captured", lambda step, example: (step, "eager"))
    eager = trained()
    for mine, other in zip(losses(graph), losses(eager), strict=True):
        assert mine == pytest.approx(other, rel=tolerance, abs=tolerance)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_captured_step_draws_new_dropout_and_augmentations_each_time(precision):
    """Were a graph's draws frozen, steps that change no weights would all have the same losses."""
    spec = spec_of(
        n_epochs=3, images_per_epoch=4, lr_generator=1e-30, lr_discriminator=1e-30, dropout=0.5,
        augment=("brightness", "translation", "cutout"), precision=precision,
    )  # fmt: skip
    frames = random_frames(1).repeat(4, axis=0)
    trained = train_gan(frames, spec, seed=1, device=torch.device("cuda"))
    assert trained.how == "captured"
    assert len({row.loss_d_real for row in trained.rows}) == 3


@pytest.mark.gpu
def test_a_captured_training_that_is_broken_off_ends_with_the_weights_of_one_that_is_not(tmp_path):
    from lussweep.models.generators.checkpoint import Checkpoints

    rates = {"lr_generator": 1e-3, "lr_discriminator": 1e-3}  # so that each step shows
    spec, device = spec_of(n_epochs=2, dropout=0.25, **rates), torch.device("cuda")
    frames, begun = random_frames(12), {}
    train_gan(
        frames, spec.model_copy(update={"n_epochs": 1}), seed=1, device=device,
        on_epoch=lambda row, generator, due: begun.update(copy_of(generator)),
    )  # fmt: skip
    whole = train_gan(frames, spec, seed=1, device=device)

    class Broken(Exception):
        pass

    def break_off(row, generator, due):
        raise Broken

    options = {"seed": 1, "device": device}
    with pytest.raises(Broken):
        train_gan(
            frames, spec, **options, on_epoch=break_off,
            checkpoints=Checkpoints(tmp_path, "key", 0),
        )  # fmt: skip
    resumed = train_gan(frames, spec, **options, checkpoints=Checkpoints(tmp_path, "key", 0))
    first, second = copy_of(whole.generator), copy_of(resumed.generator)
    apart = sum(float((first[k].float() - second[k].float()).abs().sum()) for k in first)
    moved = sum(float((first[k].float() - begun[k].float()).abs().sum()) for k in first)
    assert apart < 0.1 * moved, "the second epoch moves the weights far more than they differ"


@pytest.mark.gpu
def test_a_step_that_cannot_be_captured_runs_as_it_is(monkeypatch):
    """Reading a value from the device breaks a capture; dropout must draw all the same after it."""
    original = GanStep.__call__

    def reading(self, *arguments):
        original(self, *arguments)
        self.sums.sum().item()

    monkeypatch.setattr(GanStep, "__call__", reading)
    spec = spec_of(n_epochs=2, dropout=0.5)
    trained = train_gan(random_frames(8), spec, seed=1, device=torch.device("cuda"))
    assert trained.how.startswith("eager: the step could not be captured")
    assert np.isfinite(losses(trained)).all()
