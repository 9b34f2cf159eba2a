import copy

import numpy as np
import pytest
import torch

from lussweep.errors import InputError
from lussweep.models.generators.dcgan.networks import Generator
from lussweep.models.generators.dcgan.sample import (
    load_snapshot,
    sample,
    save_snapshot,
)
from lussweep.models.generators.seam import kept_snapshot, snapshot_path
from lussweep.study.spec import GanSpec

pytestmark = pytest.mark.any_processor

CPU = torch.device("cpu")
SPEC = GanSpec(latent_size=6, ngf=2)
BOTH = pytest.mark.parametrize("batchnorm", ["batch", "running"])


@pytest.fixture(scope="module")
def original():
    """With running statistics that are not those of a batch, and high contrast."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        made = Generator(64, 6, 2)
        for _ in range(40):
            made(torch.randn(8, 6))
        made.layers[-2].weight *= 600
    return made


@pytest.fixture
def generator(original):
    return copy.deepcopy(original)


def take(generator, n, batchnorm="batch", batch_size=4, seed=1, **label):
    options = {"batchnorm": batchnorm, "batch_size": batch_size, "seed": seed, **label}
    return sample(generator, n, device=CPU, **options)


def state(generator):
    return {name: value.clone() for name, value in generator.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all((first[k] == second[k]).all() for k in first)


# --- sampling -----------------------------------------------------------------------------


@BOTH
def test_frames_are_grey_levels_over_the_whole_range(generator, batchnorm):
    frames = take(generator, 10, batchnorm)
    assert frames.shape == (10, 64, 64)
    assert frames.dtype == np.uint8
    assert (frames.min(), frames.max()) == (0, 255)


@BOTH
def test_frames_are_the_rounded_output_of_the_generator(generator, batchnorm):
    frames = take(generator, 6, batchnorm)
    rng = torch.Generator().manual_seed(1)
    generator.train(batchnorm == "batch")
    with torch.no_grad():
        outputs = [generator(torch.randn(4, 6, generator=rng))[:, 0].numpy() for _ in range(2)]
    exact = (np.concatenate(outputs)[:6].astype(np.float64) + 1) * 127.5
    assert np.abs(frames - exact).max() <= 0.5 + 1e-4


@BOTH
def test_a_frame_does_not_depend_on_how_many_are_asked_for(generator, batchnorm):
    ten = take(generator, 10, batchnorm)
    for n in (1, 3, 4, 5, 9):
        assert (take(generator, n, batchnorm) == ten[:n]).all()


@BOTH
def test_one_seed_gives_the_same_frames_and_another_others(generator, batchnorm):
    assert (take(generator, 5, batchnorm) == take(generator, 5, batchnorm)).all()
    assert (take(generator, 5, batchnorm) != take(generator, 5, batchnorm, seed=2)).any()
    frames = take(generator, 8, batchnorm)
    assert len({frame.tobytes() for frame in frames}) == 8


def test_batch_statistics_and_running_statistics_give_other_frames(generator):
    assert (take(generator, 4, "batch") != take(generator, 4, "running")).any()


@BOTH
def test_sampling_leaves_the_generator_and_ambient_randomness_as_they_were(generator, batchnorm):
    for training in (True, False):
        generator.train(training)
        before, ambient = state(generator), torch.get_rng_state()
        take(generator, 5, batchnorm)
        assert same(state(generator), before)
        assert generator.training == training
        assert (torch.get_rng_state() == ambient).all()


# --- one class of two ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def conditional():
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        made = Generator(64, 6, 2, n_classes=2)
        for n in range(40):
            made(torch.randn(8, 6), torch.arange(n, n + 8) % 2)
        made.layers[-2].weight *= 600
    return made


@BOTH
@pytest.mark.parametrize("batch_size", [4, 5])
@pytest.mark.parametrize("label", [0, 1])
def test_a_frame_of_a_class_does_not_depend_on_how_many_are_asked_for(
    conditional, batchnorm, batch_size, label
):
    ten = take(conditional, 10, batchnorm, batch_size, class_label=label)
    assert len({frame.tobytes() for frame in ten}) == 10
    for n in (1, 2, 3, 4, 7):
        some = take(conditional, n, batchnorm, batch_size, class_label=label)
        assert (some == ten[:n]).all()


@BOTH
def test_frames_of_a_class_are_those_of_its_label_in_batches_of_both(conditional, batchnorm):
    made = copy.deepcopy(conditional).train(batchnorm == "batch")
    rng, batches = torch.Generator().manual_seed(1), []
    with torch.no_grad():
        for _ in range(3):
            batches.append(made(torch.randn(4, 6, generator=rng), torch.tensor([0, 1, 0, 1]))[:, 0])
    exact = (torch.stack(batches).numpy().astype(np.float64) + 1) * 127.5
    for label in (0, 1):
        found = take(conditional, 6, batchnorm, class_label=label)
        assert np.abs(found - exact[:, label::2].reshape(6, 64, 64)).max() <= 0.5 + 1e-4


def test_the_class_matters_to_a_conditional_generator_alone(generator, conditional):
    assert (take(generator, 4, class_label=0) == take(generator, 4, class_label=1)).all()
    assert (take(conditional, 4, class_label=0) != take(conditional, 4, class_label=1)).any()


# --- snapshots ----------------------------------------------------------------------------


@BOTH
def test_a_snapshot_gives_the_frames_of_the_generator_it_was_made_of(
    generator, tmp_path, batchnorm
):
    save_snapshot(generator, snapshot_path(tmp_path, 25))
    loaded = load_snapshot(snapshot_path(tmp_path, 25), SPEC, 64, CPU)
    assert same(state(loaded), state(generator))
    assert (take(loaded, 6, batchnorm) == take(generator, 6, batchnorm)).all()


def test_a_generator_in_another_memory_layout_can_be_saved(generator, tmp_path):
    before = state(generator)
    save_snapshot(generator.to(memory_format=torch.channels_last), snapshot_path(tmp_path, 1))
    assert same(state(load_snapshot(snapshot_path(tmp_path, 1), SPEC, 64, CPU)), before)


def test_snapshots_of_several_epochs_lie_side_by_side(generator, tmp_path):
    save_snapshot(generator, snapshot_path(tmp_path, 5))
    with torch.no_grad():
        generator.layers[0].weight += 1
    save_snapshot(generator, snapshot_path(tmp_path, 10))
    assert not same(
        state(load_snapshot(snapshot_path(tmp_path, 5), SPEC, 64, CPU)),
        state(load_snapshot(snapshot_path(tmp_path, 10), SPEC, 64, CPU)),
    )


def test_loading_leaves_ambient_randomness_as_it_was(generator, tmp_path):
    save_snapshot(generator, snapshot_path(tmp_path, 5))
    before = torch.get_rng_state()
    load_snapshot(snapshot_path(tmp_path, 5), SPEC, 64, CPU)
    assert (torch.get_rng_state() == before).all()


def test_a_dropped_snapshot_is_an_input_error_with_the_remedy(tmp_path):
    folder = tmp_path / "0123456789abcdef"
    with pytest.raises(
        InputError, match=r"snapshot 25 of 0123456789abcdef was dropped.*keep_snapshots"
    ):
        kept_snapshot(folder, 25)


@pytest.mark.parametrize(
    ("spec", "image_size"),
    [(GanSpec(latent_size=6, ngf=4), 64), (GanSpec(latent_size=7, ngf=2), 64), (SPEC, 128)],
    ids=["ngf", "latent size", "image size"],
)
def test_a_snapshot_of_another_architecture_is_an_input_error(
    generator, tmp_path, spec, image_size
):
    save_snapshot(generator, snapshot_path(tmp_path, 5))
    with pytest.raises(InputError, match="is not a snapshot of this GAN"):
        load_snapshot(snapshot_path(tmp_path, 5), spec, image_size, CPU)


@pytest.mark.parametrize(
    ("spec", "image_size", "mismatch"),
    [
        (
            GanSpec(latent_size=6, ngf=4), 64,
            r"layers\.0\.weight should be \(6, 32, 4, 4\), found \(6, 16, 4, 4\)",
        ),
        (
            GanSpec(latent_size=6, ngf=2, conditional=True), 64,
            r"layers\.0\.weight should be \(8, 16, 4, 4\), found \(6, 16, 4, 4\)",
        ),
        (SPEC, 32, r"layers\.0\.weight should be \(6, 8, 4, 4\), found \(6, 16, 4, 4\)"),
        (SPEC, 128, r"layers\.0\.weight should be \(6, 32, 4, 4\), found \(6, 16, 4, 4\)"),
    ],
    ids=["ngf", "conditional", "smaller", "larger"],
)  # fmt: skip
def test_a_mismatch_names_the_first_tensor_and_the_remedy(
    generator, tmp_path, spec, image_size, mismatch
):
    save_snapshot(generator, snapshot_path(tmp_path, 5))
    expected = rf"epoch_0005\.safetensors is not a snapshot of this GAN: {mismatch}: delete the"
    with pytest.raises(InputError, match=expected):
        load_snapshot(snapshot_path(tmp_path, 5), spec, image_size, CPU)


def test_a_conditional_snapshot_comes_back_as_it_was(conditional, tmp_path):
    save_snapshot(conditional, snapshot_path(tmp_path, 5))
    loaded = load_snapshot(
        snapshot_path(tmp_path, 5), SPEC.model_copy(update={"conditional": True}), 64, CPU
    )
    assert loaded.n_classes == 2
    assert (take(loaded, 5, class_label=1) == take(conditional, 5, class_label=1)).all()


@pytest.mark.parametrize("cut", [0, 5, -1])
def test_a_damaged_snapshot_is_an_input_error(generator, tmp_path, cut):
    save_snapshot(generator, snapshot_path(tmp_path, 5))
    path = snapshot_path(tmp_path, 5)
    path.write_bytes(path.read_bytes()[:cut])
    expected = r"epoch_0005\.safetensors cannot be read: .*: delete the GAN's folder"
    with pytest.raises(InputError, match=expected):
        load_snapshot(snapshot_path(tmp_path, 5), SPEC, 64, CPU)


def test_a_snapshot_that_was_not_finished_is_not_there(generator, tmp_path, monkeypatch):
    def stop(state, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("lussweep.models.generators.dcgan.sample.save_file", stop)
    with pytest.raises(KeyboardInterrupt):
        save_snapshot(generator, snapshot_path(tmp_path, 5))
    assert not snapshot_path(tmp_path, 5).exists()
