"""Frames out of a generator, made to look like frames of the store."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lussweep.errors import InputError
from lussweep.gan.train import GREY_HALF
from lussweep.models.dcgan import Generator
from lussweep.spec import GanSpec


def sample(
    generator: Generator,
    n_images: int,
    *,
    batchnorm: str,
    batch_size: int,
    seed: int,
    device: torch.device,
) -> np.ndarray:
    """uint8 images (n_images, S, S), rounded and clamped.

    `batchnorm="batch"` normalises by each batch's own statistics, as the published code does:
    then every batch is drawn whole, so that no image depends on how many were asked for.
    """
    rng = torch.Generator().manual_seed(seed)
    generator = copy.deepcopy(generator)  # batch statistics would move its running ones
    generator.train(batchnorm == "batch")
    batches = []
    with torch.no_grad():
        for _ in range(-(-n_images // batch_size)):
            z = torch.randn(batch_size, generator.latent_size, generator=rng).to(device)
            images = ((generator(z)[:, 0] + 1) * GREY_HALF).round().clamp(0, 255)
            batches.append(images.to(torch.uint8).cpu().numpy())
    return np.concatenate(batches)[:n_images]


def snapshot_path(folder: Path, epoch: int) -> Path:
    return folder / "snapshots" / f"epoch_{epoch:04d}.safetensors"


def save_snapshot(generator: Generator, folder: Path, epoch: int) -> None:
    path = snapshot_path(folder, epoch)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: t.detach().cpu().contiguous() for name, t in generator.state_dict().items()}
    save_file(state, path)


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
    with torch.random.fork_rng(devices=[]):
        generator = Generator(image_size, spec.latent_size, spec.ngf)
    try:
        generator.load_state_dict(load_file(path))
    except (RuntimeError, SafetensorError) as error:
        raise InputError(f"{path} is not a snapshot of this GAN: {str(error)[:200]}") from None
    return generator.to(device, memory_format=torch.channels_last)
