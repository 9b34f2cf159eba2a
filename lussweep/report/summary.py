"""AUC-ROC over replicates: one row per patient count and variant, as CSV and on the terminal."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from rich.table import Table

Row = dict[str, Any]

SUMMARY_FIELDS = (
    "n_patients", "variant", "gan_epoch", "n_done", "n_cells",
    "auroc_mean", "auroc_sd", "auroc_min", "auroc_max",
)  # fmt: skip


@dataclass(frozen=True)
class Group:
    """The replicates of one point of the grid, done or not."""

    n_patients: int
    variant: str
    gan_epoch: int | None
    """The one epoch of all these cells; None if they have none or several."""
    cells: tuple[Row, ...]

    @property
    def done(self) -> tuple[Row, ...]:
        return tuple(cell for cell in self.cells if cell["status"] == "done")

    @property
    def aurocs(self) -> list[float]:
        return [cell["auroc"] for cell in self.done]

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.aurocs) if self.done else None

    @property
    def sd(self) -> float | None:
        """Sample standard deviation over replicates; None with fewer than two."""
        return statistics.stdev(self.aurocs) if len(self.done) > 1 else None

    @property
    def lone_interval(self) -> tuple[float, float] | None:
        """Over patients, of the only replicate; None where it is withheld or not made yet."""
        if not len(self.cells) == len(self.done) == 1:
            return None
        low, high = (self.done[0][name] for name in ("auroc_low", "auroc_high"))
        return None if low is None or high is None else (low, high)


def epoch_is_axis(cells: pa.Table) -> bool:
    """Whether one (n_patients, replicate, variant) has more than one GAN epoch.

    Epochs that differ from replicate to replicate, as a selection by score makes them, are no
    axis: those cells are replicates of one another.
    """
    columns = (cells[name].to_pylist() for name in ("n_patients", "replicate", "variant"))
    epochs: dict[tuple[Any, ...], set[int | None]] = {}
    for coordinates, epoch in zip(
        zip(*columns, strict=True), cells["gan_epoch"].to_pylist(), strict=True
    ):
        epochs.setdefault(coordinates, set()).add(epoch)
    return any(len(found) > 1 for found in epochs.values())


def variants_of(results: pa.Table) -> list[str]:
    """Variants in first-seen order."""
    return list(dict.fromkeys(results["variant"].to_pylist()))


def group_cells(results: pa.Table) -> list[Group]:
    """Cells by n_patients, variant and, where it is an axis, GAN epoch; in that order."""
    axis, variants = epoch_is_axis(results), variants_of(results)
    found: dict[tuple[int, int, int], list[Row]] = {}
    for cell in results.to_pylist():
        epoch = cell["gan_epoch"] or 0 if axis else 0
        key = (cell["n_patients"], variants.index(cell["variant"]), epoch)
        found.setdefault(key, []).append(cell)
    return [
        Group(n_patients, variants[variant], _one_epoch(cells), tuple(cells))
        for (n_patients, variant, _), cells in sorted(found.items(), key=lambda item: item[0])
    ]


def _one_epoch(cells: Iterable[Row]) -> int | None:
    epochs = {cell["gan_epoch"] for cell in cells} - {None}
    return epochs.pop() if len(epochs) == 1 else None


def summary_rows(results: pa.Table) -> list[Row]:
    """One row per (n_patients, variant), and per GAN epoch where that is an axis.

    `results` is in the RESULTS schema. The statistics are over the replicates that are done;
    `auroc_sd` is the sample standard deviation, None with fewer than two of them.
    """
    return [_summary_row(group) for group in group_cells(results)]


def _summary_row(group: Group) -> Row:
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
    }


def write_summary(results: pa.Table, path_csv: Path) -> None:
    """Write the summary rows as CSV; None is an empty field."""
    path_csv.parent.mkdir(parents=True, exist_ok=True)
    scratch = path_csv.with_name(f".{path_csv.name}.partial")
    with scratch.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, SUMMARY_FIELDS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(summary_rows(results))
    scratch.replace(path_csv)


# --- on the terminal ----------------------------------------------------------------------


def summary_table(results: pa.Table) -> Table:
    """Patient counts against variants; in a cell the mean AUC-ROC and its spread."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    groups, variants, axis = group_cells(results), variants_of(results), epoch_is_axis(results)
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        min_width=48,
        collapse_padding=True,
        title=Text("AUC-ROC on holdout"),
        caption=Text(caption(results)),
        caption_justify="left",
    )
    by_line: dict[tuple[int, int], dict[str, Group]] = {}
    for group in groups:
        line = (group.n_patients, group.gan_epoch or 0 if axis else 0)
        by_line.setdefault(line, {})[group.variant] = group
    lines = dict(sorted(by_line.items()))
    if len(variants) > MOST_ACROSS:
        _variants_down(table, lines, variants, axis)
    else:
        _variants_across(table, lines, variants, axis)
    return table


