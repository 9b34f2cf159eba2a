"""Writes one Optuna storage file with every trial of the grid, for `optuna-dashboard`.

The axes of the grid are parameters of the trials, so that the dashboard's columns, parallel
coordinates and importances cover the whole grid. Times are seconds of training since 1970, not
the time of day, so the same tables give the same trials.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lussweep.report.cells import WITHOUT_EPOCH, Row, epoch_is_axis, parameters_of
from lussweep.store.files import whole_file
from lussweep.study.coordinates import AXES

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

MERITS = {"accuracy": "val_accuracy", "auroc": "val_auroc"}
START = datetime(1970, 1, 1)


def write_optuna(
    path: Path, trials: pa.Table, results: pa.Table, name: str, select_by: str
) -> None:
    """Writes the study `name` into a new file at `path`.

    `trials` and `results` are in the schemas TRIALS and RESULTS. The value of a trial is its best
    validation score by `select_by` (`accuracy` or `auroc`). The score after each epoch is an
    intermediate value. Attributes say how the trial ended. A trial that was selected also has
    the AUC-ROC of its cell on holdout.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with whole_file(path) as scratch:
        scratch.unlink(missing_ok=True)  # Optuna would append to the file that a killed writer left
        storage = JournalStorage(JournalFileBackend(str(scratch)))
        study = optuna.create_study(storage=storage, study_name=name, direction="maximize")
        with warnings.catch_warnings():  # naming a metric is experimental
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([MERITS[select_by]])
        study.add_trials(list(_frozen_trials(trials, results, MERITS[select_by])))


def _frozen_trials(trials: pa.Table, results: pa.Table, merit: str) -> Iterator[FrozenTrial]:
    axis = epoch_is_axis(trials) or epoch_is_axis(results)
    axes = AXES if axis else WITHOUT_EPOCH
    by_trial = _by_trial(trials)
    distributions = _distributions([parameters_of(rows[0], axes) for rows in by_trial])
    aurocs = {
        tuple(row[axis] for axis in axes): row["auroc"]
        for row in results.select([*axes, "auroc"]).to_pylist()
    }
    clock = START
    for number, rows in enumerate(by_trial):
        ends = clock + timedelta(seconds=sum(row["seconds"] or 0.0 for row in rows))
        place = tuple(rows[0][axis] for axis in axes)
        parameters = parameters_of(rows[0], axes)
        yield _frozen(
            number, rows, merit, parameters, distributions, aurocs.get(place), clock, ends
        )
        clock = ends


def _by_trial(trials: pa.Table) -> list[list[Row]]:
    by_trial: dict[tuple[Any, ...], list[Row]] = {}
    for row in trials.to_pylist():
        by_trial.setdefault((*(row[axis] for axis in AXES), row["trial"]), []).append(row)
    return list(by_trial.values())


def _frozen(
    number: int,
    rows: Sequence[Row],
    merit: str,
    parameters: Row,
    distributions: dict[str, BaseDistribution],
    auroc: float | None,
    starts: datetime,
    ends: datetime,
) -> FrozenTrial:
    from optuna.trial import FrozenTrial, TrialState

    first, last = rows[0], rows[-1]
    merits = {row["epoch"]: row[merit] for row in rows if row[merit] is not None}
    state = TrialState.PRUNED if last["ended"] == "pruned" else TrialState.COMPLETE
    attributes = {"trial": first["trial"], "ended": last["ended"], "n_epochs": len(rows)}
    if any(row["selected"] for row in rows):
        attributes |= {"selected": True, "holdout_auroc": auroc}
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=state if merits else TrialState.FAIL,
        value=max(merits.values(), default=None),
        datetime_start=starts,
        datetime_complete=ends,
        params=parameters,
        distributions={name: distributions[name] for name in parameters},
        user_attrs=attributes,
        system_attrs={},
        intermediate_values=merits,
    )


def _distributions(parameters: Sequence[Row]) -> dict[str, BaseDistribution]:
    """The range of the values of each parameter that occur."""
    values_of: dict[str, set[Any]] = {}
    for row in parameters:
        for name, value in row.items():
            values_of.setdefault(name, set()).add(value)
    return {name: _distribution(name, values) for name, values in values_of.items()}


def _distribution(name: str, values: set[Any]) -> BaseDistribution:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    kinds = {type(value) for value in values}
    if kinds == {int}:
        return IntDistribution(min(values), max(values))
    if kinds == {float}:
        log = name == "learning_rate" and min(values) > 0
        return FloatDistribution(min(values), max(values), log=log)
    return CategoricalDistribution(sorted(values, key=lambda value: (str(type(value)), value)))
