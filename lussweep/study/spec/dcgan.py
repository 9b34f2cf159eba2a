"""The DCGAN as an experiment sets it, and its entry in the table of generators."""

from __future__ import annotations

import itertools
from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from lussweep.study.spec.base import CLASSES, Fraction, Spec
from lussweep.study.spec.generators import (
    DCGAN,
    GENERATORS,
    SPECTRAL_GAP_CEILING,
    GeneratorKind,
    GeneratorSpec,
)
from lussweep.study.spec.imports import imported


class RetrySpec(Spec):
    """Train again from another seed, at most this many times."""

    seeds: PositiveInt = 2
    """The most further trainings of one GAN."""


class RetryPolicy(Spec):
    """The policy `retry`: train a GAN again that has collapsed or has not learned."""

    retry: RetrySpec = RetrySpec()
    """How often a GAN is trained again."""


class HealthSpec(Spec):
    """When a GAN has collapsed or has not learned, and what happens then.

    Losses that are not finite end a training under every policy. `warn` and `stop` then fail the
    step with the reason. `retry` starts again from another seed, and fails if none is left.
    """

    added: ClassVar[frozenset[str]] = frozenset({"spectral_gap_ceiling"})
    policy: Literal["warn", "stop"] | RetryPolicy = "warn"
    """warn: note the event and go on. stop: fail the step. `retry: {seeds: N}`: train again from
    another seed."""
    patience: PositiveInt = 3
    """Epochs in a row after which a signal becomes an event."""
    gradient_floor: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """The discriminator has won if it is right about every image of an epoch, and the generator's
    gradient norm is below this share of that in the first epoch."""
    diversity_floor: Annotated[float, Field(ge=0)] = 0.1
    """Least mean distance between two synthetic images, as a share of that between two real
    images. Distances are Euclidean, over pixels."""
    spectral_gap_ceiling: PositiveFloat = SPECTRAL_GAP_CEILING
    """A GAN has not learned if the spectral gap of its images after the last epoch is above this
    (metrics/spectral_gap.py). A snapshot above it is not selected by a score."""

    def n_attempts(self) -> int:
        """Most trainings of one GAN."""
        return 1 + self.policy.retry.seeds if isinstance(self.policy, RetryPolicy) else 1


NETWORKS_AND_MOMENTS = 6
"""A checkpoint holds two networks of about one size, each with Adam's two moments."""
Augmentation = Literal["brightness", "translation", "cutout"]


class GanSpec(GeneratorSpec):
    """The DCGAN and its training. Defaults are the paper's."""

    version: ClassVar[int] = 3
    budgets: ClassVar[frozenset[str]] = GeneratorSpec.budgets | {
        "images_per_epoch", "n_workers", "sync_batchnorm",
    }  # fmt: skip
    images_per_epoch: PositiveInt | None = None
    """None: every frame of the class in the cohort once, or of both classes if conditional."""
    batch_size: Annotated[int, Field(ge=2)] = 16
    """Images of one step of training."""
    latent_size: PositiveInt = 100
    """Length of the random vector that makes an image."""
    ngf: PositiveInt = 64
    """Channels of the generator before its last layer."""
    ndf: PositiveInt = 64
    """Channels of the discriminator after its first layer."""
    lr_generator: PositiveFloat = 1e-5
    """Learning rate of the generator."""
    lr_discriminator: PositiveFloat = 5e-6
    """Learning rate of the discriminator."""
    beta1: Fraction = 0.5
    """Adam's decay of the mean of gradients."""
    beta2: Fraction = 0.999
    """Adam's decay of the mean of squared gradients."""
    dropout: Fraction = 0.25
    """Dropout rate of the discriminator."""
    loss: Literal["bce", "hinge"] = "bce"
    """The adversarial loss: binary cross-entropy or hinge."""
    spectral_norm: bool = False
    """Spectral norm on the discriminator's convolutions, in place of its BatchNorm."""
    r1_gamma: NonNegativeFloat = 0.0
    """Weight of the penalty gamma / 2 x |gradient at real images|^2 (Mescheder et al. 2018)."""
    augment: tuple[Augmentation, ...] = ()
    """Differentiable augmentations of the discriminator's images, both real and synthetic (Zhao et
    al. 2020)."""
    ema_decay: Fraction = 0.0
    """Sample from an average of the generator's weights over steps. 0: from the last weights."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: products in bfloat16; weights, BatchNorm statistics and losses in fp32."""
    health: HealthSpec = HealthSpec()
    """Signs that a training has failed, and what happens then."""
    n_workers: PositiveInt = 1
    """Data-parallel workers. Each normalises its own share of the batch, which changes results."""
    sync_batchnorm: bool = False
    """Normalise over the shares of all workers together. PyTorch supports this on GPUs only."""

    @model_validator(mode="after")
    def _batch_divides(self) -> GanSpec:
        if self.batch_size % self.n_workers:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of n_workers {self.n_workers}: "
                "change one"
            )
        if self.sync_batchnorm and self.r1_gamma and not self.spectral_norm:
            raise ValueError(
                "r1_gamma needs second derivatives, which SyncBatchNorm lacks: set "
                "sync_batchnorm: false or spectral_norm: true"
            )
        if len(set(self.augment)) != len(self.augment):
            raise ValueError("augment names an augmentation twice: remove one")
        return self

    def gap_ceiling(self) -> float:
        return self.health.spectral_gap_ceiling

    def workers(self) -> int:
        return self.n_workers

    def work(self, n_frames: float) -> float:
        return self.n_epochs * (self.images_per_epoch or n_frames) / self.n_workers

    def shortened(self, n_epochs: int, n_batches: int) -> GanSpec:
        budget = {"images_per_epoch": n_batches * self.batch_size, "n_workers": 1}
        short = super().shortened(n_epochs, n_batches)
        return short.model_copy(update={**budget, "sync_batchnorm": False})

    def snapshot_bytes(self, image_size: int) -> int:
        """Bytes of one generator on disk: 4x4 convolutions between widths that halve, in fp32."""
        n_doublings = (image_size // 4).bit_length() - 1
        first = self.latent_size + (len(CLASSES) if self.conditional else 0)
        widths = [first, *(self.ngf << k for k in reversed(range(n_doublings))), 1]
        return 4 * 16 * sum(a * b for a, b in itertools.pairwise(widths))

    def checkpoint_bytes(self, image_size: int) -> int:
        return NETWORKS_AND_MOMENTS * self.snapshot_bytes(image_size)


_HOME = "lussweep.models.generators.dcgan.kind"
GENERATORS[DCGAN] = GeneratorKind(
    GanSpec,
    train=imported(f"{_HOME}:train"),
    load=imported(f"{_HOME}:load"),
    sample=imported(f"{_HOME}:sample"),
    check=imported(f"{_HOME}:check"),
    stops=True,
)
