"""Everything that a run folder shows: tables, summary, figures and TensorBoard logs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from lussweep.report.collect import (
    collect,
    collect_curves,
    collect_results,
    failure_rows,
)
from lussweep.report.per_cell import with_intervals
from lussweep.report.statistics import collect_statistics
from lussweep.store import tables
from lussweep.store.arrays import read_array
from lussweep.store.artifacts import read_json
from lussweep.store.disk import room_named
from lussweep.study.keys import digest, hashed_id
from lussweep.study.spec import Recipe, StudySpec

if TYPE_CHECKING:
    from lussweep.run.folder import Run

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
    "aurocs": tables.AUROCS,
    "quality": tables.QUALITY,
    "operating": tables.OPERATING,
    "delong": tables.DELONG,
    "contrasts": tables.CONTRASTS,
    "controls": tables.CONTROLS,
    "worth": tables.WORTH,
    "usefulness": tables.USEFULNESS,
}
REPORT_VERSION = 4
STATE_FILE = "report.json"
OPTUNA_FILE = "optuna.log"
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
    with run.store.in_use():
        results = _write_report(
            replace(run, store=run.store.surveyed(0)), failures, blocked, skipped
        )
    run.publish()
    return results


def _write_report(
    run: Run,
    failures: Mapping[str, str],
    blocked: Mapping[str, str],
    skipped: Sequence[tuple[str, str, str]],
) -> pa.Table:
    results_path = run.folder / "results.parquet"
    state = digest(_state(run, failures, skipped))
    state_path = run.folder / STATE_FILE
    if _is_current(run.folder, state_path, state):
        return tables.read(results_path, tables.RESULTS)
    state_path.unlink(missing_ok=True)  # from here on the files are neither old nor new
    run.store.read_records(_reported(run))
    found = collect(run.plan, run.study, run.store, failures)
    found["results"] = _concealed(found["results"], run)
    found |= collect_statistics(
        found["results"],
        found["frame_scores"],
        found["val_scores"],
        found["gan_scores"],
        _described_study(run),
    )
    found["results"] = with_intervals(found["results"], found["aurocs"])
    for name, schema in SCHEMAS.items():
        tables.write(run.folder / f"{name}.parquet", found[name], schema)
    rows = failure_rows(run.plan, failures, blocked, run.conceal)
    tables.write(run.folder / "failures.parquet", rows, tables.FAILURES)
    (run.folder / "skipped.parquet").unlink(missing_ok=True)
    if skipped:
        rows = [_skipped_row(run, *row) for row in skipped]
        tables.write(run.folder / "skipped.parquet", rows, tables.SKIPPED)
    _write_events(run.folder / "events.log", found["gan_events"])
    _write_pictures(run, found)
    files = [str(path.relative_to(run.folder)) for path in outputs(run.folder)]
    scratch = state_path.with_suffix(".partial")
    scratch.write_text(json.dumps({"state": state, "files": files}, indent=1))
    scratch.replace(state_path)
    return found["results"]


def _described_study(run: Run) -> StudySpec:
    """The study with the variants of every grid that was asked of the folder."""
    described = {n: Recipe.model_validate(r) for n, r in run.described["variants"].items()}
    return run.study.model_copy(update={"variants": {**described, **run.study.variants}})


def write_interim(run: Run, failures: Mapping[str, str]) -> None:
    """The results and dashboards so far, for whoever looks into the folder of a long run: no
    intervals yet. Raises StorageError if they cannot be written."""
    with room_named(run.folder):
        _write_interim(run, failures)


def _write_interim(run: Run, failures: Mapping[str, str]) -> None:
    from lussweep.report.summary import write_summary

    with run.store.in_use():
        store = run.store.surveyed(0)
        store.read_records(_reported(run))
        found = collect_curves(run.plan, run.study, store)
        results = collect_results(run.plan, run.study, store, failures)
    found["results"] = _concealed(results, run)
    tables.write(run.folder / "results.parquet", found["results"], tables.RESULTS)
    write_summary(found["results"], run.folder / "summary.csv")
    _write_dashboards(run, found)
    run.publish()


def _reported(run: Run) -> list[str]:
    """Steps whose records a report reads."""
    return list(dict.fromkeys(ref for cell in run.plan.cells for ref in cell.refs.values()))


def _concealed(results: pa.Table, run: Run) -> pa.Table:
    """The results with nobody named in the reasons."""
    at = results.column_names.index("reason")
    reasons = results["reason"].to_pylist()
    known = {reason: reason and run.conceal(reason) for reason in set(reasons)}
    told = [known[reason] for reason in reasons]
    return results.set_column(at, results.field(at), pa.array(told, pa.string()))


def _skipped_row(run: Run, patient_id: str, video_id: str, reason: str) -> dict[str, str]:
    hashed = str if run.reveal_ids else hashed_id
    return {
        "patient_id": hashed(patient_id),
        "video_id": hashed(video_id),
        "reason": run.conceal(reason),
    }


def _is_current(folder: Path, state_path: Path, state: str) -> bool:
    if not state_path.exists():
        return False
    try:
        before = read_json(state_path)
        files = [folder / name for name in before["files"]]
        return bool(before["state"] == state) and all(path.exists() for path in files)
    except (OSError, ValueError, KeyError, TypeError):  # damaged: as if nothing were written
        return False


def _state(run: Run, failures: Mapping[str, str], skipped: Sequence[Any]) -> dict[str, Any]:
    return {
        "version": REPORT_VERSION,
        "cells": [
            [c.n_patients, c.replicate, c.variant, c.refs["evaluate"]] for c in run.plan.cells
        ],
        "done": sorted(ref for ref in run.plan.steps if run.store.has(ref)),
        "failures": dict(failures),
        "skipped": [list(row) for row in skipped],
        "reveal_ids": run.reveal_ids,
        "memorisation": run.study.memorisation.model_dump(mode="json"),
        "grid": run.study.grid.model_dump(mode="json"),
        "analysis": run.study.analysis.model_dump(mode="json"),
    }


def _write_events(path: Path, events: pa.Table) -> None:
    """One line an event of a GAN's training; no file where there was none."""
    path.unlink(missing_ok=True)
    lines = [
        f"n={e['n_patients']} r={e['replicate']} {e['class']} {e['gan']} attempt {e['attempt']} "
        f"epoch {e['epoch']} {e['kind']}: {e['message']}\n"
        for e in events.to_pylist()
    ]
    if lines:
        path.write_text("".join(lines))


