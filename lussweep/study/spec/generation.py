"""Specs of the scores of generators, the selection of a snapshot, and sampling."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from lussweep.study.spec.base import Spec


class ScoreSpec(Spec):
    """Scoring of snapshots: N synthetic frames against N real frames of the GAN's own cohort."""

    version: ClassVar[int] = 2
    n_images: Annotated[int, Field(ge=2)] = 2000
    """N, at most the cohort's frames. Keep it within the smallest cohort: kMMD depends on N."""
    embedders: Literal["auto"] | tuple[Literal["imagenet", "detector"], ...] = "auto"
    """auto: the detector, and ImageNet's ResNet-34 if `--weights` gives it."""
    batchnorm: Literal["batch", "running"] = "batch"
    batch_size: Annotated[int, Field(ge=2)] = 16
    n_neighbours: PositiveInt = 5
    """Neighbours of each real frame, for density and coverage."""
    n_permutations: PositiveInt = 200
    """Permutations of the kernel two-sample test."""
    n_kid_subsets: Annotated[int, Field(ge=2)] = 100

    @model_validator(mode="after")
    def _some_embedder(self) -> ScoreSpec:
        if not self.embedders:
            raise ValueError("name at least one embedder, or auto")
        return self


class SelectSpec(Spec):
    """The rule that selects the snapshot that makes the synthetic frames."""

    rule: Literal["last", "epoch", "best"] = "last"
    epoch: PositiveInt | None = None
    metric: Literal["kmmd", "one_nn"] = "kmmd"
    embedder: Literal["imagenet", "detector"] = "imagenet"
    space: Literal["pixel", "conv", "logit", "softmax"] = "softmax"
    allow_detector: bool = False
    """Allow selection by the detector, although it has seen every training patient."""

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
    """The number of synthetic frames per class, and how the generator is sampled."""

    version: ClassVar[int] = 1
    ratio: PositiveFloat | None = 1.0
    """Synthetic frames per real frame of the class."""
    n_images: PositiveInt | None = None
    """Synthetic frames per class, as a number. It replaces `ratio`."""
    batchnorm: Literal["batch", "running"] = "batch"
    batch_size: Annotated[int, Field(ge=2)] = 32

    def n_frames(self, n_real: int) -> int:
        """Number of frames to make for a class with `n_real` real frames."""
        return self.n_images or max(1, round((self.ratio or 1.0) * n_real))
