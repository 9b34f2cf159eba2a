"""The help of each command: short, whole within 80 columns, with examples that work."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from lussweep.cli.app import app
from lussweep.cli.examples import EXAMPLES
from lussweep.study.plan import STAGES
from lussweep.study.plan.words import WORDS, stage_words

GROUP: Any = typer.main.get_command(app)
COMMANDS = sorted(GROUP.commands)
INTERNAL = ("shard", "synth ", "refs", "heartbeat", "payload", "workplace")
"""Words of the code that no user needs."""


def help_of(*arguments: str, columns: int = 80) -> str:
    shown = CliRunner().invoke(app, [*arguments], env={"COLUMNS": str(columns)})
    assert shown.exit_code == 0, shown.output
    return shown.output


def test_every_command_has_examples() -> None:
    assert sorted(EXAMPLES) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_the_short_option_shows_the_help(command: str) -> None:
    assert help_of(command, "-h") == help_of(command, "--help")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_is_whole_within_80_columns(command: str) -> None:
    text = help_of(command, "-h")
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for parameter in GROUP.commands[command].params:
        if parameter.hidden:
            continue
        for name in (*parameter.opts, *parameter.secondary_opts):
            if name.startswith("-"):
                assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text), name
        metavar = parameter.metavar
        if metavar:
            assert metavar in text, metavar


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_shows_its_examples_whole(command: str) -> None:
    lines = [line.strip() for line in help_of(command, "-h").splitlines()]
    for example in EXAMPLES[command]:
        assert example in lines


@pytest.mark.parametrize(
    "example", [line for lines in EXAMPLES.values() for line in lines], ids=lambda line: line[:60]
)
def test_an_example_is_parsed(example: str) -> None:
    """Options and arguments exist; nothing runs."""
    program, command, *arguments = shlex.split(example.partition(" > ")[0])
    assert program == "lussweep"
    with GROUP.make_context("lussweep", [command, *arguments]) as context:
        GROUP.commands[command].make_context(command, arguments, parent=context)


@pytest.mark.parametrize("command", COMMANDS)
def test_no_help_has_a_word_of_the_code(command: str) -> None:
    text = " ".join(help_of(command, "-h").split())
    assert [word for word in INTERNAL if word in text] == []


def test_every_stage_has_words() -> None:
    assert set(WORDS) == set(STAGES)
    assert (stage_words("shard", 1), stage_words("shard", 4)) == (
        "patient's frames",
        "patients' frames",
    )


# --- completion ---------------------------------------------------------------------------


def completed(line: str) -> list[str]:
    """What bash is offered after `line`."""
    words = line.split(" ")
    shown = CliRunner().invoke(
        app,
        [],
        prog_name="lussweep",
        env={
            "_LUSSWEEP_COMPLETE": "complete_bash",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
    )
    return shown.output.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("lussweep gr", ["grid"]),
        ("lussweep grid quick", ["quickstart"]),
        ("lussweep grid --rep", ["--replicates"]),
        ("lussweep grid --set grid.n_p", ["grid.n_patients="]),
        ("lussweep plan --set gan.lr", ["gan.lr_generator=", "gan.lr_discriminator="]),
    ],
)
def test_the_shell_completes(line: str, offered: list[str]) -> None:
    assert completed(line) == offered


def test_the_shell_completes_files_of_experiments(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine")
    monkeypatch.chdir(tmp_path)
    assert completed("lussweep grid mi") == ["mine.yaml"]


def test_completion_can_be_installed() -> None:
    text = help_of("-h")
    assert "--install-completion" in text and "--show-completion" in text


@pytest.mark.parametrize("command", ["ingest", "preview"])
def test_what_lies_outside_the_sector_is_kept_on_demand(command: str) -> None:
    given = ["manifest.csv", *(["--out", "store"] if command == "ingest" else [])]
    for arguments, keeps in ((given, False), ([*given, "--no-mask-outside-sector"], True)):
        with GROUP.commands[command].make_context(command, arguments) as context:
            assert context.params["keep_outside_sector"] is keeps
