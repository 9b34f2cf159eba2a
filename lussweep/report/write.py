"""Writes a report: the tables of a run folder, then its pictures and logs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from lussweep.report import schemas
from lussweep.report.collect import (
    collect,
    collect_curves,
    collect_results,
    failure_rows,
)
from lussweep.report.per_cell import with_intervals
from lussweep.report.pictures import OPTUNA_FILE, write_dashboards, write_pictures
from lussweep.report.reported import Reported
from lussweep.report.statistics import collect_statistics
from lussweep.store import tables
from lussweep.store.artifacts import read_json
from lussweep.store.files import write_whole
from lussweep.study.coordinates import Draw
from lussweep.study.keys import digest, hashed_id

SCHEMAS = {
    "frames": tables.FRAMES,
    "cohorts": tables.COHORTS,
    "gan_losses": tables.GAN_LOSSES,
    "gan_events": tables.GAN_EVENTS,
    "gan_scores": tables.GAN_SCORES,
    "memorisation": tables.MEMORISATION,
    "copies": tables.COPIES,
    "closest_pairs": tables.PAIRS,
    "trials": tables.TRIALS,
    "frame_scores": tables.FRAME_SCORES,
    "val_scores": tables.FRAME_SCORES,
    "results": tables.RESULTS,
    "means": schemas.MEANS,
    "aurocs": schemas.AUROCS,
    "quality": schemas.QUALITY,
    "calibration": schemas.CALIBRATION,
    "net_benefit": schemas.NET_BENEFIT,
    "operating": schemas.OPERATING,
    "delong": schemas.DELONG,
    "contrasts": schemas.CONTRASTS,
    "controls": schemas.CONTROLS,
    "worth": schemas.WORTH,
    "multiplier": schemas.MULTIPLIER,
    "usefulness": schemas.USEFULNESS,
}
PRINTED = ("results", "means", "contrasts", "worth", "multiplier", "controls")
"""Tables that a command shows when the report is written."""
REPORT_VERSION = 6
STATE_FILE = "report.json"


def write_report(
    reported: Reported,
    failures: Mapping[str, str],
    blocked: Mapping[str, str],
) -> dict[str, pa.Table]:
    """Writes the tables and figures of a run, and returns the tables PRINTED by name.

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
    paths = {name: reported.folder / f"{name}.parquet" for name in SCHEMAS}
    state = digest(_state(reported, failures))
    state_path = reported.folder / STATE_FILE
    if _is_current(reported.folder, state_path, state):
        return {name: tables.read(paths[name], SCHEMAS[name]) for name in PRINTED}
    state_path.unlink(missing_ok=True)  # from here on some files are old and some are new
    reported.store.read_records(_read_refs(reported))
    collected = collect(reported.plan, reported.study, reported.store, failures)
    collected["results"] = _concealed(collected["results"], reported)
    collected |= collect_statistics(
        collected["results"],
        collected["frame_scores"],
        collected["val_scores"],
        collected["gan_scores"],
        reported.study.model_copy(update={"variants": reported.variants}),
        collected["cohorts"],
    )
    collected["results"] = with_intervals(collected["results"], collected["aurocs"])
    written = {name: tables.write(paths[name], collected[name], SCHEMAS[name]) for name in SCHEMAS}
    rows = failure_rows(reported.plan, failures, blocked, reported.redact)
    tables.write(reported.folder / "failures.parquet", rows, tables.FAILURES)
    (reported.folder / "skipped.parquet").unlink(missing_ok=True)
    if reported.skipped:
        rows = [_skipped_row(reported, *row) for row in reported.skipped]
        tables.write(reported.folder / "skipped.parquet", rows, tables.SKIPPED)
    _write_events(reported.folder / "events.log", collected["gan_events"])
    write_pictures(reported, collected)
    files = [str(path.relative_to(reported.folder)) for path in outputs(reported.folder)]
    write_whole(state_path, json.dumps({"state": state, "files": files}, indent=1))
    return {name: written[name] for name in PRINTED}


