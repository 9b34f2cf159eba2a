import numpy as np
import pytest
import torch

from lussweep.models.classifiers import train as module
from lussweep.models.classifiers.dataset import TrainSet
from lussweep.models.classifiers.network import set_batchnorm_momentum
from lussweep.models.classifiers.search_space import TrialConfig
from lussweep.models.classifiers.step import ClassifierStep, predict
from lussweep.models.classifiers.train import train_classifier
from lussweep.models.classifiers.vgg import ReducedVGG
from lussweep.models.training.capture import _Rewind, captured
from lussweep.models.training.pool import FramePool
from lussweep.study.spec import AugmentSpec, ClassifierSpec
from support.host_reads import HostReads, host_reads

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.any_processor]
CPU = torch.device("cpu")
SIZE, BATCH = 64, 4


def step_of(precision="fp32", dropout=0.25):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ReducedVGG(SIZE, 1, dropout)
    set_batchnorm_momentum(model, 0.1)
    return ClassifierStep(model, 0.003, precision, CPU)


def batch(seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(256, size=(BATCH, SIZE, SIZE), dtype=np.uint8)
    return torch.from_numpy(images), torch.arange(BATCH) % 2


def tensors(step):
    states = step.optimiser.state.values()
    return [
        *step.model.state_dict().values(),
        *(t for state in states for t in state.values()),
        step.sums,
    ]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_reads_no_value_from_the_device(precision, monkeypatch):
    step = step_of(precision)
    first, second = batch(1), batch(2)
    assert host_reads(lambda: (step(*first), step(*second)), monkeypatch) == []


def test_an_epoch_reads_one_value_a_chunk_and_none_a_batch(monkeypatch):
    """That of a chunk is drawn on the CPU: the seed of its noise."""
    monkeypatch.setattr(module, "AUGMENTED_AT_ONCE", 2 * BATCH)

    def n_reads(images_per_epoch):
        spec = ClassifierSpec(n_epochs=2, batch_size=BATCH, images_per_epoch=images_per_epoch)
        with HostReads() as reads:
            train(spec)
        return reads.n

    more_chunks, n_epochs = 3, 2
    assert n_reads(7 * BATCH) == n_reads(BATCH) + n_epochs * more_chunks


def test_sums_hold_the_loss_of_every_image():
    step = step_of(dropout=0.0)
    expected = 0.0
    for seed in (1, 2):
        images, label = batch(seed)
        with torch.no_grad():
            step.model.train()
            before = {k: v.clone() for k, v in step.model.state_dict().items()}
            loss = torch.nn.functional.cross_entropy(step.model(images), label)
            step.model.load_state_dict(before)
        expected += BATCH * float(loss)
        step(images, label)
    assert float(step.sums) == pytest.approx(expected, rel=1e-6)


def test_on_a_cpu_the_step_itself_is_run():
    step = step_of()
    assert captured(step, batch(0)) == (step, "eager")


@pytest.mark.parametrize("n_before", [0, 2], ids=["fresh", "in training"])
def test_rewinding_puts_every_tensor_back_in_its_place(n_before):
    plain, rewound = step_of(dropout=0.0), step_of(dropout=0.0)
    for step in (plain, rewound):
        for seed in range(n_before):
            step(*batch(seed))
    rewind = _Rewind(rewound)
    for seed in range(10, 13):
        rewound(*batch(seed))
    places = [t.data_ptr() for t in tensors(rewound)]
    assert any((a != b).any() for a, b in zip(tensors(plain), tensors(rewound), strict=False))
    rewind.rewind(rewound)
    assert [t.data_ptr() for t in tensors(rewound)] == places
    for step in (plain, rewound):
        step(*batch(20))
    assert all((a == b).all() for a, b in zip(tensors(plain), tensors(rewound), strict=True))


# --- training with it -------------------------------------------------------------------------


def train(spec, device=CPU, dropout=0.0):
    rng = np.random.default_rng(1)
    images = {
        label: rng.integers(low, low + 100, (10, SIZE, SIZE)).astype(np.uint8)
        for label, low in (("neg", 0), ("pos", 60))
    }
    frames = np.concatenate([images["neg"], images["pos"]])
    val = FramePool(np.concatenate([images["neg"][:5], images["pos"][:5]]), None, device)
    labels = np.repeat([0, 1], 5)
    config = TrialConfig(0.003, {"channels": 1, "dropout": dropout})
    return train_classifier(TrainSet(frames, 10, {}, 10), val, labels, config, spec, seed=1)


@pytest.mark.parametrize("faults", ["corrected", "us_dcgan"])
def test_both_kinds_of_augmentation_can_be_trained_with(faults):
    spec = ClassifierSpec(n_epochs=2, augment=AugmentSpec(faults=faults), batchnorm_momentum=0.1)
    trained = train(spec)
    assert [np.isfinite(row.train_loss) for row in trained.rows] == [True, True]


# --- on a GPU ---------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 2e-3), ("bf16", 5e-2)])
@pytest.mark.parametrize("faults", ["corrected", "us_dcgan"])
def test_a_captured_training_has_the_losses_of_an_eager_one(
    precision, tolerance, faults, monkeypatch
):
    spec = ClassifierSpec(
        n_epochs=2,
        images_per_epoch=22,
        precision=precision,
        patience=5,
        batchnorm_momentum=0.1,
        augment=AugmentSpec(faults=faults),
    )  # fmt: skip  (the last batch is incomplete)
    device, how = torch.device("cuda"), []

    def watched(step, example):
        run, told = captured(step, example)
        how.append(told)
        return run, told

    monkeypatch.setattr(module, "captured", watched)
    graph = train(spec, device)
    monkeypatch.setattr(module, "captured", lambda step, example: (step, "eager"))
    eager = train(spec, device)
    assert how == ["captured"]
    for mine, other in zip(graph.rows, eager.rows, strict=True):
        assert mine.train_loss == pytest.approx(other.train_loss, rel=tolerance, abs=tolerance)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_captured_step_draws_new_dropout_each_time(precision):
    """Were a graph's draws frozen, steps that change no weights would all have the same loss."""
    device = torch.device("cuda")
    model = ReducedVGG(SIZE, 1, 0.5)
    step = ClassifierStep(model, 1e-30, precision, device)
    images, label = (tensor.to(device) for tensor in batch(1))
    run, how = captured(step, (images, label))
    assert how == "captured"
    losses = []
    for _ in range(3):
        step.sums.zero_()
        run(images, label)
        losses.append(float(step.sums))
    assert len(set(losses)) == 3


@pytest.mark.gpu
def test_a_gpu_gives_about_the_scores_of_a_cpu():
    step = step_of(dropout=0.0)
    images = batch(3)[0].numpy()
    cpu = predict(step.model, FramePool(images, None, CPU), 3)
    device = torch.device("cuda")
    gpu = predict(step.model.to(device), FramePool(images, None, device), 3)
    assert np.allclose(cpu, gpu, atol=1e-3)
