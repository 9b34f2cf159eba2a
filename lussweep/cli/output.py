"""What `lussweep grid` prints: text for people, less of it with --quiet, or events with --json."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import typer

from lussweep.backend.stop import INTERRUPTED
from lussweep.cli.streams import may_break, write_line
from lussweep.errors import one_line, printable
from lussweep.run.events import WARNING, Event, Finished, Noted, Refused, Warned, noticed, row_of

if TYPE_CHECKING:
    from lussweep.backend.driver import Progress
    from lussweep.run.arguments import Data
    from lussweep.run.board import Board
    from lussweep.run.drive import RunOutcome
    from lussweep.run.folder import Run
    from lussweep.run.notices import Notice
    from lussweep.study.plan import Plan

Take = Callable[["Progress"], None]


class Output(Protocol):
    """What a command says, from its start to its end."""

    def data(self, run: Run, data: Data) -> None:
        """Before the first step: what the data are."""
        ...

    def display(
        self, progress_text: Callable[[str], str], board: Board, plan: Plan
    ) -> AbstractContextManager[Take]:
        """While steps run: how far they are. See `Display` in `run/drive.py`."""
        ...

    def notify(self, line: str) -> None:
        """A line that a user should read at once."""
        ...

    def tell(self, event: Event) -> None:
        """Something has happened in the run."""
        ...

    def report(self, run: Run, data: Data, outcome: RunOutcome) -> None:
        """After the last step: the report, and at its end what a user must know."""
        ...

    def refuse(self, problem: str) -> None:
        """Why the command cannot go on."""
        ...

    def ending(self) -> AbstractContextManager[None]:
        """Around the whole command, which ends with typer.Exit."""
        ...


def output_of(quiet: bool, as_json: bool) -> Output:
    """The output that the options ask for."""
    if as_json:
        return JsonOutput()
    return QuietOutput() if quiet else TextOutput()


class TextOutput:
    """The report on standard output, progress and notices on standard error."""

    def __init__(self) -> None:
        self._are_frames_counted = False

    def data(self, run: Run, data: Data) -> None:
        from lussweep.cli.data_table import print_given

        self._are_frames_counted = print_given(run, data)

    def display(
        self, progress_text: Callable[[str], str], board: Board, plan: Plan
    ) -> AbstractContextManager[Take]:
        from lussweep.cli.live import live_progress

        return live_progress(progress_text, board, plan)

    def notify(self, line: str) -> None:
        from lussweep.cli.terminal import notify

        notify(line)

    def tell(self, event: Event) -> None:
        """The display shows what has happened."""

    def report(self, run: Run, data: Data, outcome: RunOutcome) -> None:
        from lussweep.cli.closing import notices_of, told
        from lussweep.cli.data_table import print_counts
        from lussweep.cli.terminal import (
            print_failures,
            print_notices,
            print_outputs,
            print_statistics,
            print_summary,
            print_unwritten,
            say_again,
        )

        if outcome.tables is None:
            say_again(f"{outcome.broken} before anything was trained: run the same command again")
            return
        lacking: list[Notice] = []
        if not self._are_frames_counted:
            with told(lacking, "the counts of frames", run.conceal):
                print_counts(run, data)
        last = [*notices_of(run, data, outcome), *lacking]
        with may_break():
            print_summary(outcome.tables, run.study, data.source)
            print_statistics(outcome.tables)
            print_failures(run.plan, outcome.failures, run.conceal)
            print_outputs(run.folder)
            print_unwritten(outcome.unwritten)
            print_notices(last)
        if outcome.broken:
            say_again(f"{outcome.broken}: run the same command again to go on")

    def refuse(self, problem: str) -> None:
        write_line(printable(problem), err=True)

    @contextmanager
    def ending(self) -> Iterator[None]:
        yield


class QuietOutput(TextOutput):
    """The report on standard output, warnings and errors on standard error."""

    def data(self, run: Run, data: Data) -> None:
        """The report has it."""

    @contextmanager
    def display(
        self, progress_text: Callable[[str], str], board: Board, plan: Plan
    ) -> Iterator[Take]:
        yield lambda progress: None

    def notify(self, line: str) -> None:
        if isinstance(noticed(line), Warned):
            super().notify(line)


class JsonOutput:
    """One JSON object a line on standard output. Warnings and errors go to standard error too."""

    def __init__(self) -> None:
        self._files: list[str] = []

    def data(self, run: Run, data: Data) -> None:
        for note in data.notes:
            self.tell(Noted(message=note))

    @contextmanager
    def display(
        self, progress_text: Callable[[str], str], board: Board, plan: Plan
    ) -> Iterator[Take]:
        yield lambda progress: None

    def notify(self, line: str) -> None:
        event = noticed(line)
        self.tell(event)
        if isinstance(event, Warned):
            write_line(line, err=True)

    def tell(self, event: Event) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        row = {"time": now, **row_of(event)}
        error = write_line(json.dumps(row, allow_nan=False))
        if isinstance(error, BrokenPipeError):
            write_line(f"{WARNING}nobody reads the events any more: the run goes on", err=True)
        elif error:
            why = f"the events can no longer be written ({one_line(error)})"
            write_line(f"{WARNING}{why}: the run goes on without them", err=True)

    def report(self, run: Run, data: Data, outcome: RunOutcome) -> None:
        from lussweep.cli.closing import notices_of
        from lussweep.cli.terminal import places_of
        from lussweep.run.notices import unwritten_notices

        if outcome.tables is not None:
            self._files = places_of(run.folder)
        for notice in (*unwritten_notices(outcome.unwritten), *notices_of(run, data, outcome)):
            self.tell(notice)
        if outcome.broken:
            line = f"{outcome.broken}: run the same command again to go on"
            self.tell(Warned(message=line))
            write_line(line, err=True)

    def refuse(self, problem: str) -> None:
        self.tell(Refused(message=problem.removeprefix("error: ")))
        write_line(printable(problem), err=True)

    @contextmanager
    def ending(self) -> Iterator[None]:
        """The event `finished` is the last line, also if the command fails."""
        code = 1
        try:
            yield
        except typer.Exit as end:
            code = end.exit_code
            raise
        except KeyboardInterrupt:
            code = INTERRUPTED
            raise
        finally:
            self.tell(Finished(exit_code=code, files=self._files))
