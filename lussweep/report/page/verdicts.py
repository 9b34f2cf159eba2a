"""Writes the sentences of the answer on planned contrasts. Every function is pure."""

from __future__ import annotations

from collections.abc import Sequence

from lussweep.report.cells import Row
from lussweep.report.page.outcomes import KINDS, Kind, is_absent, kind_of
from lussweep.report.page.sentences import Facts, Sentence
from lussweep.report.page.wording import (
    change_text,
    counted,
    interval_text,
    listed,
    p_text,
    signed,
    spread,
    two_digits,
)

LEVEL_WORDS = {
    "frame": "AUC-ROC of frames",
    "patient_mean": "AUC-ROC of patients",
    "patient_weighted": "AUC-ROC of frames, every patient weighing alike",
}
MOST_OTHERS = 3
"""Contrasts beside the first one that the answer names."""


def headline(facts: Facts) -> list[Sentence]:
    """The verdict on the first planned contrast, in a few words."""
    rows = contrast_lines(facts)[0] if facts.contrasts else []
    if not rows:
        return []
    name, reference = rows[0]["variant"], rows[0]["reference"]
    groups = dict(_by_kind(rows))
    found = [
        f"{word} {with_n(groups[kind])}"
        for kind, word in (("gain", "better"), ("loss", "worse"))
        if kind in groups
    ]
    if found:
        text = f"Compared with {reference}, {name} was {listed(found)}."
    elif groups.keys() & {"non_inferior", "unadjusted", "nothing"}:
        text = f"No difference between {name} and {reference} was shown."
    else:
        text = f"No verdict on {name} against {reference} is given."
    return [Sentence(text, "headline", "strong")]


def first_contrast(facts: Facts) -> list[Sentence]:
    """One sentence for each outcome of the first planned contrast, over patient counts."""
    rows = contrast_lines(facts)[0] if facts.contrasts else []
    if not rows:
        text = "No contrast between two variants of this grid is planned: no verdict is given."
        return [Sentence(text, "missing")]
    subject = _subject(rows, facts)
    sentences: list[Sentence] = []
    for kind, group in _by_kind(rows):
        text = _SAID[kind](subject if not sentences else "It", group)
        sentences.append(Sentence(text, kind))
    if any(row["low"] is not None for row in rows):
        sentences.append(Sentence("Intervals cover other patients and other trainings.", "data"))
    return sentences


def other_contrasts(facts: Facts) -> list[Sentence]:
    """A short sentence for each further planned contrast, MOST_OTHERS at most."""
    lines = contrast_lines(facts)[1:] if facts.contrasts else []
    sentences = []
    for rows in lines[:MOST_OTHERS]:
        groups = _by_kind(rows)
        subject = _subject(rows, facts)
        text = "; ".join(_brief(kind, group) for kind, group in groups)
        sentences.append(Sentence(f"{subject}: {text}.", groups[0][0]))
    if len(lines) > MOST_OTHERS:
        text = f"{counted(len(lines) - MOST_OTHERS, 'further contrast')}: see Contrasts."
        sentences.append(Sentence(text, "data"))
    return sentences


def contrast_lines(facts: Facts) -> list[list[Row]]:
    """The rows of each planned contrast, by patient count, at the last GAN epoch."""
    lines: dict[tuple[str, str], list[Row]] = {}
    for row in facts.contrasts:
        lines.setdefault((row["variant"], row["reference"]), []).append(row)
    whole = []
    for rows in lines.values():
        last: dict[int, Row] = {}
        for row in sorted(rows, key=lambda row: (row["n_patients"], row["gan_epoch"] or 0)):
            last[row["n_patients"]] = row
        whole.append(list(last.values()))
    planned = list(lines)
    order = sorted(range(len(planned)), key=lambda i: _place(planned[i], facts))
    return [whole[i] for i in order]


def _place(pair: tuple[str, str], facts: Facts) -> int:
    """Contrasts with cells that are done come before others, each in their planned order."""
    rows = [row for row in facts.contrasts if (row["variant"], row["reference"]) == pair]
    return int(all(is_absent(row) for row in rows))


def _by_kind(rows: Sequence[Row]) -> list[tuple[Kind, list[Row]]]:
    groups = {kind: [row for row in rows if kind_of(row) == kind] for kind in KINDS}
    return [(kind, group) for kind, group in groups.items() if group]


