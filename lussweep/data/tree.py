"""Finds the videos of a folder tree, and what their paths say of patient, class and split."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lussweep.data.readers.images import SUFFIXES
from lussweep.data.rows import OTHER_SPLITS
from lussweep.errors import InputError
from lussweep.study.spec import SPLITS

VIDEO_SUFFIXES = (
    ".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".npy", ".npz", ".ts",
    ".webm", ".wmv",
)  # fmt: skip
FIELDS = ("patient", "label", "split")
MAX_CLASSES = 8
"""Most names that a level of folders may have if it is guessed to be the class."""
VIDEOS_OF_A_CLASS = 3
"""Least videos of each class, on average, in a level of classes. A level of patients has fewer."""

_SPLIT_WORDS = {**{name: name for name in SPLITS}, **OTHER_SPLITS}


@dataclass(frozen=True)
class Found:
    """One video of a tree, and what its path says."""

    path: str
    """Relative to the tree, with slashes."""
    patient: str
    label: str
    split: str
    """Empty if the pattern has no split."""

    @property
    def video_id(self) -> str:
        return self.path


def find_videos(folder: Path) -> list[str]:
    """The videos of a tree: files by their suffix, and folders that hold images.

    Paths are relative to `folder`, with slashes, sorted. Hidden files and links are left out.
    Raises InputError if there are none, and for a name that no manifest can hold.
    """
    paths: list[str] = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        here = PurePosixPath(Path(place).relative_to(folder).as_posix())
        shown = [
            name
            for name in files
            if not name.startswith(".") and not (Path(place) / name).is_symlink()
        ]
        paths += [str(here / name) for name in shown if _has(name, VIDEO_SUFFIXES)]
        if str(here) != "." and any(_has(name, SUFFIXES) for name in shown):
            paths.append(str(here))
    if unwritable := [path for path in paths if not _is_text(path)]:
        raise InputError(f"{unwritable[0]!a} is not a name in UTF-8: rename it")
    if not paths:
        raise InputError(
            f"{folder} holds no video: give {', '.join(VIDEO_SUFFIXES)} files or folders of images"
        )
    return sorted(paths)


def _is_text(path: str) -> bool:
    """Whether a path can be written as UTF-8. Its bytes on the disk may be of another encoding."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _has(name: str, suffixes: Sequence[str]) -> bool:
    return name.lower().endswith(tuple(suffixes))


def guess_pattern(paths: Sequence[str]) -> str:
    """A pattern that fits the paths, such as `{split}/{label}/{patient}_*`.

    A level of folders is the split if all its names are splits, else the class if it has few names,
    else the patient. Without a level of patients, the file's name up to `_` or `-` is the patient.
    Raises InputError if paths have several depths, or if no level looks like a class.
    """
    levels = list(zip(*(_stem(path).split("/") for path in paths), strict=False))
    if len({path.count("/") for path in paths}) > 1:
        raise InputError(f"the videos lie at several depths: {_remedy(paths)}")
    roles = ["*"] * len(levels)
    for i, names in enumerate(levels):
        values = {name.casefold() for name in names}
        if "{split}" not in roles and values <= _SPLIT_WORDS.keys():
            roles[i] = "{split}"
        elif (
            "{label}" not in roles
            and i < len(levels) - 1
            and 2 <= len(values) <= min(MAX_CLASSES, len(paths) // VIDEOS_OF_A_CLASS)
        ):
            roles[i] = "{label}"
    if "{label}" not in roles:
        raise InputError(f"no level of folders looks like a class: {_remedy(paths)}")
    free = [i for i, role in enumerate(roles[:-1]) if role == "*"]
    if free:
        roles[free[-1]] = "{patient}"
    else:
        between = next((c for c in "_-" if all(c in name.strip(c) for name in levels[-1])), None)
        roles[-1] = "{patient}" + (f"{between}*" if between else "")
    return "/".join(roles)


def _remedy(paths: Sequence[str]) -> str:
    return (
        "say with --pattern what the folders are, such as '{label}/{patient}/*' or "
        f"'{{split}}/{{label}}/{{patient}}_*'; the first video is {paths[0]}"
    )


def read_paths(paths: Sequence[str], pattern: str) -> list[Found]:
    """What the pattern reads from each path, without its suffix.

    `{patient}`, `{label}` and `{split}` stand for a part of a name, `*` for anything within one.
    A part ends where the text that follows it first occurs. Raises InputError for a
    pattern without patient or label, an unknown name in braces, and paths that do not fit.
    """
    expression = _expression(pattern)
    videos, strangers, unknown = [], [], set()
    split_names: dict[str, set[str]] = {}
    for path in paths:
        match = expression.fullmatch(_stem(path))
        if match is None:
            strangers.append(path)
            continue
        parts = match.groupdict()
        split = parts.get("split", "").casefold()
        if split and split not in _SPLIT_WORDS:
            unknown.add(parts["split"])
        meant = _SPLIT_WORDS.get(split, "")
        split_names.setdefault(meant, set()).add(split)
        videos.append(Found(path, parts["patient"], parts["label"], meant))
    problems = []
    if strangers:
        problems.append(
            f"{len(strangers)} of {len(paths)} videos do not fit the pattern {pattern}, the first "
            f"{strangers[0]}: give another --pattern, or move them out"
        )
    if unknown:
        problems.append(
            f"the pattern {pattern} gives the splits {', '.join(sorted(unknown)[:5])}: "
            f"known are {', '.join(_SPLIT_WORDS)}; put * there to have splits drawn"
        )
    problems += [
        f"the folders {' and '.join(sorted(names))} would all be {split}: give each split one name"
        for split, names in split_names.items()
        if split and len(names) > 1
    ]
    splits = split_names.keys() - {""}
    if splits and not unknown and (missing := [name for name in SPLITS if name not in splits]):
        problems.append(
            f"the folders give no {' and no '.join(missing)} split: add it, or put * in the place "
            "of {split} to have splits drawn"
        )
    if problems:
        raise InputError(problems)
    return videos


def _expression(pattern: str) -> re.Pattern[str]:
    names = re.findall(r"\{(.*?)\}", pattern)
    unknown = [name for name in names if name not in FIELDS]
    repeated = [name for name in FIELDS if names.count(name) > 1]
    missing = [name for name in ("patient", "label") if name not in names]
    for wrong, what in ((unknown, "an unknown"), (repeated, "twice"), (missing, "no")):
        if wrong:
            raise InputError(
                f"the pattern {pattern!r} has {what} {{{wrong[0]}}}: it needs {{patient}} and "
                "{label} once, and may have {split} and *"
            )
    return re.compile("".join(_parts(pattern)))


def _parts(pattern: str) -> Iterator[str]:
    for part in re.split(r"(\{\w+\}|\*)", pattern):
        if part == "*":
            yield "[^/]*"
        elif part.startswith("{"):
            yield f"(?P<{part[1:-1]}>[^/]+?)"
        else:
            yield re.escape(part)


def _stem(path: str) -> str:
    """The path without the suffix of a video."""
    return path.rpartition(".")[0] if _has(path, VIDEO_SUFFIXES) else path
