"""Puts the comparison of two runs into words, tables and a page that loads nothing."""

from __future__ import annotations

from dataclasses import dataclass

from lussweep.analysis.contrasts import NO_VARIANCE
from lussweep.report.compare import ComparedCells, Comparison
from lussweep.report.page.svg import DARK, LIGHT
from lussweep.report.page.verdicts import LEVEL_WORDS
from lussweep.report.page.write import environment_of_pages


@dataclass(frozen=True)
class TextTable:
    """A table in texts."""

    name: str
    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


def settings_table(comparison: Comparison) -> TextTable:
    """The settings that differ."""
    note = "" if comparison.settings else "The settings are the same."
    return TextTable(
        "settings", "Settings that differ", ("setting", "A", "B"), comparison.settings, note
    )


def cells_table(comparison: Comparison) -> TextTable:
    """A row for each patient count and variant."""
    with_epoch = any(cells.gan_epoch is not None for cells in comparison.cells)
    epoch_heading = ("GAN epoch",) if with_epoch else ()
    rows = []
    for cells in comparison.cells:
        epoch = (str(cells.gan_epoch or "-"),) if with_epoch else ()
        rows.append((str(cells.n_patients), cells.variant, *epoch, *_cells_texts(cells)))
    headings = ("n", "variant", *epoch_heading, "replicates", "A", "B", "B less A")
    title = "AUC-ROC by patient count and variant"
    return TextTable("cells", title, headings, tuple(rows), _cells_note(comparison))


def _cells_note(comparison: Comparison) -> str:
    """What the numbers of the cells are. Rows without a difference are means of other replicates.

    Nothing without a cell.
    """
    has_contrast = {cells.contrast is not None for cells in comparison.cells}
    notes = [f"A and B are the {LEVEL_WORDS[comparison.level]}."] if has_contrast else []
    if True in has_contrast:
        notes.append(
            "In a row with a difference they are means over the replicates that both runs have. "
            "[low, high]: 95 % for other trainings and other holdout patients; with (patients): "
            "for other holdout patients alone, for these trained models."
        )
    if False in has_contrast:
        notes.append(
            "In a row without a difference each is the mean over the replicates of its own run."
        )
    return " ".join(notes)


def warning(comparison: Comparison) -> str:
    """Why no difference is given; empty if differences are."""
    if not comparison.holdout:
        return ""
    return (
        f"WARNING: the holdout differs ({comparison.holdout}), so no difference of AUC-ROC is "
        "given: it would compare patients, not runs"
    )


def comparison_page(comparison: Comparison, run_a: str, run_b: str) -> str:
    """The page as one text."""
    return (
        environment_of_pages()
        .get_template("compare.html")
        .render(
            a=run_a,
            b=run_b,
            warning=warning(comparison),
            tables=[settings_table(comparison), cells_table(comparison)],
            light=LIGHT,
            dark=DARK,
            dark_colours={},
        )
    )


def _cells_texts(cells: ComparedCells) -> tuple[str, str, str, str]:
    """The number of replicates, both AUC-ROCs, and the difference with its interval."""
    contrast = cells.contrast
    if contrast is None:
        a, b = ("" if mean is None else f"{mean:.3f}" for mean in (cells.auroc_a, cells.auroc_b))
        return f"{cells.n_a}, {cells.n_b}", a, b, cells.reason
    effect = contrast.effect
    text = f"{effect.difference:+.3f}"
    if contrast.interval is not None:
        text += f" [{contrast.interval.low:+.3f}, {contrast.interval.high:+.3f}]"
    elif contrast.conditional is not None:
        low, high = contrast.conditional
        text += f" [{low:+.3f}, {high:+.3f}] (patients)"
    elif contrast.withheld == NO_VARIANCE:
        text += " (all patients are ranked alike)"
    elif contrast.withheld:
        text += f", without an interval: {contrast.withheld}"
    return (
        str(len(effect.replicates)),
        f"{effect.reference_auroc:.3f}",
        f"{effect.auroc:.3f}",
        text,
    )
