"""Formats the statistics for the terminal."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from lussweep.analysis.chance import MIN_PERMUTATIONS
from lussweep.report.cells import BASELINE
from lussweep.report.page.wording import beside_one
from lussweep.report.sections.controls import SHUFFLED

if TYPE_CHECKING:
    from rich.table import Table


LEVEL_NAMES = {
    "frame": "by frame",
    "patient_mean": "by patient",
    "patient_weighted": "by frame, patients alike",
}


def contrast_table(contrasts: Sequence[Mapping[str, Any]]) -> Table:
    """A table of `contrasts`: differences with their intervals and adjusted p-values."""
    from rich.text import Text

    by = next((LEVEL_NAMES[row["level"]] for row in contrasts if row["level"]), "")
    table = _table(f"Paired differences of AUC-ROC {by}, 95 %")
    table.add_column("patients", justify="right", no_wrap=True)
    table.add_column("contrast", overflow="fold")
    for heading in ("difference", "p (Holm)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in contrasts:
        epoch = "" if row["gan_epoch"] is None else f" epoch {row['gan_epoch']}"
        table.add_row(
            str(row["n_patients"]),
            Text(f"{row['variant']}{epoch} - {row['reference']}"),
            Text(difference_text(row)),
            "" if row["p_holm"] is None else f"{row['p_holm']:.2g}",
        )
    return table


def worth_table(worth: pa.Table) -> Table:
    """A table of how many patients of the baseline each variant is worth."""
    from rich.text import Text

    table = _table("Worth in patients of the baseline, 95 %")
    table.add_column("patients", justify="right", no_wrap=True)
    table.add_column("variant", overflow="fold")
    table.add_column("is worth", justify="right", no_wrap=True)
    for (variant, n), text in sorted(worth_texts(worth).items(), key=lambda item: item[0][1]):
        if variant != BASELINE:
            table.add_row(str(n), Text(variant), Text(text))
    return table


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, title_justify="left")
    table.title = Text(title)
    return table


def difference_text(row: Mapping[str, Any]) -> str:
    """The difference of a contrast with its interval, or its status if there is no difference."""
    if row["difference"] is None:
        return str(row["status"])
    text = f"{row['difference']:+.3f}"
    return text if row["low"] is None else f"{text} [{row['low']:+.3f}, {row['high']:+.3f}]"


def worth_texts(worth: pa.Table) -> dict[tuple[str, int], str]:
    """The worth with its interval, such as "9.1 (6.4 to 14)", by variant and patient count."""
    texts = {}
    for row in worth.to_pylist():
        if row["worth"] is not None:
            interval = "" if row["interval"] is None else f" ({row['interval']})"
            texts[row["variant"], row["n_patients"]] = f"{row['worth']}{interval}"
    return texts


def worth_lines(worth: pa.Table, multiplier: pa.Table) -> list[str]:
    """Lines with the worths of `oversample` and `combined`, and with each variant's multiplier."""
    texts = worth_texts(worth)
    lines = [
        f"As many images without a GAN, n = {n}: oversample is worth {text}, "
        f"combined {texts['combined', n]}."
        for (variant, n), text in texts.items()
        if variant == "oversample" and ("combined", n) in texts
    ]
    without: dict[str, list[str]] = {}
    for row in multiplier.to_pylist():
        if row["m"] is not None:
            lines.append(
                f"{row['variant']}: one patient counts as {row['m']:.2f} patients of the baseline "
                "(95 %, over holdout patients and trainings: "
                f"{_ends(row['low'], row['high'])})."
            )
        elif row["status"] == "withheld":
            without.setdefault(row["reason"], []).append(row["variant"])
    for reason, variants in without.items():
        lines.append(f"No multiplier of patients for {', '.join(variants)}: {reason}.")
    return lines


def _ends(low: float, high: float) -> str:
    start = "less than the grid can tell" if low == -math.inf else _end(low)
    return f"{start} to {'more than the grid can tell' if high == math.inf else _end(high)}"


