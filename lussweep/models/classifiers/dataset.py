"""The training frames of a recipe, from the sources of each class, and their order in an epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lussweep.study.keys import derive_seed
from lussweep.study.spec import CLASSES, MADE


@dataclass(frozen=True)
class TrainSet:
    """uint8 frames (N, S, S), negatives first, and how many came from each source."""

    frames: np.ndarray
    n_neg: int
    counts: Mapping[str, Mapping[str, int]]
    n_real_per_class: int
    """F: real frames of the smaller class. In a balanced cohort both classes have F."""

    @property
    def n_pos(self) -> int:
        """Number of positive frames."""
        return len(self.frames) - self.n_neg

    @property
    def images(self) -> dict[str, np.ndarray]:
        """Each class's frames, as views."""
        return {"neg": self.frames[: self.n_neg], "pos": self.frames[self.n_neg :]}


def make_train_set(
    sources: Mapping[str, Sequence[str]],
    real: Mapping[str, np.ndarray],
    masks: Mapping[str, np.ndarray],
    synthetic: Mapping[str, np.ndarray],
    seed: int,
) -> TrainSet:
    """Join the sources of each class of a recipe, in order.

    `real`, `synthetic` and `masks` hold arrays (N, S, S) by class, `neg` and `pos`. `synthetic`
    holds the frames of the class's source in MADE. The source `noise` is uniform grey noise, one
    image per real frame, inside that frame's sector mask. It is a control: it shows neither anatomy
    nor any sign of the class. Only `noise` uses `masks`.
    """

    def size(label: str, source: str) -> int:
        return len((synthetic if source in MADE else real)[label])

    def part(label: str, source: str) -> np.ndarray:
        if source == "real":
            return real[label]
        if source in MADE:
            return synthetic[label]
        return noise_images(masks[label], derive_seed(seed, "noise", label))

    counts = {label: dict.fromkeys(("real", *MADE, "noise"), 0) for label in CLASSES}
    for label in CLASSES:
        for source in sources[label]:
            counts[label][source] += size(label, source)
    totals = {label: sum(counts[label].values()) for label in CLASSES}
    # The array is filled in place, because a second copy of all frames would dominate memory.
    frames = np.empty((sum(totals.values()), *real["neg"].shape[1:]), np.uint8)
    start = 0
    for label in CLASSES:
        for source in sources[label]:
            stop = start + size(label, source)
            frames[start:stop] = part(label, source)
            start = stop
    n_real = min(len(real[label]) for label in CLASSES)
    return TrainSet(frames, totals["neg"], counts, n_real)


def noise_images(masks_NSS: np.ndarray, seed: int) -> np.ndarray:
    """Uniform noise in 1..255 inside each mask, 0 outside; uint8 (N, S, S)."""
    rng = np.random.default_rng(seed)
    noise: np.ndarray = rng.integers(1, 256, masks_NSS.shape, dtype=np.uint8) * masks_NSS
    return noise


def epoch_indices(
    n_pos: int, n_neg: int, n_images: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the order of one epoch: class (0 or 1) and index within the class, classes alternating.

    Each class gives half of `n_images`: whole passes over its frames in random order, then part
    of another pass. No frame is therefore taken twice while another is left out.
    """
    half = max(1, n_images // 2)
    chosen = np.empty((half, 2), dtype=np.int64)
    for column, n in ((0, n_neg), (1, n_pos)):
        passes = [rng.permutation(n) for _ in range(half // n)]
        passes.append(rng.permutation(n)[: half % n])
        chosen[:, column] = rng.permutation(np.concatenate(passes))
    return np.tile(np.array([0, 1]), half), chosen.reshape(-1)
