"""What a report is written from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import Plan
from lussweep.study.spec import Recipe, StudySpec


@dataclass(frozen=True)
class Reported:
    """A study with its plan and artifacts, and the folder that the report goes to."""

    folder: Path
    study: StudySpec
    plan: Plan
    store: ArtifactStore
    variants: Mapping[str, Recipe]
    """Those of every grid that was asked of the folder."""
    redact: Callable[[str], str]
    """Turns a text into what may be written down: patients and files are hashed in it."""
    reveal_ids: bool = False
    """Whether patients and files are named after all."""
    skipped: Sequence[tuple[str, str, str]] = ()
    """Patient, video and reason of each video that was left out."""
