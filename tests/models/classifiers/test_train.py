import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from lussweep.models.classifiers import step as step_module
from lussweep.models.classifiers import train as module
from lussweep.models.classifiers.dataset import TrainSet
from lussweep.models.classifiers.search_space import TrialConfig
from lussweep.models.classifiers.step import ClassifierStep, predict
from lussweep.models.classifiers.train import TrialEpoch, better, n_epoch_images, train_classifier
from lussweep.models.classifiers.vgg import ReducedVGG
from lussweep.models.training.pool import FramePool
from lussweep.study.spec import AugmentSpec, ClassifierSpec

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.any_processor]
CPU = torch.device("cpu")
SIZE = 64
CONFIG = TrialConfig(0.003, {"channels": 1, "dropout": 0.05})


def stripes(n, label, seed=0):
    """Stripes along the rows for negatives, along the columns for positives, and much noise."""
    rng = np.random.default_rng([seed, label])
    period = rng.integers(6, 10, (n, 1, 1))
    phase = rng.integers(0, 10, (n, 1, 1))
    wave = 60 * (((np.arange(SIZE)[None, None] + phase) % period) < period // 2)
    images = np.broadcast_to(wave, (n, SIZE, SIZE))
    images = images if label else images.transpose(0, 2, 1)
    return (images + rng.integers(40, 120, (n, SIZE, SIZE))).astype(np.uint8)


def train_set_of(n_neg=8, n_pos=8, n_real=8):
    frames = np.concatenate([stripes(n_neg, 0), stripes(n_pos, 1)])
    return TrainSet(frames, n_neg, {}, n_real_per_class=n_real)


VAL_LABELS = np.arange(20) % 2
VAL_IMAGES = np.stack([stripes(1, label, 100 + i)[0] for i, label in enumerate(VAL_LABELS)])
VAL_POOL = FramePool(VAL_IMAGES, None, CPU)


def spec_of(**changes):
    return ClassifierSpec(**{"n_epochs": 2, "batch_size": 8, "batchnorm_momentum": 0.1, **changes})


def train(spec, train_set=None, seed=1, config=CONFIG, val=(VAL_POOL, VAL_LABELS), **more):
    return train_classifier(train_set or train_set_of(), *val, config, spec, seed=seed, **more)


def equal(first, second):
    return first.keys() == second.keys() and all((first[k] == second[k]).all() for k in first)


def without_seconds(rows):
    return [{k: v for k, v in vars(row).items() if k != "seconds"} for row in rows]


# --- learning -----------------------------------------------------------------------------


def test_two_classes_that_are_plain_to_see_are_told_apart():
    spec = spec_of(n_epochs=8, patience=8, images_per_epoch=160)
    trained = train(spec, train_set_of(40, 40, 40))
    assert trained.best.val_accuracy >= 0.9
    assert trained.best.val_loss < 0.3
    assert trained.rows[-1].train_loss < 0.5 * trained.rows[0].train_loss
    probability = predict(loaded(trained), VAL_POOL, 64)
    assert ((probability >= 0.5) == VAL_LABELS).mean() == trained.best.val_accuracy


def loaded(trained):
    model = ReducedVGG(SIZE, **CONFIG.hyperparameters)
    model.load_state_dict(trained.weights)
    return model


def test_a_row_says_what_the_weights_of_its_epoch_do_on_validation():
    trained = train(spec_of())
    probability = predict(loaded(trained), VAL_POOL, 64)
    row = trained.best
    assert row.val_correct == ((probability >= 0.5) == VAL_LABELS).sum()
    assert row.val_accuracy == row.val_correct / len(VAL_LABELS)
    of_truth = np.where(VAL_LABELS == 1, probability, 1 - probability)
    assert row.val_loss == pytest.approx(-np.log(of_truth).mean(), rel=1e-9)


def test_prediction_does_not_depend_on_the_batch_size():
    model = loaded(train(spec_of()))
    whole = predict(model, VAL_POOL, 64)
    assert whole.dtype == np.float64
    assert np.allclose(predict(model, VAL_POOL, 3), whole, atol=1e-5)
    assert (whole > 0).all()
    assert (whole < 1).all()


def test_the_optimiser_has_the_constants_of_keras(monkeypatch):
    made = []
    original = torch.optim.RMSprop

    def record(*arguments, **settings):
        made.append(original(*arguments, **settings))
        return made[-1]

    monkeypatch.setattr(torch.optim, "RMSprop", record)
    train(spec_of(n_epochs=1))
    (settings,) = made[0].param_groups
    assert (settings["alpha"], settings["eps"], settings["lr"]) == (0.9, 1e-7, 0.003)
    assert (settings["momentum"], settings["centered"], settings["weight_decay"]) == (0, False, 0)


# --- the best epoch -----------------------------------------------------------------------


def row(correct, loss, epoch=1, auroc=0.5):
    return TrialEpoch(epoch, 0, 0.0, loss, 0.0, correct, auroc, 0.0)


def test_more_correct_frames_are_better_and_of_ties_the_lower_loss():
    def is_better(one, other):
        return better(one, other, "accuracy")

    assert is_better(row(11, 0.9, auroc=0.1), row(10, 0.1, auroc=0.9))
    assert not is_better(row(10, 0.1), row(11, 0.9))
    assert is_better(row(10, 0.1), row(10, 0.2))
    assert not is_better(row(10, 0.2), row(10, 0.1))
    assert not is_better(row(10, 0.1, epoch=2), row(10, 0.1, epoch=1)), "the earlier stays"
    assert not is_better(row(10, float("nan")), row(10, 0.1))


def test_by_auroc_the_ranking_of_frames_is_what_counts():
    def is_better(one, other):
        return better(one, other, "auroc")

    assert is_better(row(3, 0.9, auroc=0.9), row(19, 0.1, auroc=0.8))
    assert is_better(row(3, 0.1, auroc=0.9), row(19, 0.2, auroc=0.9))
    assert not is_better(row(19, 0.1, auroc=None), row(3, 0.9, auroc=0.1))


def scripted(monkeypatch, script):
    """Validation goes by `script`: (correct of 20, probability of the truth where correct)."""
    epochs = iter(script)

    def pretend(model, pool, batch_size, precision):
        n_correct, confidence = next(epochs)
        right = np.arange(20) < n_correct
        truth = np.where(right, confidence, 0.4)
        return np.where(VAL_LABELS == 1, truth, 1 - truth)

    monkeypatch.setattr(module, "predict", pretend)


def test_the_best_epoch_is_kept_with_its_weights(monkeypatch):
    script = [(10, 0.9), (12, 0.6), (12, 0.8), (12, 0.8), (11, 0.99)]
    scripted(monkeypatch, script)
    trained = train(spec_of(n_epochs=5, patience=5))
    assert [r.val_correct for r in trained.rows] == [10, 12, 12, 12, 11]
    assert trained.best == trained.rows[2]
    scripted(monkeypatch, script)
    shorter = train(spec_of(n_epochs=3, patience=5))
    assert shorter.best.epoch == 3
    assert equal(shorter.weights, trained.weights)
    scripted(monkeypatch, [(10, 0.9), (12, 0.6), (12, 0.8), (13, 0.8), (11, 0.99)])
    assert not equal(train(spec_of(n_epochs=5, patience=5)).weights, trained.weights)


# --- early stopping -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("confidences", "patience", "n_epochs"),
    [
        ((0.6, 0.7, 0.8, 0.9), 1, 4),  # better all the time
        ((0.9, 0.8, 0.7, 0.6), 2, 3),
        ((0.9, 0.9, 0.95, 0.6), 1, 2),  # as good as before is no improvement
        ((0.7, 0.6, 0.8, 0.7, 0.7, 0.9), 2, 5),  # an improvement starts the count anew
        ((0.9, 0.8, 0.8, 0.95), 3, 4),
    ],
)
def test_training_stops_when_validation_loss_has_not_improved(
    monkeypatch, confidences, patience, n_epochs
):
    scripted(monkeypatch, [(20, c) for c in confidences])
    trained = train(spec_of(n_epochs=len(confidences), patience=patience))
    assert [r.epoch for r in trained.rows] == list(range(1, n_epochs + 1))


