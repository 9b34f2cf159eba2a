"""Plugins: how they are found, what they may add, and what their versions do to keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.packages import install_package, run_python

ADDS = """
from lussweep.study.spec import CLASSIFIERS, ClassifierKind, SearchSpec

def register():
    CLASSIFIERS["{name}"] = ClassifierKind(SearchSpec, lambda given, size: None)
"""
FAILS = ADDS + "    raise KeyError('no such setting')\n"
UPDATES = """
from lussweep.study.spec import CLASSIFIERS, ClassifierKind, SearchSpec

def register():
    CLASSIFIERS.update({name}=ClassifierKind(SearchSpec, lambda given, size: None))
"""
STUDY = (
    "{{name: a, plugins: {plugins}, classifier: {{kind: {kind}}}, search: {{n_trials: 2}},"
    " grid: {{n_patients: [2]}}}}"
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages: one that adds the classifier `adds`, and some that are faulty."""
    install_package(tmp_path, "adds", ADDS.format(name="adds"))
    install_package(tmp_path, "takes", ADDS.format(name="vgg"))
    install_package(tmp_path, "breaks", "1 / 0")
    install_package(tmp_path, "stumbles", "import math; math.no_such_name")
    install_package(tmp_path, "bare", "")
    install_package(tmp_path, "named", "register = 'no function'")
    install_package(tmp_path, "fails", FAILS.format(name="fails"))
    install_package(tmp_path, "replaces", UPDATES.format(name="vgg"))
    install_package(tmp_path, "updates", UPDATES.format(name="updates"))
    (tmp_path / "beside.py").write_text(ADDS.format(name="beside"))
    return tmp_path


def in_process(site: Path, code: str) -> str:
    """What the code prints in a fresh process, because a plugin stays in its process."""
    before = (
        "from lussweep.study.plugins import *; from lussweep.errors import InputError;"
        "from lussweep.study.spec import *; import sys, json\n"
    )
    return run_python(before + code, cwd=site, site=site).strip()


def refusal(site: Path, text: str) -> str:
    return in_process(
        site, f"try:\n load_study({text!r})\nexcept InputError as error:\n print(error)"
    )


PLANNED = """
from lussweep.data.phantom import phantom_manifest
from lussweep.study.plan import make_plan
study = load_study({text!r}).with_embedders(False)
plan = make_plan(study, phantom_manifest(study.data.phantom, 1), phantom=True)
print(json.dumps({{ref: step.spec.get("plugins") for ref, step in plan.steps.items()}}))
"""


def planned(site: Path, plugins: str, kind: str) -> dict[str, dict[str, str] | None]:
    """The plugins in the spec of each step, by its ref."""
    text = STUDY.format(plugins=plugins, kind=kind)
    found: dict[str, dict[str, str] | None] = json.loads(
        in_process(site, PLANNED.format(text=text))
    )
    return found


@pytest.mark.parametrize("name", ["adds", "short-adds"])
def test_a_plugin_is_named_by_its_module_or_its_entry_point(site: Path, name: str) -> None:
    text = STUDY.format(plugins=f"[{name}]", kind="adds")
    assert in_process(site, f"print(load_study({text!r}).classifier.kind)") == "adds"


def test_nothing_is_imported_that_the_experiment_does_not_name(site: Path) -> None:
    code = "load_study('{name: a}'); print('adds' in sys.modules, 'adds' in CLASSIFIERS)"
    assert in_process(site, code) == "False False"


