"""`lussweep status`: print how far a run is, from the state that its driver has written."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lussweep.backend.time_range import TimeRange
from lussweep.cli.exits import clear_errors
from lussweep.cli.options import DebugOption, RunArgument
from lussweep.errors import printable
from lussweep.run.state import ENDINGS
from lussweep.run.status import status_of
from lussweep.store.folders import folder_at
from lussweep.study.plan.words import stage_words

N_LISTED = 20
"""Most failures and running steps that are printed; `--json` prints the whole state."""


def status(
    run: RunArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    debug: DebugOption = False,
) -> None:
    """Show how far a run is. Works on any machine that sees the run folder."""
    with clear_errors(debug):
        state = status_of(folder_at(run))
        if as_json:
            typer.echo(json.dumps(state, indent=1))
        else:
            print_status(state)


def print_status(status: dict[str, Any]) -> None:
    """Print a headline, counts of cells and steps, and the first failures."""
    console = Console(highlight=False)
    for line in (f"{status['name']}: {headline(status)}", *cells_line(status)):
        console.print(_text(line), soft_wrap=True)
    console.print(_cells(status))
    console.print(_stages(status))
    for failure in status["failures"][:N_LISTED]:
        text = _text(f"failed: {failure['name']}: {failure['error']}")
        console.print(text, style="red", soft_wrap=True)
    more = status["n_failed"] - len(status["failures"][:N_LISTED])
    if more > 0:
        console.print(f"and {more} more failed steps: RUN/logs has a file for each")


def headline(status: dict[str, Any]) -> str:
    """A line that says whether a driver works, and what to do if none does."""
    who = f"pid {status['pid']} on {status['host']}"
    ago = duration(status["silent_s"])
    if status["driver"] == "works":
        left_s = status["left_s"]
        return f"driver {who}, last report {ago} ago" + (
            f"; about {TimeRange(*left_s)} left" if left_s else ""
        )
    again = "run the same command again to go on"
    if status["ended"] is None:
        return f"written {ago} ago by {who}: the driver may be gone; {again}"
    left_over = any(cell["done"] < _total(cell) for cell in status["cells"])
    ending = ENDINGS[status["ended"]]
    return f"the driver {ending} {ago} ago ({who})" + (f"; {again}" if left_over else "")


def cells_line(status: dict[str, Any]) -> list[str]:
    """One line with the counts of all cells by state."""
    total = sum(map(_total, status["cells"]))
    parts = [f"{sum(c[word] for c in status['cells'])} {word}" for word in WORDS]
    return [f"{total} cell{'s' if total != 1 else ''}: {', '.join(parts)}"]


WORDS = ("done", "failed", "running", "waiting")


def duration(seconds: float) -> str:
    """Seconds as a text, in the largest unit of which there are at least two.

    >>> duration(7), duration(150), duration(3 * 3600), duration(86400 * 5)
    ('7 s', '2 min', '3 h', '5 d')
    """
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _total(cell: dict[str, Any]) -> int:
    return sum(cell[word] for word in WORDS)


def _cells(status: dict[str, Any]) -> Table:
    """A table of cells, patient counts down and variants across."""
    variants = list(dict.fromkeys(cell["variant"] for cell in status["cells"]))
    table = Table(title="cells done", title_justify="left")
    table.add_column("n_patients", justify="right")
    for variant in variants:
        table.add_column(_text(variant))
    places = {(c["n_patients"], c["variant"]): c for c in status["cells"]}
    for n in sorted({cell["n_patients"] for cell in status["cells"]}):
        row = (places.get((n, variant)) for variant in variants)
        table.add_row(str(n), *("" if cell is None else _cell_text(cell) for cell in row))
    return table


def _cell_text(cell: dict[str, Any]) -> str:
    """How many replicates are done, such as `3/5, 1 failed, 1 waiting`."""
    rest = [f"{cell[word]} {word}" for word in WORDS[1:] if cell[word]]
    return ", ".join([f"{cell['done']}/{_total(cell)}", *rest])


def _stages(status: dict[str, Any]) -> Table:
    table = Table(title="steps", title_justify="left")
    for heading in ("stage", "done", "running", "failed", "blocked", "of", "now"):
        table.add_column(heading, justify="left" if heading in ("stage", "now") else "right")
    for stage, counts in status["stages"].items():
        here = [step for step in status["running"] if step["ref"].startswith(f"{stage}/")]
        now = [f"{s['name']} ({s['progress']})" if s["progress"] else s["name"] for s in here]
        more = [f"and {len(now) - N_LISTED} more"] if len(now) > N_LISTED else []
        table.add_row(
            _text(stage_words(stage)),
            *map(str, counts.values()),
            Text("\n").join(map(_text, [*now[:N_LISTED], *more])),
        )
    return table


def _text(text: str) -> Text:
    """A text of the state as it stands there, without markup or codes for a terminal."""
    return Text(printable(text))
