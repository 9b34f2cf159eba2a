"""The spec of a search: its rule, the learning rates, and how a kind of classifier extends it."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from lussweep.study.spec.base import AXIS, Count, Spec

LEARNING_RATE = "learning_rate"


class SearchSpec(Spec):
    """Search over a finite space: the paper's random search, or one that learns from its trials.

    A kind of classifier that has hyperparameters of its own extends this class: each field that
    it adds lists the values of one hyperparameter.
    """

    version: ClassVar[int] = 3
    circumstance: ClassVar[frozenset[str]] = frozenset({"gpus_per_trial"})
    n_trials: Count | Literal["all"] = 12
    """all: every combination once."""
    learning_rates: Annotated[tuple[PositiveFloat, ...], AXIS] = (
        0.005,
        0.003,
        0.001,
        0.0005,
        0.00005,
    )
    """Learning rates of the classifier."""
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

    @classmethod
    def own_fields(cls) -> list[str]:
        """The fields that a kind of classifier adds, in their order."""
        return [name for name in cls.model_fields if name not in SearchSpec.model_fields]

    def hyperparameters(self) -> dict[str, tuple[Any, ...]]:
        """The values of each hyperparameter of the network, by its name."""
        return {name: getattr(self, name) for name in self.own_fields()}

    def space(self) -> dict[str, tuple[Any, ...]]:
        """The values of the learning rate and of each hyperparameter of the network, by name."""
        return {LEARNING_RATE: self.learning_rates, **self.hyperparameters()}

    @property
    def n_combinations(self) -> int:
        """Number of configurations in the space."""
        return math.prod(map(len, self.space().values()))

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
        for name in ("learning_rates", *self.own_fields()):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise ValueError(f"{name} needs one or more different values")
        if self.n_trials == "all" and self.sampler != "random":
            raise ValueError("n_trials: all tries every combination, so sampler must be random")
        if self.sampler == "random" and self.n > self.n_combinations:
            raise ValueError(
                f"n_trials is {self.n_trials}, the space has {self.n_combinations} combinations: "
                "lower n_trials, or add values"
            )
        return self
