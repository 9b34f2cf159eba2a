"""Writes the answer of a run: one short paragraph, from its tables, by rules.

Every function is pure. The paragraph says what the first planned contrast shows, what one patient
counts as, whether controls gave what they must, and what must not be trusted. `details.py` has a
sentence for everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lussweep.report.cells import DONE, WITHHELD, Row
from lussweep.report.page.details import (
    AT_CHANCE,
    counts_used,
    gate_verdicts,
    judged_controls,
    known_by_table,
    multiplier_of,
    multiplier_text,
    multiplier_verdict,
    outcomes_by_table,
    phantom,
    progress,
    with_events,
)
from lussweep.report.page.outcomes import Kind
from lussweep.report.page.sentences import Facts, Sentence
from lussweep.report.page.verdicts import (
    ADJUSTED,
    AHEAD,
    DETECTED,
    auroc_of,
    beyond_zero,
    by_kind,
    contrast_lines,
    detectable_text,
    has_one_cohort,
    subject_of,
    with_n,
)
from lussweep.report.page.wording import counted, interval_text, listed, signed, spread
from lussweep.report.sections.controls import MASKS, SHUFFLED

SPELT_OUT = 2
"""Differences that are named one by one. Of more, the smallest and the largest are named."""
NO_DIFFERENCE = "no difference was shown"


def answer(facts: Facts) -> list[Sentence]:
    """The sentences of the paragraph, in reading order."""
    sentences = [*progress(facts), *phantom(facts)]
    if any(row["status"] == DONE for row in facts.results):
        sentences += [*main_comparison(facts), *worth(facts)]
    return [*sentences, *controls(facts), *distrust(facts)]


# --- the first planned contrast -------------------------------------------------------------


def main_comparison(facts: Facts) -> list[Sentence]:
    """One sentence for each outcome of the first planned contrast, over patient counts."""
    rows = contrast_lines(facts)[0] if facts.contrasts else []
    if facts.has_contrasts_ahead:
        return [Sentence(AHEAD, "missing")]
    if not rows:
        return [Sentence("No contrast is planned: this run gives no verdict.", "missing")]
    subject = subject_of(rows, facts)
    subject = subject[:1].lower() + subject[1:]
    sentences: list[Sentence] = []
    for kind, group in _groups(rows):
        said, verdict = _SAID[kind](group)
        who = subject if not sentences else "it"
        text = f"{_with_counts(group, rows)}, {who} {said}."
        sentences.append(Sentence(text, kind, verdict=verdict))
    return sentences


def _with_counts(group: Sequence[Row], rows: Sequence[Row]) -> str:
    """`With 6 and 15 patients a class`. If there are no other counts, the ends stand for all."""
    if len(group) == len(rows) > SPELT_OUT:
        counts = [row["n_patients"] for row in group]
        return f"With {min(counts)} to {max(counts)} patients a class"
    text = with_n(group)
    return f"{text[:1].upper()}{text[1:]}"


def _groups(rows: Sequence[Row]) -> list[tuple[Kind, list[Row]]]:
    """The rows by outcome. Those that show nothing, before or after adjustment, are one group."""
    groups: dict[Kind, list[Row]] = {}
    for kind, group in by_kind(rows):
        groups.setdefault("nothing" if kind == "unadjusted" else kind, []).extend(group)
    return [(kind, sorted(group, key=lambda r: r["n_patients"])) for kind, group in groups.items()]


def _size(rows: Sequence[Row], *, is_signed: bool = True) -> str:
    """`+0.004 (95 % over patients and trainings: -0.011 to +0.019)`.

    More than SPELT_OUT rows have the smallest and the largest size, and the limits that every
    interval lies within. The text does not call these limits an interval: they are none.
    """
    sizes = [row["difference"] if is_signed else abs(row["difference"]) for row in rows]
    form = signed if is_signed else "{:.3f}".format
    if len(rows) <= SPELT_OUT:
        ends = listed(interval_text(row["low"], row["high"], sign=True) for row in rows)
        others = "seeds" if all(map(has_one_cohort, rows)) else "trainings"
        return f"{listed(map(form, sizes))} (95 % over patients and {others}: {ends})"
    low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
    ends = interval_text(low, high, sign=True)
    size = spread([form(min(sizes)), form(max(sizes))])
    return f"{size} (95 % intervals within {ends})"


def _gain(rows: Sequence[Row]) -> tuple[str, str]:
    return f"raised {auroc_of(rows)} by {_size(rows, is_signed=False)}", "raised"


def _loss(rows: Sequence[Row]) -> tuple[str, str]:
    return f"lowered {auroc_of(rows)} by {_size(rows, is_signed=False)}", "lowered"


def _non_inferior(rows: Sequence[Row]) -> tuple[str, str]:
    end = f", and a loss of more than {rows[0]['margin']:g} is excluded, unadjusted"
    return _no_difference(rows, end)


def _nothing(rows: Sequence[Row]) -> tuple[str, str]:
    size = detectable_text(rows)
    return _no_difference(rows, f"; {DETECTED} {size}" if size else "")


def _no_difference(rows: Sequence[Row], end: str) -> tuple[str, str]:
    alone = beyond_zero(rows)
    after = f" {ADJUSTED}{_alone(alone, rows)}" if alone else ""
    return f"changed {auroc_of(rows)} by {_size(rows)}: {NO_DIFFERENCE}{after}{end}", NO_DIFFERENCE


def _alone(alone: Sequence[Row], rows: Sequence[Row]) -> str:
    """Names counts whose own interval leaves out 0, if other counts share the sentence."""
    if len(rows) == 1:
        return ""
    ends = ""
    if len(alone) <= SPELT_OUT < len(rows):  # else they are in the sentence already, or too many
        ends = ": " + listed(interval_text(row["low"], row["high"], sign=True) for row in alone)
    return f" (before it, the interval leaves out 0 {with_n(alone)}{ends})"


def _withheld(rows: Sequence[Row]) -> tuple[str, str]:
    differences = listed(signed(row["difference"]) for row in rows)
    text = f"changed {auroc_of(rows)} by {differences}; a verdict is withheld{_why(rows)}"
    return text, "a verdict is withheld"


def _refused(rows: Sequence[Row]) -> tuple[str, str]:
    return f"cannot be judged{_why(rows)}", "cannot be judged"


def _missing(rows: Sequence[Row]) -> tuple[str, str]:
    return "is not judged yet: cells are missing", "not judged yet"


_SAID: dict[Kind, Callable[[Sequence[Row]], tuple[str, str]]] = {
    "gain": _gain,
    "loss": _loss,
    "non_inferior": _non_inferior,
    "nothing": _nothing,
    "withheld": _withheld,
    "refused": _refused,
    "missing": _missing,
}
"""What follows the subject of a sentence, and the words of it that stand out."""


def _why(rows: Sequence[Row]) -> str:
    """The first reason. `details.py` names all."""
    reason = next((row["reason"] for row in rows if row["reason"]), "")
    return f" ({reason})" if reason else ""


# --- worth, controls, and what must not be trusted ------------------------------------------


def worth(facts: Facts) -> list[Sentence]:
    """What one patient counts as, with the variant of the first contrast."""
    row = multiplier_of(facts)
    if row is None:
        return []
    if row["m"] is None:
        verb = "is withheld" if row["status"] == WITHHELD else "is not known"
        text = f"How many patients one patient counts as {verb}{_why([row])}."
        return [Sentence(text, "multiplier")]
    verdict = multiplier_verdict(row)
    end = verdict if verdict.startswith(":") else ""
    # Unlike a contrast, whose interval is for one count.
    scope = f"over {counts_used(row, facts)} counts, unadjusted"
    text = f"A patient's data counted as {multiplier_text(row)} {scope}{end}."
    return [Sentence(text, "multiplier")]


def controls(facts: Facts) -> list[Sentence]:
    """Whether variants gave what they must by construction. Wrong ones are in `distrust`."""
    parts = []
    for control in (SHUFFLED, MASKS):
        judged, wrong = judged_controls(facts, control)
        if judged and not wrong:
            parts.append(f"{control} {AT_CHANCE[control]}")
    if facts.known_truth:
        tables = [
            f"{table} ({counts})" for table, counts in outcomes_by_table(facts.known_truth).items()
        ]
        parts.append(f"known truth tested {listed(tables)}")
    return [Sentence(f"Controls: {'; '.join(parts)}.", "control")] if parts else []


def distrust(facts: Facts) -> list[Sentence]:
    """One sentence on what must not be trusted, or shared; none if there is nothing."""
    doubtful = []
    _, wrong = judged_controls(facts, SHUFFLED)
    if wrong:
        doubtful.append(
            f"any number of this run (shuffled labels did not give chance {with_n(wrong)})"
        )
    known = known_by_table(facts.known_truth).items()
    n_wrong = sum(n["wrong"] for _, n in known)
    if n_wrong:
        tables = [f"{n['wrong']} of {n.total()} on {table}" for table, n in known if n["wrong"]]
        doubtful.append(
            f"the verdicts of this run (with known truth, {listed(tables)} "
            f"{'is' if n_wrong == 1 else 'are'} wrong)"
        )
    n_events, kinds = with_events(facts)
    if n_events:
        doubtful.append(f"{n_events} of {counted(facts.gans, 'generator')} ({kinds})")
    parts = [f"do not trust {listed(doubtful)}"] if doubtful else []
    _, telling = judged_controls(facts, MASKS)
    if telling:
        parts.append(
            f"sector masks alone scored above chance {with_n(telling)}, so classifiers may have "
            "used them"
        )
    n_of = gate_verdicts(facts)
    if n := n_of["refused"] + n_of["unjudged"]:
        why = [
            f"{text}{f' ({n_of[verdict]})' if n_of[verdict] < n else ''}"
            for verdict, text in (("refused", "refused"), ("unjudged", "could not judge"))
            if n_of[verdict]
        ]
        sets = counted(n_of.total(), "synthetic set")
        parts.append(f"do not share {n} of {sets}, which the release gate {listed(why, 'or')}")
    if not parts:
        return []
    text = "; ".join(parts)
    return [Sentence(f"{text[:1].upper()}{text[1:]}.", "distrust", "warning")]
