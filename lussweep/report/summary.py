"""Summarises AUC-ROC over replicates: one row for each patient count and variant."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from lussweep.report.cells import DONE, Row, epoch_is_axis
from lussweep.store.files import whole_file

SUMMARY_FIELDS = (
    "n_patients", "variant", "gan_epoch", "n_done", "n_cells",
    "auroc_mean", "auroc_sd", "auroc_min", "auroc_max", "auroc_low", "auroc_high",
    "patient_auroc_mean", "patient_auroc_sd", "patient_auroc_low", "patient_auroc_high",
    "n_not_learned",
)  # fmt: skip
"""Columns of the summary. AUC-ROCs are by frame, those with `patient_` by patient; low and high are
those of MEANS. n_not_learned counts the cells whose generator has not learned."""


@dataclass(frozen=True)
class Group:
    """The replicates of one point of the grid, done or not."""

    n_patients: int
    variant: str
    gan_epoch: int | None
    """The one epoch of all these cells; None if they have none or several."""
    cells: tuple[Row, ...]
    means: Mapping[str, Row] = field(default_factory=dict)
    """The row of MEANS by level, where the statistics are computed."""

    @property
    def done(self) -> tuple[Row, ...]:
        return tuple(cell for cell in self.cells if cell["status"] == DONE)

    @property
    def aurocs(self) -> list[float]:
        return [cell["auroc"] for cell in self.done]

    @property
    def n_not_learned(self) -> int:
        """Number of cells whose synthetic frames come from a generator that has not learned."""
        return sum(cell["has_learned"] is False for cell in self.cells)

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.aurocs) if self.done else None

    @property
    def sd(self) -> float | None:
        """Sample standard deviation over replicates; None with fewer than two."""
        return statistics.stdev(self.aurocs) if len(self.done) > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % for other trainings and other holdout patients, by frame."""
        return _ends(self.means.get("frame", {}))

    @property
    def conditional_interval(self) -> tuple[float, float] | None:
        """95 % for other holdout patients alone, with these trained models, by frame.

        That of a lone replicate is its own.
        """
        row = self.means.get("frame", {})
        ends = {"low": row.get("conditional_low"), "high": row.get("conditional_high")}
        return _ends(ends) or self.lone_interval

    @property
    def by_patient(self) -> Row | None:
        """The row of MEANS by mean frame score, if it has an AUC-ROC."""
        row = self.means.get("patient_mean", {})
        return None if row.get("auroc") is None else row

    @property
    def lone_interval(self) -> tuple[float, float] | None:
        """The only replicate's interval over patients. None if it is withheld or not made yet."""
        if not len(self.cells) == len(self.done) == 1:
            return None
        cell = self.done[0]
        return _ends({"low": cell["auroc_low"], "high": cell["auroc_high"]})


def _ends(row: Row) -> tuple[float, float] | None:
    low, high = row.get("low"), row.get("high")
    return None if low is None or high is None else (low, high)


def variants_of(results: pa.Table) -> list[str]:
    """The variants in the order of the table."""
    return list(dict.fromkeys(results["variant"].to_pylist()))


def group_cells(results: pa.Table, means: pa.Table | None = None) -> list[Group]:
    """Groups cells by n_patients, variant and, if it is an axis, GAN epoch; in that order.

    `means` is in the MEANS schema.
    """
    by_level: dict[tuple[int, str, int], dict[str, Row]] = {}
    for row in [] if means is None else means.to_pylist():
        group = (row["n_patients"], row["variant"], row["gan_epoch"] or 0)
        by_level.setdefault(group, {})[row["level"]] = row
    axis, variants = epoch_is_axis(results), variants_of(results)
    by_key: dict[tuple[int, int, int], list[Row]] = {}
    for cell in results.to_pylist():
        epoch = cell["gan_epoch"] or 0 if axis else 0
        key = (cell["n_patients"], variants.index(cell["variant"]), epoch)
        by_key.setdefault(key, []).append(cell)
    return [
        Group(
            n_patients,
            variants[variant],
            _one_epoch(cells),
            tuple(cells),
            by_level.get((n_patients, variants[variant], epoch), {}),
        )
        for (n_patients, variant, epoch), cells in sorted(by_key.items(), key=lambda item: item[0])
    ]


def _one_epoch(cells: Iterable[Row]) -> int | None:
    epochs = {cell["gan_epoch"] for cell in cells} - {None}
    return epochs.pop() if len(epochs) == 1 else None


def summary_rows(results: pa.Table, means: pa.Table | None = None) -> list[Row]:
    """One row for each (n_patients, variant), and for each GAN epoch if that is an axis.

    `results` is in the RESULTS schema. The statistics are over the replicates that are done.
    `auroc_sd` is the sample standard deviation. It is None with fewer than two replicates.
    """
    return [_summary_row(group) for group in group_cells(results, means)]


def _summary_row(group: Group) -> Row:
    low, high = group.interval or (None, None)
    by_patient = group.by_patient or {}
    return {
        "n_patients": group.n_patients,
        "variant": group.variant,
        "gan_epoch": group.gan_epoch,
        "n_done": len(group.done),
        "n_cells": len(group.cells),
        "auroc_mean": group.mean,
        "auroc_sd": group.sd,
        "auroc_min": min(group.aurocs, default=None),
        "auroc_max": max(group.aurocs, default=None),
        "auroc_low": low,
        "auroc_high": high,
        "patient_auroc_mean": by_patient.get("auroc"),
        "patient_auroc_sd": by_patient.get("sd"),
        "patient_auroc_low": by_patient.get("low"),
        "patient_auroc_high": by_patient.get("high"),
        "n_not_learned": group.n_not_learned,
    }


def write_summary(results: pa.Table, path_csv: Path, means: pa.Table | None = None) -> None:
    """Writes the summary rows as CSV. None becomes an empty field."""
    with (
        whole_file(path_csv) as scratch,
        scratch.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, SUMMARY_FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(summary_rows(results, means))


def holdout_text(results: pa.Table) -> str:
    """One sentence on the size of the holdout: `Holdout: 120 patients, 960 frames.`"""
    done = [cell for group in group_cells(results) for cell in group.done]
    if not done:
        return "No cell is done yet."
    patients, frames = (
        " or ".join(str(n) for n in sorted({cell[name] for cell in done} - {None}))
        for name in ("n_holdout_patients", "n_holdout_frames")
    )
    return f"Holdout: {patients} patients, {frames} frames."