def _subject(rows: Sequence[Row], facts: Facts) -> str:
    row = rows[0]
    subject = change_text(row["variant"], row["reference"], facts.recipes)
    epochs = sorted({row["gan_epoch"] for row in rows} - {None})
    return f"{subject}, at GAN epoch {epochs[-1]}," if epochs else subject


def with_n(rows: Sequence[Row]) -> str:
    return f"with {listed(row['n_patients'] for row in rows)} patients a class"


def _what(rows: Sequence[Row]) -> str:
    return f"the {LEVEL_WORDS.get(rows[0]['level'] or '', 'AUC-ROC')}"


def _differences(rows: Sequence[Row], *, is_size: bool = False) -> str:
    """The difference of each row with its interval: `+0.020 (95 % +0.004 to +0.036)`."""
    texts = []
    for i, row in enumerate(rows):
        size = f"{abs(row['difference']):.3f}" if is_size else signed(row["difference"])
        ends = interval_text(row["low"], row["high"], sign=True)
        texts.append(f"{size} ({'' if i else '95 % '}{ends})" if ends else size)
    return listed(texts)


def _gain(subject: str, rows: Sequence[Row]) -> str:
    return _significant(subject, rows, "raised")


def _loss(subject: str, rows: Sequence[Row]) -> str:
    return _significant(subject, rows, "lowered")


def _significant(subject: str, rows: Sequence[Row], verb: str) -> str:
    p_values = listed(p_text(row["p_holm"]) for row in rows)
    return (
        f"{subject} {verb} {_what(rows)} {with_n(rows)}, by {_differences(rows, is_size=True)}; "
        f"adjusted for every planned contrast, {p_values}."
    )


def _non_inferior(subject: str, rows: Sequence[Row]) -> str:
    margin = rows[0]["margin"]
    return (
        f"{subject} changed {_what(rows)} {with_n(rows)} by {_differences(rows)}: no difference "
        f"was shown, and a loss of more than {margin:g}, the margin, is excluded."
    )


def _unadjusted(subject: str, rows: Sequence[Row]) -> str:
    p_values = listed(p_text(row["p_holm"]) for row in rows)
    return (
        f"{subject} changed {_what(rows)} {with_n(rows)} by {_differences(rows)}: the interval "
        f"leaves out 0, but after adjustment for every planned contrast ({p_values}) no "
        "difference was shown."
    )


def _nothing(subject: str, rows: Sequence[Row]) -> str:
    detectable = [row["detectable"] for row in rows if row["detectable"] is not None]
    power = ""
    if detectable:
        size = spread([two_digits(value) for value in sorted(detectable)])
        power = f"; this study could have detected {size} (power 80 %)"
    if len(rows) <= 2:
        said = _differences(rows)
    else:
        changes = [row["difference"] for row in rows]
        low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
        said = (
            f"{signed(min(changes))} to {signed(max(changes))} (95 % intervals within "
            f"{signed(low)} to {signed(high)})"
        )
    return (
        f"{subject} changed {_what(rows)} {with_n(rows)} by {said}: no difference was shown{power}."
    )


def _withheld(subject: str, rows: Sequence[Row]) -> str:
    differences = listed(signed(row["difference"]) for row in rows)
    return (
        f"{subject} changed {_what(rows)} {with_n(rows)} by {differences}, without an interval or "
        f"a verdict{_because(rows)}."
    )


def _refused(subject: str, rows: Sequence[Row]) -> str:
    return f"{subject} cannot be judged {with_n(rows)}{_because(rows)}."


def _missing(subject: str, rows: Sequence[Row]) -> str:
    return f"{subject} is not judged {with_n(rows)} yet: cells are missing."


_SAID = {
    "gain": _gain,
    "loss": _loss,
    "non_inferior": _non_inferior,
    "unadjusted": _unadjusted,
    "nothing": _nothing,
    "withheld": _withheld,
    "refused": _refused,
    "missing": _missing,
}


def _because(rows: Sequence[Row]) -> str:
    reasons = dict.fromkeys(row["reason"] for row in rows if row["reason"])
    return f" ({'; '.join(reasons)})" if reasons else ""


def _brief(kind: Kind, rows: Sequence[Row]) -> str:
    """`worse with 15 and 29 patients a class (-0.260 and -0.203)`."""
    differences = [row["difference"] for row in rows if row["difference"] is not None]
    numbers = f" ({listed(map(signed, differences))})" if differences else ""
    return f"{KINDS[kind]} {with_n(rows)}{numbers}"
