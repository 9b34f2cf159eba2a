"""Finds one patient under two ids, and the same frames in two videos, before anything is read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from lussweep.data.digests import Content
from lussweep.study.spec import Video

MAX_SHOWN = 3
"""Most spellings or pairs that one line names."""

_DASHES = {"Pd": "-", "Zs": " ", "Cf": "", "Cc": " "}
_INVISIBLE = re.compile(
    r"[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Invisible characters that Unicode counts as letters or marks: fillers, variation selectors."""


def normal_id(text: str) -> str:
    """The form in which ids of patients are compared.

    These differences do not count: Unicode form (NFKC), case, invisible characters, kind of dash
    and digit, leading zeros of a number, the fraction of a whole number (1.0), and spaces. A space
    between two digits counts: `1 23` and `12 3` may be two patients.
    """
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    text = "".join(_plain(character) for character in text)
    text = re.sub(r"(?<![0-9])\s+|\s+(?![0-9])", "", text)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"(?<![0-9])0+(?=[0-9])", "", text)
    return unicodedata.normalize("NFKC", re.sub(r"^([0-9]+)\.0$", r"\1", text))


def _plain(character: str) -> str:
    kind = unicodedata.category(character)
    if _INVISIBLE.match(character):
        return ""
    if kind == "Nd":
        return str(unicodedata.decimal(character))
    if character == "\N{MINUS SIGN}":
        return "-"
    return _DASHES.get(kind, character)


def same_patients(places: Mapping[str, str]) -> list[str]:
    """One line for each group of ids that may be one patient.

    `places` says of each patient id where it stands, such as `row 1, train`.
    """
    groups: dict[str, list[str]] = {}
    for patient in places:
        groups.setdefault(normal_id(patient), []).append(patient)
    problems = []
    for spellings in groups.values():
        if len(spellings) > 1:
            shown = " and ".join(f"{_visible(s)} ({places[s]})" for s in spellings[:MAX_SHOWN])
            more = len(spellings) - MAX_SHOWN
            problems.append(
                f"the patient ids {shown}{f' (+{more} more)' if more > 0 else ''} may be one "
                "patient: write them alike, or make them differ by more than case, spaces, zeros "
                "and Unicode form"
            )
    return problems


def _visible(text: str) -> str:
    """The text in quotes. A text beyond ASCII is followed by its escaped form."""
    return repr(text) if text.isascii() else f"'{text}' = {text!a}"


def shared_content(videos: Sequence[Video], content: Mapping[str, Content]) -> list[str]:
    """The problems of videos that are the same file, and of images that several patients share.

    `content` gives the content of each video by its video_id.
    """
    problems = []
    for twins in _groups((video.sha256, video) for video in videos).values():
        first = twins[0]
        for video in twins[1:]:
            of = f"of the patient {first.patient_id}"
            if video.patient_id != first.patient_id:
                of = f"but of the patients {_who(first)} and {_who(video)}"
            problems.append(
                f"the videos {first.video_id} and {video.video_id} are the same file, {of}: "
                "remove one"
            )
    if problems:
        return problems
    by_file = _groups((d, video) for video in videos for d in content[video.video_id].files)
    shared = {
        digest: group
        for digest, group in by_file.items()
        if len({video.patient_id for video in group}) > 1
    }
    return [_shared_images(shared, content)] if shared else []


def _groups(pairs: Iterable[tuple[str, Video]]) -> dict[str, list[Video]]:
    """The videos of each digest that occurs more than once."""
    groups: dict[str, list[Video]] = {}
    for digest, video in pairs:
        groups.setdefault(digest, []).append(video)
    return {digest: group for digest, group in groups.items() if len(group) > 1}


def _shared_images(shared: Mapping[str, Sequence[Video]], content: Mapping[str, Content]) -> str:
    """One line with some pairs of videos of two patients, and how many images and patients.

    A pair in two splits is named before one in the same split.
    """
    pairs: dict[tuple[str, str], str] = {}
    for group in shared.values():
        if len(pairs) >= MAX_SHOWN:
            break
        first = group[0]
        others = [video for video in group if video.patient_id != first.patient_id]
        for other in sorted(others, key=lambda video: video.split == first.split)[:MAX_SHOWN]:
            a, b = content[first.video_id].files, content[other.video_id].files
            both = [digest for digest in a if digest in b]
            n_images = sum(len(a[digest]) for digest in both)
            pairs[first.video_id, other.video_id] = (
                f"{first.video_id} of {_who(first)} shares {n_images} with {other.video_id} of "
                f"{_who(other)}, such as {a[both[0]][0]} = {b[both[0]][0]}"
            )
    n_files = sum(
        len(names)
        for video_id in {video.video_id for group in shared.values() for video in group}
        for digest, names in content[video_id].files.items()
        if digest in shared
    )
    n_patients = len({video.patient_id for group in shared.values() for video in group})
    return (
        f"{n_files} image files of {n_patients} patients are also another patient's: "
        f"{'; '.join([*pairs.values()][:MAX_SHOWN])}: keep each image with one patient only"
    )


def _who(video: Video) -> str:
    return f"{video.patient_id} ({video.split})"
