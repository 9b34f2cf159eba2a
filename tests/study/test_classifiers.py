"""Kinds of classifiers in an experiment, and what they and later fields do to keys."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import ClassVar

import pytest
from pydantic import NonNegativeFloat, PositiveInt, ValidationError

from lussweep.data.phantom import phantom_manifest
from lussweep.errors import InputError
from lussweep.study.keys import digest
from lussweep.study.plan import make_plan
from lussweep.study.spec import (
    CLASSIFIERS,
    ClassifierKind,
    ClassifierSpec,
    DetectorSpec,
    GanSpec,
    Recipe,
    SearchSpec,
    StudySpec,
    VggSearchSpec,
    dump_study,
    load_study,
)
from support.commands import ROOT, TINY, environment

OTHER = "{name: a, classifier: {kind: other}, search: {n_trials: 2, penalty: [0, 1]}}"


class OtherSearch(SearchSpec):
    n_trials: PositiveInt = 5
    penalty: tuple[NonNegativeFloat, ...] = (0.0,)


class Longer(ClassifierSpec):
    """The classifier's section with one more field, as a later version would have it."""

    added: ClassVar[frozenset[str]] = ClassifierSpec.added | {"warm_up"}
    warm_up: int = 0


@pytest.fixture(autouse=True)
def other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CLASSIFIERS, "other", ClassifierKind(OtherSearch, lambda given, size: None))


def problem(text: str) -> str:
    with pytest.raises(InputError) as caught:
        load_study(text)
    (line,) = str(caught.value).splitlines()
    return line


# --- keys -------------------------------------------------------------------------------------


def test_a_later_field_enters_a_key_only_where_it_differs_from_its_default() -> None:
    before = ClassifierSpec(n_epochs=2).key_fields()
    assert Longer(n_epochs=2).key_fields() == before
    assert Longer(n_epochs=2, warm_up=0).key_fields() == before
    assert Longer(n_epochs=2, warm_up=3).key_fields() == {**before, "warm_up": 3}


def test_a_later_field_rekeys_no_step() -> None:
    study = load_study(TINY).with_embedders(False)

    def refs(classifier: ClassifierSpec) -> list[str]:
        changed = study.model_copy(update={"classifier": classifier})
        return list(make_plan(changed, phantom_manifest(study.data.phantom, 1), phantom=True).steps)

    assert refs(Longer(n_epochs=2)) == refs(ClassifierSpec(n_epochs=2))
    assert refs(Longer(n_epochs=2, warm_up=1)) != refs(ClassifierSpec(n_epochs=2))


def test_the_kind_enters_a_key_but_for_that_of_the_first_release() -> None:
    assert "kind" not in ClassifierSpec().key_fields()
    assert "kind" not in ClassifierSpec(kind="vgg").key_fields()
    assert ClassifierSpec(kind="other").key_fields()["kind"] == "other"
    study = load_study("{name: a}")
    assert digest(load_study("{name: a, classifier: {kind: vgg}}").identity()) == digest(
        study.identity()
    )


def test_the_values_of_hyperparameters_stand_beside_the_rule_of_the_search() -> None:
    fields = load_study(OTHER).search.key_fields()
    assert (fields["n_trials"], fields["penalty"]) == (2, [0.0, 1.0])
    assert "channels" not in fields


def test_a_gan_is_named_by_what_differs_from_the_studys() -> None:
    """By every field, whether or not it enters a key."""
    study = load_study("{name: a, gan: {ngf: 8}}")
    own = study.gan.model_copy(update={"loss": "hinge", "augment": ("cutout",), "gpus": 0.5})
    recipe = Recipe(pos=("synthetic",), neg=("real",), gan=own)
    assert study.gan_label(recipe) == "loss=hinge, augment=cutout"
    assert study.gan_label(recipe.model_copy(update={"gan": GanSpec(ngf=8)})) == "base"


# --- experiments ------------------------------------------------------------------------------


def test_the_kind_decides_the_fields_of_the_search() -> None:
    search = load_study(OTHER).search
    assert isinstance(search, OtherSearch)
    assert search.space() == {"learning_rate": search.learning_rates, "penalty": (0.0, 1.0)}
    assert search.n_combinations == 10
    assert load_study("{name: a, classifier: {kind: other}}").search == OtherSearch()
    assert load_study("{name: a}").search == VggSearchSpec()


