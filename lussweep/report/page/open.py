"""Opens the tables of a run folder as the source of a page, without the data and without a plan."""

from __future__ import annotations

from pathlib import Path

from lussweep.errors import InputError
from lussweep.report.conceal import conceal
from lussweep.report.page.pixels import is_phantom
from lussweep.report.page.seam import PageSource
from lussweep.report.reported import Reported
from lussweep.report.run_folder import study_of
from lussweep.report.sections import SECTIONS, Collected
from lussweep.report.sections.means import MEANS
from lussweep.report.sections.seam import later
from lussweep.store import tables
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import Plan


def source_of(
    folder: Path, store: ArtifactStore | None = None, *, is_shareable: bool = False
) -> PageSource:
    """The source of the page of a run folder, from the tables that are there.

    Raises InputError if the folder holds no run with results, or a table of another version.
    """
    study = study_of(folder)
    artifacts = store or ArtifactStore(folder / "artifacts")
    paths = {name: folder / f"{name}.parquet" for name in SECTIONS}
    made = {n: tables.read(p, SECTIONS[n].schema) for n, p in paths.items() if p.exists()}
    if "results" not in made:
        raise InputError(f"{folder} has no results.parquet yet: wait until a cell is done")
    made.setdefault("means", MEANS.empty_table())  # while a run goes on, results have no intervals
    collected = Collected(
        reported=Reported(folder, study, Plan(), artifacts, lambda text: conceal(text, ())),
        sections={name: later(name, section) for name, section in SECTIONS.items()},
        outcomes=made["results"],
        made=made,
    )
    return PageSource(collected, is_shareable, is_phantom(collected))
