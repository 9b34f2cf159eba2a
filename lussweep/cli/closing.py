"""Gathers what a user must know at the end of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from lussweep.cli.data_table import frame_index
from lussweep.data.counts import unused
from lussweep.errors import LeakageError, one_line
from lussweep.run.events import Warned
from lussweep.run.notices import Generator, Notice, RunFacts, notices
from lussweep.study.spec import CLASSES

if TYPE_CHECKING:
    from lussweep.run.arguments import Data
    from lussweep.run.drive import RunOutcome
    from lussweep.run.folder import Run


def notices_of(run: Run, data: Data, outcome: RunOutcome) -> list[Notice]:
    """The notices of a run that has a report. An error here is a notice, and spoils nothing.

    Raises LeakageError.
    """
    if outcome.tables is None:
        return []
    lines: list[Notice] = []
    with told(lines, "the last lines", run.conceal):
        lines += notices(_facts(run, data, outcome.tables))
    return lines


@contextmanager
def told(lines: list[Notice], what: str, conceal: Callable[[str], str]) -> Iterator[None]:
    """Turns an error inside the block into a warning in `lines`. `what` is what it prevented.

    The files of the report are written by then. Even a store that cannot be reached must not hide
    what they say. Raises LeakageError, which is never a warning.
    """
    try:
        yield
    except LeakageError:
        raise
    except Exception as error:
        why = conceal(f"{type(error).__name__}: {one_line(error)}")
        lines.append(Warned(message=f"the report is written, but {what} are not shown: {why}"))


def _facts(run: Run, data: Data, tables: Mapping[str, Any]) -> RunFacts:
    events = tables["gan_events"].to_pylist()
    return RunFacts(
        results=tables["results"].to_pylist(),
        gan_events=events,
        memorisation=tables["memorisation"].to_pylist(),
        n_generators=run.plan.counts()["gan"],
        attempts=_attempts(run, {Generator.of_row(row) for row in events}),
        splits=data.splits,
        unused=[] if data.is_phantom else _unused(run),
        skipped=data.skipped,
        reveal_ids=run.reveal_ids,
    )


def _unused(run: Run) -> list[str]:
    return unused(
        run.manifest,
        frame_index(run),
        stride=run.study.data.preprocess.frame_stride,
        negatives_from=run.study.cohort.negatives_from,
    )


def _attempts(run: Run, generators: Iterable[Generator]) -> dict[Generator, int]:
    """How many attempts those of these generators took that are done."""
    wanted, study = set(generators), run.reported().study
    attempts: dict[Generator, int] = {}
    for cell in run.plan.cells if wanted else ():
        for label in CLASSES:
            ref = cell.refs.get(f"gan_{label}")
            gan = study.generator_name(cell.recipe, label)
            if not ref or gan is None:
                continue
            generator = Generator(cell.coordinates.draw, run.plan.steps[ref].spec["class"], gan)
            if generator in wanted and generator not in attempts and run.store.has(ref):
                summary = run.store.record(ref)["summary"]
                attempts[generator] = summary.get("n_attempts", 1)
    return attempts
