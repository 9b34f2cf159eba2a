"""What a command prints never ends a run, and the last event has the exit code of the command."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from lussweep.cli import closing
from lussweep.cli.app import app
from lussweep.cli.output import output_of
from lussweep.cli.terminal import print_unwritten
from lussweep.errors import LeakageError
from lussweep.run.events import Warned
from lussweep.store.remote import StorageError
from support.commands import environment

TELLS = """
from lussweep.cli.output import output_of
from lussweep.run.events import Noted
output = output_of(quiet=False, as_json={as_json})
with output.ending():
    output.tell(Noted(message="first"))
    output.notify("warning: the disk is nearly full")
    output.tell(Noted(message="second"))
    output.refuse("error: no such file")
"""
SHOWS = """
from lussweep.backend.driver import Progress
from lussweep.cli.live import live_progress
from lussweep.study.plan import Plan
with live_progress() as on_change:
    on_change(Progress(Plan()))
"""
REPORTS = """
from rich.console import Console
from lussweep.cli.streams import may_break
for text in ("first", "second" * 10_000):
    with may_break():
        Console().print(text)
raise SystemExit(3)
"""
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full, which Linux has")


def streams_of(code: str, out: int | Path, err: int | Path) -> tuple[int, list[str], list[str]]:
    """Exit code and lines of a program whose streams are written to these files or pipes."""
    with ExitStack() as files:
        opened = [
            files.enter_context(s.open("w")) if isinstance(s, Path) else s for s in (out, err)
        ]
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=opened[0], stderr=opened[1], env=environment(),
            text=True, check=False,
        )  # fmt: skip
    return done.returncode, (done.stdout or "").splitlines(), (done.stderr or "").splitlines()


@needs_full
def test_a_full_disk_under_the_events_is_said_once_and_ends_nothing() -> None:
    code, _, errors = streams_of(TELLS.format(as_json=True), FULL, subprocess.PIPE)
    assert code == 0, errors
    assert errors == [
        "warning: the events can no longer be written ([Errno 28] No space left on device): "
        "the run goes on without them",
        "warning: the disk is nearly full",
        "error: no such file",
    ]


@needs_full
def test_events_are_whole_if_standard_error_cannot_be_written() -> None:
    code, lines, _ = streams_of(TELLS.format(as_json=True), subprocess.PIPE, FULL)
    assert code == 0
    names = [json.loads(line)["event"] for line in lines]
    assert names == ["note", "warning", "note", "error", "finished"]


def test_a_reader_of_both_streams_that_leaves_ends_nothing() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    code, *_ = streams_of(TELLS.format(as_json=True), theirs, theirs)
    os.close(theirs)
    assert code == 0


@needs_full
@pytest.mark.parametrize("code", [TELLS.format(as_json=False), SHOWS], ids=["notices", "progress"])
def test_a_run_goes_on_without_its_messages(code: str) -> None:
    assert streams_of(code, subprocess.PIPE, FULL)[0] == 0


@needs_full
def test_a_full_disk_under_the_report_changes_no_exit_code() -> None:
    code, _, errors = streams_of(REPORTS, FULL, subprocess.PIPE)
    assert code == 3
    assert errors == [
        "warning: standard output cannot be written: [Errno 28] No space left on device"
    ]


@needs_full
@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_a_full_disk_under_the_answer_is_one_line(argument: str) -> None:
    program = f"import sys; sys.argv = ['lussweep', '{argument}']; " + (
        "from lussweep.cli.app import main; main()"
    )
    code, _, errors = streams_of(program, FULL, subprocess.PIPE)
    assert (code, errors) == (
        2, ["error: cannot write the output: No space left on device: free some space"],
    )  # fmt: skip


def test_a_reader_of_the_report_that_leaves_changes_no_exit_code() -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    code, _, errors = streams_of(REPORTS, theirs, subprocess.PIPE)
    os.close(theirs)
    assert code == 3
    assert errors == ["warning: standard output cannot be written: nobody reads it any more"]


def test_the_last_event_has_the_exit_code_of_an_interrupted_command(
    monkeypatch: pytest.MonkeyPatch, tiny_yaml: Path, tmp_path: Path
) -> None:
    def interrupt(request: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lussweep.cli.grid.open_arguments", interrupt)
    arguments = ["grid", str(tiny_yaml), "--out", str(tmp_path / "run"), "--json"]
    result = CliRunner().invoke(app, arguments)
    (last,) = map(json.loads, result.stdout.splitlines())
    assert (last["event"], last["exit_code"]) == ("finished", result.exit_code)
    assert result.exit_code == 130


@pytest.mark.parametrize("error", [StorageError("P001 is gone"), OSError(errno.ENOSPC, "P001")])
def test_an_error_of_the_last_lines_is_one_of_them(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise error

    monkeypatch.setattr(closing, "_facts", fail)
    run: Any = SimpleNamespace(conceal=lambda text: text.replace("P001", "#12"))
    outcome: Any = SimpleNamespace(tables={})
    (notice,) = closing.notices_of(run, SimpleNamespace(), outcome)  # type: ignore[arg-type]
    assert isinstance(notice, Warned)
    assert type(error).__name__ in notice.message
    assert "#12" in notice.message
    assert "P001" not in notice.message


def test_a_leak_is_never_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    def leak(*given: object) -> None:
        raise LeakageError("P001")

    monkeypatch.setattr(closing, "_facts", leak)
    run: Any = SimpleNamespace(conceal=str)
    outcome: Any = SimpleNamespace(tables={})
    with pytest.raises(LeakageError):
        closing.notices_of(run, SimpleNamespace(), outcome)  # type: ignore[arg-type]


def test_the_events_say_what_is_not_written_as_the_terminal_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    unwritten = {"auroc.png": "OSError: no font"}
    outcome: Any = SimpleNamespace(unwritten=unwritten, tables=None, broken="")
    output_of(quiet=False, as_json=True).report(*[SimpleNamespace()] * 2, outcome)  # type: ignore[arg-type]
    (event,) = map(json.loads, capsys.readouterr().out.splitlines())
    print_unwritten(unwritten)
    (line,) = capsys.readouterr().out.splitlines()
    assert event["message"] == line
    assert line.startswith("not written: auroc.png: OSError: no font")