def write_interim(reported: Reported, failures: Mapping[str, str]) -> None:
    """Writes the results and dashboards of a run that goes on. They hold no intervals yet."""
    from lussweep.report.summary import write_summary

    with reported.store.in_use():
        store = reported.store.surveyed(0)
        store.read_records(_read_refs(reported))
        collected = collect_curves(reported.plan, reported.study, store)
        results = collect_results(reported.plan, reported.study, store, failures)
    collected["results"] = _concealed(results, reported)
    tables.write(reported.folder / "results.parquet", collected["results"], tables.RESULTS)
    write_summary(collected["results"], reported.folder / "summary.csv")
    write_dashboards(reported, collected)


def _read_refs(reported: Reported) -> list[str]:
    """The refs of the steps whose records a report reads."""
    return list(dict.fromkeys(ref for cell in reported.plan.cells for ref in cell.refs.values()))


def _concealed(results: pa.Table, reported: Reported) -> pa.Table:
    """The results, with patients and files hashed in the reasons."""
    at = results.column_names.index("reason")
    reasons = results["reason"].to_pylist()
    redacted_of = {reason: reason and reported.redact(reason) for reason in set(reasons)}
    redacted = [redacted_of[reason] for reason in reasons]
    return results.set_column(at, results.field(at), pa.array(redacted, pa.string()))


def _skipped_row(reported: Reported, patient_id: str, video_id: str, reason: str) -> dict[str, str]:
    hashed = str if reported.reveal_ids else hashed_id
    return {
        "patient_id": hashed(patient_id),
        "video_id": hashed(video_id),
        "reason": reported.redact(reason),
    }


def _is_current(folder: Path, state_path: Path, state: str) -> bool:
    if not state_path.exists():
        return False
    try:
        before = read_json(state_path)
        files = [folder / name for name in before["files"]]
        return bool(before["state"] == state) and all(path.exists() for path in files)
    except (OSError, ValueError, KeyError, TypeError):  # a damaged state counts as none
        return False


def _state(reported: Reported, failures: Mapping[str, str]) -> dict[str, Any]:
    """Everything that the files of a report depend on."""
    return {
        "version": REPORT_VERSION,
        "cells": [
            [*cell.coordinates.row().values(), cell.refs["evaluate"]]
            for cell in reported.plan.cells
        ],
        "done": sorted(ref for ref in reported.plan.steps if reported.store.has(ref)),
        "failures": dict(failures),
        "skipped": [list(row) for row in reported.skipped],
        "reveal_ids": reported.reveal_ids,
        "memorisation": reported.study.memorisation.model_dump(mode="json"),
        "grid": reported.study.grid.model_dump(mode="json"),
        "analysis": reported.study.analysis.model_dump(mode="json"),
    }


def _write_events(path: Path, events: pa.Table) -> None:
    """Writes one line for each event of a GAN's training. Without events there is no file."""
    path.unlink(missing_ok=True)
    lines = [
        f"{Draw.of_row(e)} {e['class']} {e['gan']} attempt {e['attempt']} "
        f"epoch {e['epoch']} {e['kind']}: {e['message']}\n"
        for e in events.to_pylist()
    ]
    if lines:
        path.write_text("".join(lines))


def outputs(folder: Path) -> list[Path]:
    """The files and folders of a run folder that a user reads, in reading order."""
    patterns = (
        "summary.csv", "results.parquet", "means.parquet", "contrasts.parquet", "controls.parquet",
        "worth.parquet", "multiplier.parquet", "aurocs.parquet", "quality.parquet",
        "calibration.parquet", "net_benefit.parquet", "operating.parquet",
        "delong.parquet", "usefulness.parquet", "figures/auroc.png", "figures/auroc.svg",
        "figures/auroc_by_epoch.png", "figures/auroc_by_epoch.svg",
        "figures/calibration.png", "figures/calibration.svg",
        "figures/gan_metrics*.png", "figures/gan_metrics*.svg", "figures/samples.png",
        "figures/closest_pairs.png", "memorisation.parquet", "copies.parquet",
        "closest_pairs.parquet", "events.log", "gan_events.parquet",
        "frame_scores.parquet", "val_scores.parquet", "trials.parquet", "gan_scores.parquet",
        "gan_losses.parquet", "cohorts.parquet", "frames.parquet", "skipped.parquet",
        "failures.parquet", "logs", "experiment.yaml", "tensorboard", OPTUNA_FILE,
    )  # fmt: skip
    return [path for pattern in patterns for path in sorted(folder.glob(pattern))]