def test_training_may_stop_by_the_training_loss_instead(monkeypatch):
    losses = iter([3.0, 2.0, 2.5, 2.1, 2.0, 1.0])

    def pretend(logits, target):
        return logits.sum() * 0 + next(losses)

    monkeypatch.setattr(step_module, "cross_entropy", pretend)
    one_batch = {"n_epochs": 6, "images_per_epoch": 8, "patience": 3}
    scripted(monkeypatch, [(20, 0.6 + 0.05 * i) for i in range(6)])
    trained = train(spec_of(early_stopping="train_loss", **one_batch))
    assert [r.train_loss for r in trained.rows] == pytest.approx([3.0, 2.0, 2.5, 2.1, 2.0])
    losses = iter([3.0, 2.0, 2.5, 2.1, 2.0, 1.0])
    scripted(monkeypatch, [(20, 0.6 + 0.05 * i) for i in range(6)])
    assert len(train(spec_of(early_stopping="val_loss", **one_batch)).rows) == 6


# --- images an epoch ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("images_per_epoch", "expected"),
    [("parity", 24), ("equal", 10), (16, 16), (40, 40), (7, 6), (1, 2)],
)
def test_an_epoch_has_as_many_images_as_asked_for(images_per_epoch, expected):
    train_set = train_set_of(n_neg=5, n_pos=12, n_real=5)
    spec = spec_of(images_per_epoch=images_per_epoch)
    assert n_epoch_images(spec, train_set) == expected
    trained = train(spec, train_set)
    assert trained.images_per_epoch == expected
    assert [r.n_images_seen for r in trained.rows] == [expected, 2 * expected]


