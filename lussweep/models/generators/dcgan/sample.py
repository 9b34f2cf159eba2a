"""Frames out of a generator, made to look like frames of the store."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from lussweep.errors import InputError
from lussweep.models.generators.dcgan.networks import Generator
from lussweep.models.generators.dcgan.step import GREY_HALF
from lussweep.models.training.precision import full_precision
from lussweep.models.training.weights import first_mismatch, read_weights
from lussweep.study.spec import CLASSES, GanSpec

_REMEDY = "delete the GAN's folder in the artifacts to train it again"


def sample(
    generator: Generator,
    n_images: int,
    *,
    batchnorm: str,
    batch_size: int,
    seed: int,
    device: torch.device,
    class_label: int = 0,
) -> np.ndarray:
    """uint8 images (n_images, S, S), rounded and clamped.

    `batchnorm="batch"` normalises by each batch's own statistics, as the published code does:
    then every batch is drawn whole, so that no image depends on how many were asked for. A
    conditional generator gives images of `class_label`, out of batches of both classes, because
    such batches are what it was trained on.
    """
    rng = torch.Generator().manual_seed(seed)
    generator = copy.deepcopy(generator)  # batch statistics would move its running ones
    generator.train(batchnorm == "batch")
    labels = torch.arange(batch_size) % max(generator.n_classes, 1)
    wanted = labels == class_label if generator.n_classes else torch.ones(batch_size).bool()
    batches = []
    with torch.no_grad(), full_precision():
        for _ in range(-(-n_images // int(wanted.sum()))):
            z = torch.randn(batch_size, generator.latent_size, generator=rng).to(device)
            images = (generator(z, labels.to(device))[wanted.to(device), 0] + 1) * GREY_HALF
            batches.append(images.round().clamp(0, 255).to(torch.uint8).cpu().numpy())
    return np.concatenate(batches)[:n_images]


def snapshot_path(folder: Path, epoch: int) -> Path:
    return folder / "snapshots" / f"epoch_{epoch:04d}.safetensors"


def save_snapshot(generator: Generator, folder: Path, epoch: int) -> None:
    """Written under another name and renamed, so that a snapshot is there whole or not at all."""
    path = snapshot_path(folder, epoch)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: t.detach().cpu().contiguous() for name, t in generator.state_dict().items()}
    scratch = path.with_suffix(".partial")
    save_file(state, scratch)
    scratch.replace(path)


def load_snapshot(
    folder: Path, epoch: int, spec: GanSpec, image_size: int, device: torch.device
) -> Generator:
    """Raises InputError if the snapshot was dropped or is of another architecture."""
    path = snapshot_path(folder, epoch)
    if not path.exists():
        raise InputError(
            f"snapshot {epoch} of {folder.name} was dropped after scoring: delete the folder "
            f"{folder} to train this GAN again with keep_snapshots: all"
        )
    # The state dict replaces every weight, so the initialisation must not touch ambient state.
    n_classes = len(CLASSES) if spec.conditional else 0
    with torch.random.fork_rng(devices=[]):
        generator = Generator(image_size, spec.latent_size, spec.ngf, n_classes)
    found = read_weights(path, _REMEDY)
    if mismatch := first_mismatch(generator.state_dict(), found):
        raise InputError(f"{path} is not a snapshot of this GAN: {mismatch}: {_REMEDY}")
    generator.load_state_dict(found)
    return generator.to(device, memory_format=torch.channels_last)
