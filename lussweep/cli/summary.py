"""Formats the table of AUC-ROCs that `lussweep grid` prints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
from rich import box
from rich.table import Table
from rich.text import Text

from lussweep.report.cells import Row, epoch_is_axis
from lussweep.report.summary import Group, group_cells, holdout_text, variants_of


def summary_table(
    results: pa.Table, means: pa.Table | None = None, *, by_patient: bool = False
) -> Table:
    """A table of the mean AUC-ROC by patient count and variant, by frame or by patient.

    `means` holds the intervals and the AUC-ROCs by patient.
    """
    groups = group_cells(results, means)
    variants, axis = variants_of(results), epoch_is_axis(results)
    by_line: dict[tuple[int, int], dict[str, Group]] = {}
    for group in groups:
        line = (group.n_patients, group.gan_epoch or 0 if axis else 0)
        by_line.setdefault(line, {})[group.variant] = group
    if by_patient:
        title = "AUC-ROC on holdout, by patient (mean frame score)"
        return grid_table(title, by_line, variants, axis, patient_text)
    table = grid_table("AUC-ROC on holdout, by frame", by_line, variants, axis, cell_text)
    table.caption, table.caption_justify = Text(caption(groups, results)), "left"
    return table


NOT_LEARNED = "*"
"""Marks the mean of cells one of whose generators has not learned."""
MOST_ACROSS = 4
"""Most variants that fit side by side in 80 columns."""
Lines = Mapping[tuple[int, int], Mapping[str, Any]]
"""What a cell of the table shows, by variant, by patient count and GAN epoch (0 if the epoch is not
an axis)."""


def grid_table(
    title: str, by_line: Lines, variants: Sequence[str], axis: bool, text: Callable[..., str]
) -> Table:
    """A table of patient counts by variants. Variants are across if they are few.

    `axis` says whether the GAN epoch is an axis. `text` takes what a cell shows, and whether there
    is room for it in one line (`wide`).
    """
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        min_width=48,
        collapse_padding=True,
        title=Text(title),
    )
    lines = dict(sorted(by_line.items()))
    if len(variants) > MOST_ACROSS:
        _variants_down(table, lines, variants, axis, text)
    else:
        _variants_across(table, lines, variants, axis, text)
    return table


def _variants_across(
    table: Table, lines: Lines, variants: Sequence[str], axis: bool, text: Callable[..., str]
) -> None:
    table.add_column("patients\nper class", justify="right", no_wrap=True)
    if axis:
        table.add_column("GAN\nepoch", justify="right", no_wrap=True)
    for variant in variants:
        table.add_column(Text(variant.replace("_", "_\n")), justify="right")
    for (n_patients, epoch), by_variant in lines.items():
        head = [str(n_patients), *([str(epoch or "-")] if axis else [])]
        cells = [
            text(by_variant[variant], wide=len(variants) <= 3) if variant in by_variant else ""
            for variant in variants
        ]
        table.add_row(*head, *(Text(cell) for cell in cells))


def _variants_down(
    table: Table, lines: Lines, variants: Sequence[str], axis: bool, text: Callable[..., str]
) -> None:
    table.add_column("patients per class", no_wrap=True)
    for n_patients, epoch in lines:
        table.add_column(f"{n_patients}\nepoch {epoch or '-'}" if axis else str(n_patients))
    for variant in variants:
        cells = [
            text(by_variant[variant], wide=len(lines) <= 3) if variant in by_variant else ""
            for by_variant in lines.values()
        ]
        table.add_row(Text(variant), *(Text(cell) for cell in cells))


def cell_text(group: Group, *, wide: bool = True) -> str:
    """`mean ± sd [low, high]`, and how many replicates are missing.

    The mean is marked if a generator has not learned.

    The interval is for other trainings and other holdout patients. That of a single replicate is
    for other holdout patients alone.
    Without `wide` the text has two lines, so that four variants fit 80 columns.
    """
    separator = " " if wide else "\n"
    if not group.done:
        return _status(group.cells)
    text = f"{group.mean:.3f}{NOT_LEARNED if group.n_not_learned else ''}"
    if len(group.cells) == 1:
        if group.lone_interval is None:
            return text
        low, high = group.lone_interval
        return f"{text}{separator}[{low:.3f}, {high:.3f}]"
    if group.sd is not None:
        text += f" ± {group.sd:.3f}"
    if group.interval is not None:
        text += f"\n[{group.interval[0]:.3f}, {group.interval[1]:.3f}]"
    if len(group.done) < len(group.cells):
        text += f"{separator}{len(group.done)}/{len(group.cells)} done"
    return text


def patient_text(group: Group, *, wide: bool = True) -> str:
    """`mean [low, high]` by patient, or why there is no such AUC-ROC."""
    row = group.by_patient
    if row is None:
        return _status(group.cells) if not group.done else "none"
    if row["low"] is None:
        return f"{row['auroc']:.3f}"
    return f"{row['auroc']:.3f}{' ' if wide else chr(10)}[{row['low']:.3f}, {row['high']:.3f}]"


def _status(cells: Sequence[Row]) -> str:
    """The worst status of the cells: failed, refused (scores without AUC-ROC), blocked, missing."""
    statuses = [cell["status"] for cell in cells]
    worst = next(
        (s for s in ("failed", "refused", "blocked", "missing") if s in statuses), statuses[0]
    )
    n = statuses.count(worst)
    return worst if n == len(cells) else f"{n}/{len(cells)} {worst}"


def caption(groups: Sequence[Group], results: pa.Table) -> str:
    """The caption: the size of the holdout, and what ± and [ ] mean."""
    parts = [holdout_text(results)]
    if any(len(group.cells) > 1 for group in groups):
        parts.append("±: sample standard deviation over replicates.")
    if any(group.lone_interval for group in groups):
        parts.append("[low, high] of one replicate: 95 % for other holdout patients alone.")
    if any(group.interval for group in groups):
        parts.append("[low, high]: 95 % for other trainings and other holdout patients.")
    if n := sum(group.n_not_learned for group in groups):
        n_synthetic = sum(cell["has_learned"] is not None for g in groups for cell in g.cells)
        parts.append(
            f"{NOT_LEARNED}: a generator has not learned (in {n} of {n_synthetic} cells with "
            "synthetic frames), so its frames are nearer to noise than to real ones."
        )
    return " ".join(parts)
