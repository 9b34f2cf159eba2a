"""How a grid says what it does: a display on a terminal, plain lines, events, a log."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import struct
import subprocess
import termios
from collections.abc import Iterator
from dataclasses import fields
from fcntl import ioctl
from pathlib import Path
from typing import Any, get_args

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from lussweep.cli import closing, data_table
from lussweep.cli.app import app
from lussweep.run.events import Event
from lussweep.store.remote import StorageError
from support.commands import ROOT, command, environment

CELL = "n_patients=2,variant=baseline"


def grid(experiment: Path, run: Path, *options: str) -> Result:
    arguments = ["grid", str(experiment), "--out", str(run), "--backend", "inline", *options]
    return CliRunner().invoke(app, arguments)


def forget(run: Path, *stages: str) -> str:
    """Delete the steps of these stages of one cell, and return its key of `evaluate`."""
    rows = pq.read_table(run / "results.parquet").to_pylist()
    row = next(r for r in rows if (r["n_patients"], r["variant"]) == (2, "baseline"))
    search = run / "artifacts" / "search" / row["search_key"]
    trials = json.loads((search / "record.json").read_text())["inputs"].values()
    folders = {
        "evaluate": [run / "artifacts" / "evaluate" / row["evaluate_key"]],
        "search": [search],
        "trial": [run / "artifacts" / ref for ref in trials],
    }
    for stage in stages:
        for folder in folders[stage]:
            shutil.rmtree(folder)
    return str(row["evaluate_key"])


def events_of(result: Result) -> list[dict[str, Any]]:
    """Every line of standard output, which must be an event."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_json_has_an_event_for_each_step_and_cell_and_nothing_else(
    finished: Path, tiny_yaml: Path
) -> None:
    key = forget(finished, "evaluate", "search", "trial")
    result = grid(tiny_yaml, finished, "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    first, *others, last = events_of(result)
    assert (first["event"], first["study"], first["run"]) == ("started", "tiny", str(finished))
    assert (first["n_cells"], first["n_cells_done"]) == (8, 7)
    assert first["n_steps"]["trial"] == 18
    steps = [event for event in others if event["event"] == "step_done"]
    assert [event["stage"] for event in steps] == ["trial", "trial", "search", "evaluate"]
    assert all(event["seconds"] >= 0 for event in steps)
    assert [event["images_per_s"] is None for event in steps] == [False, False, True, True]
    assert steps[-1]["ref"] == f"evaluate/{key}"
    (cell,) = [event for event in others if event["event"] == "cell_done"]
    rows = pq.read_table(finished / "results.parquet").to_pylist()
    (row,) = [row for row in rows if row["evaluate_key"] == key]
    coordinates = ("n_patients", "replicate", "variant", "gan_epoch", "auroc")
    assert {name: cell[name] for name in coordinates} == {name: row[name] for name in coordinates}
    assert (cell["n_cells_done"], cell["n_cells"]) == (8, 8)
    assert (last["event"], last["exit_code"]) == ("finished", 0)
    assert str(finished / "results.parquet") in last["files"]
    assert all(Path(file).exists() for file in last["files"])
    assert {"warning", "note", "step_done", "cell_done"} >= {event["event"] for event in others}


def test_a_step_that_fails_is_an_event_and_a_warning_at_the_end(
    finished: Path, tiny_yaml: Path
) -> None:
    score = sorted((finished / "artifacts" / "score").iterdir())[0]
    gan = json.loads((score / "record.json").read_text())["inputs"]["gan"]
    shutil.rmtree(score)
    shutil.rmtree(finished / "artifacts" / gan / "snapshots")
    result = grid(tiny_yaml, finished, "--json")
    events = events_of(result)
    (failure,) = [event for event in events if event["event"] == "step_failed"]
    assert failure["stage"] == "score"
    assert str(finished) not in failure["error"], "paths are hashed"
    assert events[-1]["exit_code"] == result.exit_code == 1
    log = (finished / "driver.log").read_text()
    assert f"ERROR   failed: {failure['step']}: {failure['error']}" in log


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--only", "variant=basline"), "did you mean baseline?"),
        (("--quiet",), "--quiet and --json exclude each other"),
    ],
)
def test_json_says_why_a_command_cannot_begin(
    options: tuple[str, ...], message: str, tmp_path: Path, tiny_yaml: Path
) -> None:
    result = grid(tiny_yaml, tmp_path / "run", "--json", *options)
    *errors, last = events_of(result)
    assert [event["event"] for event in errors] == ["error"]
    assert message in errors[0]["message"]
    assert f"error: {errors[0]['message']}" in result.stderr
    assert (last["event"], last["exit_code"], last["files"]) == ("finished", 2, [])


