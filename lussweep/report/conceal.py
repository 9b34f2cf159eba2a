"""Patients, videos and files in text that is written down: as hashes, so that it can be shown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lussweep.study.keys import hashed_id

_MEDIA = "avi|bmp|dcm|gif|jpe?g|mov|mp4|mpe?g|png|tiff?"
_FILE = rf"[^\s/'\":,()]+\.(?:{_MEDIA})(?!\w)"
_CODE = r'(?<=File ")[^"\n]*/(?:(?=lussweep/)|site-packages/|lib/python[\d.]+/)'
"""What stands in a traceback before the part of a source file's path that tells which it is."""
_QUOTED_PATH = r"(?<=['\"])~?/[^'\"\n]+"
_PATH = r"(?:(?<![\w/:.~])~?/|(?<=:)/(?!/))[^\s'\":,;()<>]+"


def conceal(text: str, ids: Iterable[str], paths: Iterable[str] = ()) -> str:
    """The text with every patient and video id and every absolute path replaced by its hash.

    `paths` are those that may hold spaces, and so end where only we know: each is replaced whole,
    with the image of it that is named after it. Other paths end at a space or a quote. Of
    source files in tracebacks the part within the package stays.
    """
    flat = " ".join(text.split())
    image = rf"(?:[/:]\s*[^\n:]*?[^\s:]\.(?:{_MEDIA})(?!\w))?"
    places, known = _occurring(paths, flat), _occurring(ids, flat)
    whole = [_flexible(form) + r"(?![\w.-])" + image for form in places]
    names = [rf"(?<![^\W_]){_flexible(form)}(?![^\W_])" for form in known]
    pattern = "|".join([f"(?P<code>{_CODE})", *whole, _QUOTED_PATH, _PATH, _FILE, *names])

    def hashed(found: re.Match[str]) -> str:
        name = " ".join(found.group().split())
        return "" if found["code"] else hashed_id(known.get(name, found.group()))

    return re.sub(pattern, hashed, text)


def _occurring(names: Iterable[str], flat: str) -> dict[str, str]:
    """The names that the text holds, by how it may spell them; the longest first."""
    spelled = {
        " ".join(form.split()): name
        for name in names
        for form in (name, repr(name)[1:-1])
        if name.strip()
    }
    return {form: spelled[form] for form in sorted(spelled, key=len, reverse=True) if form in flat}


def _flexible(name: str) -> str:
    """An error in one line has lost the name's own spaces."""
    return r"\s+".join(map(re.escape, name.split()))