def test_the_vggs_space_has_its_three_hyperparameters() -> None:
    text = "search: {n_trials: all, learning_rates: [0.1], channels: [2, 3], dropouts: [0]}"
    search = load_study(f"{{name: a, {text}}}").search
    assert search.space() == {"learning_rate": (0.1,), "channels": (2, 3), "dropout": (0.0,)}
    assert search.n == 2


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("search: {penalties: [0]}", "unknown key search.penalties: did you mean penalty?"),
        ("search: {penalty: [-1]}", "search.penalty.0: Input should be greater than or equal to 0"),
        ("search: {penalty: []}", "search: penalty needs one or more different values"),
        ("search: {channels: [3]}", "unknown key search.channels"),
        ("search: {n_trials: 6}", "n_trials is 6, the space has 5 combinations"),
        ("detector: {search: {penalties: [0]}}", "unknown key detector.search.penalties"),
    ],
)
def test_values_of_another_kind_are_checked(text: str, found: str) -> None:
    assert found in problem(f"{{name: a, classifier: {{kind: other}}, {text}}}")


def test_an_unknown_kind_is_the_only_thing_wrong() -> None:
    found = problem("{name: a, classifier: {kind: othr}, search: {penalty: [0]}}")
    assert "classifier.kind: no classifier has this name: did you mean other?" in found
    assert "classifier.kind" in problem("{name: a, classifier: {kind: [other]}}")


@pytest.mark.parametrize(
    "text",
    [
        OTHER,
        "{name: a, detector: {classifier: {kind: other}}}",
        "{name: a, classifier: {kind: other}, detector: {classifier: {kind: vgg}}}",
        "{name: a, detector: {search: {channels: [9], n_trials: 3}}}",
    ],
)
def test_an_experiment_of_another_kind_can_be_written_and_read(text: str) -> None:
    study = load_study(text)
    assert load_study(dump_study(study)) == study


def test_the_detector_is_of_the_kind_of_the_cells_unless_it_says_otherwise() -> None:
    study = load_study("{name: a, classifier: {kind: other}, detector: {search: {n_trials: 1}}}")
    assert study.detector_classifier().kind == "other"
    assert study.detector_search() == OtherSearch(n_trials=1)


def test_a_detector_of_another_kind_takes_what_both_searches_have() -> None:
    study = load_study(
        "{name: a, search: {n_trials: 3, channels: [1, 2], select_by: auroc},"
        " detector: {classifier: {kind: other}, search: {penalty: [0, 2]}}}"
    )
    assert study.detector_search() == OtherSearch(n_trials=3, select_by="auroc", penalty=(0, 2))
    assert isinstance(study.search, VggSearchSpec)
    for detector in ("{classifier: {kind: other}}", "{classifier: {kind: other}, search: null}"):
        alone = load_study(f"{{name: a, search: {{n_trials: 3}}, detector: {detector}}}")
        assert alone.detector_search() == OtherSearch(n_trials=3)


def test_specs_made_in_python_must_be_of_the_kind() -> None:
    kind = ClassifierSpec(kind="other")
    assert StudySpec(name="a", classifier=kind).search == OtherSearch()
    detector = DetectorSpec(classifier=kind)
    assert StudySpec(name="a", detector=detector).detector_search() == OtherSearch()
    with pytest.raises(ValidationError, match="a VggSearchSpec, but classifier"):
        StudySpec(name="a", classifier=kind, search=VggSearchSpec())


def test_the_learning_rate_is_no_hyperparameter_of_a_network() -> None:
    class Wrong(SearchSpec):
        learning_rate: tuple[float, ...] = (0.1,)

    with pytest.raises(ValueError, match="learning_rate belongs to training"):
        ClassifierKind(Wrong, lambda given, size: None)


def test_an_experiment_is_read_without_pytorch() -> None:
    code = (
        "import sys; from lussweep.study.spec import load_study; load_study('{name: a}');"
        "print([name for name in ('torch', 'ray') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True
    )
    assert done.stdout == "[]\n", done.stderr


def test_only_its_own_files_and_the_tables_name_the_hyperparameters_of_the_vgg() -> None:
    named = re.compile(r"""\bdropouts\b|['"]channels['"]|\bchannels:|\.channels\b""")
    package = ROOT / "lussweep"
    files = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if named.search(path.read_text())
    }
    assert files == {
        "models/classifiers/vgg.py",
        "store/tables.py",
        "study/spec/classifiers.py",
    }
