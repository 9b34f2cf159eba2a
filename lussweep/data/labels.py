"""Reads the label of a video or a frame from text, as spreadsheets and people write it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

from lussweep.errors import InputError

YES = ("1", "true", "yes")
NO = ("0", "false", "no")
MISSING = ("", "nan", "na", "n/a", "#n/a", "none", "null")
"""Texts of a cell without a label, in lower case, as pandas, R and Excel write it."""

_WHOLE = re.compile(r"(\d{1,15})(\.0+)?")


def whole_number(text: str) -> int | None:
    """The number of a text such as 3 or 3.0. None for any other text."""
    match = _WHOLE.fullmatch(text)
    return int(match[1]) if match else None


def parse_label(text: str, positive: Collection[str] = ()) -> int | None:
    """1 positive, 0 negative, None for a cell without a label.

    With `positive`, those texts are positive and all others negative. Without, only 1 and 0, yes
    and no, true and false are read. Case does not count. Raises InputError for other texts.
    """
    key = _key(text)
    if key in MISSING:
        return None
    if positive:
        return int(key in {_key(word) for word in positive})
    if key not in (*YES, *NO):
        raise InputError(
            f"is {text!r}, not 0 or 1 (or yes, no, true, false): "
            "correct it, or name the texts that count as positive with --positive"
        )
    return int(key in YES)


def describe_labels(texts: Collection[str], positive: Collection[str]) -> tuple[str, list[str]]:
    """A note that says which labels count as positive, and the problems with `positive`.

    A text of `positive` that no row has is a problem, because a typing error would make every
    video negative.
    """
    counts = Counter(text for text in texts if _key(text) not in MISSING)
    present = {_key(text) for text in counts}
    listed = ", ".join(f"{text!r} ({n})" for text, n in sorted(counts.items())[:10])
    unknown = [word for word in positive if _key(word) not in present]
    problems = [
        f"--positive {word}: no row has this label; the labels are {listed}" for word in unknown
    ]
    sides = {
        side: ", ".join(
            f"{t!r} ({n})" for t, n in sorted(counts.items()) if parse_label(t, positive) == side
        )
        for side in (1, 0)
    }
    return f"labels: {sides[1] or 'none'} positive; {sides[0] or 'none'} negative", problems


def _key(text: str) -> str:
    number = whole_number(text.strip())
    return text.strip().casefold() if number is None else str(number)
