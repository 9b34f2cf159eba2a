"""Training one classifier: a plain PyTorch function."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from lussweep.classifier.augment import augment
from lussweep.classifier.search_space import TrialConfig
from lussweep.data.dataset import TrainSet, epoch_indices
from lussweep.keys import derive_seed
from lussweep.models.vgg import ReducedVGG
from lussweep.spec import ClassifierSpec

THRESHOLD = 0.5
"""A frame at the threshold is called positive, here as on holdout."""
RMSPROP = {"alpha": 0.9, "eps": 1e-7}
"""Keras's defaults (rho 0.9, epsilon 1e-7)."""


@dataclass(frozen=True)
class EpochRow:
    """One epoch of one trial; losses in nats, mean over frames."""

    epoch: int
    n_images_seen: int
    train_loss: float
    val_loss: float
    val_accuracy: float
    val_correct: int
    seconds: float


@dataclass(frozen=True)
class Trained:
    """Every epoch; weights and validation scores after the best one by validation."""

    rows: list[EpochRow]
    best: EpochRow
    weights: Mapping[str, torch.Tensor]
    val_score_N: np.ndarray
    images_per_epoch: int


def better(row: EpochRow, than: EpochRow) -> bool:
    """More correct validation frames; ties by lower loss. The earlier of equals stays."""
    return (row.val_correct, -row.val_loss) > (than.val_correct, -than.val_loss)


def n_epoch_images(spec: ClassifierSpec, train_set: TrainSet) -> int:
    """Images an epoch: parity follows the larger class, equal follows the cohort's F.

    Always an even number, half of it from each class.
    """
    if spec.images_per_epoch == "parity":
        return 2 * max(len(images) for images in train_set.images.values())
    if spec.images_per_epoch == "equal":
        return 2 * train_set.n_real_per_class
    return 2 * max(1, spec.images_per_epoch // 2)


def train_classifier(
    train_set: TrainSet,
    val_images_NSS: np.ndarray,
    val_labels_N: np.ndarray,
    config: TrialConfig,
    spec: ClassifierSpec,
    *,
    seed: int,
    device: torch.device,
    on_epoch: Callable[[EpochRow], None] = lambda row: None,
) -> Trained:
    """Train a reduced VGG and keep the weights that do best on validation (paper section 2.4)."""
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(derive_seed(seed, "initialisation and dropout"))
        model = ReducedVGG(
            val_images_NSS.shape[1], config.channels, config.dropout, spec.batchnorm_momentum
        )
        model = model.to(device, memory_format=torch.channels_last)
        return _train(
            model, train_set, val_images_NSS, val_labels_N, config, spec, seed, device, on_epoch
        )


def _train(
    model: ReducedVGG,
    train_set: TrainSet,
    val_images_NSS: np.ndarray,
    val_labels_N: np.ndarray,
    config: TrialConfig,
    spec: ClassifierSpec,
    seed: int,
    device: torch.device,
    on_epoch: Callable[[EpochRow], None],
) -> Trained:
    images = {c: torch.from_numpy(i).to(device) for c, i in train_set.images.items()}
    order_rng = np.random.default_rng(derive_seed(seed, "order"))
    augment_rng = torch.Generator().manual_seed(derive_seed(seed, "augmentation"))
    optimiser = torch.optim.RMSprop(model.parameters(), lr=config.learning_rate, **RMSPROP)
    n_images = n_epoch_images(spec, train_set)
    n_neg, n_pos = len(images["neg"]), len(images["pos"])
    pool = torch.cat([images["neg"], images["pos"]])
    rows: list[EpochRow] = []
    best: EpochRow | None = None
    weights: Mapping[str, torch.Tensor] = {}
    val_score_N = np.empty(0)
    lowest, n_worse, n_images_seen = float("inf"), 0, 0

    for epoch in range(1, spec.n_epochs + 1):
        started = time.perf_counter()
        model.train()
        total = torch.zeros((), dtype=torch.float64, device=device)
        classes, within = epoch_indices(n_pos, n_neg, n_images, order_rng)
        positions = torch.from_numpy(within + classes * n_neg).to(device)
        labels = torch.from_numpy(classes).to(device)
        for chosen, target in zip(
            positions.split(spec.batch_size), labels.split(spec.batch_size), strict=True
        ):
            batch = augment(pool[chosen], spec.augment, augment_rng)
            optimiser.zero_grad(set_to_none=True)
            loss = cross_entropy(model(batch), target)
            loss.backward()
            optimiser.step()
            total += loss.detach() * len(chosen)
        n_images_seen += len(positions)

        probabilities = predict(model, val_images_NSS, spec.eval_batch_size, device)
        train_loss = float(total) / len(positions)
        row = _row(epoch, n_images_seen, train_loss, probabilities, val_labels_N, started)
        rows.append(row)
        on_epoch(row)
        if best is None or better(row, best):
            best, val_score_N = row, probabilities
            weights = {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
        watched = row.val_loss if spec.early_stopping == "val_loss" else row.train_loss
        n_worse = 0 if watched < lowest else n_worse + 1
        lowest = min(lowest, watched)
        if n_worse >= spec.patience:
            break
    assert best is not None
    return Trained(rows, best, weights, val_score_N, n_images)


def predict(
    model: ReducedVGG, images_NSS: np.ndarray, batch_size: int, device: torch.device
) -> np.ndarray:
    """Probability of consolidation of each image, float64 (N,)."""
    model.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, len(images_NSS), batch_size):
            batch = torch.from_numpy(images_NSS[start : start + batch_size]).to(device)
            parts.append(model(batch).double().softmax(dim=1)[:, 1].cpu())
    return torch.cat(parts).numpy()


def _row(
    epoch: int,
    n_images_seen: int,
    train_loss: float,
    probability_N: np.ndarray,
    label_N: np.ndarray,
    started: float,
) -> EpochRow:
    of_truth = np.where(label_N == 1, probability_N, 1 - probability_N)
    # NaN compares as "negative": a diverged network must not win where negatives prevail.
    right = ((probability_N >= THRESHOLD) == (label_N == 1)) & np.isfinite(probability_N)
    correct = int(right.sum())
    val_loss = float(-np.log(np.maximum(of_truth, 1e-12)).mean())
    return EpochRow(
        epoch=epoch,
        n_images_seen=n_images_seen,
        train_loss=train_loss,
        val_loss=val_loss if math.isfinite(val_loss) else math.inf,
        val_accuracy=correct / len(label_N),
        val_correct=correct,
        seconds=time.perf_counter() - started,
    )
