"""A generator: blurred copies of the real frames, which it learns to blur less."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from lussweep.models.generators.seam import TrainingReport, snapshot_path
from lussweep.study.spec import ScoreSpec, SynthSpec


def train(
    frames_NSS: np.ndarray,
    label_N: np.ndarray | None,
    spec: Any,
    seed: int,
    device: torch.device,
    folder: Path,
    report: TrainingReport,
) -> None:
    labels = {} if label_N is None else {"label": label_N}
    for epoch in range(1, spec.n_epochs + 1):
        side = max(2, spec.blur // epoch)
        blurred_NSS = np.stack([cv2.blur(frame, (side, side)) for frame in frames_NSS])
        loss = np.abs(blurred_NSS.astype(np.float64) - frames_NSS).mean()
        if epoch in spec.snapshot_epochs():
            save_file({"frames": blurred_NSS, **labels}, snapshot_path(folder, epoch))
        report.epoch(epoch, {"loss": loss})


def load(path: Path, spec: Any, image_size: int, device: torch.device) -> dict[str, np.ndarray]:
    return load_file(path)


def sample(
    generator: dict[str, np.ndarray],
    n_images: int,
    label: int,
    seed: int,
    how: ScoreSpec | SynthSpec,
) -> np.ndarray:
    frames_NSS = generator["frames"]
    if "label" in generator:  # it is conditional
        frames_NSS = frames_NSS[generator["label"] == label]
    share_N = np.random.default_rng(seed).random(n_images)
    return frames_NSS[(share_N * len(frames_NSS)).astype(int)]
