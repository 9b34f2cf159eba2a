"""Writes what a run shows as plain sentences with numbers, from its tables, by rules.

Every function is pure. A sentence says what a number is about, and what could not be said. The
answer at the top of the page is shorter: `answer.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from lussweep.report.cells import BASELINE, DONE, WITHHELD, Row
from lussweep.report.page.sentences import Facts, Sentence, Weight
from lussweep.report.page.verdicts import (
    contrast_lines,
    first_contrast,
    other_contrasts,
    with_n,
)
from lussweep.report.page.wording import beside_one, counted, grid_bound, listed, spread
from lussweep.report.sections.controls import MASKS, SHUFFLED
from lussweep.study.coordinates import curve_name
from lussweep.study.spec import KNOWN


def details(facts: Facts) -> list[Sentence]:
    """Every sentence on a run, in reading order."""
    sentences = [*progress(facts), *phantom(facts)]
    if any(row["status"] == DONE for row in facts.results):
        sentences += [*first_contrast(facts), *worth(facts)]
        sentences += other_contrasts(facts)
        sentences += holdout(facts)
    sentences += [*controls(facts), *known_truth(facts)]
    return [*sentences, *generators(facts), *copies(facts)]


# --- how far the run is, and what it is about -----------------------------------------------


def progress(facts: Facts) -> list[Sentence]:
    """Nothing for a whole run. Else how many cells are done, and why others are not."""
    n, status = len(facts.results), Counter(row["status"] for row in facts.results)
    others = [
        f"{status[word]} {text}"
        for word, text in (
            ("failed", "failed"),
            ("blocked", "wait for a step that failed"),
            ("refused", "have scores without an AUC-ROC"),
            ("missing", "are not there"),
        )
        if status[word]
    ]
    sentences = []
    if others or not n:
        text = f"This run is not whole: {status[DONE]} of {counted(n, 'cell')} are done"
        text += f", {listed(others)}" if others else ""
        end = " The numbers below are of the cells that are done." if status[DONE] else ""
        sentences.append(Sentence(f"{text}.{end}", "progress", "warning"))
    if facts.failures:
        text = f"{counted(len(facts.failures), 'step')} failed: see Events and failures."
        sentences.append(Sentence(text, "progress", "warning"))
    return sentences


def phantom(facts: Facts) -> list[Sentence]:
    """Says so if the frames are not those of patients."""
    text = "The frames are simulated: these numbers say nothing about patients."
    return [Sentence(text, "data")] if facts.is_phantom else []


def holdout(facts: Facts) -> list[Sentence]:
    """How many patients judge."""
    done = [row for row in facts.results if row["status"] == DONE]
    patients = sorted({row["n_holdout_patients"] for row in done} - {None})
    frames = sorted({row["n_holdout_frames"] for row in done} - {None})
    if not patients or not frames:
        return []
    who, what = spread([f"{n:,}" for n in patients]), spread([f"{n:,}" for n in frames])
    text = (
        f"Every classifier was judged once, on {what} frames of {who} holdout patients whom no "
        "training and no selection has seen."
    )
    return [Sentence(text, "data")]


# --- worth, and what a reader must know -----------------------------------------------------


def worth(facts: Facts) -> list[Sentence]:
    """What one patient counts as, with the variant of the first contrast."""
    row = multiplier_of(facts)
    if row is None:
        return []
    if row["m"] is None:
        why = f": {row['reason']}" if row["reason"] else ""
        verb = "is withheld" if row["status"] == WITHHELD else "is not known"
        text = f"How many patients one patient counts as with {row['variant']} {verb}{why}."
        return [Sentence(text, "multiplier")]
    text = (
        f"With {row['variant']}, a patient's data counted as {multiplier_text(row)} of real frames "
        f"alone{multiplier_verdict(row)}. This is over {counts_used(row, facts)} patient counts, "
        "and not adjusted for other comparisons"
    )
    remark = f" ({row['reason']})" if row["reason"] else ""
    return [Sentence(f"{text}{remark}.", "multiplier")]


def multiplier_of(facts: Facts) -> Row | None:
    """The row of `multiplier` for the first contrast; None if its reference is no baseline."""
    lines = contrast_lines(facts) if facts.contrasts else []
    if not lines or lines[0][-1]["reference"] != BASELINE:
        return None
    last = lines[0][-1]
    name = curve_name(last["variant"], last["gan_epoch"])
    return next((row for row in facts.multiplier if row["variant"] == name), None)


def counts_used(row: Row, facts: Facts) -> str:
    """`all`, or `4 of 5`: the patient counts with n and m n inside the grid, which m is over."""
    n_counts, n_planned = row.get("n_counts"), len(contrast_lines(facts)[0])
    return "all" if n_counts in (None, n_planned) else f"{n_counts} of {n_planned}"


def multiplier_text(row: Row) -> str:
    """`1.1 (95 % 0.80 to 1.4) patients`, of a row of `multiplier` with a value."""
    low, high = row["low"], row["high"]
    if low is None or high is None:
        ends = "without an interval"
    elif _is_open(row):
        ends = "95 % without an end in this grid"
    else:
        ends = f"95 % {grid_bound(low)} to {grid_bound(high)}"
    return f"{beside_one(row['m'])} ({ends}) patients"


def multiplier_verdict(row: Row) -> str:
    """How the interval lies to one patient, as the end of a sentence; empty without an interval."""
    if row["low"] is None or row["high"] is None:
        return ""
    if _is_open(row):
        return ": the interval leaves it open"
    if row["low"] > 1:
        return ": more than one"
    return ": fewer than one" if row["high"] < 1 else ", which is not shown to differ from one"


def _is_open(row: Row) -> bool:
    """Whether the interval says nothing: both of its ends lie beyond what the grid can tell."""
    return math.isinf(row["low"]) and math.isinf(row["high"]) and row["low"] < row["high"]


AT_CHANCE = {SHUFFLED: "gave chance", MASKS: "were not shown to score above chance"}
"""What the verdict `chance` says of a control. The interval of masks may be wide, or below 0.5."""


def controls(facts: Facts) -> list[Sentence]:
    """Whether variants with shuffled labels, and those of sector masks, score as chance does."""
    sentences = []
    judged, wrong = judged_controls(facts, SHUFFLED)
    if wrong:
        text = (
            f"Shuffled labels did not give chance {with_n(wrong)}: true labels may reach training "
            "or selection. Without such a leak this happens in about 1 of 20 runs. Until it is "
            "explained, no number of this run can be trusted."
        )
        sentences.append(Sentence(text, "control", "warning"))
    elif judged:
        text = f"Shuffled labels {AT_CHANCE[SHUFFLED]} {with_n(judged)}."
        sentences.append(Sentence(text, "control"))
    judged, wrong = judged_controls(facts, MASKS)
    if wrong:
        text = (
            f"Sector masks alone scored above chance {with_n(wrong)}: they tell the class, so "
            "every classifier of this run may have used them."
        )
        sentences.append(Sentence(text, "control", "warning"))
    elif judged:
        text = f"Sector masks alone {AT_CHANCE[MASKS]} {with_n(judged)}."
        sentences.append(Sentence(text, "control"))
    return sentences


def judged_controls(facts: Facts, control: str) -> tuple[list[Row], list[Row]]:
    """The rows of one control (SHUFFLED or MASKS) with a verdict, and those that are no chance."""
    rows = [row for row in facts.controls if row["control"] == control and row["verdict"]]
    return rows, [row for row in rows if row["verdict"] != "chance"]


def known_truth(facts: Facts) -> list[Sentence]:
    """How many verdicts on variants of known worth are right."""
    n = Counter(row["outcome"] for row in facts.known_truth)
    if not n:
        return []
    text = (
        f"Of {counted(n.total(), 'verdict')} whose truth is known by construction, {n['right']} "
        f"are right, {n['wrong']} wrong and {n['withheld']} withheld"
    )
    tables = [
        f"{table}: {counts}" for table, counts in outcomes_by_table(facts.known_truth).items()
    ]
    weight: Weight = "warning" if n["wrong"] else "plain"
    return [Sentence(f"{text} ({'; '.join(tables)}).", "known_truth", weight)]


TABLE_WORDS = {
    "multiplier": "worth of one patient",
    "controls": "sector masks",
    "memorisation": "release gate",
}
"""What tables judge whose names do not say so."""


def outcomes_by_table(rows: Iterable[Row]) -> dict[str, str]:
    """`15 right, 1 withheld`, for what each table judges."""
    return {
        table: ", ".join(f"{n[word]} {word}" for word in ("right", "wrong", "withheld") if n[word])
        for table, n in known_by_table(rows).items()
    }


def known_by_table(rows: Iterable[Row]) -> dict[str, Counter[str]]:
    """How many verdicts on known truth are right, wrong and withheld, for what each table judges.

    Counts over all tables would let those of an easy table stand for those of a hard one.
    """
    n_of: dict[str, Counter[str]] = {}
    for row in rows:
        judged = TABLE_WORDS.get(row["table"]) or row["table"]
        n_of.setdefault(judged, Counter())[row["outcome"]] += 1
    return n_of


def generators(facts: Facts) -> list[Sentence]:
    """How many generators collapsed or diverged."""
    n, kinds = with_events(facts)
    if not n:
        return []
    text = (
        f"{n} of {counted(facts.gans, 'generator')} had an event in training ({kinds}): what their "
        "frames add is not what a sound generator would."
    )
    return [Sentence(text, "gan", "warning")]


def with_events(facts: Facts) -> tuple[int, str]:
    """How many generators had an event in training, and the kinds of events as words."""
    place = ("n_patients", "replicate", "class", "gan")
    generators_ = {tuple(row[name] for name in place) for row in facts.gan_events}
    kinds = dict.fromkeys(row["kind"].replace("_", " ") for row in facts.gan_events)
    return len(generators_), listed(kinds) if kinds else ""


def copies(facts: Facts) -> list[Sentence]:
    """The numbers of sets of generators that the release gate refuses, or cannot judge."""
    n_of, sentences = gate_verdicts(facts), []
    sets = counted(n_of.total(), "synthetic set")
    for verdict, text in _NOT_PASSED.items():
        if n_of[verdict]:
            sentences.append(Sentence(f"{n_of[verdict]} of {sets} {text}", "copies", "warning"))
    return sentences


def gate_verdicts(facts: Facts) -> Counter[str]:
    """The number of synthetic sets of generators by verdict of the release gate."""
    return Counter(row["verdict"] for row in facts.memorisation if row["gan"] not in KNOWN)


_NOT_PASSED = {
    "refused": "failed the release gate: they may not be exported.",
    "unjudged": "cannot be judged by the release gate: there are too few holdout patients.",
}
