"""The GAN, its scores, which snapshot is taken, and how it is sampled."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from lussweep.study.spec.base import CLASSES, Count, Fraction, Spec


class RetrySpec(Spec):
    """Train again from other seeds, at most so many times."""

    seeds: PositiveInt = 2


class RetryPolicy(Spec):
    retry: RetrySpec = RetrySpec()


class HealthSpec(Spec):
    """When a GAN counts as collapsed, and what follows.

    Losses that are not finite end a training under every policy: `warn` and `stop` then fail the
    step with its reason, `retry` begins again from another seed, and fails when none is left.
    """

    policy: Literal["warn", "stop"] | RetryPolicy = "warn"
    patience: PositiveInt = 3
    """Epochs in a row before a signal becomes an event."""
    gradient_floor: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """The discriminator has won where it is right about every image of an epoch while the
    generator's gradient norm is under this share of its first epoch's."""
    diversity_floor: Annotated[float, Field(ge=0)] = 0.1
    """Mean distance between two synthetic images over that between two real ones, in pixels."""

    def n_attempts(self) -> int:
        return 1 + self.policy.retry.seeds if isinstance(self.policy, RetryPolicy) else 1


Augmentation = Literal["brightness", "translation", "cutout"]


class GanSpec(Spec):
    """The DCGAN of the paper; defaults are the paper's."""

    version: ClassVar[int] = 2
    circumstance: ClassVar[frozenset[str]] = frozenset(
        {"gpus", "checkpoint_minutes", "keep_checkpoints"}
    )
    n_epochs: Count = 100
    images_per_epoch: PositiveInt | None = None
    """None: every frame of the cohort's class once."""
    batch_size: Annotated[int, Field(ge=2)] = 16
    latent_size: PositiveInt = 100
    ngf: PositiveInt = 64
    ndf: PositiveInt = 64
    lr_generator: PositiveFloat = 1e-5
    lr_discriminator: PositiveFloat = 5e-6
    beta1: Fraction = 0.5
    beta2: Fraction = 0.999
    dropout: Fraction = 0.25
    loss: Literal["bce", "hinge"] = "bce"
    spectral_norm: bool = False
    """On the discriminator's convolutions, in the place of its BatchNorm."""
    r1_gamma: NonNegativeFloat = 0.0
    """Weight of the penalty gamma / 2 x |gradient at real images|^2 (Mescheder et al. 2018)."""
    augment: tuple[Augmentation, ...] = ()
    """Differentiable augmentations of what the discriminator sees, real and synthetic alike
    (Zhao et al. 2020)."""
    ema_decay: Fraction = 0.0
    """Sample from an average of the generator's weights over steps; 0 samples the last weights."""
    conditional: bool = False
    """One GAN for both classes, told the label; None images_per_epoch are then both classes'."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: products in bfloat16, weights, BatchNorm statistics and losses in fp32."""
    health: HealthSpec = HealthSpec()
    snapshot_every: PositiveInt = 5
    n_workers: PositiveInt = 1
    """Data-parallel workers. Each normalises its own share of the batch, so it changes results."""
    sync_batchnorm: bool = False
    """Normalise over the batches of all workers together; PyTorch has this on GPUs alone."""
    gpus: Annotated[float, Field(gt=0, le=1)] | None = None
    """GPU that a worker takes, 0.5 to train two GANs on one; changes no result. None: a whole."""
    checkpoint_minutes: Annotated[float, Field(ge=0)] = 10.0
    """The most work that a killed training loses; changes no result."""
    keep_checkpoints: PositiveInt = 2
    """How many of a training's latest checkpoints stay while it runs; changes no result."""

    @model_validator(mode="after")
    def _batch_divides(self) -> GanSpec:
        if self.batch_size % self.n_workers:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of n_workers {self.n_workers}"
            )
        if self.sync_batchnorm and self.r1_gamma and not self.spectral_norm:
            raise ValueError(
                "r1_gamma needs second derivatives, which SyncBatchNorm has not: set "
                "sync_batchnorm: false or spectral_norm: true"
            )
        if len(set(self.augment)) != len(self.augment):
            raise ValueError("augment names an augmentation twice")
        return self

    def snapshot_epochs(self) -> tuple[int, ...]:
        """Epochs, counted from 1, after which a snapshot is kept; the last one always is."""
        every = range(self.snapshot_every, self.n_epochs + 1, self.snapshot_every)
        return tuple(sorted({*every, self.n_epochs}))

    def snapshot_bytes(self, image_size: int) -> int:
        """Size of one generator on disk: 4x4 convolutions between widths that halve, in fp32."""
        n_doublings = (image_size // 4).bit_length() - 1
        first = self.latent_size + (len(CLASSES) if self.conditional else 0)
        widths = [first, *(self.ngf << k for k in reversed(range(n_doublings))), 1]
        return 4 * 16 * sum(a * b for a, b in itertools.pairwise(widths))


class ScoreSpec(Spec):
    """How snapshots are scored: N synthetic frames against N real ones of the GAN's own cohort."""

    version: ClassVar[int] = 2
    n_images: Annotated[int, Field(ge=2)] = 2000
    """N, at most the cohort's frames. Keep it within the smallest cohort: kMMD depends on N."""
    embedders: Literal["auto"] | tuple[Literal["imagenet", "detector"], ...] = "auto"
    """auto: the detector, and ImageNet's ResNet-34 where `--weights` gives it."""
    batchnorm: Literal["batch", "running"] = "batch"
    batch_size: Annotated[int, Field(ge=2)] = 16
    n_neighbours: PositiveInt = 5
    """Of each real frame, for density and coverage."""
    n_permutations: PositiveInt = 200
    """Of the kernel two-sample test."""
    n_kid_subsets: Annotated[int, Field(ge=2)] = 100

    @model_validator(mode="after")
    def _some_embedder(self) -> ScoreSpec:
        if not self.embedders:
            raise ValueError("name at least one embedder, or auto")
        return self


class SelectSpec(Spec):
    """Which snapshot makes the synthetic frames. Exactly one rule."""

    rule: Literal["last", "epoch", "best"] = "last"
    epoch: PositiveInt | None = None
    metric: Literal["kmmd", "one_nn"] = "kmmd"
    embedder: Literal["imagenet", "detector"] = "imagenet"
    space: Literal["pixel", "conv", "logit", "softmax"] = "softmax"
    allow_detector: bool = False
    """The detector has seen every training patient; choosing by it needs this opt-in."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        """Accept `last`, `{epoch: N}` and `{best: kmmd, ...}`."""
        if isinstance(value, str):
            return {"rule": value}
        if isinstance(value, dict) and "rule" not in value:
            if "best" in value:
                rest = {k: v for k, v in value.items() if k != "best"}
                return {"rule": "best", "metric": value["best"], **rest}
            if "epoch" in value:
                return {"rule": "epoch", **value}
        return value

    @model_validator(mode="after")
    def _one_rule(self) -> SelectSpec:
        if (self.rule == "epoch") != (self.epoch is not None):
            raise ValueError("give an epoch with the rule `epoch: N`, and only there")
        if self.rule == "best" and self.embedder == "detector" and not self.allow_detector:
            raise ValueError(
                "the detector has seen all training patients, so a snapshot chosen by it profits "
                "from patients outside its cell: set allow_detector: true to do it all the same"
            )
        return self


class SynthSpec(Spec):
    """How many synthetic frames a class, and how the generator is sampled."""

    version: ClassVar[int] = 1
    ratio: PositiveFloat | None = 1.0
    """Synthetic frames per real frame of the class."""
    n_images: PositiveInt | None = None
    """An absolute number a class; takes the place of `ratio`."""
    batchnorm: Literal["batch", "running"] = "batch"
    batch_size: Annotated[int, Field(ge=2)] = 32

    def n_frames(self, n_real: int) -> int:
        """Frames to make for a class with `n_real` real frames."""
        return self.n_images or max(1, round((self.ratio or 1.0) * n_real))
