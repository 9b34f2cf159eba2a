"""Applies `--set section.key=value` to the values of an experiment."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from lussweep.errors import InputError
from lussweep.study.spec.fields import (
    holds_lists,
    holds_numbers,
    holds_texts,
    takes_list,
    types_at,
)
from lussweep.study.spec.plain_yaml import plain_yaml

DECIMAL = re.compile(r"[+-]?(?:0|[1-9]\d*|(?=\.\d))(?:\.\d*)?(?:[eE][+-]?\d+)?", re.ASCII)
"""A number with neither the base 8 nor the base 60 of YAML."""


def apply_overrides(raw: dict[str, Any], overrides: Iterable[str]) -> None:
    """Change the values of an experiment, before they are validated.

    A value is YAML. In a field that holds a list, `3,6,12` and `3` are read like `[3, 6, 12]` and
    `[3]`. Numbers there are decimal, because YAML takes `1:30` for 90 and `010` for 8. Items of a
    list of texts need no quotes, unless they hold a comma. Raises InputError for an override of
    another form.
    """
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or not name:
            raise InputError(f"--set {override!r} is not of the form section.key=value")
        *parents, leaf = parts = name.strip().split(".")
        node = raw
        for parent in parents:
            if node.get(parent) is None:  # absent, or null in the experiment
                node[parent] = {}
            node = node[parent]
            if not isinstance(node, dict):
                raise InputError(f"--set {override!r}: {parent} is a value, not a section")
        try:
            node[leaf] = _value(parts, text)
        except _FormError as error:
            raise InputError(f"--set {override!r}: {error}") from None
        except ValueError:
            raise InputError(f"--set {override!r}: the value is not valid YAML") from None


class _FormError(ValueError):
    """Says how a list must be written."""


def _value(parts: list[str], text: str) -> Any:
    """The value that a text gives a field.

    Raises ValueError if it is not YAML, and _FormError if it is no list where one is needed.
    """
    value = plain_yaml(text)
    types = types_at(parts)
    if value is None or isinstance(value, list | dict) or not types:
        return value
    if all(map(holds_lists, types)):
        raise _FormError(f"it takes a list of lists: write {parts[-1]}=[[{text.strip()}]]")
    if not all(takes_list(each, value) for each in types):
        return value
    if all(map(holds_numbers, types)):
        for item in text.split(","):
            if not DECIMAL.fullmatch(item.strip()):
                raise _FormError(
                    f"{item.strip()!r} is not a decimal number: write a list of numbers as "
                    f"{parts[-1]}=3,6,12 or as {parts[-1]}=[3, 6, 12]"
                )
    return plain_yaml(f"[{text}]", only_texts=all(map(holds_texts, types)))
