"""Writes a report: the tables of a run folder, then the views that are made from them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from lussweep.report.alone import alone
from lussweep.report.artifacts import told_apart
from lussweep.report.page.write import SHAREABLE_PAGE, WATCHED_PAGE
from lussweep.report.publication import FOLDER as PUBLICATION
from lussweep.report.reported import Reported
from lussweep.report.sections import SECTIONS, Collected
from lussweep.report.sections.means import MEANS
from lussweep.report.sections.results import collect_outcomes
from lussweep.report.sections.seam import later
from lussweep.report.views import VIEWS
from lussweep.store import tables
from lussweep.store.artifacts import read_json
from lussweep.store.files import remove, write_whole
from lussweep.study.keys import digest


@dataclass(frozen=True)
class Report:
    """What a command shows of a report that it has written."""

    tables: Mapping[str, pa.Table]
    """The tables PRINTED, by name. One that could not be made is empty; the results are then the
    outcomes of the cells."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """The error of each file, or part of the page, that could not be made."""


PRINTED = (
    "results", "means", "contrasts", "worth", "multiplier", "controls", "known_truth",
    "memorisation", "gan_events",
)  # fmt: skip
"""Sections that a command shows when the report is written."""
INTERIM_VIEWS = ("summary", "tensorboard", "optuna", "page")
INTERIM_SECTIONS = ("frames", "cohorts", "gan_losses", "gan_events", "gan_scores", "trials")
"""Sections beside the results that views of a run that goes on may use. They compute nothing."""
OTHER_FILES = {
    SHAREABLE_PAGE: -9,
    WATCHED_PAGE: -8,
    PUBLICATION: 260,
    "logs": 510,
    "driver.log": 515,
    "experiment.yaml": 520,
}
"""Other files of a run folder that a user reads, with their places in the list of files."""
STATE_FILE = "report.json"


def write_report(
    reported: Reported,
    failures: Mapping[str, str],
    blocked: Mapping[str, str],
) -> Report:
    """Writes the tables and views of a run. Each fails alone: the others are written.

    Leaves every file as it is if nothing has changed since the last report, and nothing failed.
    """
    with reported.store.in_use():
        return _write_report(_as_it_is_now(reported), failures, blocked)


def _as_it_is_now(reported: Reported) -> Reported:
    """What is reported, with a survey of its store, and without cells that are the same."""
    surveyed = reported.store.surveyed(0)
    plan = replace(reported.plan, cells=told_apart(reported.plan.cells, surveyed))
    return replace(reported, store=surveyed, plan=plan)


def _write_report(
    reported: Reported,
    failures: Mapping[str, str],
    blocked: Mapping[str, str],
) -> Report:
    """Writes every file, and at the end the state that the files were made from."""
    folder, earlier = reported.folder, _earlier_state(reported.folder)
    state = digest(_state(reported, failures))
    if earlier.get("state") == state and all((folder / name).exists() for name in earlier["files"]):
        known = (_table_path(folder, name) for name in PRINTED)
        read = [tables.read(path, SECTIONS[path.stem].schema) for path in known]
        return Report(dict(zip(PRINTED, read, strict=True)))
    _remove_tables_without_section(folder, earlier.get("files", []))
    (folder / STATE_FILE).unlink(missing_ok=True)  # from here on some files are old, some new
    reported.store.read_records(_read_refs(reported))
    collected = Collected(
        reported=reported,
        sections=SECTIONS,
        outcomes=collect_outcomes(reported, failures),
        failures=failures,
        blocked=blocked,
    )
    for name in SECTIONS:
        _write_section(name, collected, folder)
    for name in _page_last(VIEWS):
        _write_view(name, collected, folder)
    files = [str(path.relative_to(folder)) for path in outputs(folder)]
    written = {"state": "" if collected.failed else state, "files": files}
    write_whole(folder / STATE_FILE, json.dumps(written, indent=1))
    return Report({name: _shown(name, collected) for name in PRINTED}, collected.failed)


def _shown(name: str, collected: Collected) -> pa.Table:
    if name in collected.made:
        return collected.made[name]
    return collected.outcomes if name == "results" else SECTIONS[name].schema.empty_table()


def _page_last(names: Iterable[str]) -> list[str]:
    """The views in their order, the page at the end, so that it can say what has failed."""
    return sorted(names, key=lambda name: name == "page")


def write_interim(reported: Reported, failures: Mapping[str, str]) -> None:
    """Writes the results and dashboards of a run that goes on. They hold no intervals yet."""
    folder = reported.folder
    with reported.store.in_use():
        now = _as_it_is_now(reported)
        now.store.read_records(_read_refs(now))
        outcomes = collect_outcomes(now, failures)
        collected = Collected(
            reported=now,
            sections={n: s if n in INTERIM_SECTIONS else later(n, s) for n, s in SECTIONS.items()},
            outcomes=outcomes,
            failures=failures,
            made={"results": outcomes, "means": MEANS.empty_table()},
        )
        _write_section("results", collected, folder)
        for name in _page_last(INTERIM_VIEWS):
            _write_view(name, collected, folder)


def outputs(folder: Path) -> list[Path]:
    """The files and folders of a run folder that a user reads, in reading order."""
    order_of = {
        **{f"{name}.parquet": section.order for name, section in SECTIONS.items()},
        **{pattern: view.order for view in VIEWS.values() for pattern in view.files},
        **OTHER_FILES,
    }
    patterns = sorted(order_of, key=lambda pattern: order_of[pattern])
    return [path for pattern in patterns for path in sorted(folder.glob(pattern))]


def _table_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.parquet"


def _write_section(name: str, collected: Collected, folder: Path) -> None:
    """Writes the table of a section. If it fails, an earlier table would not fit: it is removed."""
    section, path = SECTIONS[name], _table_path(folder, name)
    with alone(path.name, collected.failed, collected.reported.redact):
        table = collected.table(name)
        if section.is_optional and not len(table):
            path.unlink(missing_ok=True)
        else:
            tables.write(path, table, section.schema)
    if path.name in collected.failed:
        path.unlink(missing_ok=True)


def _write_view(name: str, collected: Collected, folder: Path) -> None:
    """Writes the files of a view and removes those that it no longer has."""
    view, written = VIEWS[name], []
    with alone(view.files[0], collected.failed, collected.reported.redact):
        written = list(view.write(collected, folder))
    for pattern in view.files:
        for path in set(folder.glob(pattern)) - set(written):
            remove(path)


def _remove_tables_without_section(folder: Path, earlier_files: list[str]) -> None:
    """Removes the tables of an earlier report that have no section any more."""
    for path in folder.glob("*.parquet"):
        if path.name in earlier_files and path.stem not in SECTIONS:
            path.unlink()


def _read_refs(reported: Reported) -> list[str]:
    """The refs of the steps whose records a report reads."""
    return list(dict.fromkeys(ref for cell in reported.plan.cells for ref in cell.refs.values()))


def _earlier_state(folder: Path) -> dict[str, Any]:
    """The state and the files of the last report; empty without one, or if it is damaged."""
    try:
        earlier = read_json(folder / STATE_FILE)
        return {"state": str(earlier["state"]), "files": [str(name) for name in earlier["files"]]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _state(reported: Reported, failures: Mapping[str, str]) -> dict[str, Any]:
    """Everything that the files of a report depend on."""
    return {
        "sections": {
            name: [section.version, section.schema.to_string(truncate_metadata=False), *_from(name)]
            for name, section in SECTIONS.items()
        },
        "views": {name: view.version for name, view in VIEWS.items()},
        "cells": [
            [*cell.coordinates.row().values(), cell.refs["evaluate"]]
            for cell in reported.plan.cells
        ],
        "done": sorted(ref for ref in reported.plan.steps if reported.store.has(ref)),
        "failures": dict(failures),
        "skipped": [list(row) for row in reported.skipped],
        "reveal_ids": reported.reveal_ids,
        "name": reported.study.name,
        "memorisation": reported.study.memorisation.model_dump(mode="json"),
        "grid": reported.study.grid.model_dump(mode="json"),
        "analysis": reported.study.analysis.model_dump(mode="json"),
    }


def _from(name: str) -> list[str]:
    """The package of a section that a plugin has added, and its version."""
    plugin = SECTIONS.plugin_of(name)
    return [plugin.package, plugin.version] if plugin else []
