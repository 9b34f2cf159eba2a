"""Everything that a run folder shows: tables, summary, figures and TensorBoard logs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lussweep import tables
from lussweep.keys import digest
from lussweep.report.collect import collect, collect_results, conceal, failure_rows

if TYPE_CHECKING:
    from lussweep.run import Run

SCHEMAS = {
    "frames": tables.FRAMES,
    "cohorts": tables.COHORTS,
    "gan_losses": tables.GAN_LOSSES,
    "gan_scores": tables.GAN_SCORES,
    "trials": tables.TRIALS,
    "frame_scores": tables.FRAME_SCORES,
    "results": tables.RESULTS,
}
REPORT_VERSION = 1
STATE_FILE = "report.json"
SHEET_COLUMNS = 10


def write_report(
    run: Run,
    failures: Mapping[str, str],
    blocked: Mapping[str, str],
    skipped: Sequence[tuple[str, str, str]] = (),
) -> pa.Table:
    """Write the tables and figures of a run, and return `results`.

    Leaves every file as it is if nothing has changed since they were written.
    """
    results_path = run.folder / "results.parquet"
    state = digest(_state(run, failures, skipped))
    state_path = run.folder / STATE_FILE
    if _is_current(run.folder, state_path, state):
        return tables.read(results_path, tables.RESULTS)
    state_path.unlink(missing_ok=True)  # from here on the files are neither old nor new
    shown = {ref: conceal(error, run.ids) for ref, error in failures.items()}
    found = collect(run.plan, run.study, run.store, shown)
    for name, schema in SCHEMAS.items():
        tables.write(run.folder / f"{name}.parquet", found[name], schema)
    rows = failure_rows(run.plan, failures, blocked, run.ids)
    tables.write(run.folder / "failures.parquet", rows, tables.FAILURES)
    (run.folder / "skipped.parquet").unlink(missing_ok=True)
    if skipped:
        rows = [dict(zip(tables.SKIPPED.names, row, strict=True)) for row in skipped]
        tables.write(run.folder / "skipped.parquet", rows, tables.SKIPPED)
    _write_pictures(run, found)
    files = [str(path.relative_to(run.folder)) for path in outputs(run.folder)]
    scratch = state_path.with_suffix(".partial")
    scratch.write_text(json.dumps({"state": state, "files": files}, indent=1))
    scratch.replace(state_path)
    return found["results"]


def write_interim(run: Run, failures: Mapping[str, str]) -> None:
    """The results so far, for whoever looks into the folder of a long run."""
    from lussweep.report.summary import write_summary

    shown = {ref: conceal(error, run.ids) for ref, error in failures.items()}
    results = collect_results(run.plan, run.study, run.store, shown)
    tables.write(run.folder / "results.parquet", results, tables.RESULTS)
    write_summary(results, run.folder / "summary.csv")


def _is_current(folder: Path, state_path: Path, state: str) -> bool:
    if not state_path.exists():
        return False
    before = json.loads(state_path.read_text())
    return before["state"] == state and all((folder / name).exists() for name in before["files"])


def _state(run: Run, failures: Mapping[str, str], skipped: Sequence[Any]) -> dict[str, Any]:
    return {
        "version": REPORT_VERSION,
        "cells": [
            [c.n_patients, c.replicate, c.variant, c.refs["evaluate"]] for c in run.plan.cells
        ],
        "done": sorted(ref for ref in run.plan.steps if run.store.has(ref)),
        "failures": dict(failures),
        "skipped": [list(row) for row in skipped],
    }


def _write_pictures(run: Run, found: Mapping[str, pa.Table]) -> None:
    from lussweep.report.figures import auroc_figure, epoch_figure, metric_figure, sample_sheet
    from lussweep.report.summary import write_summary
    from lussweep.report.tensorboard import write_tensorboard

    figures = run.folder / "figures"
    write_summary(found["results"], run.folder / "summary.csv")
    auroc_figure(found["results"], figures / "auroc")
    epoch_figure(found["results"], figures / "auroc_by_epoch")
    if len(found["gan_scores"]):
        metric_figure(found["gan_scores"], figures / "gan_metrics")
    groups = _samples(run)
    if groups:
        sample_sheet(groups, figures / "samples.png", SHEET_COLUMNS)
    write_tensorboard(
        run.folder / "tensorboard",
        found["gan_losses"],
        found["gan_scores"],
        found["trials"],
        found["results"],
    )


def _samples(run: Run) -> list[tuple[str, np.ndarray]]:
    """Real and synthetic frames of both classes at the smallest and the largest patient count."""
    from lussweep.data.cohort import of_class
    from lussweep.data.frames import load_pixels
    from lussweep.stages import COHORT, SYNTHETIC

    groups = []
    made: dict[tuple[int, str], str] = {}
    cohorts: dict[int, str] = {}
    for cell in run.plan.cells:
        for label in ("pos", "neg"):
            ref = cell.refs.get(f"synth_{label}")
            if ref and run.store.has(ref):
                made.setdefault((cell.n_patients, label), ref)
                cohorts.setdefault(cell.n_patients, cell.refs["cohort"])
    words = {"pos": "positive", "neg": "negative"}
    for n in dict.fromkeys((min(cohorts, default=0), max(cohorts, default=0))):
        for label in ("pos", "neg"):
            if (n, label) not in made:
                continue
            table = tables.read(run.store.open(cohorts[n]) / COHORT, tables.FRAMES)
            frames = of_class(table, label)
            spread = np.linspace(0, len(frames) - 1, min(SHEET_COLUMNS, len(frames))).astype(int)
            groups.append(
                (f"real {words[label]}, n = {n}", load_pixels(run.store, frames.take(spread)))
            )
            synthetic = np.load(run.store.open(made[n, label]) / SYNTHETIC, mmap_mode="r")
            groups.append(
                (f"synthetic {words[label]}, n = {n}", np.array(synthetic[:SHEET_COLUMNS]))
            )
    return groups


def outputs(folder: Path) -> list[Path]:
    """What a run folder offers a reader, in reading order."""
    names = (
        "summary.csv", "results.parquet", "figures/auroc.png", "figures/auroc.svg",
        "figures/auroc_by_epoch.png", "figures/auroc_by_epoch.svg",
        "figures/gan_metrics.png", "figures/gan_metrics.svg", "figures/samples.png",
        "frame_scores.parquet", "trials.parquet", "gan_scores.parquet",
        "gan_losses.parquet", "cohorts.parquet", "frames.parquet", "skipped.parquet",
        "failures.parquet", "logs", "experiment.yaml", "tensorboard",
    )  # fmt: skip
    return [folder / name for name in names if (folder / name).exists()]
