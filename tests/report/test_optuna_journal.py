import optuna
import pyarrow as pa
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from lussweep.report.optuna_journal import write_optuna
from lussweep.report.sections.results import RESULTS
from lussweep.store import tables
from support.commands import succeed


def trial(place, number, accuracies, ended="epochs", selected=None, **changes):
    """Rows of one trial; `selected` is the epoch that was."""
    return [
        {
            **dict(zip(("n_patients", "replicate", "variant", "gan_epoch"), place, strict=True)),
            "trial": number,
            "epoch": epoch,
            "learning_rate": 0.001 * number,
            "channels": 3,
            "dropout": 0.25,
            "val_accuracy": accuracy,
            "val_auroc": None if accuracy is None else accuracy / 2,
            "ended": ended if epoch == len(accuracies) else None,
            "selected": epoch == selected,
            "seconds": 2.0,
            **changes,
        }
        for epoch, accuracy in enumerate(accuracies, start=1)
    ]


BASELINE, COMBINED = (6, 1, "baseline", None), (15, 2, "combined", 10)
DETECTOR = (None, None, "detector", None)
ROWS = [
    *trial(BASELINE, 1, [0.5, 0.7, 0.6], selected=2),
    *trial(BASELINE, 2, [0.4, 0.3], ended="pruned"),
    *trial(COMBINED, 1, [0.8], selected=1, channels=5),
    *trial(DETECTOR, 1, [0.9], selected=1),
    *trial(DETECTOR, 2, [None], ended="patience"),
]
RESULT_ROWS = [
    {"n_patients": 6, "replicate": 1, "variant": "baseline", "auroc": 0.75},
    {"n_patients": 15, "replicate": 2, "variant": "combined", "gan_epoch": 10, "auroc": 0.5},
]


def written(path, rows=ROWS, select_by="accuracy", result_rows=RESULT_ROWS):
    trials = pa.Table.from_pylist(rows, tables.TRIALS)
    results = pa.Table.from_pylist(result_rows, RESULTS)
    write_optuna(path, trials, results, "mine", select_by)
    storage = JournalStorage(JournalFileBackend(str(path)))
    return optuna.load_study(study_name="mine", storage=storage)


def test_every_trial_stands_there_with_its_place_in_the_grid(tmp_path):
    trials = written(tmp_path / "optuna.log").trials
    assert len(trials) == 5
    assert trials[0].params == {
        "n_patients": 6, "replicate": 1, "variant": "baseline",
        "learning_rate": 0.001, "channels": 3, "dropout": 0.25,
    }  # fmt: skip
    assert trials[2].params["variant"] == "combined"
    assert set(trials[3].params) == {"variant", "learning_rate", "channels", "dropout"}


def test_values_are_the_best_of_validation_and_every_epoch_is_there(tmp_path):
    study = written(tmp_path / "optuna.log")
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert study.metric_names == ["val_accuracy"]
    first, pruned, *_, failed = study.trials
    assert (first.value, first.intermediate_values) == (0.7, {1: 0.5, 2: 0.7, 3: 0.6})
    assert (first.state, pruned.state, failed.state) == (
        TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL,
    )  # fmt: skip
    assert first.duration.total_seconds() == 6
    by_auroc = written(tmp_path / "other.log", select_by="auroc")
    assert by_auroc.metric_names == ["val_auroc"]
    assert by_auroc.trials[0].value == 0.35


def test_attributes_tell_what_was_selected_and_what_holdout_said(tmp_path):
    first, pruned, combined, detector, _ = written(tmp_path / "optuna.log").trials
    assert first.user_attrs == {
        "trial": 1, "ended": "epochs", "n_epochs": 3, "selected": True, "holdout_auroc": 0.75,
    }  # fmt: skip
    assert pruned.user_attrs == {"trial": 2, "ended": "pruned", "n_epochs": 2}
    assert combined.user_attrs["holdout_auroc"] == 0.5
    assert detector.user_attrs["holdout_auroc"] is None


def test_a_gan_epoch_that_is_an_axis_is_a_parameter(tmp_path):
    rows = [row for epoch in (5, 10) for row in trial((6, 1, "combined", epoch), 1, [0.5])]
    assert [t.params["gan_epoch"] for t in written(tmp_path / "optuna.log", rows).trials] == [5, 10]


def test_a_gan_epoch_whose_trials_are_missing_takes_no_auroc_away(tmp_path):
    cell = {"n_patients": 6, "replicate": 1, "variant": "combined"}
    results = [cell | {"gan_epoch": 5, "auroc": 0.75}, cell | {"gan_epoch": 10, "auroc": None}]
    rows = trial((6, 1, "combined", 5), 1, [0.5], selected=1)
    (only,) = written(tmp_path / "optuna.log", rows, result_rows=results).trials
    assert only.user_attrs["holdout_auroc"] == 0.75


def test_the_file_is_written_anew(tmp_path):
    written(tmp_path / "optuna.log")
    assert len(written(tmp_path / "optuna.log", ROWS[:3]).trials) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["optuna.log"]


@pytest.mark.parametrize("rows", [[], ROWS[:1]])
def test_few_trials_are_enough(tmp_path, rows):
    assert len(written(tmp_path / "optuna.log", rows).trials) == len(rows)


def test_hyperparameters_of_any_classifier_are_parameters(tmp_path):
    """The detector's are of another kind, and one name has values of two types."""
    none = {"learning_rate": 0.1, "channels": None, "dropout": None}
    rows = [
        *trial(BASELINE, 1, [0.5], **none, hyperparameters='{"side":2,"whiten":true}'),
        *trial(BASELINE, 2, [0.5], **none, hyperparameters='{"side":4,"whiten":false}'),
        *trial(DETECTOR, 1, [0.5], hyperparameters='{"whiten":"never"}'),
    ]
    trials = written(tmp_path / "optuna.log", rows).trials
    assert [t.params.get("side") for t in trials] == [2, 4, None]
    assert [t.params["whiten"] for t in trials] == [True, False, "never"]
    assert [t.params["learning_rate"] for t in trials] == [0.1, 0.1, 0.001]
    assert [t.params.get("channels") for t in trials] == [None, None, 3]
    assert trials[0].distributions["side"] == optuna.distributions.IntDistribution(2, 4)
    assert set(trials[0].distributions["whiten"].choices) == {True, False, "never"}


def test_a_new_name_of_the_experiment_is_the_studys(finished, tiny_yaml):
    succeed("grid", tiny_yaml, "--out", finished, "--backend", "inline", "--set", "name=renamed")
    storage = JournalStorage(JournalFileBackend(str(finished / "optuna.log")))
    assert [study.study_name for study in storage.get_all_studies()] == ["renamed"]
