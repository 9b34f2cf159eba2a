"""Reads experiments from YAML and writes them, with one clear line for each error."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from lussweep.errors import InputError
from lussweep.study.plugins import load_plugins
from lussweep.study.spec.base import Spec
from lussweep.study.spec.fields import kinds_of, specs_in
from lussweep.study.spec.generators import GeneratorSpec
from lussweep.study.spec.overrides import apply_overrides
from lussweep.study.spec.plain_yaml import MAX_CHARACTERS, MAX_SHOWN, plain_yaml
from lussweep.study.spec.study import StudySpec
from lussweep.study.spec.words import nearest

S = TypeVar("S", bound=Spec)
OF_YAML = {
    "tuple_type": "Input should be a list, in brackets",
    "model_type": "Input should be a section of keys and values",
    "dict_type": "Input should be a section of keys and values",
}
"""Messages of pydantic that name types of Python, in words of YAML."""


def load_study(text: str, *, overrides: Iterable[str] = (), where: str = "experiment") -> StudySpec:
    """Parse a StudySpec from YAML text, with `section.key=value` overrides on top.

    The plugins that it names are loaded first, because they add valid names. Raises InputError,
    which names every unknown key, with the closest valid one, and every bad value.
    """
    raw, changes = plain_values(text, where), list(overrides)
    apply_overrides(raw, changes)
    if raw.get("plugins"):
        _load_plugins(raw["plugins"], where)
        apply_overrides(raw, changes)  # a plugin's fields may hold lists
    return parse(StudySpec, raw, where)


def plain_values(text: str, where: str) -> dict[str, Any]:
    """The values of an experiment as its YAML text gives them, not validated.

    Raises InputError if the text is not YAML, or not a mapping.
    """
    try:
        raw = plain_yaml(text) or {}
    except ValueError as error:
        raise InputError(f"{where} is not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise InputError(f"{where} must be a mapping of keys to values")
    return raw


def parse(kind: type[S], raw: Any, where: str) -> S:
    """Validate `raw`. Raises InputError with one clear line for every pydantic error."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise InputError([_explain(kind, e, where) for e in error.errors()]) from None


def dump_study(study: StudySpec) -> str:
    """Write the resolved experiment as YAML, which `load_study` reads back to an equal spec."""
    plain = study.model_dump(mode="json")
    for recipe in plain["variants"].values():
        if recipe["gan"]:  # fields that all generators share are written with the study's
            recipe["gan"] = {
                k: v for k, v in recipe["gan"].items() if k not in GeneratorSpec.circumstance
            }
    return yaml.safe_dump(plain, sort_keys=False)


def read_text(path: Path) -> str:
    """Read the text of an experiment. Raises InputError for a large or unreadable file."""
    try:
        if path.stat().st_size > 4 * MAX_CHARACTERS:
            raise InputError(f"{path} has over {4 * MAX_CHARACTERS} bytes: is it an experiment?")
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"cannot read {path}: its text is not UTF-8: save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error}") from None


def _load_plugins(names: Any, where: str) -> None:
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        try:
            load_plugins(names)
        except InputError as error:
            raise InputError(f"{where}: {problem}" for problem in error.problems) from None


def _explain(kind: type[Spec], error: Any, where: str) -> str:
    path = [str(part) for part in error["loc"] if not _is_union_tag(str(part))]
    name = ".".join(path) or where
    if error["type"] == "extra_forbidden":
        key = str(error["loc"][-1])  # taken from `loc`, because a key may look like a union's tag
        path = [*path[:-1], key] if path[-1:] == [key] else [*path, key]
        return f"{where}: unknown key {'.'.join(path)}{nearest(key, _keys_beside(kind, path))}"
    message = OF_YAML.get(error["type"]) or error["msg"].removeprefix("Value error, ")
    value = error.get("input")
    shown = f" (got {_short(value)})" if isinstance(value, (str, int, float, bool)) else ""
    return ": ".join((*([where] if path else []), name, f"{message}{shown}"))


def _short(value: Any) -> str:
    """The value as Python writes it, shortened. Python refuses to write very long numbers."""
    if isinstance(value, int) and value.bit_length() > MAX_SHOWN:
        return "a whole number of many digits"
    return repr(value) if len(repr(value)) <= MAX_SHOWN else f"{repr(value)[:MAX_SHOWN]}..."


def _is_union_tag(part: str) -> bool:
    return "[" in part or part in ("int", "constrained-int")


def _keys_beside(kind: type[Spec], path: list[str]) -> list[str]:
    node: type[Spec] | None = kind
    for part in path[:-1]:
        if node is None:
            return []
        if part not in node.model_fields:
            continue  # a key or index into the dict or tuple of specs of the part before
        node = next(specs_in(node.model_fields[part].annotation), None)
    # The section may be of a class that extends the declared one, such as a kind's search.
    kinds = kinds_of(node) if node else []
    return list(dict.fromkeys(name for each in kinds for name in each.model_fields))
