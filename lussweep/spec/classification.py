"""Classifiers, their search and their judgement."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from lussweep.spec.base import Fraction, Spec


class AugmentSpec(Spec):
    """Each operation is on with `probability`, in an order drawn for each image."""

    probability: Annotated[float, Field(ge=0, le=1)] = 0.5
    gammas: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (
        0.7, 0.8, 0.9, 1.1, 1.2, 1.3,
    )  # fmt: skip
    blur_sizes: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (2, 3, 4, 5)
    noise_levels: Annotated[int, Field(ge=0, le=255)] = 10
    """Grey levels added to the noisy pixels, clamped at 255."""
    noise_share: Annotated[float, Field(ge=0, le=1)] = 0.05


class ClassifierSpec(Spec):
    """Training of one reduced VGG; defaults are the paper's but for early stopping."""

    version: ClassVar[int] = 2
    n_epochs: PositiveInt = 100
    images_per_epoch: Literal["parity", "equal"] | PositiveInt = "parity"
    """parity: twice the larger class; equal: twice the cohort's F; or a number of images."""
    batch_size: PositiveInt = 8
    patience: PositiveInt = 3
    """Epochs without improvement before training stops."""
    early_stopping: Literal["val_loss", "train_loss"] = "val_loss"
    augment: AugmentSpec = AugmentSpec()
    batchnorm_momentum: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Weight of a new batch in the running statistics: Keras's 0.99 seen from the other side."""
    eval_batch_size: PositiveInt = 64


class SearchSpec(Spec):
    """Random search without replacement over a finite space."""

    version: ClassVar[int] = 2
    n_trials: PositiveInt = 12
    learning_rates: tuple[PositiveFloat, ...] = (0.005, 0.003, 0.001, 0.0005, 0.00005)
    channels: tuple[PositiveInt, ...] = (3, 5, 8)
    dropouts: tuple[Fraction, ...] = (0.25, 0.35, 0.45)

    @model_validator(mode="after")
    def _enough_combinations(self) -> SearchSpec:
        for name in ("learning_rates", "channels", "dropouts"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise ValueError(f"{name} needs one or more different values")
        n = len(self.learning_rates) * len(self.channels) * len(self.dropouts)
        if self.n_trials > n:
            raise ValueError(f"n_trials is {self.n_trials}, the space has {n} combinations")
        return self


class DetectorSpec(Spec):
    """Budgets of the detector, where they differ from the cells' own."""

    classifier: ClassifierSpec | None = None
    search: SearchSpec | None = None


class EvaluateSpec(Spec):
    """AUC-ROC on holdout with a patient-clustered percentile bootstrap."""

    version: ClassVar[int] = 1
    n_resamples: PositiveInt = 2000
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
