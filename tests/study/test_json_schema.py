"""The JSON schema of experiments accepts and refuses what the specs do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from lussweep.errors import InputError
from lussweep.study.spec import GENERATORS, GeneratorKind, GeneratorSpec, load_study, plain_values
from lussweep.study.spec.fields import settable
from lussweep.study.spec.json_schema import experiment_schema
from support.commands import ROOT

EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    schema = experiment_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_that_ships_is_valid(path: Any, validator: Draft202012Validator) -> None:
    errors = [e.message for e in validator.iter_errors(plain_values(path.read_text(), path.name))]
    assert errors == []


GOOD = (
    "select: last",
    "select: best",
    "select: {rule: best, metric: kmmd}",
    "grid: {gan_epochs: []}",
    "select: {best: kmmd, embedder: detector, allow_detector: true}",
    "select: {epoch: 5}",
    "classifier: {augment: us_dcgan}",
    "data: {preprocess: {crop: [0, 0, 10, 10]}}",
    "data: {phantom: null}",
    "gan: {health: {policy: {retry: {seeds: 1}}}}",
    "variants: {mine: {pos: [real], neg: [real], augment: us_dcgan}}",
    "detector: {search: {n_trials: 2}}",
)
BAD = (
    "gan: {n_epoch: 3}",
    "gan: {kind: nosuch}",
    "gan: {n_epochs: 0}",
    "serch: {}",
    "grid: {n_patients: six}",
    "grid: {n_patients: [6, -1]}",
    "classifier: {kind: nosuch}",
    "classifier: {batch_size: -1}",
    "classifier: {augment: nosuch}",
    "select: {best: nosuch}",
    "select: nosuch",
    "select: {best: kmmd, rule: best}",
    "select: {best: kmmd, metric: one_nn}",
    "grid: {n_patients: []}",
    "grid: {n_patients: [6, 6]}",
    "grid: {variants: []}",
    "search: {learning_rates: []}",
    "score: {embedders: [nosuch]}",
    "score: {extra_metrics: [kmmd]}",
    "variants: {mine: {pos: [reel], neg: [real]}}",
    "variants: {mine: {pos: [real]}}",
    "data: {preprocess: {crop: [0, 0, 10]}}",
    "detector: {search: {n_trial: 2}}",
)


@pytest.mark.parametrize("text", GOOD)
def test_what_the_specs_accept_is_valid(text: str, validator: Draft202012Validator) -> None:
    load_study(f"name: mine\n{text}")
    errors = [e.message for e in validator.iter_errors(plain_values(f"name: mine\n{text}", "mine"))]
    assert errors == []


@pytest.mark.parametrize("text", BAD)
def test_a_wrong_key_or_value_is_not(text: str, validator: Draft202012Validator) -> None:
    with pytest.raises(InputError):
        load_study(f"name: mine\n{text}")
    assert not validator.is_valid(plain_values(f"name: mine\n{text}", "mine"))


def test_an_experiment_needs_a_name(validator: Draft202012Validator) -> None:
    assert not validator.is_valid({})


def properties(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property of a schema, with its place."""
    if isinstance(node, dict):
        for name, field in node.get("properties", {}).items():
            yield f"{path}.{name}", field
        for name, below in node.items():
            yield from properties(below, f"{path}/{name}")
    elif isinstance(node, list):
        for i, below in enumerate(node):
            yield from properties(below, f"{path}/{i}")


def test_every_value_is_described() -> None:
    """A section is described where it is defined, and where it stands below another."""
    found = dict(properties(experiment_schema()))
    assert len(found) > len(settable()) / 2
    bare = [place for place, field in found.items() if not field.keys() & {"description", "$ref"}]
    assert bare == []
    nested = ("augment", "preprocess", "split", "retry", "health")
    described = [field for place, field in found.items() if place.endswith(nested)]
    assert len(described) >= len(nested)
    assert all("description" in field for field in described)


def test_a_kind_of_a_plugin_is_offered_by_its_name() -> None:
    class SmokeSpec(GeneratorSpec):
        """Smoke."""

        puffs: int = 3
        """Number of puffs."""

    GENERATORS["smoke"] = GeneratorKind(SmokeSpec, *[lambda *_: None] * 3)
    try:
        validator = Draft202012Validator(experiment_schema())
    finally:
        del GENERATORS["smoke"]
    assert validator.is_valid({"name": "mine", "gan": {"kind": "smoke", "puffs": 5}})
    assert validator.is_valid({"name": "mine", "gan": {"ngf": 5}})
    assert not validator.is_valid({"name": "mine", "gan": {"puffs": 5}})
    assert not validator.is_valid({"name": "mine", "gan": {"kind": "smoke", "ngf": 5}})
