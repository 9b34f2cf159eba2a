"""The list of configurations of a random search, drawn once, without replacement."""

from __future__ import annotations

from dataclasses import dataclass

from lussweep.spec import SearchSpec


@dataclass(frozen=True)
class TrialConfig:
    """Hyperparameters of one trial (paper section 2.4)."""

    learning_rate: float
    channels: int
    dropout: float


def search_list(search: SearchSpec, seed: int) -> list[TrialConfig]:
    """`n_trials` different configurations in a seeded random order, through Optuna.

    Optuna's GridSampler visits a finite space in random order without repeating, so a longer
    list begins with the shorter one. Every backend runs this list in this order.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {
        "learning_rate": list(search.learning_rates),
        "channels": list(search.channels),
        "dropout": list(search.dropouts),
    }
    sampler = optuna.samplers.GridSampler(space, seed=seed % 2**32)
    study = optuna.create_study(sampler=sampler)
    distributions = {
        name: optuna.distributions.CategoricalDistribution(values) for name, values in space.items()
    }
    configs = []
    for _ in range(search.n_trials):
        trial = study.ask(distributions)
        configs.append(TrialConfig(**trial.params))
        if len(configs) < search.n_trials:
            study.tell(trial, 0.0)
    assert len(set(configs)) == len(configs), "the sampler repeated a configuration"
    return configs
