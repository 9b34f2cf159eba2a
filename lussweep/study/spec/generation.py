"""Specs of the scores of generators, the selection of a snapshot, and sampling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, PositiveFloat, PositiveInt, field_validator, model_validator

from lussweep.study.spec.base import CLASSES, Spec
from lussweep.study.spec.embedders import EMBEDDERS, IMAGENET, NO_EMBEDDER, PIXEL
from lussweep.study.spec.scores import BUILT_IN_SCORES, SCORES
from lussweep.study.spec.words import nearest


class ScoreSpec(Spec):
    """Scoring of snapshots: N synthetic frames against N real frames of the GAN's own cohort."""

    version: ClassVar[int] = 3
    added: ClassVar[frozenset[str]] = frozenset({"extra_metrics"})
    n_images: Annotated[int, Field(ge=2)] = 2000
    """N, at most the cohort's frames. Keep it within the smallest cohort: kMMD depends on N."""
    embedders: Literal["auto"] | tuple[str, ...] = "auto"
    """Names in EMBEDDERS. auto: the detector, and ImageNet's ResNet-34 if `--weights` gives it."""
    extra_metrics: tuple[str, ...] = ()
    """Names in SCORES: scores beside the built-in ones, which are always computed."""
    batchnorm: Literal["batch", "running"] = "batch"
    """Whether the generator normalises by its batch or by its running statistics."""
    batch_size: Annotated[int, Field(ge=2)] = 16
    """Images that are sampled at once."""
    n_neighbours: PositiveInt = 5
    """Neighbours of each real frame, for density and coverage."""
    n_permutations: PositiveInt = 200
    """Permutations of the kernel two-sample test."""
    n_kid_subsets: Annotated[int, Field(ge=2)] = 100
    """Random subsets of frames that KID is the mean over."""

    @field_validator("embedders")
    @classmethod
    def _known_embedders(cls, embedders: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not embedders:
            raise ValueError("name at least one embedder, or auto")
        for name in embedders if isinstance(embedders, tuple) else ():
            if name not in EMBEDDERS:
                raise ValueError(f"{name!r}: {EMBEDDERS.unknown(name)}")
        return embedders

    @field_validator("extra_metrics")
    @classmethod
    def _known_scores(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        for name in metrics:
            if name not in SCORES:
                raise ValueError(f"{name!r}: {SCORES.unknown(name)}")
            if name in BUILT_IN_SCORES:
                raise ValueError(f"{name} is always computed: leave it out")
        if len(set(metrics)) != len(metrics):
            raise ValueError("a score is named twice: remove one")
        return metrics

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of all scores to compute, in the order of their rows."""
        return (*BUILT_IN_SCORES, *self.extra_metrics)

    @property
    def needs_weights(self) -> bool:
        """Whether an embedder needs the file of `--weights`."""
        return any(EMBEDDERS[name].needs == "weights" for name in self.embedders)


class SelectSpec(Spec):
    """The rule that selects the snapshot that makes the synthetic frames."""

    # The short form stands for `rule` and `metric`, so it excludes both.
    model_config = ConfigDict(
        json_schema_extra={
            "not": {
                "required": ["best"],
                "anyOf": [{"required": ["rule"]}, {"required": ["metric"]}],
            }
        }
    )
    section_names: ClassVar[tuple[str, ...]] = ("last", "best")
    other_keys: ClassVar[Mapping[str, str]] = {"best": "metric"}
    rule: Literal["last", "epoch", "best"] = "last"
    """last, epoch or best. A file may write `last`, `best`, `{epoch: N}` or `{best: METRIC}` for
    the section."""
    epoch: PositiveInt | None = None
    """The epoch of the rule `epoch`."""
    metric: str = "kmmd"
    """A name in SCORES. `best` takes the snapshot whose score is best by its goal, among those that
    have learned if there are any."""
    embedder: str = IMAGENET
    """A name in EMBEDDERS. The space `pixel` needs none."""
    space: str = "softmax"
    """The features that `best` compares: a space of the embedder, or pixel."""
    allow_detector: bool = False
    """Allow selection by an embedder that has seen every training patient, as the detector has."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        """Accept `last`, `{epoch: N}` and `{best: kmmd, ...}`."""
        if isinstance(value, str):
            return {"rule": value}
        if isinstance(value, dict) and "rule" not in value:
            if {"best", "metric"} <= value.keys():
                raise ValueError("`best` names the score, so leave out `metric`")
            if "best" in value:
                rest = {k: v for k, v in value.items() if k != "best"}
                return {"rule": "best", "metric": value["best"], **rest}
            if "epoch" in value:
                return {"rule": "epoch", **value}
        return value

    @field_validator("metric")
    @classmethod
    def _can_be_best(cls, metric: str) -> str:
        if SCORES[SCORES.known(metric)].goal is None:
            raise ValueError(
                "this score has no goal, so it cannot choose a snapshot: take another score"
            )
        if set(SCORES[metric].classes) != set(CLASSES):
            raise ValueError(
                f"this score is defined for {', '.join(SCORES[metric].classes)} alone, but a "
                "snapshot of each class is selected: take another score"
            )
        return metric

    @field_validator("embedder")
    @classmethod
    def _known_embedder(cls, embedder: str) -> str:
        return EMBEDDERS.known(embedder)

    @model_validator(mode="after")
    def _one_place(self) -> SelectSpec:
        score, spaces = SCORES[self.metric], EMBEDDERS[self.embedder].spaces
        if self.space not in (PIXEL, *spaces):
            raise ValueError(
                f"the embedder {self.embedder} has no space {self.space}"
                f"{nearest(self.space, spaces)}"
            )
        embedder = NO_EMBEDDER if self.space == PIXEL else self.embedder
        if not score.is_in(embedder, self.space, (self.embedder,)):
            raise ValueError(
                f"{self.metric} is not computed in the space {self.space} of {embedder}: "
                f"it is computed in {score.places()}"
            )
        return self

    @model_validator(mode="after")
    def _one_rule(self) -> SelectSpec:
        if (self.rule == "epoch") != (self.epoch is not None):
            raise ValueError(
                "the rule epoch needs an epoch, and no other rule has one: write `epoch: N`"
            )
        has_seen = EMBEDDERS[self.embedder].has_seen
        if self.rule == "best" and has_seen and not self.allow_detector:
            raise ValueError(
                f"the embedder {self.embedder} has seen all training patients, so a snapshot "
                "chosen by it profits from patients outside its cell: set allow_detector: true "
                "to do it all the same"
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
    """Whether the generator normalises by its batch or by its running statistics."""
    batch_size: Annotated[int, Field(ge=2)] = 32
    """Images that are sampled at once."""

    def n_frames(self, n_real: int) -> int:
        """Number of frames to make for a class with `n_real` real frames."""
        return self.n_images or max(1, round((self.ratio or 1.0) * n_real))
