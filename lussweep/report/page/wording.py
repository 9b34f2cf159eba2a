"""Numbers and phrases of the page as text. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from lussweep.report.page.outcomes import ALPHA
from lussweep.study.spec import Recipe, StudySpec

CLASS_WORDS = {"pos": "positives", "neg": "negatives"}
NO_NUMBER = "-"


def listed(words: Iterable[object], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, end = map(str, words)
    return f"{', '.join(first)} {last} {end}" if first else end


def counted(n: int, noun: str, plural: str = "") -> str:
    """`1 cell`, `2 cells`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {plural or noun + 's'}"


def auroc_text(value: float | None) -> str:
    """An AUC-ROC or a share with three decimals."""
    return NO_NUMBER if value is None or math.isnan(value) else f"{value:.3f}"


def signed(value: float | None) -> str:
    """A difference with its sign. A difference that rounds to zero has none."""
    if value is None or math.isnan(value):
        return NO_NUMBER
    text = f"{value:+.3f}"
    return text[1:] if float(text) == 0 else text


def beside_zero(value: float) -> str:
    """A signed end of an interval: three decimals, or as many as show on which side of 0 it lies.

    >>> beside_zero(-0.0113), beside_zero(0.0), beside_zero(0.00042), beside_zero(-1e-9)
    ('-0.011', '0.000', '+0.0004', 'just below 0')
    """
    texts = (signed(value), *(f"{value:+.{places}f}" for places in (4, 5)))
    beyond = "just below 0" if value < 0 else "just above 0"
    return next((text for text in texts if value == 0 or float(text) != 0), beyond)


def interval_text(low: float | None, high: float | None, *, sign: bool = False) -> str:
    """`0.812 to 0.934`, or an empty text without an interval."""
    if low is None or high is None:
        return ""
    form = beside_zero if sign else auroc_text
    return f"{form(low)} to {form(high)}"


def p_text(p_value: float | None) -> str:
    """`p = 0.04`, with two digits, or as many as show on which side of ALPHA it lies.

    >>> p_text(0.04), p_text(0.0502), p_text(0.05), p_text(0.0002)
    ('p = 0.040', 'p = 0.0502', 'p = 0.050', 'p < 0.001')
    """
    if p_value is None:
        return ""
    if p_value < 0.001:
        return "p < 0.001"
    texts = (two_digits(p_value), *(f"{p_value:.{places}f}" for places in (4, 5, 6)))
    told = (text for text in texts if p_value == ALPHA or float(text) != ALPHA)
    return f"p = {next(told, texts[-1])}"


def two_digits(value: float) -> str:
    """A number with two significant digits and no exponent: `0.079`, `1.1`, `12`.

    >>> two_digits(0.0791), two_digits(1.06), two_digits(12.34), two_digits(99.6), two_digits(1.0)
    ('0.079', '1.1', '12', '100', '1.0')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = 1 - math.floor(math.log10(abs(value)))
    places = 1 - math.floor(math.log10(abs(round(value, places)))) if round(value, places) else 0
    return f"{round(value, places):,.{max(0, places)}f}"


def beside_one(value: float) -> str:
    """Two digits, or as many as show on which side of one the value lies, at most four places.

    >>> beside_one(0.9965), beside_one(1.04), beside_one(1.0), beside_one(0.23)
    ('0.997', '1.04', '1.0', '0.23')
    >>> beside_one(0.99996), beside_one(1.00003)
    ('just below 1', 'just above 1')
    """
    texts = (two_digits(value), *(f"{value:.{places}f}" for places in (2, 3, 4)))
    beyond = "just below 1" if value < 1 else "just above 1"
    return next((text for text in texts if value == 1 or float(text) != 1), beyond)


def grid_bound(value: float) -> str:
    """An end of an interval of worth. An infinite one lies where the grid can tell nothing."""
    if math.isinf(value):
        return f"{'above' if value > 0 else 'below'} what the grid can tell"
    return beside_one(value)


def spread(values: Sequence[str]) -> str:
    """`a`, or `a to b` for the first and the last of sorted texts that differ."""
    return values[0] if values[0] == values[-1] else f"{values[0]} to {values[-1]}"


def sources_text(recipe: Recipe) -> str:
    """`positives: real + synthetic; negatives: real`."""
    parts = (
        f"{CLASS_WORDS[label]}: {' + '.join(names)}" for label, names in recipe.sources().items()
    )
    return "; ".join(parts)


def change_text(variant: str, reference: str, recipes: Mapping[str, Recipe]) -> str:
    """What a variant changes in the training set of its reference, as the subject of a sentence.

    Without a simple description, the names stand for it: `Using combined in place of classic`.
    """
    names = f"Using {variant} in place of {reference}"
    new, old = recipes.get(variant), recipes.get(reference)
    if new is None or old is None or _others(new) != _others(old):
        return names
    changed = [label for label in CLASS_WORDS if getattr(new, label) != getattr(old, label)]
    sources = {label: (list(getattr(old, label)), list(getattr(new, label))) for label in changed}
    if changed and all(now[: len(before)] == before for before, now in sources.values()):
        added = [
            f"{listed(now[len(before) :])} {CLASS_WORDS[label]}"
            for label, (before, now) in sources.items()
        ]
        return f"Adding {listed(added)} ({variant} against {reference})"
    if changed and all(len(before) == len(now) == 1 for before, now in sources.values()):
        taken = [f"{now[0]} {CLASS_WORDS[label]}" for label, (_, now) in sources.items()]
        left = dict.fromkeys(before[0] for before, _ in sources.values())
        return (
            f"Training on {listed(taken)} in place of {listed(left)} ones "
            f"({variant} against {reference})"
        )
    return names


def _others(recipe: Recipe) -> tuple[object, ...]:
    """What a recipe says beside its sources and the generator that synthetic frames need."""
    return recipe.augment, recipe.labels


def recipes_of(study: StudySpec) -> Mapping[str, Recipe]:
    """The recipes of all variants by name."""
    return study.variants
