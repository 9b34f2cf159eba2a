"""What the README and the pages of docs/ promise can be typed as it stands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from lussweep.cli.app import app
from lussweep.study.spec import GanSpec, load_study
from support.commands import ROOT, environment
from support.packages import GRID
from support.pages import blocks

README = (ROOT / "README.md").read_text()
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md")))
}
MAX_README_LINES = 150


def lines(text: str) -> list[str]:
    """The lines of a page's bash blocks."""
    return [line for block in blocks(text, "bash") for line in block.splitlines() if line.strip()]


def commands(text: str) -> list[str]:
    """Every `lussweep ...` of a page, in a bash block or as code within a sentence."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    inline = [code.replace("\n", " ") for code in re.findall(r"`(lussweep [^`]+)`", prose)]
    typed = [part for line in lines(text) for part in line.split("&&")]
    return [part.strip() for part in [*typed, *inline] if part.strip().startswith("lussweep ")]


COMMANDS = sorted(
    {
        command.partition(" > ")[0]
        for page in PAGES.values()
        for command in commands(page)
        if not {"--help", "-h"} & set(command.split())
    }
)
NAME_ALONE = re.compile(r"lussweep [\w-]+")
"""`lussweep plan` in a sentence names a command and need not be complete."""


def test_there_are_commands_to_check_in_the_readme_and_in_docs() -> None:
    assert len(commands(README)) >= 6
    assert len(COMMANDS) >= 25


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_parses(command: str) -> None:
    """Its experiment is read too, but for that of GRID, which tests/e2e runs with its plugin."""
    group = typer.main.get_command(app)
    name, *rest = shlex.split(command)[1:]
    if name.startswith("--"):
        assert name in {option for parameter in group.params for option in parameter.opts}
        return
    assert name in group.commands
    if NAME_ALONE.fullmatch(command) and any(p.required for p in group.commands[name].params):
        return
    context = group.commands[name].make_context(name, list(rest))
    experiment = context.params.get("experiment")
    if experiment is not None and command != GRID:
        path = ROOT / "experiments" / Path(experiment).with_suffix(".yaml").name
        load_study(path.read_text(), overrides=context.params.get("set_") or ())


def test_the_two_commands_are_those_of_the_first_page_and_of_ci() -> None:
    assert lines(README)[0] == "python -m pip install . && lussweep grid --replicates 3"
    assert lines(README)[1] == "python -m pip install '.[test]' && python -m pytest"
    ci = (ROOT / ".ci" / "run").read_text()
    assert lines(README)[1] in ci


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) < MAX_README_LINES


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_file_leads_somewhere(page: str) -> None:
    base = (ROOT / page).parent
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", PAGES[page])
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (base / target).exists()] == []


def test_the_readme_leads_to_every_page() -> None:
    linked = set(re.findall(r"\]\(([^)#]+)\)", README))
    assert {page for page in PAGES if page not in {"README.md", "docs/index.md"}} <= linked


def test_every_file_of_the_project_that_a_page_names_is_there() -> None:
    """Files of docs/ cannot link to files outside, so pages name them as code."""
    named = {
        path
        for page in PAGES.values()
        for path in re.findall(r"((?:experiments|tests)/[\w./-]*\w)", page)
    }
    assert len(named) >= 8
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_every_variant_that_is_shown_can_be_written_in_an_experiment() -> None:
    shown = [
        text
        for page in PAGES.values()
        for text in blocks(page, "yaml")
        if text.startswith("variants:")
    ]
    assert len(shown) >= 2
    for text in shown:
        study = load_study(f"name: shown\n{text}")
        assert set(study.variants) > set(load_study("name: plain").variants)


def test_every_value_of_the_gan_that_is_named_exists() -> None:
    table = PAGES["docs/experiments.md"].split("## The GAN")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = re.findall(r"`(\w+)", " ".join(rows))
    assert len(named) >= 9
    assert [name for name in named if name not in GanSpec.model_fields] == []


@pytest.mark.parametrize("name", ["paper", "quickstart", "pocus"])
def test_the_table_of_recipes_is_that_of_the_experiments(name: str) -> None:
    table = PAGES["docs/experiments.md"].split("| value of `gan:` | `paper`")[1].split("\n\n")[0]
    header, _, *rows = ("| value of `gan:` | `paper`" + table).splitlines()
    column = [cell.strip(" `") for cell in header.split("|")].index(name)
    cells = [[cell.strip(" `") for cell in row.split("|")] for row in rows]
    lines = "".join(f"  {row[1]}: {row[column]}\n" for row in cells)
    study = load_study((ROOT / "experiments" / f"{name}.yaml").read_text())
    told = load_study(f"name: told\ngan:\n{lines}").gan
    assert len(rows) >= 10
    assert {row[1]: getattr(told, row[1]) for row in cells} == {
        row[1]: getattr(study.gan, row[1]) for row in cells
    }


@pytest.mark.parametrize(("section", "at_least"), [("search", 6), ("classifier", 3)])
def test_every_value_of_the_search_that_is_named_can_be_written(
    section: str, at_least: int
) -> None:
    heading = f"| value of `{section}:` | what it does |"
    table = PAGES["docs/experiments.md"].split(heading)[1].split("\n\n")[0]
    named = re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
    assert len(named) >= at_least
    for value in named:
        load_study(f"name: shown\n{section}:\n  {value}\n")


def test_every_shipped_experiment_is_listed_and_ships() -> None:
    names = sorted(path.stem for path in (ROOT / "experiments").glob("*.yaml"))
    table = PAGES["docs/experiments.md"].split("| experiment |")[1].split("\n\n")[0]
    listed = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(listed) == names


@pytest.mark.parametrize(
    ("page", "heading", "at_least"),
    [("README.md", "## What comes out", 8), ("docs/results.md", "# The run folder", 30)],
)
def test_every_file_of_the_run_folder_that_is_named_exists(
    page: str, heading: str, at_least: int, uninterrupted: Path
) -> None:
    table = PAGES[page].split(heading)[1].split("\n## ")[0]
    first_cells = "".join(
        line.split("|")[1] for line in table.splitlines() if line.startswith("| `")
    )
    named = re.findall(r"`([^`]+)`", first_cells)
    assert len(named) >= at_least
    # There only after a failure, with Ray, where a GAN's training went wrong, and after `report`.
    optional = {"logs/", "ray/", "events.log", "publication/",
                "report-shareable.html", "report-watched.html"}  # fmt: skip
    assert [n for n in named if not (uninterrupted / n).exists() and n not in optional] == []


def test_every_python_block_prints_what_stands_below_it() -> None:
    """Those of the page on Python are run by tests/api/test_loaded_runs.py, on a finished run."""
    pages = [page for name, page in PAGES.items() if name != "docs/python.md"]
    shown = [
        pair
        for page in pages
        for pair in re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL)
    ]
    assert len(shown) == sum(len(blocks(page, "python")) for page in pages) >= 1
    for code, expected in shown:
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment(), capture_output=True, text=True
        )
        assert done.stdout == expected, done.stderr
