"""Specs of the training of classifiers, their augmentation and the detector."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from lussweep.study.spec.base import Spec
from lussweep.study.spec.classifiers import CLASSIFIERS, VGG, SearchOfKind

US_DCGAN = "us_dcgan"
BlurSize = Annotated[int, Field(ge=2, le=64)]


class AugmentSpec(Spec):
    """Augmentation of training images. The order of operations is drawn for each image.

    Each operation is on with `probability`. `augment: us_dcgan` in a file stands for the
    operations of the published code, including its faults.
    """

    section_names: ClassVar[tuple[str, ...]] = (US_DCGAN,)
    probability: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The chance that an operation is on for an image."""
    gammas: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (
        0.7, 0.8, 0.9, 1.1, 1.2, 1.3,
    )  # fmt: skip
    """Exponents of the gamma operation, of which one is drawn."""
    blur: Literal["box", "gaussian"] = "box"
    """The published code's box, or the paper's Gaussian of the same standard deviation."""
    blur_sizes: Annotated[tuple[BlurSize, ...], Field(min_length=1)] = (2, 3, 4, 5)
    """Sides of the box in pixels."""
    noise_levels: Annotated[int, Field(ge=0, le=255)] = 10
    """Grey levels added to the noisy pixels."""
    noise_share: Annotated[float, Field(ge=0, le=1)] = 0.05
    """The share of pixels that the noise operation changes."""
    faults: Literal["corrected", "us_dcgan"] = "corrected"
    """us_dcgan: gamma scales grey levels to 0..1, and noise then adds whole levels to them.
    Without gamma, noise wraps around (250 + 10 = 4). corrected: gamma keeps 0..255, and noise stops
    at 255."""
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
        if isinstance(value, str) and value != US_DCGAN:
            raise ValueError(f"{value!r} is not an augmentation: give values, or the name us_dcgan")
        return {"faults": US_DCGAN} if value == US_DCGAN else value

    @property
    def moves(self) -> bool:
        """Whether rotation, shift and zoom are among the operations."""
        return bool(self.rotate_degrees or self.shift or self.zoom)


class ClassifierSpec(Spec):
    """Training of one classifier. Defaults are the paper's, except early stopping."""

    version: ClassVar[int] = 3
    added: ClassVar[frozenset[str]] = frozenset({"kind"})
    kind: str = VGG
    """The network: a name in CLASSIFIERS."""
    n_epochs: PositiveInt = 100
    """The most epochs of one training."""
    images_per_epoch: Literal["parity", "equal"] | PositiveInt = "parity"
    """parity: twice the larger class. equal: twice the cohort's F. Or a number of images."""
    batch_size: PositiveInt = 8
    """Images of one step of training."""
    patience: PositiveInt = 3
    """Epochs without improvement before training stops."""
    early_stopping: Literal["val_loss", "train_loss"] = "val_loss"
    """The loss whose improvement `patience` waits for."""
    augment: AugmentSpec = AugmentSpec()
    """Random changes of training images, or the name us_dcgan."""
    batchnorm_momentum: Annotated[float, Field(gt=0, le=1)] = 0.01
    """Weight of a new batch in the running statistics. It is 1 minus Keras's momentum of 0.99."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: convolutions in bfloat16, in training and validation. Weights stay in float32."""
    eval_batch_size: PositiveInt = 64
    """Images that are scored at once. It limits memory."""

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, kind: str) -> str:
        return CLASSIFIERS.known(kind)


class DetectorSpec(Spec):
    """Training and search of the detector. None: the same as for the cells."""

    classifier: ClassifierSpec | None = None
    """Values that differ from `classifier`."""
    search: SearchOfKind | None = None
    """Values that differ from `search`."""
