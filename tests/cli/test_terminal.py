"""What the display says of a run under way."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest

from lussweep.cli.statistics import (
    control_lines,
    difference_text,
    interval_line,
    known_truth_table,
    mask_lines,
    worth_lines,
    worth_table,
    worth_texts,
)
from lussweep.cli.terminal import print_statistics
from lussweep.report.sections.contrasts import CONTRASTS
from lussweep.report.sections.controls import CONTROLS, MASKS, SHUFFLED
from lussweep.report.sections.known_truth import KNOWN_TRUTH
from lussweep.report.sections.results import RESULTS
from lussweep.report.sections.worth import MULTIPLIER, WORTH


def test_the_width_of_the_intervals_is_told() -> None:
    bounds = [(0.80, 0.90), (0.60, 0.90), (0.70, 0.90)]
    rows = [{"status": "done", "auroc_low": low, "auroc_high": high} for low, high in bounds]
    others = [{"status": "failed"}, {"status": "done", "auroc": 0.9}]
    table = pa.Table.from_pylist([*rows, *others], RESULTS)
    line = interval_line(table)
    assert line.startswith("A single cell's 95 % interval, over the holdout patients alone, is ")
    assert "0.20 wide (0.10 to 0.30)" in line
    assert interval_line(RESULTS.empty_table()) == "No cell is done yet."
    line = "No cell has an interval: see the column reason of results.parquet."
    assert interval_line(table.slice(4)) == line


def test_what_there_is_of_a_difference_is_told() -> None:
    whole = {"difference": 0.01, "low": -0.02, "high": 0.04, "status": "done"}
    assert difference_text(whole) == "+0.010 [-0.020, +0.040]"
    assert difference_text(whole | {"low": None, "status": "withheld"}) == "+0.010"
    assert difference_text(whole | {"difference": None, "status": "missing"}) == "missing"


CONTROL = {
    "n_patients": 15, "variant": "shuffled", "control": SHUFFLED, "n_permutations": 20,
    "auroc": 0.507, "low": 0.472, "high": 0.541, "verdict": "chance", "status": "done",
}  # fmt: skip
FEW = {"n_patients": 29, "n_permutations": 3, "verdict": None, "status": "withheld"}


def test_shuffled_labels_are_told_in_a_line_a_row() -> None:
    leak = {"n_patients": 6, "auroc": 0.61, "low": 0.57, "high": 0.65, "verdict": "not chance"}
    rows = [CONTROL, CONTROL | leak, CONTROL | FEW]
    assert control_lines(pa.Table.from_pylist(rows, CONTROLS)) == [
        "shuffled labels, n = 15: AUC-ROC 0.507 (0.47 to 0.54) over 20 permutations: chance",
        "shuffled labels, n = 6: AUC-ROC 0.610 (0.57 to 0.65) over 20 permutations: "
        "NOT chance: true labels may reach training or selection",
        "shuffled labels, n = 29: 3 of 20 permutations: not judged",
    ]
    two = pa.Table.from_pylist([CONTROL, CONTROL | {"variant": "other"}], CONTROLS)
    assert control_lines(two)[1].startswith("shuffled labels (other), n = 15: AUC-ROC")
    assert control_lines(CONTROLS.empty_table()) == []


MASKED = {
    "n_patients": 6, "variant": "mask_only", "control": MASKS, "auroc": 0.84, "low": 0.79,
    "high": 0.88, "verdict": "above chance", "status": "done",
}  # fmt: skip


def test_sector_masks_that_tell_the_class_are_a_warning() -> None:
    chance = MASKED | {"n_patients": 15, "low": 0.46, "auroc": 0.53, "verdict": "chance"}
    controls = pa.Table.from_pylist([MASKED, chance, CONTROL], CONTROLS)
    (line,) = mask_lines(controls)
    assert line.startswith(
        "WARNING: the sector masks alone (mask_only), n = 6: AUC-ROC 0.840 (0.79 to 0.88), above"
    )
    assert len(control_lines(controls)) == 1, "no line of shuffled labels for masks"


def test_verdicts_on_known_variants_are_counted_over_patient_counts() -> None:
    def row(
        table: str, subject: str, truth: str, outcome: str, n: int | None = 6
    ) -> dict[str, Any]:
        reference = "baseline" if table == "contrasts" else None
        return {
            "n_patients": n, "table": table, "subject": subject, "truth": truth,
            "outcome": outcome, "reference": reference,
        }  # fmt: skip

    rows = [
        row("contrasts", "again", "none", "right"),
        row("contrasts", "again", "none", "wrong", 15),
        row("worth", "doubled", "12", "right"),
        row("worth", "doubled", "30", "withheld", 15),
        row("multiplier", "doubled", "2", "right", None),
        row("controls", "mask_only", "chance", "right"),
        row("memorisation", "copies pos", "must not be released", "right"),
    ]
    table = known_truth_table(pa.Table.from_pylist(rows, KNOWN_TRUTH))
    assert list(zip(*([str(cell) for cell in c.cells] for c in table.columns), strict=True)) == [
        ("again - baseline", "no difference", "1", "1", "0"),
        ("worth of doubled", "2 n", "1", "0", "1"),
        ("multiplier of doubled", "2", "1", "0", "0"),
        ("mask_only", "chance", "1", "0", "0"),
        ("release of copies pos", "must not be released", "1", "0", "0"),
    ]


def test_contrasts_that_are_not_there_stand_in_the_table_beside_those_that_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pair = {"n_patients": 6, "variant": "combined", "reference": "baseline"}
    numbers = {"difference": 0.01, "low": -0.02, "high": 0.04, "p_holm": 0.3, "status": "done"}
    missing = pair | {"n_patients": 15, "status": "missing", "reason": "missing: all"}
    written = {
        "worth": WORTH.empty_table(),
        "multiplier": MULTIPLIER.empty_table(),
        "controls": pa.Table.from_pylist([CONTROL, MASKED], CONTROLS),
        "known_truth": KNOWN_TRUTH.empty_table(),
        "contrasts": pa.Table.from_pylist([pair | numbers, missing], CONTRASTS),
    }
    print_statistics(written)
    text = capsys.readouterr().out
    assert "+0.010 [-0.020, +0.040]" in text
    assert "missing" in text
    assert "The column reason of contrasts.parquet says why" in text
    assert "chance" in text
    assert "WARNING: the sector masks alone (mask_only), n = 6: AUC-ROC 0.840" in text
    assert "Verdicts where the truth is known" not in text
    print_statistics(written | {"contrasts": pa.Table.from_pylist([missing], CONTRASTS)})
    text = capsys.readouterr().out
    assert "combined" not in text, "nothing is computed: no table"
    assert "chance" in text


def test_worth_is_said_with_its_interval_and_beside_that_of_as_many_real_images() -> None:
    def row(variant: str, n: int, worth: str | None, interval: str | None) -> dict[str, Any]:
        return {"variant": variant, "n_patients": n, "worth": worth, "interval": interval}

    rows = [
        row("combined", 6, "9.1", "6.2 to 14"),
        row("combined", 15, "> 58", None),
        row("oversample", 6, "6.4", "< 6 to 9"),
        row("oversample", 15, None, None),
        row("classic", 6, "7", "6 to 8"),
    ]
    worth = pa.Table.from_pylist(rows, WORTH)
    assert worth_texts(worth) == {
        ("combined", 6): "9.1 (6.2 to 14)",
        ("combined", 15): "> 58",
        ("oversample", 6): "6.4 (< 6 to 9)",
        ("classic", 6): "7 (6 to 8)",
    }
    table = worth_table(worth)
    counts, _, texts = ([str(cell) for cell in column.cells] for column in table.columns)
    assert counts == ["6", "6", "6", "15"]
    assert texts[-1] == "> 58"
    why = {"status": "withheld", "reason": "the baseline's curve may be flat"}
    multipliers = [
        {"variant": "combined", "m": 1.4, "low": 1.1, "high": math.inf, "status": "done"},
        {"variant": "again", "m": 0.67, "low": 0.23, "high": 0.9964, "status": "done"},
        {"variant": "oversample"} | why,
        {"variant": "classic"} | why,
        {"variant": "other", "status": "missing", "reason": "missing: all"},
    ]
    assert worth_lines(worth, pa.Table.from_pylist(multipliers, MULTIPLIER)) == [
        "As many images without a GAN, n = 6: oversample is worth 6.4 (< 6 to 9), "
        "combined 9.1 (6.2 to 14).",
        "combined: one patient counts as 1.40 patients of the baseline (95 %, over holdout "
        "patients and trainings: 1.10 to more than the grid can tell).",
        "again: one patient counts as 0.67 patients of the baseline (95 %, over holdout patients "
        "and trainings: 0.23 to 0.996).",
        "No multiplier of patients for oversample, classic: the baseline's curve may be flat.",
    ]
    assert worth_lines(WORTH.empty_table(), MULTIPLIER.empty_table()) == []
