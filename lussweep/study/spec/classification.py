"""Specs of classifiers, their augmentation, their search and the detector."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from lussweep.study.spec.base import Count, Fraction, Spec

BlurSize = Annotated[int, Field(ge=2, le=64)]


class AugmentSpec(Spec):
    """Augmentation of training images. The order of operations is drawn for each image.

    Each operation is on with `probability`. `augment: us_dcgan` in a file stands for the
    operations of the published code, including its faults.
    """

    probability: Annotated[float, Field(ge=0, le=1)] = 0.5
    gammas: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (
        0.7, 0.8, 0.9, 1.1, 1.2, 1.3,
    )  # fmt: skip
    blur: Literal["box", "gaussian"] = "box"
    """The published code's box, or the paper's Gaussian of the same standard deviation."""
    blur_sizes: Annotated[tuple[BlurSize, ...], Field(min_length=1)] = (2, 3, 4, 5)
    """Sides of the box in pixels."""
    noise_levels: Annotated[int, Field(ge=0, le=255)] = 10
    """Grey levels added to the noisy pixels."""
    noise_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    faults: Literal["corrected", "us_dcgan"] = "corrected"
    """us_dcgan: gamma leaves grey levels in 0..1, and noise may add whole levels to those. Without
    gamma, noise wraps (250 + 10 = 4). corrected: gamma keeps 0..255 and noise stops at 255."""
    rotate_degrees: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Largest angle in either direction. Rotation, shift and zoom are one operation, which is off
    if all are 0. The paper has none of them."""
    shift: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Largest shift along each axis, as a share of the image's side."""
    zoom: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Largest change of size: 0.2 draws factors from 0.8 to 1.2."""

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return cls.named(value)

    @staticmethod
    def named(value: Any) -> Any:
        """Replace a name that stands for a whole section by the section's values.

        Raises ValueError for an unknown name.
        """
        if isinstance(value, str) and value != "us_dcgan":
            raise ValueError(f"{value!r} is not an augmentation: give values, or the name us_dcgan")
        return {"faults": "us_dcgan"} if value == "us_dcgan" else value

    @property
    def moves(self) -> bool:
        """Whether rotation, shift and zoom are among the operations."""
        return bool(self.rotate_degrees or self.shift or self.zoom)


class ClassifierSpec(Spec):
    """Training of one reduced VGG. Defaults are the paper's, except early stopping."""

    version: ClassVar[int] = 3
    n_epochs: PositiveInt = 100
    images_per_epoch: Literal["parity", "equal"] | PositiveInt = "parity"
    """parity: twice the larger class. equal: twice the cohort's F. Or a number of images."""
    batch_size: PositiveInt = 8
    patience: PositiveInt = 3
    """Epochs without improvement before training stops."""
    early_stopping: Literal["val_loss", "train_loss"] = "val_loss"
    augment: AugmentSpec = AugmentSpec()
    batchnorm_momentum: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Weight of a new batch in the running statistics. It is 1 minus Keras's momentum of 0.99."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: convolutions in bfloat16, in training and validation. Weights stay in float32."""
    eval_batch_size: PositiveInt = 64


class SearchSpec(Spec):
    """Search over a finite space: the paper's random search, or one that learns from its trials."""

    version: ClassVar[int] = 3
    circumstance: ClassVar[frozenset[str]] = frozenset({"gpus_per_trial"})
    n_trials: Count | Literal["all"] = 12
    """all: every combination once."""
    learning_rates: tuple[PositiveFloat, ...] = (0.005, 0.003, 0.001, 0.0005, 0.00005)
    channels: tuple[PositiveInt, ...] = (3, 5, 8)
    dropouts: tuple[Fraction, ...] = (0.25, 0.35, 0.45)
    select_by: Literal["accuracy", "auroc"] = "accuracy"
    """The value on validation frames that decides the best epoch and the best trial."""
    sampler: Literal["random", "tpe"] = "random"
    """random: without replacement. tpe: Optuna's, which learns from earlier trials."""
    pruner: Literal["none", "asha"] = "none"
    """asha: a trial ends at a rung if it is not among the best of the trials known there."""
    min_epochs: PositiveInt = 1
    """The first rung of asha, in epochs."""
    reduction_factor: Annotated[int, Field(ge=2)] = 4
    """The next rung of asha is this many times further, and one trial in this many reaches it."""
    n_concurrent: PositiveInt = 4
    """Trials of one cell that may run at once with tpe or asha. Trial k knows trials 1 to
    k - n_concurrent only, whichever have ended, so the result does not depend on timing."""
    gpus_per_trial: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Share of a GPU that one trial asks for. Changes no result."""

    @property
    def n_combinations(self) -> int:
        """Number of configurations in the space."""
        return len(self.learning_rates) * len(self.channels) * len(self.dropouts)

    @property
    def n(self) -> int:
        """Number of trials of one search."""
        return self.n_combinations if self.n_trials == "all" else self.n_trials

    @property
    def learns(self) -> bool:
        """Whether a trial depends on earlier ones."""
        return self.sampler != "random" or self.pruner != "none"

    def key_fields(self) -> dict[str, Any]:
        """The fields that enter a key, without those that this kind of search does not use."""
        idle = set() if self.learns else {"n_concurrent"}
        if self.pruner == "none":
            idle |= {"min_epochs", "reduction_factor"}
        return {name: value for name, value in super().key_fields().items() if name not in idle}

    @model_validator(mode="after")
    def _enough_combinations(self) -> SearchSpec:
        for name in ("learning_rates", "channels", "dropouts"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise ValueError(f"{name} needs one or more different values")
        if self.n_trials == "all" and self.sampler != "random":
            raise ValueError("n_trials: all tries every combination, so sampler must be random")
        if self.sampler == "random" and self.n > self.n_combinations:
            raise ValueError(
                f"n_trials is {self.n_trials}, the space has {self.n_combinations} combinations"
            )
        return self


class DetectorSpec(Spec):
    """Training and search of the detector. None: the same as for the cells."""

    classifier: ClassifierSpec | None = None
    search: SearchSpec | None = None
