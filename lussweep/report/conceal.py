"""Replaces patients, videos and files in a text by hashes, so that it can be shown to others."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lussweep.study.keys import hashed_id

_MEDIA = "avi|bmp|dcm|gif|jpe?g|mov|mp4|mpe?g|png|tiff?"
_FILE = rf"[^\s/'\":,()]+\.(?:{_MEDIA})(?!\w)"
_CODE = r'(?<=File ")[^"\n]*/(?:(?=lussweep/)|site-packages/|lib/python[\d.]+/)'
"""The start of a source file's path in a traceback, up to the part within its package."""
_QUOTED_PATH = r"(?<=['\"])~?/[^'\"\n]+"
_PATH = r"(?:(?<![\w/:.~])~?/|(?<=:)/(?!/))[^\s'\":,;()<>]+"


def conceal(text: str, ids: Iterable[str], paths: Iterable[str] = ()) -> str:
    """Replaces every patient id, video id and absolute path in the text by its hash.

    A path ends at a space or a quote. `paths` lists paths that may hold spaces: each is replaced
    whole, together with the name of an image that follows it. The path of a source file in a
    traceback keeps the part within its package.
    """
    flat = " ".join(text.split())
    image = rf"(?:[/:]\s*[^\n:]*?[^\s:]\.(?:{_MEDIA})(?!\w))?"
    places, occurring_ids = _occurring(paths, flat), _occurring(ids, flat)
    whole = [_flexible(form) + r"(?![\w.-])" + image for form in places]
    names = [rf"(?<![^\W_]){_flexible(form)}(?![^\W_])" for form in occurring_ids]
    pattern = "|".join([f"(?P<code>{_CODE})", *whole, _QUOTED_PATH, _PATH, _FILE, *names])

    def hashed(match: re.Match[str]) -> str:
        name = " ".join(match.group().split())
        return "" if match["code"] else hashed_id(occurring_ids.get(name, match.group()))

    return re.sub(pattern, hashed, text)


def _occurring(names: Iterable[str], flat: str) -> dict[str, str]:
    """The names that occur in the text, by their spelling in it, with the longest first."""
    spelled = {
        " ".join(form.split()): name
        for name in names
        for form in (name, repr(name)[1:-1])
        if name.strip()
    }
    return {form: spelled[form] for form in sorted(spelled, key=len, reverse=True) if form in flat}


def _flexible(name: str) -> str:
    """A pattern that allows any space between the words of a name.

    An error message in one line has lost the spaces of the name.
    """
    return r"\s+".join(map(re.escape, name.split()))
