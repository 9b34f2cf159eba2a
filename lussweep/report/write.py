"""Writes a report: the tables of a run folder, then the views that are made from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from lussweep.report.reported import Reported
from lussweep.report.sections import SECTIONS, Collected
from lussweep.report.sections.means import MEANS
from lussweep.report.sections.results import collect_outcomes
from lussweep.report.views import VIEWS
from lussweep.store import tables
from lussweep.store.artifacts import read_json
from lussweep.store.files import write_whole
from lussweep.study.keys import digest

PRINTED = ("results", "means", "contrasts", "worth", "multiplier", "controls", "known_truth")
"""Sections that a command shows when the report is written."""
INTERIM_VIEWS = ("summary", "tensorboard", "optuna")
OTHER_FILES = {"logs": 510, "experiment.yaml": 520}
"""Other files of a run folder that a user reads, with their places in the list of files."""
STATE_FILE = "report.json"


def write_report(
    reported: Reported,
    failures: Mapping[str, str],
    blocked: Mapping[str, str],
) -> dict[str, pa.Table]:
    """Writes the tables and views of a run, and returns the tables PRINTED by name.

    Leaves every file as it is if nothing has changed since the last report.
    """
    with reported.store.in_use():
        now = replace(reported, store=reported.store.surveyed(0))
        return _write_report(now, failures, blocked)


def _write_report(
    reported: Reported,
    failures: Mapping[str, str],
    blocked: Mapping[str, str],
) -> dict[str, pa.Table]:
    """Writes every file, and at the end the state that the files were made from."""
    folder, earlier = reported.folder, _earlier_state(reported.folder)
    state = digest(_state(reported, failures))
    if earlier.get("state") == state and all((folder / name).exists() for name in earlier["files"]):
        return {name: tables.read(_table_path(folder, name), SECTIONS[name].schema)
                for name in PRINTED}  # fmt: skip
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
        collected.table(name)  # if a section fails, it fails before any table is written
    for name in SECTIONS:
        _write_section(name, collected, folder)
    for name in VIEWS:
        _write_view(name, collected, folder)
    files = [str(path.relative_to(folder)) for path in outputs(folder)]
    write_whole(folder / STATE_FILE, json.dumps({"state": state, "files": files}, indent=1))
    return {name: collected.table(name) for name in PRINTED}


def write_interim(reported: Reported, failures: Mapping[str, str]) -> None:
    """Writes the results and dashboards of a run that goes on. They hold no intervals yet."""
    folder = reported.folder
    with reported.store.in_use():
        now = replace(reported, store=reported.store.surveyed(0))
        now.store.read_records(_read_refs(now))
        outcomes = collect_outcomes(now, failures)
        collected = Collected(
            reported=now,
            sections=SECTIONS,
            outcomes=outcomes,
            failures=failures,
            made={"results": outcomes, "means": MEANS.empty_table()},
        )
        _write_section("results", collected, folder)
        for name in INTERIM_VIEWS:
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
    section, table, path = SECTIONS[name], collected.table(name), _table_path(folder, name)
    if section.is_optional and not len(table):
        path.unlink(missing_ok=True)
    else:
        tables.write(path, table, section.schema)


def _write_view(name: str, collected: Collected, folder: Path) -> None:
    """Writes the files of a view and removes those that it no longer has."""
    view = VIEWS[name]
    written = view.write(collected, folder)
    for pattern in view.files:
        for path in set(folder.glob(pattern)) - set(written):
            path.unlink()


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