def _end(value: float) -> str:
    """Two decimals, or more to show on which side of 1 it lies."""
    text = f"{value:.2f}"
    return text if float(text) != 1 else beside_one(value)


def mask_lines(controls: pa.Table) -> list[str]:
    """One line for each patient count at which the sector masks alone score above chance."""
    return [
        f"WARNING: the sector masks alone ({row['variant']}), n = {row['n_patients']}: AUC-ROC "
        f"{row['auroc']:.3f} ({row['low']:.2f} to {row['high']:.2f}), above chance: the outline of "
        "the sector tells the class, and every variant can use it."
        for row in controls.to_pylist()
        if row["verdict"] == "above chance"
    ]


def known_truth_table(known_truth: pa.Table) -> Table:
    """A table of how many verdicts on variants of known worth are right, wrong or withheld."""
    from rich.text import Text

    table = _table("Verdicts where the truth is known")
    table.add_column("verdict on", overflow="fold")
    table.add_column("truth", overflow="fold")
    for outcome in ("right", "wrong", "withheld"):
        table.add_column(outcome, justify="right", no_wrap=True)
    counts: dict[tuple[str, str], Counter[str]] = {}
    for row in known_truth.to_pylist():
        counts.setdefault(_verdict_on(row), Counter())[row["outcome"]] += 1
    for (subject, truth), of in counts.items():
        numbers = (str(of[outcome]) for outcome in ("right", "wrong", "withheld"))
        table.add_row(Text(subject), Text(truth), *numbers)
    return table


def _verdict_on(row: Mapping[str, Any]) -> tuple[str, str]:
    """What a row of `known_truth` judges, and the truth in words that fit every patient count."""
    if row["table"] == "contrasts":
        words = {"none": "no difference", "not below": "not worse"}
        return f"{row['subject']} - {row['reference']}", words[row["truth"]]
    if row["table"] == "worth":
        times = int(row["truth"]) // row["n_patients"]
        return f"worth of {row['subject']}", "n" if times == 1 else f"{times} n"
    if row["table"] == "multiplier":
        return f"multiplier of {row['subject']}", row["truth"]
    if row["table"] == "memorisation":
        return f"release of {row['subject']}", row["truth"]
    return row["subject"], row["truth"]


def control_lines(controls: pa.Table) -> list[str]:
    """One line for each variant with shuffled labels and each patient count."""
    rows = [row for row in controls.to_pylist() if row["control"] == SHUFFLED]
    several = len({row["variant"] for row in rows}) > 1
    lines = []
    for row in rows:
        name = f"shuffled labels ({row['variant']})" if several else "shuffled labels"
        lines.append(f"{name}, n = {row['n_patients']}: {_control_text(row)}")
    return lines


def _control_text(row: Mapping[str, Any]) -> str:
    if row["verdict"] is None:
        return f"{row['n_permutations']} of {MIN_PERMUTATIONS} permutations: not judged"
    ends = {
        "chance": "chance",
        "not chance": "NOT chance: true labels may reach training or selection",
    }
    return (
        f"AUC-ROC {row['auroc']:.3f} ({row['low']:.2f} to {row['high']:.2f}) over "
        f"{row['n_permutations']} permutations: {ends[row['verdict']]}"
    )


def interval_line(results: pa.Table) -> str:
    """A line on the width of a single cell's interval, which the spread over replicates hides."""
    done = [row for row in results.to_pylist() if row["status"] == "done"]
    if not done:
        return "No cell is done yet."
    widths = [row["auroc_high"] - row["auroc_low"] for row in done if row["auroc_low"] is not None]
    if not widths:
        return "No cell has an interval: see the column reason of results.parquet."
    width = f"{statistics.median(widths):.2f} wide ({min(widths):.2f} to {max(widths):.2f})"
    return (
        f"A single cell's 95 % interval, over the holdout patients alone, is {width}: "
        "see results.parquet."
    )