def _write_pictures(run: Run, found: Mapping[str, pa.Table]) -> None:
    from lussweep.report.figures import auroc_figure, epoch_figure, metric_figure, sample_sheet
    from lussweep.report.summary import write_summary

    figures = run.folder / "figures"
    write_summary(found["results"], run.folder / "summary.csv")
    auroc_figure(found["results"], figures / "auroc")
    epoch_figure(found["results"], figures / "auroc_by_epoch")
    if len(found["gan_scores"]):
        metric_figure(found["gan_scores"], figures / "gan_metrics")
    groups = _samples(run)
    if groups:
        sample_sheet(groups, figures / "samples.png", SHEET_COLUMNS)
    pairs = _pairs(run, found["closest_pairs"], found["memorisation"])
    (figures / "closest_pairs.png").unlink(missing_ok=True)
    if pairs:
        sample_sheet(pairs, figures / "closest_pairs.png", SHEET_COLUMNS)
    _write_dashboards(run, found)


def _write_dashboards(run: Run, found: Mapping[str, pa.Table]) -> None:
    """What TensorBoard and optuna-dashboard read."""
    from lussweep.report.optuna_journal import write_optuna
    from lussweep.report.tensorboard import write_tensorboard

    write_tensorboard(
        run.folder / "tensorboard",
        found["gan_losses"],
        found["gan_scores"],
        found["trials"],
        found["results"],
    )
    write_optuna(
        run.folder / OPTUNA_FILE,
        found["trials"],
        found["results"],
        run.study.name,
        run.study.search.select_by,
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
            synthetic = read_array(
                run.store.open(made[n, label]) / SYNTHETIC, np.uint8, mapped=True
            )
            groups.append(
                (f"synthetic {words[label]}, n = {n}", np.array(synthetic[:SHEET_COLUMNS]))
            )
    return groups


def _pairs(run: Run, pairs: pa.Table, cards: pa.Table) -> list[tuple[str, np.ndarray]]:
    """The synthetic frames nearest to a training frame above those frames, by class, at the
    smallest and the largest patient count."""
    from lussweep.data.frames import load_pixels
    from lussweep.stages import SYNTHETIC

    index = tables.read(run.folder / "frames.parquet", tables.FRAMES)
    names = ("patient_id", "video_id", "frame")
    where = {place: i for i, place in enumerate(_places(index, names))}
    words = {"pos": "positive", "neg": "negative"}
    groups = []
    counts = pairs["n_patients"].to_pylist()
    for n in dict.fromkeys((min(counts, default=0), max(counts, default=0))):
        for label, word in words.items():
            mine = [
                row for row in pairs.to_pylist() if (row["n_patients"], row["class"]) == (n, label)
            ]
            if not mine:
                continue
            set_of = [mine[0][name] for name in tables.SYNTH_SET]
            shown = [r for r in mine if [r[name] for name in tables.SYNTH_SET] == set_of][
                :SHEET_COLUMNS
            ]
            card = next(
                c for c in cards.to_pylist() if [c[name] for name in tables.SYNTH_SET] == set_of
            )
            path = run.store.open(f"synth/{card['synth_key']}") / SYNTHETIC
            synthetic = read_array(path, np.uint8, mapped=True)[
                [row["synthetic_row"] for row in shown]
            ]
            near = index.take([where[tuple(row[name] for name in names)] for row in shown])
            title = f"synthetic {word}, n = {n}: the nearest to training frames"
            groups += [(title, synthetic), ("these training frames", load_pixels(run.store, near))]
    return groups


def _places(table: pa.Table, names: Sequence[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def _set_of(row: Mapping[str, Any]) -> list[Any]:
    """The synthetic set that a row of `memorisation` or `closest_pairs` is of."""
    return [row[name] for name in tables.SYNTH_SET]


def outputs(folder: Path) -> list[Path]:
    """What a run folder offers a reader, in reading order."""
    patterns = (
        "summary.csv", "results.parquet", "contrasts.parquet", "controls.parquet",
        "worth.parquet", "aurocs.parquet", "quality.parquet", "operating.parquet",
        "delong.parquet", "usefulness.parquet", "figures/auroc.png", "figures/auroc.svg",
        "figures/auroc_by_epoch.png", "figures/auroc_by_epoch.svg",
        "figures/gan_metrics*.png", "figures/gan_metrics*.svg", "figures/samples.png",
        "figures/closest_pairs.png", "memorisation.parquet", "copies.parquet",
        "closest_pairs.parquet", "events.log", "gan_events.parquet",
        "frame_scores.parquet", "val_scores.parquet", "trials.parquet", "gan_scores.parquet",
        "gan_losses.parquet", "cohorts.parquet", "frames.parquet", "skipped.parquet",
        "failures.parquet", "logs", "experiment.yaml", "tensorboard", OPTUNA_FILE,
    )  # fmt: skip
    return [path for pattern in patterns for path in sorted(folder.glob(pattern))]
