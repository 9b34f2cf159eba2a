"""The training of one classifier, as a plain PyTorch function."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from lussweep.metrics.auroc import auroc
from lussweep.models.classifiers.augment import augment
from lussweep.models.classifiers.dataset import TrainSet, epoch_indices
from lussweep.models.classifiers.network import build_network, set_batchnorm_momentum
from lussweep.models.classifiers.search_space import TrialConfig
from lussweep.models.classifiers.step import ClassifierStep, predict
from lussweep.models.training.capture import captured
from lussweep.models.training.pool import FramePool
from lussweep.models.training.precision import full_precision
from lussweep.study.keys import derive_seed
from lussweep.study.spec import ClassifierSpec

THRESHOLD = 0.5
"""A frame at or above the threshold is called positive, as on the holdout."""
AUGMENTED_AT_ONCE = 512
"""Images augmented together. They keep a GPU busy, yet take little memory beside activations."""


@dataclass(frozen=True)
class TrialEpoch:
    """One epoch of one trial. Losses are in nats, means over frames.

    `val_auroc` is None if any score is not finite.
    """

    epoch: int
    n_images_seen: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    val_correct: int
    val_auroc: float | None
    seconds: float


Ended = Literal["epochs", "patience", "pruned"]


@dataclass(frozen=True)
class Trained:
    """The result of a training: all epochs, and the weights and validation scores of the best."""

    rows: list[TrialEpoch]
    best: TrialEpoch
    weights: Mapping[str, torch.Tensor]
    val_score_N: np.ndarray
    images_per_epoch: int
    how: str
    """How steps ran: `captured`, or `eager` with the reason."""
    ended: Ended
    """Why training ended. epochs: all epochs were done. patience: no improvement. pruned: the trial
    was not among the best of its search."""


def merit(row: TrialEpoch, select_by: str) -> float:
    """The value that selection maximises: correct validation frames, or validation AUC-ROC."""
    if select_by == "accuracy":
        return row.val_correct
    return -math.inf if row.val_auroc is None else row.val_auroc


def better(row: TrialEpoch, than: TrialEpoch, select_by: str) -> bool:
    """Whether `row` has more merit than `than`, or the same merit and a lower validation loss."""
    return (merit(row, select_by), -row.val_loss) > (merit(than, select_by), -than.val_loss)


def n_epoch_images(spec: ClassifierSpec, train_set: TrainSet) -> int:
    """Images per epoch: always an even number, half from each class.

    `parity` gives twice the larger class, `equal` twice the cohort's F.
    """
    if spec.images_per_epoch == "parity":
        return 2 * max(train_set.n_neg, train_set.n_pos)
    if spec.images_per_epoch == "equal":
        return 2 * train_set.n_real_per_class
    return 2 * max(1, spec.images_per_epoch // 2)


def train_classifier(
    train_set: TrainSet,
    val: FramePool,
    val_label_N: np.ndarray,
    config: TrialConfig,
    spec: ClassifierSpec,
    *,
    seed: int,
    select_by: str = "accuracy",
    is_hopeless: Callable[[TrialEpoch], bool] = lambda row: False,
    show: Callable[[TrialEpoch], None] = lambda row: None,
) -> Trained:
    """Train a network and keep the weights that do best on validation (paper section 2.4).

    `spec.kind` and the hyperparameters of `config` say which network. Training runs on the device
    of `val`. val_label_N: 0 or 1. `is_hopeless` is asked after every epoch but the last. The trial
    ends if it returns True. `show` is called after every epoch.
    """
    device = val.device
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), full_precision():
        # --- set up: network, optimiser, the order of images
        torch.manual_seed(derive_seed(seed, "initialisation and dropout"))
        model = build_network(spec.kind, config.hyperparameters, val.frames.shape[1])
        set_batchnorm_momentum(model, spec.batchnorm_momentum)
        step = ClassifierStep(model, config.learning_rate, spec.precision, device)
        epochs = _Epochs(train_set, step, spec, seed)
        rows: list[TrialEpoch] = []
        best: TrialEpoch | None = None
        weights: Mapping[str, torch.Tensor] = {}
        val_score_N = np.empty(0)
        lowest, n_worse = math.inf, 0
        ended: Ended = "epochs"

        for epoch in range(1, spec.n_epochs + 1):
            # --- one epoch of training, then a judgement of all validation frames
            started = time.perf_counter()
            train_loss = epochs.run()
            score_N = predict(model, val, spec.eval_batch_size, spec.precision)
            row = _row(epoch, epoch * epochs.n_images, train_loss, score_N, val_label_N, started)
            rows.append(row)
            show(row)

            # --- the best epoch so far keeps its weights and scores
            if best is None or better(row, best, select_by):
                best, val_score_N = row, score_N
                # A file holds rows in their order, whatever the layout of the network in memory.
                rows_first = torch.contiguous_format
                weights = {
                    name: value.detach().cpu().clone(memory_format=rows_first)
                    for name, value in model.state_dict().items()
                }

            # --- early stopping, and the search's pruner
            watched = row.val_loss if spec.early_stopping == "val_loss" else row.train_loss
            n_worse = 0 if watched < lowest else n_worse + 1
            lowest = min(lowest, watched)
            if epoch == spec.n_epochs:
                break
            if n_worse >= spec.patience:
                ended = "patience"
                break
            if is_hopeless(row):
                ended = "pruned"
                break
    assert best is not None
    return Trained(rows, best, weights, val_score_N, epochs.n_images, epochs.how, ended)


class _Epochs:
    """Epochs over the training frames, in the order that one seed gives."""

    def __init__(
        self, train_set: TrainSet, step: ClassifierStep, spec: ClassifierSpec, seed: int
    ) -> None:
        self.spec, self.step = spec, step
        self.n_neg, self.n_pos = train_set.n_neg, train_set.n_pos
        self.n_images = n_epoch_images(spec, train_set)
        labels = np.repeat([0, 1], [self.n_neg, self.n_pos])
        self.pool = FramePool(train_set.frames, labels, step.device)
        self.order_rng = np.random.default_rng(derive_seed(seed, "order"))
        self.augment_rng = torch.Generator().manual_seed(derive_seed(seed, "augmentation"))
        images, label_N = self.pool.take(
            self.pool.place(torch.arange(spec.batch_size) % len(labels))
        )
        dtype = torch.float32 if spec.augment.faults == "us_dcgan" else torch.uint8
        self.run_step, self.how = captured(step, (images.to(dtype), label_N))

    def run(self) -> float:
        """Run one epoch and return the mean loss in nats."""
        size = self.spec.batch_size
        self.step.model.train()
        self.step.sums.zero_()
        classes, within = epoch_indices(self.n_pos, self.n_neg, self.n_images, self.order_rng)
        order = self.pool.place(torch.from_numpy(within + classes * self.n_neg))
        for chunk in order.split(max(1, AUGMENTED_AT_ONCE // size) * size):
            images, label_N = self.pool.take(chunk)
            images = augment(images, self.spec.augment, self.augment_rng)
            assert label_N is not None, "a training frame has a label"
            for batch in zip(images.split(size), label_N.split(size), strict=True):
                self.run_step(*batch)
        return float(self.step.sums) / len(order)


def _row(
    epoch: int,
    n_images_seen: int,
    train_loss: float,
    score_N: np.ndarray,
    label_N: np.ndarray,
    started: float,
) -> TrialEpoch:
    true_class_N = np.where(label_N == 1, score_N, 1 - score_N)
    # NaN counts as wrong. `NaN >= THRESHOLD` is False, so a diverged network would otherwise be
    # right about every negative frame.
    finite = np.isfinite(score_N)
    right = ((score_N >= THRESHOLD) == (label_N == 1)) & finite
    correct = int(right.sum())
    val_loss = float(-np.log(np.maximum(true_class_N, 1e-12)).mean())
    return TrialEpoch(
        epoch=epoch,
        n_images_seen=n_images_seen,
        train_loss=train_loss,
        val_loss=val_loss if math.isfinite(val_loss) else math.inf,
        val_accuracy=correct / len(label_N),
        val_correct=correct,
        val_auroc=auroc(label_N, score_N) if finite.all() else None,
        seconds=time.perf_counter() - started,
    )
