"""`lussweep logs`: print the steps of one cell, why some failed, and where artifacts lie."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lussweep.cli.exits import clear_errors
from lussweep.cli.options import DebugOption, RunArgument
from lussweep.errors import InputError
from lussweep.run.arguments import parse_coordinates
from lussweep.run.state import driver_of, read_plan, read_state
from lussweep.store.artifacts import ArtifactStore
from lussweep.store.folders import Folder, folder_at
from lussweep.store.object_store import store_at
from lussweep.study import coordinates
from lussweep.study.plan import DATA_STAGES
from lussweep.study.plan.words import stage_words
from lussweep.study.spec import nearest

AXES = ("variant", *(axis for axis in coordinates.AXES if axis != "variant"))
"""The axes of a cell, in the order in which the command line names them."""
EVENTS = "events.parquet"


@dataclass(frozen=True)
class StepLog:
    """The current state of one step of a cell."""

    ref: str
    name: str
    state: str
    seconds: float | None = None
    host: str = ""
    log: str = ""
    events: tuple[str, ...] = ()
    place: str = ""
    """The path or URL of its artifact, or the workplace of a step that is not done."""


def logs(
    run: RunArgument,
    cell: Annotated[
        str, typer.Argument(help="A cell, such as variant=combined,n_patients=6,replicate=1.")
    ],
    debug: DebugOption = False,
) -> None:
    """Show every step of one cell, why some failed, and where artifacts lie."""
    with clear_errors(debug):
        folder = folder_at(run)
        chosen = find_cell(folder, parse_coordinates([cell], "the cell "))
        print_cell(chosen, cell_steps(folder, chosen))


def find_cell(folder: Folder, chosen: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The cell of a run with the chosen values, by axis, as plan.json describes it.

    Axes may be left out, and a variant's name may be cut short, if one cell remains. Raises
    InputError if no cell or several cells remain.
    """
    cells = read_plan(folder)["cells"]
    wanted: dict[str, set[str]] = {}
    for axis, values in chosen.items():
        if axis not in AXES:
            raise InputError(f"a cell has {', '.join(AXES)}, not {axis}")
        choices = list(dict.fromkeys(str(cell[axis]) for cell in cells))
        wanted[axis] = {_value(axis, value, choices, folder) for value in values}
    matches = [c for c in cells if all(str(c[axis]) in wanted[axis] for axis in wanted)]
    if not matches:
        raise InputError(f"{folder} has no such cell: `lussweep status` shows its cells")
    if len(matches) > 1:
        names = "; ".join(cell_name(cell) for cell in matches[:2])
        raise InputError(
            f"{len(matches)} cells match ({names}, ...): name one cell, with more axes"
        )
    cell: dict[str, Any] = matches[0]
    return cell


def _value(axis: str, value: str, choices: Sequence[str], folder: Folder) -> str:
    """The value of `choices` that the user means. Raises InputError with the nearest one."""
    if value in choices:
        return value
    begun = [name for name in choices if axis == "variant" and name.startswith(value)]
    if len(begun) == 1:
        return begun[0]
    raise InputError(f"{folder} has no cell of {axis}={value}{nearest(value, choices)}")


def cell_name(cell: Mapping[str, Any]) -> str:
    """A cell as the command line names it, such as variant=combined,n_patients=6,replicate=1."""
    return ",".join(f"{axis}={cell[axis]}" for axis in AXES if cell[axis] is not None)


