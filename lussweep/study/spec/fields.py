"""The fields of an experiment by their dotted names, such as `gan.n_epochs`, and their types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from lussweep.study.spec.base import Spec
from lussweep.study.spec.study import StudySpec


def kinds_of(spec: type[Spec]) -> list[type[Spec]]:
    """The spec and those that extend it: a section may be of a kind with fields of its own."""
    return [spec, *(kind for each in spec.__subclasses__() for kind in kinds_of(each))]


def specs_in(annotation: Any) -> Iterator[type[Spec]]:
    """The specs that a type names."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        yield annotation
    for argument in get_args(annotation):
        yield from specs_in(argument)


def types_at(parts: Sequence[str], spec: type[Spec] = StudySpec) -> list[Any]:
    """The types of the field with these name parts: one for each kind that has such a field."""
    first, *rest = parts
    found = []
    for kind in kinds_of(spec):
        field = kind.model_fields.get(kind.other_keys.get(first, first))
        if field is None:
            continue
        if not rest:
            found.append(field.annotation)
            continue
        below = rest[1:] if get_origin(field.annotation) is dict else rest
        for section in specs_in(field.annotation) if below else ():
            found += types_at(below, section)
    return found


def takes_list(annotation: Any, value: Any) -> bool:
    """Whether `value`, a text or number, can only stand for a list in a field of this type.

    It cannot if the field takes any text, if it names the value, or if its items are lists.
    """
    arms = list(_arms(annotation))
    if str in arms or any(get_origin(arm) is Literal and value in get_args(arm) for arm in arms):
        return False
    lists = [arm for arm in arms if get_origin(arm) is tuple and _has_plain_items(arm)]
    return any(Ellipsis in get_args(arm) or "," in str(value) for arm in lists)


def holds_numbers(annotation: Any) -> bool:
    """Whether the lists that a field of this type takes hold numbers alone."""
    lists = [arm for arm in _arms(annotation) if get_origin(arm) is tuple]
    items = [item for each in lists for item in get_args(each) if item is not Ellipsis]
    return all(arm in (int, float) for item in items for arm in _arms(item))


def holds_lists(annotation: Any) -> bool:
    """Whether a field of this type takes nothing but a list of lists."""
    return all(get_origin(arm) is tuple and not _has_plain_items(arm) for arm in _arms(annotation))


def holds_texts(annotation: Any) -> bool:
    """Whether the lists that a field of this type takes hold any texts."""
    lists = [arm for arm in _arms(annotation) if get_origin(arm) is tuple]
    return all(get_args(arm)[0] is str for arm in lists)


def settable(spec: type[Spec] = StudySpec, prefix: str = "") -> list[str]:
    """The dotted names of all fields that `--set` can change, without those of the variants.

    A section is among them if a value may stand for all of it, such as the name of a policy.
    """
    names: dict[str, None] = {}
    for kind in kinds_of(spec):
        for name, field in kind.model_fields.items():
            here, sections = f"{prefix}{name}", list(specs_in(field.annotation))
            if not sections or _takes_value(field.annotation):
                names[here] = None
            if not _holds_names(field.annotation):
                for section in sections:
                    names |= dict.fromkeys(settable(section, f"{here}."))
        names |= dict.fromkeys(f"{prefix}{key}" for key in kind.other_keys)
    return list(names)


def _takes_value(annotation: Any) -> bool:
    """Whether a field of this type takes another value than a section or null."""
    for arm in _arms(annotation):
        is_spec = isinstance(arm, type) and issubclass(arm, Spec)
        if arm is not type(None) and (not is_spec or arm.section_names):
            return True
    return False


def _holds_names(annotation: Any) -> bool:
    """Whether a field holds values by name, such as the variants."""
    origin = get_origin(annotation)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _arms(annotation: Any) -> Iterator[Any]:
    """The alternatives of a type, without the metadata of each."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _arms(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for argument in get_args(annotation):
            yield from _arms(argument)
    else:
        yield annotation


def _has_plain_items(arm: Any) -> bool:
    items = [item for item in get_args(arm) if item is not Ellipsis]
    return not any(get_origin(each) in (tuple, list) for item in items for each in _arms(item))
