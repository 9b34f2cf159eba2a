"""What the README promises can be typed as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from lussweep.cli import app
from lussweep.spec import GanSpec, load_study
from support import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines() if line.strip()]
COMMANDS = [
    shlex.split(part)[1:] for line in LINES for part in line.split("&&") if "lussweep " in part
]


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) >= 6


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_every_command_parses(arguments: list[str]) -> None:
    group = typer.main.get_command(app)
    name, *rest = arguments
    command = group.commands[name]
    context = command.make_context(name, list(rest))
    experiment = context.params.get("experiment")
    if experiment is not None:
        path = ROOT / "experiments" / Path(experiment).with_suffix(".yaml").name
        load_study(path.read_text(), overrides=context.params.get("set_") or ())


def test_the_two_commands_are_those_of_the_first_page_and_of_ci() -> None:
    assert LINES[0] == "python -m pip install . && lussweep grid --replicates 3"
    assert LINES[1] == "python -m pip install '.[test]' && python -m pytest"
    ci = (ROOT / ".ci" / "run").read_text()
    assert LINES[1] in ci


def test_every_link_to_a_file_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    local = [target for target in targets if "://" not in target]
    assert len(local) >= 5
    assert [target for target in local if not (ROOT / target).exists()] == []


def test_every_variant_that_is_shown_can_be_written_in_an_experiment() -> None:
    shown = re.findall(r"```yaml\n(variants:.*?)```", README, re.DOTALL)
    assert len(shown) >= 2
    for text in shown:
        study = load_study(f"name: shown\n{text}")
        assert set(study.variants) > set(load_study("name: plain").variants)


def test_every_value_of_the_gan_that_is_named_exists() -> None:
    table = README.split("## The GAN")[1].split("## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = re.findall(r"`(\w+)", " ".join(rows))
    assert len(named) >= 9
    assert [name for name in named if name not in GanSpec.model_fields] == []


def test_every_shipped_experiment_is_listed_and_ships() -> None:
    names = sorted(path.stem for path in (ROOT / "experiments").glob("*.yaml"))
    listed = re.findall(r"^\| \[(\w+)\]\(experiments/", README, re.MULTILINE)
    assert sorted(listed) == names


def test_every_file_of_the_run_folder_that_is_named_exists(uninterrupted: Path) -> None:
    table = README.split("### The run folder")[1].split("## ")[0]
    first_cells = "".join(
        line.split("|")[1] for line in table.splitlines() if line.startswith("| `")
    )
    named = re.findall(r"`([^`]+)`", first_cells)
    assert len(named) >= 12
    # There only after a failure, only with Ray, and only where a GAN's training went wrong.
    optional = {"logs/", "ray/", "events.log"}
    assert [n for n in named if not (uninterrupted / n).exists() and n not in optional] == []
