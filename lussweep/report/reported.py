"""The study, plan and artifacts that a report is written from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lussweep.store.artifacts import ArtifactStore
from lussweep.study.plan import Plan
from lussweep.study.spec import StudySpec


@dataclass(frozen=True)
class Reported:
    """A study with its plan and artifacts, and the folder that the report goes to."""

    folder: Path
    study: StudySpec
    """The study, with the variants of every grid that was run in the folder."""
    plan: Plan
    store: ArtifactStore
    redact: Callable[[str], str]
    """Hashes patients and files in a text, so that it may be written down."""
    reveal_ids: bool = False
    """Whether the report names patients and files in plain."""
    skipped: Sequence[tuple[str, str, str]] = ()
    """Patient, video and reason of each video that was left out."""
