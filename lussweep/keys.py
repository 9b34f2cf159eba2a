"""Identity: canonical text, its digest, and seeds that derive from coordinates.

Nothing here depends on the process, the platform or Python's `hash()`, so a key or a seed
that was computed once is the same everywhere. Standard library only.
"""

import hashlib
import json
import math
import re
from contextlib import suppress
from typing import Any

KEY_LENGTH = 16
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_TEXT = frozenset({str})
_LEAVES = frozenset({str, bool, int, float, type(None)})


def canonical(value: Any) -> str:
    """The one text that stands for `value`: JSON with sorted keys and no spaces.

    Raises TypeError for a value without a canonical form (sets, paths, arrays, objects) and
    ValueError for a float that is not finite.
    """
    if _is_plain(value):
        with suppress(ValueError):  # not finite: `_plain` says where
            return _ENCODER.encode(value)
    return _ENCODER.encode(_plain(value, "value"))


def digest(value: Any) -> str:
    """The first 16 hex digits of the sha256 of the canonical text."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:KEY_LENGTH]


def derive_seed(*coordinates: str | int) -> int:
    """A seed in [0, 2**63) from coordinates such as (study seed, role, n_patients, replicate)."""
    text = canonical(list(coordinates))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def hashed_id(patient_or_video: str) -> str:
    """How a patient or video is named in logs, failure tables and reports."""
    return "#" + hashlib.sha256(patient_or_video.encode()).hexdigest()[:8]


def _is_plain(value: Any) -> bool:
    """Whether JSON's own encoder gives the canonical text: a plan of many cells asks often."""
    kind = type(value)
    if kind is dict:
        if not _TEXT.issuperset(map(type, value)):
            return False
        value = value.values()
    elif kind is not list and kind is not tuple:
        return kind in _LEAVES
    return all(_is_plain(item) for item in value if type(item) not in _LEAVES)


def is_hashed_id(text: str) -> bool:
    """Whether `hashed_id` gives texts of this form."""
    return re.fullmatch(r"#[0-9a-f]{8}", text) is not None


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
