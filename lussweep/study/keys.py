"""Keys and seeds: the canonical text of a value, its digest, and seeds from coordinates.

Nothing here depends on the process, the platform or Python's `hash()`, so keys and seeds are the
same everywhere. It uses the standard library only.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property, lru_cache
from json.encoder import encode_basestring_ascii as _quoted
from types import NoneType
from typing import Any

KEY_LENGTH = 16
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_NAME = frozenset({str})


class Section(dict[str, Any]):
    """A dict that many values share. Its text is computed once, so it must not change."""

    @cached_property
    def text(self) -> str:
        """The canonical text of this dict."""
        return _object(self)


def canonical(value: Any) -> str:
    """The only text that stands for `value`: JSON with sorted keys and no spaces.

    Raises TypeError for a value without a canonical form (sets, paths, arrays, objects) and
    ValueError for a float that is not finite.
    """
    with suppress(KeyError, ValueError):  # an unknown type or not finite: `_plain` says where
        return _WRITERS[type(value)](value)
    return _ENCODER.encode(_plain(value, "value"))


def digest(value: Any) -> str:
    """The first 16 hex digits of the sha256 of the canonical text."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:KEY_LENGTH]


@lru_cache(maxsize=4096, typed=True)  # variants share seeds; `typed` keeps 1 and True apart
def derive_seed(*coordinates: str | int) -> int:
    """A seed in [0, 2**63) from coordinates such as (study seed, role, n_patients, replicate)."""
    text = canonical(list(coordinates))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def hashed_id(patient_or_video: str) -> str:
    """The name of a patient or video in logs, failure tables and reports."""
    return "#" + hashlib.sha256(patient_or_video.encode()).hexdigest()[:8]


def is_hashed_id(text: str) -> bool:
    """Whether the text has the form that `hashed_id` returns."""
    return re.fullmatch(r"#[0-9a-f]{8}", text) is not None


# A plan of many cells needs hundreds of thousands of texts. JSON's own encoder would write the
# sections that they share again each time.


def _object(value: dict[str, Any]) -> str:
    if not _NAME.issuperset(map(type, value)):
        raise KeyError
    items = sorted(value.items())
    return f"{{{','.join([f'{_quoted(name)}:{_WRITERS[type(v)](v)}' for name, v in items])}}}"


def _array(value: Sequence[Any]) -> str:
    return f"[{','.join([_WRITERS[type(item)](item) for item in value])}]"


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError
    return repr(value)


_WRITERS: dict[type, Callable[[Any], str]] = {
    str: _quoted,
    bool: lambda value: "true" if value else "false",
    int: repr,
    float: _number,
    NoneType: lambda value: "null",
    list: _array,
    tuple: _array,
    dict: _object,
    Section: lambda value: value.text,
}


def _plain(value: Any, where: str) -> Any:
    if value is None or isinstance(value, (str, bool)):
        return value
    if type(value) is int:
        return value
    if type(value) is float:
        if not math.isfinite(value):
            raise ValueError(f"{where} is {value}: only finite numbers have a canonical form")
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if type(key) is not str:
                raise TypeError(f"{where} has the key {key!r}: only text keys are canonical")
        return {key: _plain(item, f"{where}.{key}") for key, item in value.items()}
    raise TypeError(f"{where} is a {type(value).__name__}, which has no canonical form")
