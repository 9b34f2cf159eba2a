"""Small trainings: what the tests of the GAN engine start from and look at."""

from dataclasses import asdict, replace

import numpy as np
import torch
from torch import nn

from lussweep.models.generators.dcgan import train as module
from lussweep.models.generators.dcgan.networks import Discriminator
from lussweep.models.generators.dcgan.train import train_gan
from lussweep.study.spec import GanSpec

CPU = torch.device("cpu")
SIZE = 64


def spec_of(**changes):
    small = {
        "n_epochs": 1,
        "batch_size": 4,
        "latent_size": 6,
        "ngf": 2,
        "ndf": 2,
        "snapshot_every": 1,
    }
    return GanSpec(**{**small, **changes})


EVERYTHING = {
    "ema_decay": 0.9,
    "spectral_norm": True,
    "loss": "hinge",
    "augment": ("brightness", "translation", "cutout"),
    "conditional": True,
    "r1_gamma": 0.5,
}
"""Every option that leaves the paper's training, dropout staying as it is."""


def random_frames(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, SIZE, SIZE), dtype=np.uint8)


def labels_for(spec, n):
    return np.arange(n) % 2 if spec.conditional else None


def train(frames, spec, seed=1, snapshots=None, on_epoch=None, **options):
    """The trained GAN, and the weights after each snapshot."""
    snapshots = {} if snapshots is None else snapshots

    def after_epoch(row, generator, snapshot_due):
        if snapshot_due:
            snapshots[row.epoch] = copy_of(generator)
        if on_epoch:
            on_epoch(row, generator, snapshot_due)

    options = {"label_N": labels_for(spec, len(frames)), **options}
    trained = train_gan(frames, spec, seed=seed, device=CPU, on_epoch=after_epoch, **options)
    return trained, snapshots


STANDS_STILL = 1e-12
"""A learning rate at which no weight moves by more than its own rounding in a test's few steps."""


def judge_by(monkeypatch, fill):
    """Trainings begin with the discriminator whose first and last weights `fill` sets in place.

    At 8 pixels these two are all its layers. At the rate STANDS_STILL it goes on judging by them,
    so that what a generator makes of its judgement does not hang on how the arithmetic rounds.
    """

    def made(*arguments):
        discriminator = Discriminator(*arguments)
        first, last = (m for m in discriminator.modules() if isinstance(m, nn.Conv2d))
        with torch.no_grad():
            fill(first.weight, last.weight)
        return discriminator

    monkeypatch.setattr(module, "Discriminator", made)


def copy_of(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(first, second):
    return first.keys() == second.keys() and all((first[k] == second[k]).all() for k in first)


def losses(trained):
    return [(row.loss_d_real, row.loss_d_fake, row.loss_g) for row in trained.rows]


def without_seconds(rows):
    return [asdict(replace(row, seconds=0.0)) for row in rows]
