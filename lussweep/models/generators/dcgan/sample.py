"""Sampling of frames from a generator, in the format of the store, and its snapshots."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from lussweep.errors import InputError
from lussweep.models.generators.dcgan.networks import Generator
from lussweep.models.generators.dcgan.step import GREY_HALF
from lussweep.models.training.layout import channels_last
from lussweep.models.training.weights import first_mismatch, read_weights
from lussweep.store.files import whole_file
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
    """Sample uint8 images (n_images, S, S), rounded and clamped to grey levels.

    `batchnorm="batch"` normalises by each batch's own statistics, as the published code does.
    Every batch is drawn whole, so no image depends on `n_images`. A conditional generator gives
    images of `class_label`. They are taken from batches of both classes, because it was trained
    on such batches.
    """
    rng = torch.Generator().manual_seed(seed)
    generator = copy.deepcopy(generator)  # sampling in training mode changes running statistics
    generator.train(batchnorm == "batch")
    labels = torch.arange(batch_size) % max(generator.n_classes, 1)
    wanted = labels == class_label if generator.n_classes else torch.ones(batch_size).bool()
    batches = []
    with torch.no_grad():
        for _ in range(-(-n_images // int(wanted.sum()))):
            z = torch.randn(batch_size, generator.latent_size, generator=rng).to(device)
            images = (generator(z, labels.to(device))[wanted.to(device), 0] + 1) * GREY_HALF
            batches.append(images.round().clamp(0, 255).to(torch.uint8).cpu().numpy())
    return np.concatenate(batches)[:n_images]


def save_snapshot(generator: Generator, path: Path) -> None:
    """Save the generator's weights, whole or not at all."""
    state = {name: t.detach().cpu().contiguous() for name, t in generator.state_dict().items()}
    with whole_file(path) as scratch:
        save_file(state, scratch)


def load_snapshot(path: Path, spec: GanSpec, image_size: int, device: torch.device) -> Generator:
    """Load a snapshot onto `device`. Raises InputError if it has another architecture."""
    # The state dict replaces every weight, so initialisation must not change the random state.
    n_classes = len(CLASSES) if spec.conditional else 0
    with torch.random.fork_rng(devices=[]):
        generator = Generator(image_size, spec.latent_size, spec.ngf, n_classes)
    state = read_weights(path, _REMEDY)
    if mismatch := first_mismatch(generator.state_dict(), state):
        raise InputError(f"{path} is not a snapshot of this GAN: {mismatch}: {_REMEDY}")
    generator.load_state_dict(state)
    return channels_last(generator, device)