def cell_steps(folder: Folder, cell: Mapping[str, Any]) -> list[StepLog]:
    """The steps that a cell needs, inputs before their users. Raises InputError without a state."""
    state, steps = read_state(folder), read_plan(folder)["steps"]
    needed, waiting = set(), list(cell["refs"].values())
    while waiting:
        ref = waiting.pop()
        if ref not in needed:
            needed.add(ref)
            waiting += steps[ref]["inputs"]
    store = store_at(str(folder), str(state["store"]))
    store.read_records(list(needed))
    works = driver_of(folder, state).works()
    running = {s["ref"]: s["progress"] for s in state["running"]} if works else {}
    errors = {failure["ref"]: failure["error"] for failure in state["failures"]}
    logs_of_steps = []
    failed: set[str] = set()
    for ref in (ref for ref in steps if ref in needed):
        step = _look(ref, steps[ref]["name"], folder, store, running, errors)
        if step.state == "waiting" and failed & set(steps[ref]["inputs"]):
            step = StepLog(ref, step.name, "blocked")
        if step.state in ("failed", "blocked"):
            failed.add(ref)
        logs_of_steps.append(step)
    return logs_of_steps


def print_cell(cell: Mapping[str, Any], steps: Sequence[StepLog]) -> None:
    """Print a table of the steps, then their events, their logs and the places of artifacts."""
    console = Console(highlight=False)
    table = Table(title=cell_name(cell), title_justify="left")
    for heading in ("step", "state", "seconds", "host", "key"):
        table.add_column(heading, justify="right" if heading == "seconds" else "left")
    for stage in DATA_STAGES:
        same = [s for s in steps if s.ref.startswith(f"{stage}/") and s.state != "failed"]
        counts = Counter(step.state for step in same)
        taken = sum(step.seconds or 0.0 for step in same)
        words = ", ".join(f"{n} {state}" for state, n in counts.items())
        if same:
            table.add_row(f"{stage_words(stage)} (of all cells)", words, f"{taken:.1f}")
    shown = [s for s in steps if _stage(s.ref) not in DATA_STAGES or s.state == "failed"]
    for step in shown:
        seconds = "" if step.seconds is None else f"{step.seconds:.1f}"
        key = step.ref.partition("/")[2]
        table.add_row(step.name, step.state, seconds, step.host, key)
    console.print(table)
    for step in shown:
        for event in step.events:
            console.print(Text(f"{step.name}: {event}"), style="yellow", soft_wrap=True)
    for step in shown:
        if step.log:
            console.print(Text(f"--- {step.name} ---\n{step.log.rstrip()}"), soft_wrap=True)
    for step in shown:
        if step.place:
            console.print(Text(f"{step.name}: {step.place}"), soft_wrap=True)


def _look(
    ref: str,
    name: str,
    folder: Folder,
    store: ArtifactStore,
    running: Mapping[str, str],
    errors: Mapping[str, str],
) -> StepLog:
    """The state of one step. `running` holds progress texts and `errors` failures, by ref."""
    is_gan = _stage(ref) == "gan"
    if store.has(ref):
        circumstances = store.record(ref)["circumstances"]
        events = _events(store.open(ref, EVENTS) / EVENTS) if is_gan else ()
        return StepLog(
            ref,
            name,
            "done",
            circumstances.get("seconds"),
            circumstances.get("host", ""),
            "",
            events,
            store.where(ref),
        )
    work = store.workplace_of(ref)
    place = str(work) if work.exists() else ""
    events = _events(store.left_behind(ref, EVENTS)) if is_gan else ()
    if ref in running:
        state = f"running ({running[ref]})" if running[ref] else "running"
        return StepLog(ref, name, state, events=events, place=place)
    log = folder.read(f"logs/{ref.replace('/', '-')}.txt")
    if log is not None or ref in errors:
        text = errors[ref] if log is None else log.decode()
        return StepLog(ref, name, "failed", log=text, events=events, place=place)
    return StepLog(ref, name, "waiting", events=events, place=place)


def _events(path: Path | None) -> tuple[str, ...]:
    """The events of a GAN, one line each. Imports pyarrow only if there are any."""
    if path is None or not path.exists():
        return ()
    from lussweep.store.tables import read_any

    rows = read_any(path).to_pylist()
    return tuple(
        f"attempt {row['attempt']} epoch {row['epoch']} {row['kind']}: {row['message']}"
        for row in rows
    )


def _stage(ref: str) -> str:
    return ref.partition("/")[0]
