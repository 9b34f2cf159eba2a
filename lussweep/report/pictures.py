"""Draws what a report shows: figures, sheets of frames, and logs for dashboards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from lussweep.report.reported import Reported
from lussweep.store import tables
from lussweep.store.arrays import read_array

OPTUNA_FILE = "optuna.log"
SHEET_COLUMNS = 10


def write_pictures(reported: Reported, collected: Mapping[str, pa.Table]) -> None:
    """Writes the summary, the figures and the logs of dashboards from the tables by name."""
    from lussweep.report.calibration_figure import calibration_figure
    from lussweep.report.figures import auroc_figure, epoch_figure, metric_figure, sample_sheet
    from lussweep.report.summary import write_summary

    figures = reported.folder / "figures"
    results, means = collected["results"], collected["means"]
    write_summary(results, reported.folder / "summary.csv", means)
    auroc_figure(results, figures / "auroc", means)
    epoch_figure(results, figures / "auroc_by_epoch")
    calibration_figure(collected["calibration"], figures / "calibration")
    if len(collected["gan_scores"]):
        metric_figure(collected["gan_scores"], figures / "gan_metrics")
    groups = _samples(reported)
    if groups:
        sample_sheet(groups, figures / "samples.png", SHEET_COLUMNS)
    pairs = _pairs(
        reported, collected["closest_pairs"], collected["memorisation"], collected["frames"]
    )
    (figures / "closest_pairs.png").unlink(missing_ok=True)
    if pairs:
        sample_sheet(pairs, figures / "closest_pairs.png", SHEET_COLUMNS)
    write_dashboards(reported, collected)


def write_dashboards(reported: Reported, collected: Mapping[str, pa.Table]) -> None:
    """Writes the logs that TensorBoard and optuna-dashboard read."""
    from lussweep.report.optuna_journal import write_optuna
    from lussweep.report.tensorboard import write_tensorboard

    write_tensorboard(
        reported.folder / "tensorboard",
        collected["gan_losses"],
        collected["gan_scores"],
        collected["trials"],
        collected["results"],
    )
    write_optuna(
        reported.folder / OPTUNA_FILE,
        collected["trials"],
        collected["results"],
        reported.study.name,
        reported.study.search.select_by,
    )


def _samples(reported: Reported) -> list[tuple[str, np.ndarray]]:
    """Real and synthetic frames of both classes at the smallest and the largest patient count."""
    from lussweep.data.cohort import of_class
    from lussweep.data.frames import load_pixels
    from lussweep.stages import COHORT, SYNTHETIC

    groups = []
    made: dict[tuple[int, str], str] = {}
    cohorts: dict[int, str] = {}
    for cell in reported.plan.cells:
        for label in ("pos", "neg"):
            ref = cell.refs.get(f"synth_{label}")
            if ref and reported.store.has(ref):
                n = cell.coordinates.n_patients
                made.setdefault((n, label), ref)
                cohorts.setdefault(n, cell.refs["cohort"])
    words = {"pos": "positive", "neg": "negative"}
    for n in dict.fromkeys((min(cohorts, default=0), max(cohorts, default=0))):
        for label in ("pos", "neg"):
            if (n, label) not in made:
                continue
            table = tables.read(reported.store.open(cohorts[n]) / COHORT, tables.FRAMES)
            frames = of_class(table, label)
            spread = np.linspace(0, len(frames) - 1, min(SHEET_COLUMNS, len(frames))).astype(int)
            groups.append(
                (f"real {words[label]}, n = {n}", load_pixels(reported.store, frames.take(spread)))
            )
            synthetic = read_array(
                reported.store.open(made[n, label]) / SYNTHETIC, np.uint8, mapped=True
            )
            groups.append(
                (f"synthetic {words[label]}, n = {n}", np.array(synthetic[:SHEET_COLUMNS]))
            )
    return groups


def _pairs(
    reported: Reported, pairs: pa.Table, cards: pa.Table, index: pa.Table
) -> list[tuple[str, np.ndarray]]:
    """The synthetic frames nearest to a training frame, and those training frames.

    Both classes are shown at the smallest and the largest patient count. `index` holds a row for
    each real frame.
    """
    from lussweep.data.frames import load_pixels
    from lussweep.stages import SYNTHETIC

    names = ("patient_id", "video_id", "frame")
    where = {place: i for i, place in enumerate(_places(index, names))}
    words = {"pos": "positive", "neg": "negative"}
    groups = []
    counts = pairs["n_patients"].to_pylist()
    for n in dict.fromkeys((min(counts, default=0), max(counts, default=0))):
        for label, word in words.items():
            candidates = [
                row for row in pairs.to_pylist() if (row["n_patients"], row["class"]) == (n, label)
            ]
            if not candidates:
                continue
            first_set = [candidates[0][name] for name in tables.SYNTH_SET]
            shown = [r for r in candidates if [r[name] for name in tables.SYNTH_SET] == first_set][
                :SHEET_COLUMNS
            ]
            card = next(
                c for c in cards.to_pylist() if [c[name] for name in tables.SYNTH_SET] == first_set
            )
            path = reported.store.open(f"synth/{card['synth_key']}") / SYNTHETIC
            synthetic = read_array(path, np.uint8, mapped=True)[
                [row["synthetic_row"] for row in shown]
            ]
            near = index.take([where[tuple(row[name] for name in names)] for row in shown])
            title = f"synthetic {word}, n = {n}: the nearest to training frames"
            groups += [
                (title, synthetic),
                ("these training frames", load_pixels(reported.store, near)),
            ]
    return groups


def _places(table: pa.Table, names: Sequence[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))