@pytest.mark.parametrize(
    ("plugins", "kind", "found"),
    [
        ("[absent]", "vgg", "plugins names 'absent', which no installed package has"),
        ("[beside]", "vgg", "a file beside the experiment does not count"),
        (
            "[breaks]",
            "vgg",
            "plugin breaks of breaks 1.0 cannot be imported: ZeroDivisionError",
        ),
        (
            "[stumbles]",
            "vgg",
            "plugin stumbles of stumbles 1.0 cannot be imported: AttributeError: module 'math' has",
        ),
        ("[bare]", "vgg", "plugins names bare, which has no function register()"),
        ("[named]", "vgg", "plugins names named, which has no function register()"),
        (
            "[fails]",
            "vgg",
            "plugin fails of fails 1.0 cannot be registered: KeyError: 'no such setting'",
        ),
        ("[replaces]", "vgg", "plugin replaces adds the classifier 'vgg', but lussweep has one"),
        ("[takes]", "vgg", "the plugin takes adds the classifier 'vgg', but lussweep has one"),
        ("[adds]", "vgggg", "classifier.kind: no classifier has this name: did you mean vgg?"),
        ("[]", "pixels", "installed plugins that this experiment does not name: short-adds,"),
        ("adds", "vgg", "experiment: plugins: Input should be a list, in brackets (got 'adds')"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_one_clear_line(
    site: Path, plugins: str, kind: str, found: str
) -> None:
    (line,) = refusal(site, STUDY.format(plugins=plugins, kind=kind)).splitlines()
    assert found in line


def test_a_plugin_that_fails_half_way_leaves_no_entry_and_may_be_loaded_again(site: Path) -> None:
    code = """
for i in range(2):
    try:
        load_plugins(["fails"])
    except InputError as error:
        print(error)
    print(sorted(CLASSIFIERS), CLASSIFIERS.plugin_of("fails"))
"""
    first, after, *again = in_process(site, code).splitlines()
    assert "cannot be registered" in first and after == "['vgg'] None"
    assert again == [first, after]


@pytest.mark.parametrize("plugin", ["adds", "updates"])
def test_an_entry_knows_its_plugin_however_it_was_added(site: Path, plugin: str) -> None:
    code = f"load_plugins(['{plugin}']); print(CLASSIFIERS.plugin_of('{plugin}').package)"
    assert in_process(site, code) == plugin


def test_every_faulty_plugin_is_named_at_once(site: Path) -> None:
    lines = refusal(site, STUDY.format(plugins="[absent, bare]", kind="vgg")).splitlines()
    assert len(lines) == 2 and all(line.startswith("experiment: ") for line in lines)


def test_the_version_enters_the_keys_of_the_steps_that_use_the_plugin(site: Path) -> None:
    own = planned(site, "[adds]", "adds")
    for ref, plugins in own.items():
        assert plugins == ({"adds": "1.0"} if ref.startswith("trial/") else None)
    (site / "adds-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: adds\nVersion: 2.0\n"
    )
    later = planned(site, "[adds]", "adds")
    changed = {ref.partition("/")[0] for ref in own.keys() - later.keys()}
    assert {"trial", "search", "evaluate"} <= changed
    assert not changed & {"shard", "ingest", "cohort", "gan"}


def test_a_plugin_that_no_step_uses_changes_no_key(site: Path) -> None:
    assert planned(site, "[adds]", "vgg") == planned(site, "[]", "vgg")


def test_a_worker_loads_the_plugins_of_the_run(site: Path) -> None:
    code = "require_plugins([Plugin('adds', 'adds', '1.0')]); print('adds' in CLASSIFIERS)"
    assert in_process(site, code) == "True"


@pytest.mark.parametrize(
    ("plugin", "found"),
    [
        ("Plugin('adds', 'adds', '0.9')", "this worker has adds 1.0, but the run was started with"),
        ("Plugin('gone', 'gone', '1.0')", "'gone', which no installed package has"),
    ],
)
def test_a_worker_without_the_same_plugin_refuses(site: Path, plugin: str, found: str) -> None:
    code = f"try:\n require_plugins([{plugin}])\nexcept InputError as error:\n print(error)\n"
    printed = in_process(site, 2 * code).splitlines()  # a worker is used for many steps
    assert len(printed) == 2 and all(found in line for line in printed)