def test_a_last_batch_of_any_size_is_kept():
    trained = train(spec_of(n_epochs=1, batch_size=3, images_per_epoch=10))
    assert trained.rows[0].n_images_seen == 10
    assert np.isfinite(trained.rows[0].train_loss)


def test_training_loss_is_a_mean_over_images_and_not_over_batches(monkeypatch):
    values = iter([1.0, 1.0, 1.0, 4.0])  # batches of 3, 3, 3 and 1
    monkeypatch.setattr(
        step_module, "cross_entropy", lambda logits, target: logits.sum() * 0 + next(values)
    )
    trained = train(spec_of(n_epochs=1, batch_size=3, images_per_epoch=10))
    assert trained.rows[0].train_loss == pytest.approx(1.3)


def test_labels_go_with_their_images(monkeypatch):
    neg, pos = np.full((3, SIZE, SIZE), 10, np.uint8), np.full((5, SIZE, SIZE), 20, np.uint8)
    train_set = TrainSet(np.concatenate([neg, pos]), 3, {}, 3)
    seen = []
    monkeypatch.setattr(module, "augment", lambda images, spec, rng: seen.append(images) or images)
    targets = []
    original = step_module.cross_entropy
    monkeypatch.setattr(
        step_module,
        "cross_entropy",
        lambda logits, target: targets.append(target) or original(logits, target),
    )
    train(spec_of(n_epochs=1), train_set)
    levels = torch.cat(seen)[:, 0, 0]
    assert (levels == 10 + 10 * torch.cat(targets)).all()
    assert len(levels) == 10


# --- randomness ---------------------------------------------------------------------------


def test_one_seed_gives_one_classifier_and_another_seed_another():
    first, again = train(spec_of()), train(spec_of())
    assert equal(first.weights, again.weights)
    assert without_seconds(first.rows) == without_seconds(again.rows)
    assert not equal(train(spec_of(), seed=2).weights, first.weights)


def test_ambient_randomness_neither_matters_nor_changes():
    torch.manual_seed(0)
    np.random.seed(0)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = train(spec_of())
    assert (torch.get_rng_state() == state).all()
    assert (np.random.get_state()[1] == numpy_state).all()
    torch.manual_seed(12345)
    assert equal(train(spec_of()).weights, first.weights)


def test_validation_does_not_reach_the_weights():
    one_epoch = spec_of(n_epochs=1)
    first = train(one_epoch)
    other = train(one_epoch, val=(FramePool(VAL_IMAGES[:3], None, CPU), 1 - VAL_LABELS[:3]))
    assert equal(first.weights, other.weights)