def test_a_reader_of_events_that_leaves_ends_no_run(finished: Path, tiny_yaml: Path) -> None:
    key = forget(finished, "evaluate")
    arguments = command("grid", tiny_yaml, "--out", finished, "--backend", "inline", "--json")
    with subprocess.Popen(
        arguments, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert json.loads(process.stdout.readline())["event"] == "started"
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 0, errors
    assert errors == "warning: nobody reads the events any more: the run goes on\n"
    assert (finished / "artifacts" / "evaluate" / key / "record.json").exists()


def test_quiet_prints_the_report_alone(finished: Path, tiny_yaml: Path) -> None:
    forget(finished, "evaluate")
    result = grid(tiny_yaml, finished, "--quiet")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert "AUC-ROC on holdout" in result.stdout
    assert str(finished / "report.html") in result.stdout


def test_a_store_that_is_gone_at_the_end_hides_nothing_of_the_report(
    finished: Path, tiny_yaml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise StorageError("the store cannot be reached")

    monkeypatch.setattr(closing, "_attempts", fail)
    monkeypatch.setattr(data_table, "print_given", lambda run, data: False)
    monkeypatch.setattr(data_table, "print_counts", fail)
    result = grid(tiny_yaml, finished)
    assert result.exit_code == 0, result.output
    assert "AUC-ROC on holdout" in result.stdout
    assert str(finished / "report.html") in result.stdout
    for what in ("the counts of frames", "the last lines"):
        line = f"warning: the report is written, but {what} are not shown: StorageError: the store"
        assert line in result.stdout


def test_plain_lines_are_few_and_name_the_new_cell(finished: Path, tiny_yaml: Path) -> None:
    forget(finished, "evaluate")
    result = grid(tiny_yaml, finished)
    lines = result.stderr.splitlines()
    assert len(lines) <= 4, lines
    assert any(re.match(r"AUC-ROC: n=2 r=1 baseline 0\.\d{3}$", line) for line in lines)
    assert "8/8 cells done" in lines[-2]


def test_the_table_of_the_docs_is_that_of_the_events() -> None:
    page = (ROOT / "docs" / "running.md").read_text()
    section = page.split("### Events")[1].split("\n###")[0]
    rows = [line.split("|")[1:4] for line in section.splitlines() if line.startswith("| `")]
    listed = {name.strip().strip("`"): re.findall(r"`(\w+)`", cells) for name, _, cells in rows}
    assert listed == {
        kind.event: [field.name for field in fields(kind)] for kind in get_args(Event)
    }


# --- the log ------------------------------------------------------------------------------


def test_the_log_grows_with_each_command_and_names_no_patient(
    finished: Path, tiny_yaml: Path
) -> None:
    before = (finished / "driver.log").read_text()
    assert re.search(r"INFO    cell n=2 r=1 baseline: AUC-ROC 0\.\d{3} \(\d of 8 cells\)", before)
    assert re.search(r"DEBUG   done: GAN pos n=2 r=1 in [\d.]+ s, \d+ images/s", before)
    assert before.rstrip().endswith("finished: 8 of 8 cells done, 0 steps failed")
    assert "DEBUG   done: frames of #" in before
    assert "phantom-" not in before
    assert grid(tiny_yaml, finished).exit_code == 0
    after = (finished / "driver.log").read_text()
    assert after.startswith(before)
    assert "started tiny: 8 of 8 cells done" in after[len(before) :]


def test_a_log_that_cannot_be_written_is_said_and_spoils_nothing(
    finished: Path, tiny_yaml: Path
) -> None:
    (finished / "driver.log").unlink()
    (finished / "driver.log").mkdir()
    forget(finished, "evaluate")
    result = grid(tiny_yaml, finished)
    assert result.exit_code == 0, result.output
    assert "warning: driver.log lacks lines that could not be written" in result.stderr


# --- on a terminal ------------------------------------------------------------------------


def on_a_terminal(arguments: list[str], columns: int, lines: int, encoding: str) -> tuple[int, str]:
    """Exit code and output of a command in a terminal of this size."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    changes = {"TERM": "xterm", "PYTHONIOENCODING": encoding, "LC_ALL": "C"}
    kept = {k: v for k, v in environment().items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    with subprocess.Popen(
        arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=kept | changes,
        start_new_session=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        output = b"".join(_read(ours))
    os.close(ours)
    return process.returncode, output.decode(encoding)


def _read(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the command has closed its end
            return
        if not data:
            return
        yield data


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_terminal_shows_the_cells_so_far_and_then_the_report(
    encoding: str, finished: Path, tiny_yaml: Path
) -> None:
    key = forget(finished, "evaluate")
    arguments = command("grid", tiny_yaml, "--out", finished, "--backend", "inline")
    code, output = on_a_terminal(arguments, 90, 40, encoding)
    assert code == 0, output
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output)
    live, report = text.split("tiny on the built-in phantom")
    state, cells = live.rsplit("AUC-ROC so far", 1)
    assert "85/85 steps done; 8/8 cells done; " in state
    rows = pq.read_table(finished / "results.parquet").to_pylist()
    (auroc,) = [row["auroc"] for row in rows if row["evaluate_key"] == key]
    assert f"{auroc:.3f}" in cells
    assert "AUC-ROC on holdout" in report
