"""Applies `--set section.key=value` to the values of an experiment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lussweep.errors import InputError
from lussweep.study.spec.fields import holds_texts, takes_list, types_at
from lussweep.study.spec.plain_yaml import plain_yaml


def apply_overrides(raw: dict[str, Any], overrides: Iterable[str]) -> None:
    """Change the values of an experiment, before they are validated.

    A value is YAML. In a field that holds a list, `3,6,12` and `3` are read like `[3, 6, 12]` and
    `[3]`. Items of a list of texts need no quotes, unless they hold a comma. Raises InputError for
    an override of another form.
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
        except ValueError:
            raise InputError(f"--set {override!r}: the value is not valid YAML") from None


def _value(parts: list[str], text: str) -> Any:
    """The value that a text gives a field. Raises ValueError if it is not YAML."""
    value = plain_yaml(text)
    types = types_at(parts)
    if value is None or isinstance(value, list | dict) or not types:
        return value
    if not all(takes_list(each, value) for each in types):
        return value
    return plain_yaml(f"[{text}]", only_texts=all(map(holds_texts, types)))