def test_augmentation_reaches_the_weights():
    without = spec_of(n_epochs=1, augment=AugmentSpec(probability=0))
    assert not equal(train(without).weights, train(spec_of(n_epochs=1)).weights)


def test_the_images_are_left_as_they_were():
    train_set = train_set_of()
    before = {label: images.copy() for label, images in train_set.images.items()}
    train(spec_of(), train_set)
    assert all((train_set.images[label] == images).all() for label, images in before.items())


def test_selection_by_auroc_keeps_another_epoch(monkeypatch):
    def scores(n_right, order):
        """n right of 20 at the threshold, and all pairs in order, or none."""
        confidence = np.where(np.arange(20) < n_right, 0.9, 0.4)
        score = np.where(VAL_LABELS == 1, confidence, 1 - confidence)
        return score if order == "mixed" else 0.5 - 0.1 * order + 0.05 * VAL_LABELS

    script = [scores(15, "mixed"), scores(0, 1), scores(12, "mixed")]

    def trained(select_by):
        epochs = iter(script)
        monkeypatch.setattr(module, "predict", lambda *arguments: next(epochs))
        return train(spec_of(n_epochs=3), select_by=select_by)

    by_accuracy, by_auroc = trained("accuracy"), trained("auroc")
    expected = [roc_auc_score(VAL_LABELS, score) for score in script]
    assert [r.val_auroc for r in by_auroc.rows] == pytest.approx(expected, abs=1e-12)
    assert (by_accuracy.best.epoch, by_auroc.best.epoch) == (1, 2)
    assert (by_auroc.val_score_N == script[1]).all()


def test_a_hopeless_trial_ends_there_with_its_best_epoch():
    spec, asked = spec_of(n_epochs=4, patience=4), []

    def is_hopeless(row):
        asked.append(row.epoch)
        return row.epoch == 2

    trained = train(spec, is_hopeless=is_hopeless)
    assert (trained.ended, asked, len(trained.rows)) == ("pruned", [1, 2], 2)
    assert trained.best in trained.rows
    assert train(spec_of(n_epochs=2), is_hopeless=lambda row: row.epoch == 2).ended == "epochs"


def test_bf16_starts_with_the_loss_of_float32_and_keeps_float32_weights():
    one_batch = {"n_epochs": 1, "images_per_epoch": 8}
    plain, half = train(spec_of(**one_batch)), train(spec_of(**one_batch, precision="bf16"))
    assert not equal(half.weights, plain.weights)
    floats = [t for t in half.weights.values() if t.is_floating_point()]
    assert {t.dtype for t in floats} == {torch.float32}
    assert half.rows[0].train_loss == pytest.approx(plain.rows[0].train_loss, rel=2e-2)


def test_bf16_learns_too():
    spec = spec_of(n_epochs=5, patience=5, images_per_epoch=80, precision="bf16")
    rows = train(spec, train_set_of(40, 40, 40)).rows
    assert rows[-1].train_loss < 0.5 * rows[0].train_loss


def test_chunks_of_augmentation_are_whole_batches(monkeypatch):
    """Only an epoch's last batch may be smaller, or a captured step would run uncaptured."""
    monkeypatch.setattr(module, "AUGMENTED_AT_ONCE", 7)
    sizes = []
    original = ClassifierStep.__call__

    def watched(self, images, label_N):
        sizes.append(len(images))
        original(self, images, label_N)

    monkeypatch.setattr(ClassifierStep, "__call__", watched)
    train(spec_of(n_epochs=1, batch_size=3, images_per_epoch=20))
    assert sizes == [3] * 6 + [2]


def test_a_diverged_network_is_never_better() -> None:
    """NaN compares as negative, which would be most correct where negatives prevail."""
    import time

    import numpy as np

    from lussweep.models.classifiers.train import _row, better

    labels = np.array([0] * 7 + [1] * 3)
    honest = _row(1, 10, 0.5, np.where(labels, 0.6, 0.4), labels, time.perf_counter())
    diverged = _row(2, 20, 0.5, np.full(10, np.nan), labels, time.perf_counter())
    assert diverged.val_correct == 0
    assert better(honest, diverged, "accuracy")
    assert not better(diverged, honest, "accuracy")
