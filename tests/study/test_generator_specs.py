"""Kinds of generators in an experiment, and what they do to keys, steps and costs."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from pydantic import PositiveFloat, PositiveInt, ValidationError

from lussweep.backend.inline import refuse_unsupported
from lussweep.data.phantom import phantom_manifest
from lussweep.errors import InputError
from lussweep.study.costs import Frames, kind, work
from lussweep.study.plan import Plan, Step, Workers, make_plan
from lussweep.study.plan.step_specs import GanStep
from lussweep.study.plugins import Plugin
from lussweep.study.spec import (
    GENERATORS,
    GanSpec,
    GeneratorKind,
    GeneratorSpec,
    StudySpec,
    dump_study,
    generator_spec,
    load_study,
)
from support.commands import ROOT, TINY

OTHER = "{name: a, gan: {kind: other, n_epochs: 8, gpus: 0.5, width: 3}}"
VARIANT = "variants: {x: {pos: [synthetic], neg: [real], gan: %s}}"


class OtherSpec(GeneratorSpec):
    version: ClassVar[int] = 4
    budgets: ClassVar[frozenset[str]] = GeneratorSpec.budgets | {"n_rounds"}
    width: PositiveInt = 2
    beta1: PositiveFloat = 0.9
    n_rounds: PositiveInt = 1

    def work(self, n_frames: float) -> float:
        return 5.0 * n_frames * self.n_rounds


@pytest.fixture(autouse=True)
def other(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing: Any = lambda *arguments: None  # noqa: E731
    monkeypatch.setitem(GENERATORS, "other", GeneratorKind(OtherSpec, nothing, nothing, nothing))


def problem(text: str) -> str:
    with pytest.raises(InputError) as caught:
        load_study(text)
    (line,) = str(caught.value).splitlines()
    return line


def plan_of(*changes: str) -> Plan:
    study = load_study(TINY, overrides=changes).with_embedders(False)
    return make_plan(study, phantom_manifest(study.data.phantom, 1), phantom=True)


def gans(plan: Plan) -> list[Step]:
    return [step for step in plan.steps.values() if step.stage == "gan"]


# --- keys -------------------------------------------------------------------------------------


def test_the_kind_enters_a_key_but_for_that_of_the_first_release() -> None:
    assert "kind" not in GanSpec().key_fields()
    assert "kind" not in load_study("{name: a, gan: {kind: dcgan}}").gan.key_fields()
    assert load_study(OTHER).gan.key_fields()["kind"] == "other"


def test_kinds_with_the_same_fields_have_different_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GENERATORS, "twin", GENERATORS["other"])
    specs = (OtherSpec(kind="other"), OtherSpec(kind="twin"))
    assert specs[0].key_fields() != specs[1].key_fields()


def test_a_kind_with_a_default_of_its_own_is_refused() -> None:
    """Its key would leave the kind out, and the step would train a DCGAN."""

    class NamedSpec(GeneratorSpec):
        kind: str = "named"

    nothing: Any = lambda *arguments: None  # noqa: E731
    with pytest.raises(ValueError, match=r"NamedSpec\.kind has a default: remove it"):
        GeneratorKind(NamedSpec, nothing, nothing, nothing)


def test_a_device_is_checked_for_each_spec_once_whatever_its_fields_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class ListedSpec(GeneratorSpec):
        layers: list[int] = []

    checked: list[GeneratorSpec] = []
    nothing: Any = lambda *arguments: None  # noqa: E731
    listed = GeneratorKind(
        ListedSpec, nothing, nothing, nothing, check=lambda spec, device: checked.append(spec)
    )
    monkeypatch.setitem(GENERATORS, "listed", listed)
    fields = {"kind": "listed", "layers": [3], "n_epochs": 2}
    refuse_unsupported(plan_of(f"gan={fields}"), torch.device("cpu"))
    (spec,) = checked
    assert isinstance(spec, ListedSpec) and spec.layers == [3]


def test_a_step_has_the_version_of_its_kind() -> None:
    assert {step.version for step in gans(plan_of())} == {GanSpec.version}
    of_other = "gan={kind: other, n_epochs: 2, snapshot_every: 1}"
    assert {step.version for step in gans(plan_of(of_other))} == {4}


def test_the_version_of_a_plugin_enters_the_key_of_its_training_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    of_other = "gan={kind: other, n_epochs: 2, snapshot_every: 1}"
    before = plan_of(of_other)
    monkeypatch.setitem(GENERATORS._plugin_of, "other", Plugin("made", "made-images", "1.2"))
    after = plan_of(of_other)
    assert {str(step.spec.get("plugins")) for step in gans(after)} == {"{'made-images': '1.2'}"}
    assert {step.stage for step in after.steps.values() if "plugins" in step.spec} == {"gan"}
    anew = {ref.partition("/")[0] for ref in after.steps.keys() - before.steps.keys()}
    assert anew == {"gan", "score", "synth", "memorisation", "trial", "search", "evaluate"}
    assert all(GanStep.of(step).gan.kind == "other" for step in gans(after))


def test_the_fields_of_a_step_give_the_spec_again() -> None:
    for spec in (GanSpec(ngf=3, augment=("cutout",)), OtherSpec(kind="other", width=7)):
        assert generator_spec(spec.key_fields()) == spec


# --- experiments ------------------------------------------------------------------------------


def test_the_kind_decides_the_fields() -> None:
    gan = load_study(OTHER).gan
    assert gan == OtherSpec(kind="other", n_epochs=8, gpus=0.5, width=3)
    assert load_study("{name: a}").gan == GanSpec()


def test_a_variant_takes_from_the_studys_generator_what_it_leaves_out() -> None:
    study = load_study(f"{{name: a, gan: {{ngf: 8}}, {VARIANT % '{loss: hinge}'}}}")
    own = study.gan_of(study.variants["x"])
    assert own == GanSpec(ngf=8, loss="hinge")
    assert study.gan_label(study.variants["x"]) == "loss=hinge"


def test_a_variant_of_another_kind_takes_what_all_kinds_have() -> None:
    """Not beta1, which the other kind has too but may mean another thing by."""
    gan = "gan: {n_epochs: 8, gpus: 0.5, beta1: 0.4, ngf: 8}"
    study = load_study(f"{{name: a, {gan}, {VARIANT % '{kind: other, width: 3}'}}}")
    own = study.gan_of(study.variants["x"])
    assert own == OtherSpec(kind="other", n_epochs=8, gpus=0.5, width=3)
    assert study.gan_label(study.variants["x"]) == "kind=other, width=3"
    back = load_study(f"{OTHER[:-1]}, {VARIANT % '{kind: dcgan}'}}}")
    assert back.gan_of(back.variants["x"]) == GanSpec(n_epochs=8, gpus=0.5)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{name: a, gan: {kind: othr}}", "gan.kind: no generator has this name: did you mean othe"),
        ("{name: a, gan: {kind: [other]}}", "gan.kind: Input should be a valid string"),
        ("{name: a, gan: {kind: other, widht: 1}}", "unknown key gan.widht: did you mean width?"),
        ("{name: a, gan: {kind: other, ngf: 1}}", "unknown key gan.ngf"),
        ("{name: a, gan: {kind: other, width: 0}}", "gan.width: Input should be greater than 0"),
        (
            f"{{name: a, {VARIANT % '{kind: other, width: 0}'}}}",
            "variants.x.gan.width: Input should be greater than 0",
        ),
        (
            f"{{name: a, {VARIANT % '{kind: other, gpus: 0.5}'}}}",
            "variants.x.gan.gpus differs: set gan.gpus for all variants",
        ),
    ],
)
def test_values_of_another_kind_are_checked(text: str, found: str) -> None:
    assert found in problem(text)


@pytest.mark.parametrize(
    "text",
    [
        OTHER,
        f"{{name: a, gan: {{n_epochs: 8}}, {VARIANT % '{kind: other, width: 3}'}}}",
        f"{OTHER[:-1]}, {VARIANT % '{kind: dcgan, ngf: 3}'}}}",
        f"{OTHER[:-1]}, {VARIANT % '{width: 9}'}}}",
    ],
)
def test_an_experiment_of_another_kind_can_be_written_and_read(text: str) -> None:
    study = load_study(text)
    assert load_study(dump_study(study)) == study


def test_specs_made_in_python_must_be_of_the_kind() -> None:
    assert StudySpec(name="a", gan=OtherSpec(kind="other")).gan.kind == "other"
    with pytest.raises(ValidationError, match="a OtherSpec, but gan"):
        OtherSpec()
    with pytest.raises(ValidationError, match="a GanSpec, but gan"):
        GanSpec(kind="other")


# --- steps and costs --------------------------------------------------------------------------


def test_workers_stand_on_the_step_and_enter_no_key() -> None:
    whole, shared = gans(plan_of()), gans(plan_of("gan.gpus=0.5"))
    assert [step.ref for step in whole] == [step.ref for step in shared]
    assert {step.workers for step in whole} == {Workers(1, 1.0)}
    assert {step.workers for step in shared} == {Workers(1, 0.5)}
    gangs = gans(plan_of("gan.n_workers=2"))
    assert {step.workers for step in gangs} == {Workers(2, 1.0)}
    trials = [s for s in plan_of("search.gpus_per_trial=0.1").steps.values() if s.stage == "trial"]
    assert {step.workers for step in trials} == {Workers(1, 0.1)}
    assert replace(whole[0], workers=Workers(3, 0.1)) == whole[0]


def test_a_training_costs_what_its_kind_says() -> None:
    frames = Frames({None: 90.0, 2: 20.0, 3: 30.0}, val=10, holdout=10)
    of_other = "{kind: other, n_epochs: 2, snapshot_every: 1, n_rounds: %d}"
    plan, longer = (plan_of(f"gan={of_other % n}") for n in (1, 4))
    for some, n_rounds in ((plan, 1), (longer, 4)):
        counts = {2: 5.0 * 20 * n_rounds, 3: 5.0 * 30 * n_rounds}
        for step in gans(some):
            n_patients = some.steps[step.inputs["cohort"]].spec["n_patients"]
            assert work(step, some.steps, frames) == counts[n_patients]
    assert {kind(s) for s in gans(plan)} == {kind(s) for s in gans(longer)}, "a budget"
    assert {kind(s) for s in gans(plan)}.isdisjoint({kind(s) for s in gans(plan_of())})


def test_a_short_training_keeps_everything_but_its_budget() -> None:
    long = GanSpec(n_epochs=50, n_workers=2, batch_size=8, ngf=3, sync_batchnorm=True)
    short = long.shortened(n_epochs=3, n_batches=4)
    assert (short.n_epochs, short.images_per_epoch, short.snapshot_epochs()) == (3, 32, (3,))
    assert (short.n_workers, short.sync_batchnorm, short.ngf, short.batch_size) == (1, False, 3, 8)
    assert OtherSpec(kind="other", width=7).shortened(3, 4) == OtherSpec(
        kind="other", width=7, n_epochs=3, snapshot_every=3
    )


def test_what_a_step_holds_has_a_type() -> None:
    (step, *_) = gans(plan_of())
    own = GanStep.of(step)
    assert (own.gan.n_epochs, own.label, own.seed, own.n_threads) == (
        2, step.spec["class"], step.spec["seed"], 1,
    )  # fmt: skip


def test_only_its_own_files_know_the_dcgan() -> None:
    named = re.compile(r"generators[./]dcgan|\bGanSpec\b|\bn(g|d)f\b|discriminator", re.IGNORECASE)
    package = ROOT / "lussweep"
    files = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if named.search(path.read_text())
    }
    elsewhere = {name for name in files if not name.startswith("models/generators/dcgan/")}
    words_of_its_events = {"report/gan_marks.py", "run/notices.py"}
    assert elsewhere - words_of_its_events == {
        "study/spec/__init__.py", "study/spec/dcgan.py", "study/spec/study.py",
    }  # fmt: skip