MOST_ACROSS = 4
"""Variants beside one another in 80 columns."""
Lines = Mapping[tuple[int, int], Mapping[str, Group]]
"""By patient count and GAN epoch (0 where it is no axis), the variants."""


def _variants_across(table: Table, lines: Lines, variants: Sequence[str], axis: bool) -> None:
    from rich.text import Text

    table.add_column("patients\nper class", justify="right", no_wrap=True)
    if axis:
        table.add_column("GAN\nepoch", justify="right", no_wrap=True)
    for variant in variants:
        table.add_column(Text(variant.replace("_", "_\n")), justify="right")
    for (n_patients, epoch), found in lines.items():
        head = [str(n_patients), *([str(epoch or "-")] if axis else [])]
        cells = [
            cell_text(found[variant], wide=len(variants) <= 3) if variant in found else ""
            for variant in variants
        ]
        table.add_row(*head, *(Text(cell) for cell in cells))


def _variants_down(table: Table, lines: Lines, variants: Sequence[str], axis: bool) -> None:
    from rich.text import Text

    table.add_column("patients per class", no_wrap=True)
    for n_patients, epoch in lines:
        table.add_column(f"{n_patients}\nepoch {epoch or '-'}" if axis else str(n_patients))
    for variant in variants:
        cells = [
            cell_text(found[variant], wide=len(lines) <= 3) if variant in found else ""
            for found in lines.values()
        ]
        table.add_row(Text(variant), *(Text(cell) for cell in cells))


def cell_text(group: Group, *, wide: bool = True) -> str:
    """`mean ± sd`, or the interval of a lone replicate; and what is missing, in words.

    Not `wide` breaks the line, so that four variants fit 80 columns.
    """
    separator = " " if wide else "\n"
    if not group.done:
        return _status(group.cells)
    text = f"{group.mean:.3f}"
    if len(group.cells) == 1:
        if group.lone_interval is None:
            return text
        low, high = group.lone_interval
        return f"{text}{separator}[{low:.3f}, {high:.3f}]"
    if group.sd is not None:
        text += f" ± {group.sd:.3f}"
    if len(group.done) < len(group.cells):
        text += f"{separator}{len(group.done)}/{len(group.cells)} done"
    return text


def _status(cells: Sequence[Row]) -> str:
    """`failed` if any cell failed, `refused` if scores have no AUC-ROC, else what they wait for."""
    statuses = [cell["status"] for cell in cells]
    worst = next(
        (s for s in ("failed", "refused", "blocked", "missing") if s in statuses), statuses[0]
    )
    n = statuses.count(worst)
    return worst if n == len(cells) else f"{n}/{len(cells)} {worst}"


def caption(results: pa.Table) -> str:
    """What the numbers were measured on, and what ± and [ ] are."""
    groups = group_cells(results)
    parts = [holdout_text(results)]
    if any(len(group.cells) > 1 for group in groups):
        parts.append("±: sample standard deviation over replicates.")
    if any(group.lone_interval for group in groups):
        parts.append("[low, high]: 95 % patient-clustered bootstrap interval.")
    return " ".join(parts)


def holdout_text(results: pa.Table) -> str:
    """`Holdout: 120 patients, 960 frames.`"""
    done = [cell for group in group_cells(results) for cell in group.done]
    if not done:
        return "No cell is done yet."
    patients, frames = (
        " or ".join(str(n) for n in sorted({cell[name] for cell in done} - {None}))
        for name in ("n_holdout_patients", "n_holdout_frames")
    )
    return f"Holdout: {patients} patients, {frames} frames."
