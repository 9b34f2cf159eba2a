"""What is said of an input that is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from lussweep.data.readers.decode import read_frames
from lussweep.errors import InputError


def refusal_of(path: Path) -> str:
    """What `read_frames` says: one line that begins with the path."""
    with pytest.raises(InputError) as caught:
        read_frames(path)
    (line,) = caught.value.problems
    assert line.startswith(f"{path}: ") and "\n" not in line
    return line


def problem_of(path: Path) -> str:
    """What `read_frames` says after the path."""
    return refusal_of(path).removeprefix(f"{path}: ")
