"""The configuration of each trial of a search, and the rule that prunes trials."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lussweep.study.keys import derive_seed
from lussweep.study.spec import SearchSpec
from lussweep.study.spec.search import LEARNING_RATE

if TYPE_CHECKING:
    import optuna

GREATEST_SEED = 2**32
"""Seeds must be below this, because Optuna passes them to numpy's legacy generator."""


@dataclass(frozen=True)
class TrialConfig:
    """Hyperparameters of one trial: the learning rate, and those of the network by name."""

    learning_rate: float
    hyperparameters: Mapping[str, Any] = field(hash=False)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> TrialConfig:
        """The configuration with these values by name. One of them is the learning rate.

        A list becomes a tuple: a record holds a tuple of the space as a list.
        """
        hyperparameters = {
            name: _as_in_space(value) for name, value in values.items() if name != LEARNING_RATE
        }
        return cls(values[LEARNING_RATE], hyperparameters)

    def values(self) -> dict[str, Any]:
        """The values by name, the learning rate first."""
        return {LEARNING_RATE: self.learning_rate, **self.hyperparameters}


def _as_in_space(value: Any) -> Any:
    return tuple(map(_as_in_space, value)) if isinstance(value, list) else value


@dataclass(frozen=True)
class KnownTrial:
    """An earlier trial of the same search, as a later trial sees it."""

    config: TrialConfig
    merits: Sequence[float | None]
    """The value that selection maximises, after each epoch; None if it is not finite."""
    pruned: bool


def search_list(search: SearchSpec, seed: int) -> list[TrialConfig]:
    """List `search.n` different configurations in a seeded random order.

    Optuna's GridSampler visits a finite space in random order without repetition, so a longer
    list begins with the shorter one. Every backend runs this list in this order.
    """
    n = min(search.n, search.n_combinations)
    return list(_visits(tuple(search.space().items()), seed)[:n])


def propose(search: SearchSpec, seed: int, known: Sequence[KnownTrial]) -> TrialConfig:
    """Propose the configuration of trial number `search.n` from the earlier trials it may know.

    The result depends only on the arguments, not on the order in which trials really ran. The
    random list is used until a trial is known. From then on Optuna's TPE proposes, and may repeat
    a configuration.
    """
    if search.sampler == "random" or (not known and search.n <= search.n_combinations):
        return search_list(search, seed)[-1]
    import optuna

    sampler = optuna.samplers.TPESampler(
        seed=derive_seed(seed, "tpe", search.n) % GREATEST_SEED, n_startup_trials=1
    )
    study = _study(sampler=sampler)
    for trial in known:
        study.add_trial(_finished(trial, search))
    return TrialConfig.of(study.ask(_distributions(search)).params)


def pruner(search: SearchSpec, known: Sequence[KnownTrial]) -> Callable[[int, float | None], bool]:
    """Return a function of (epoch from 1, merit) that says whether a trial should end there.

    The rule is Optuna's asynchronous successive halving (Li et al. 2020, arXiv 1810.05934). It
    compares the trial with the earlier trials that it may know. A trial with merit None ends.
    """
    if search.pruner == "none":
        return lambda epoch, merit: False
    import optuna

    study = _study(
        pruner=optuna.pruners.SuccessiveHalvingPruner(
            min_resource=search.min_epochs, reduction_factor=search.reduction_factor
        )
    )

    def is_hopeless(trial: optuna.Trial, epoch: int, merit: float | None) -> bool:
        if merit is None:
            return True
        trial.report(merit, epoch)
        return trial.should_prune()

    for earlier in known:
        trial = study.ask()
        for epoch, merit in enumerate(earlier.merits, start=1):
            is_hopeless(trial, epoch, merit)  # records the trial at each rung that it reached
        study.tell(trial, state=optuna.trial.TrialState.PRUNED, skip_if_finished=True)
    return functools.partial(is_hopeless, study.ask())


@functools.cache
def _visits(space: tuple[tuple[str, tuple[Any, ...]], ...], seed: int) -> tuple[TrialConfig, ...]:
    """Every combination once, in a seeded random order."""
    import optuna

    values = {name: list(options) for name, options in space}
    study = _study(sampler=optuna.samplers.GridSampler(values, seed=seed % GREATEST_SEED))
    distributions: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.CategoricalDistribution(options) for name, options in space
    }
    configs: list[TrialConfig] = []
    n = functools.reduce(lambda product, options: product * len(options), values.values(), 1)
    for _ in range(n):
        trial = study.ask(distributions)
        configs.append(TrialConfig.of(trial.params))
        if len(configs) < n:  # the sampler would stop the study after the last configuration
            study.tell(trial, 0.0)
    assert len(set(configs)) == n, "the sampler repeated a configuration"
    return tuple(configs)


def _study(**options: Any) -> optuna.Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(direction="maximize", **options)


def _distributions(search: SearchSpec) -> dict[str, Any]:
    import optuna

    return {
        name: optuna.distributions.CategoricalDistribution(values)
        for name, values in search.space().items()
    }


def _finished(trial: KnownTrial, search: SearchSpec) -> Any:
    """Convert an earlier trial to Optuna's form. Pruned trials count less than complete ones."""
    import optuna

    states = optuna.trial.TrialState
    finite = [merit for merit in trial.merits if merit is not None]
    state = states.PRUNED if trial.pruned else states.COMPLETE
    return optuna.trial.create_trial(
        state=state if finite else states.FAIL,
        value=max(finite, default=None) if not trial.pruned else None,
        params=trial.config.values(),
        distributions=_distributions(search),
        intermediate_values={
            epoch: merit for epoch, merit in enumerate(trial.merits, start=1) if merit is not None
        },
    )
