"""Compares what the other tables say of variants of known worth with the truth.

The variants and their truths are in `study/spec/known_worth.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pyarrow as pa

from lussweep.report.cells import BASELINE, Row
from lussweep.report.sections.columns import axes
from lussweep.report.sections.seam import Collected, Section
from lussweep.store.tables import make_schema
from lussweep.study.plan import is_phantom
from lussweep.study.spec import StudySpec
from lussweep.study.spec.known_worth import (
    AT_CHANCE,
    KNOWN_DIFFERENCES,
    KNOWN_MULTIPLIERS,
    MAY_BE_RELEASED,
    is_built_in,
)

LEVEL_OF_TEST = 0.05
"""A difference counts as found if its p-value after Holm's adjustment is below this."""
RIGHT, WRONG, WITHHELD = "right", "wrong", "withheld"
KNOWN_TRUTH = make_schema(
    *axes("n_patients", "replicate"),
    ("subject", pa.string(), "a variant, or the source of a set and its class"),
    ("reference", pa.string(), "the variant that it is compared with"),
    ("table", pa.string(), "the table that gives the verdict"),
    ("truth", pa.string(), "what holds by construction"),
    ("verdict", pa.string(), "what the table says"),
    ("outcome", pa.string(), "right; wrong; withheld: the table does not decide"),
    ("reason", pa.string(), "why it is withheld"),
)


def known_truth_rows(collected: Collected) -> list[Row]:
    """One row for each verdict on a variant of known worth that the study did not redefine."""
    rows = [*_differences(collected), *_worths(collected), *_multipliers(collected)]
    if is_phantom(collected.reported.plan.steps):  # another data set may well differ in its masks
        rows += _masks(collected)
    return rows + list(_releases(collected))


def _differences(collected: Collected) -> Iterator[Row]:
    truth_of = {
        (known.variant, known.reference): known.truth
        for known in KNOWN_DIFFERENCES
        if _is_known(known.variant, collected.study)
        and is_built_in(known.reference, collected.study.variants.get(known.reference))
    }
    for row in collected.table("contrasts").to_pylist():
        truth = truth_of.get((row["variant"], row["reference"]))
        if truth is None:
            continue
        verdict = _difference(row)
        outcome, reason = _compared(verdict, truth, row["reason"])
        if truth == "not below" and verdict == "above":
            outcome = RIGHT
        elif truth == "not below" and verdict == "none":
            # That no difference was found does not say that there is none.
            outcome, reason = WITHHELD, "no difference was found"
        yield {
            "n_patients": row["n_patients"],
            "subject": row["variant"],
            "reference": row["reference"],
            "table": "contrasts",
            "truth": truth,
            "verdict": verdict,
            "outcome": outcome,
            "reason": reason,
        }


def _difference(row: Row) -> str | None:
    """What a contrast says of its difference; None if it says nothing."""
    if row["difference"] == 0:
        return "none"  # as for equal classifiers, whose contrast has no variance and no p-value
    if row["p_holm"] is None:
        return None
    if row["p_holm"] >= LEVEL_OF_TEST:
        return "none"
    return "above" if row["difference"] > 0 else "below"


def _worths(collected: Collected) -> Iterator[Row]:
    rows = collected.table("worth").to_pylist()
    counts = [row["n_patients"] for row in rows if row["variant"] == BASELINE and row["worth"]]
    for row in rows:
        times = _times(row["variant"], collected.study)
        if times is not None:
            truth, ends = times * row["n_patients"], (row["interval_low"], row["interval_high"])
            outcome, reason = _holds(*ends, truth, row["reason"], counts)
            yield {
                "n_patients": row["n_patients"],
                "subject": row["variant"],
                "table": "worth",
                "truth": str(truth),
                "verdict": row["interval"],
                "outcome": outcome,
                "reason": reason,
            }


def _multipliers(collected: Collected) -> Iterator[Row]:
    for row in collected.table("multiplier").to_pylist():
        times = _times(row["variant"], collected.study)
        if times is not None:
            ends = row["low"], row["high"]
            said = None if None in ends else " to ".join(_beside(end, times) for end in ends)
            outcome, reason = _holds(*ends, times, row["reason"])
            yield {
                "subject": row["variant"],
                "table": "multiplier",
                "truth": str(times),
                "verdict": said,
                "outcome": outcome,
                "reason": reason,
            }


def _beside(end: float, truth: float) -> str:
    """An end of an interval with two decimals, or more to show on which side of the truth it is."""
    texts = [f"{end:.{places}f}" for places in range(2, 9)]
    return next((text for text in texts if float(text) != truth), texts[0])


def _times(variant: str, study: StudySpec) -> int | None:
    return KNOWN_MULTIPLIERS.get(variant) if _is_known(variant, study) else None


def _holds(
    low: float | None,
    high: float | None,
    truth: float,
    reason: str | None,
    counts: Sequence[int] = (),
) -> tuple[str, str | None]:
    """The outcome of an interval, and why it is withheld.

    counts: patient counts of the baseline. An interval that lies above or below all of them has
    two equal, infinite ends.
    """
    if low is None or high is None:
        return WITHHELD, reason
    if low == -math.inf and high == math.inf:
        return WITHHELD, "the interval leaves every patient count open"
    if low == math.inf:
        holds = truth > max(counts)
    elif high == -math.inf:
        holds = truth < min(counts)
    else:
        holds = low <= truth <= high
    return (RIGHT if holds else WRONG), None


def _masks(collected: Collected) -> Iterator[Row]:
    for row in collected.table("controls").to_pylist():
        if row["variant"] == AT_CHANCE and _is_known(AT_CHANCE, collected.study):
            outcome, reason = _compared(row["verdict"], "chance", row["reason"])
            yield {
                "n_patients": row["n_patients"],
                "subject": AT_CHANCE,
                "table": "controls",
                "truth": "chance",
                "verdict": row["verdict"],
                "outcome": outcome,
                "reason": reason,
            }


def _releases(collected: Collected) -> Iterator[Row]:
    if collected.study.memorisation.release_gate is None:
        return
    words = {"passed": "may be released", "refused": "must not be released"}
    for row in collected.table("memorisation").to_pylist():
        if row["gan"] in MAY_BE_RELEASED:
            may = MAY_BE_RELEASED[row["gan"]]
            truth, verdict = words["passed" if may else "refused"], words.get(row["verdict"])
            outcome, reason = _compared(verdict, truth, row["verdict_because"])
            yield {
                "n_patients": row["n_patients"],
                "replicate": row["replicate"],
                "subject": f"{row['gan']} {row['class']}",
                "table": "memorisation",
                "truth": truth,
                "verdict": verdict,
                "outcome": outcome,
                "reason": reason,
            }


def _compared(verdict: str | None, truth: str | None, reason: str | None) -> tuple[str, str | None]:
    """The outcome of a verdict, and why it is withheld."""
    if verdict is None:
        return WITHHELD, reason
    return (RIGHT if verdict == truth else WRONG), None


def _is_known(variant: str, study: StudySpec) -> bool:
    return is_built_in(variant, study.variants.get(variant))


SECTIONS = {
    "known_truth": Section(version=3, schema=KNOWN_TRUTH, rows=known_truth_rows, order=45),
}
