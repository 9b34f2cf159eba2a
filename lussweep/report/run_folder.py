"""Reads the experiment of a run folder."""

from __future__ import annotations

from pathlib import Path

from lussweep.errors import InputError
from lussweep.study.spec import StudySpec, load_study
from lussweep.study.spec.reading import read_text

EXPERIMENT_FILE = "experiment.yaml"
"""The experiment of a run, with every default written out."""


def study_of(folder: Path) -> StudySpec:
    """The experiment of a run folder. Raises InputError if there is none, or if it is damaged."""
    path = folder / EXPERIMENT_FILE
    if not path.exists():
        raise InputError(f"{folder} is not a run folder: give the --out of a `lussweep grid`")
    return load_study(read_text(path), where=str(path))
