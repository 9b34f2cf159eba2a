"""Writes one sentence for each outcome of planned contrasts. Every function is pure."""

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
ADJUSTED = "after adjustment for every planned contrast"
DETECTED = "before adjustment, this study could have detected"
AHEAD = "There is no verdict yet: contrasts are computed when the run ends."
MOST_OTHERS = 3
"""Contrasts beside the first one that have a sentence."""


def first_contrast(facts: Facts) -> list[Sentence]:
    """One sentence for each outcome of the first planned contrast, over patient counts."""
    rows = contrast_lines(facts)[0] if facts.contrasts else []
    if facts.has_contrasts_ahead:
        return [Sentence(AHEAD, "missing")]
    if not rows:
        text = "No contrast between two variants of this grid is planned: no verdict is given."
        return [Sentence(text, "missing")]
    subject = subject_of(rows, facts)
    sentences: list[Sentence] = []
    for kind, group in by_kind(rows):
        text = _SAID[kind](subject if not sentences else "It", group)
        sentences.append(Sentence(text, kind))
    if any(row["low"] is not None for row in rows):
        text = "Intervals cover other patients and other trainings"
        if same := [row for row in rows if has_one_cohort(row)]:
            text += f", but {with_n(same)} other seeds alone: all replicates have the same cohort"
        sentences.append(Sentence(f"{text}.", "data"))
    return sentences


def other_contrasts(facts: Facts) -> list[Sentence]:
    """A short sentence for each further planned contrast, MOST_OTHERS at most."""
    lines = contrast_lines(facts)[1:] if facts.contrasts else []
    sentences = []
    for rows in lines[:MOST_OTHERS]:
        groups = by_kind(rows)
        subject = subject_of(rows, facts)
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


def by_kind(rows: Sequence[Row]) -> list[tuple[Kind, list[Row]]]:
    """The rows of each outcome, in the order of KINDS."""
    groups = {kind: [row for row in rows if kind_of(row) == kind] for kind in KINDS}
    return [(kind, group) for kind, group in groups.items() if group]


def subject_of(rows: Sequence[Row], facts: Facts) -> str:
    """What a contrast changes, as the subject of a sentence."""
    row = rows[0]
    subject = change_text(row["variant"], row["reference"], facts.recipes)
    epochs = sorted({row["gan_epoch"] for row in rows} - {None})
    return f"{subject}, at GAN epoch {epochs[-1]}," if epochs else subject


def with_n(rows: Sequence[Row]) -> str:
    """`with 6 and 15 patients a class`. A count that several rows have is named once."""
    counts = dict.fromkeys(row["n_patients"] for row in rows)
    return f"with {listed(counts)} patients a class"


def has_one_cohort(row: Row) -> bool:
    """Whether all replicates have the same training patients, such as the whole pool."""
    return row.get("cohort_overlap") == 1


def auroc_of(rows: Sequence[Row]) -> str:
    """What a contrast is the difference of."""
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
        f"{subject} {verb} {auroc_of(rows)} {with_n(rows)}, by "
        f"{_differences(rows, is_size=True)}; adjusted for every planned contrast, {p_values}."
    )


def _non_inferior(subject: str, rows: Sequence[Row]) -> str:
    margin = rows[0]["margin"]
    after = f" {ADJUSTED}" if beyond_zero(rows) else ""
    return (
        f"{subject} changed {auroc_of(rows)} {with_n(rows)} by {_differences(rows)}: no "
        f"difference was shown{after}, and a loss of more than {margin:g}, the margin, is excluded "
        "before adjustment."
    )


def _unadjusted(subject: str, rows: Sequence[Row]) -> str:
    p_values = listed(p_text(row["p_holm"]) for row in rows)
    return (
        f"{subject} changed {auroc_of(rows)} {with_n(rows)} by {_differences(rows)}: the "
        f"interval leaves out 0, but {ADJUSTED} ({p_values}) no difference was shown."
    )


def _nothing(subject: str, rows: Sequence[Row]) -> str:
    size = detectable_text(rows)
    power = f"; {DETECTED} {size} (power 80 %)" if size else ""
    if len(rows) <= 2:
        said = _differences(rows)
    else:
        changes = [row["difference"] for row in rows]
        low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
        said = (
            f"{signed(min(changes))} to {signed(max(changes))} (95 % intervals within "
            f"{interval_text(low, high, sign=True)})"
        )
    return (
        f"{subject} changed {auroc_of(rows)} {with_n(rows)} by {said}: no difference was "
        f"shown{power}."
    )


def beyond_zero(rows: Sequence[Row]) -> list[Row]:
    """The rows whose own interval, before any adjustment, leaves out 0."""
    return [row for row in rows if not row["low"] <= 0 <= row["high"]]


def detectable_text(rows: Sequence[Row]) -> str:
    """The differences that the study could have detected; empty if none is known."""
    values = sorted(row["detectable"] for row in rows if row["detectable"] is not None)
    return spread([two_digits(value) for value in values]) if values else ""


def _withheld(subject: str, rows: Sequence[Row]) -> str:
    differences = listed(signed(row["difference"]) for row in rows)
    return (
        f"{subject} changed {auroc_of(rows)} {with_n(rows)} by {differences}, without an interval "
        f"or a verdict{_because(rows)}."
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
