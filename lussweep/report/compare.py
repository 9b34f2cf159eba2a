"""Compares two runs: the settings that differ, and the AUC-ROC of each cell that both have.

The difference of two runs is a contrast: of the same variant, on the same holdout frames. Replicate
k of one run is paired with replicate k of the other, so their intervals are those of the report.
Where the holdout frames differ, a difference would compare patients and not runs, so none is given.
Where the cohorts differ, the replicates of a pair are trained on other patients. The interval still
holds, because it rests on how the differences vary from replicate to replicate. But a difference
then is one of the drawn patients, too, so the runs are compared with a warning.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lussweep.analysis.bootstrap import point_auroc
from lussweep.analysis.contrasts import Contrast, contrasts
from lussweep.analysis.levels import Scored, check_units
from lussweep.analysis.paired import PairedWins, matrix_at, pair_up
from lussweep.errors import InputError
from lussweep.report.cells import ScoredCells, gather_cells
from lussweep.report.compare_data import (
    FRAME,
    cohort_difference,
    content_difference,
    holdout_difference,
)
from lussweep.report.run_folder import study_of
from lussweep.report.sections.results import RESULTS
from lussweep.report.sections.steps import COHORTS
from lussweep.store import tables
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.coordinates import Coordinates
from lussweep.study.spec import StudySpec
from lussweep.study.spec.analysis import Level

A, B = "a", "b"
ABSENT = "not there"
Setting = tuple[str, str, str]
"""The key of a setting, and its values in the two runs."""
_EARLIER_COHORTS = pa.schema(
    [field for field in COHORTS if field.name not in tables.SOURCE_COLUMNS]
)


@dataclass(frozen=True)
class ComparedRun:
    """What a run folder tells of a run."""

    folder: Path
    study: StudySpec
    results: pa.Table
    scores: pa.Table
    """The score of each holdout frame, by cell."""
    frames: pa.Table
    """The index of all frames, which names the artifact of each."""
    cohorts: pa.Table
    """The frames of the patients of each draw."""

    @property
    def store(self) -> ArtifactStore:
        """The artifacts in the run folder, of which there may be none."""
        return ArtifactStore(self.folder / "artifacts")


@dataclass(frozen=True)
class ComparedCells:
    """One variant at one patient count, in both runs."""

    n_patients: int
    variant: str
    gan_epoch: int | None
    n_a: int
    """Replicates that are done in run A."""
    n_b: int
    auroc_a: float | None
    """Mean over the replicates that are done in run A."""
    auroc_b: float | None
    contrast: Contrast | None
    """Run B less run A; None if nothing can be paired."""
    reason: str = ""
    """Why there is no contrast."""


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side."""

    settings: tuple[Setting, ...]
    holdout: str
    """How the holdout frames of the runs differ; empty if they are the same."""
    cohorts: str
    """How many draws of both runs have other training patients; empty if none has."""
    level: Level
    cells: tuple[ComparedCells, ...]


def read_compared(folder: Path) -> ComparedRun:
    """Read a run folder. Raises InputError if it has no results or no scores of holdout frames."""
    study = study_of(folder)
    for name in ("results", "frame_scores", "frames", "cohorts"):
        if not (folder / f"{name}.parquet").exists():
            raise InputError(
                f"{folder} has no {name}.parquet yet: wait until the run has ended, or stop it "
                "with `lussweep cancel`"
            )
    return ComparedRun(
        folder,
        study,
        tables.read(folder / "results.parquet", RESULTS),
        tables.read(folder / "frame_scores.parquet", tables.FRAME_SCORES),
        tables.read_frames(folder / "frames.parquet"),
        tables.read(folder / "cohorts.parquet", COHORTS, _EARLIER_COHORTS),
    )


def compare(a: ComparedRun, b: ComparedRun) -> Comparison:
    """Compare run B with run A."""
    level: Level = a.study.analysis.level
    if b.study.analysis.level != level:
        level = "frame"
    holdout = holdout_difference(a.scores, b.scores) or content_difference(
        a.frames, a.store, b.frames, b.store
    )
    nested = "nested" in (a.study.cohort.sampling, b.study.cohort.sampling)
    cells = gather_cells(_both(a.results, b.results), _sorted(_both(a.scores, b.scores)))
    return Comparison(
        tuple(setting_differences(a.study, b.study)),
        holdout,
        cohort_difference(a.cohorts, b.cohorts),
        level,
        tuple(_compared(cells, level, holdout, nested=nested)),
    )


def setting_differences(a: StudySpec, b: StudySpec) -> list[Setting]:
    """The settings of two experiments that differ, by their dotted keys."""
    of_a, of_b = (_flat(study.model_dump(mode="json")) for study in (a, b))
    return [
        (key, of_a.get(key, ABSENT), of_b.get(key, ABSENT))
        for key in dict.fromkeys([*of_a, *of_b])
        if of_a.get(key, ABSENT) != of_b.get(key, ABSENT)
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, str]:
    """The values of nested sections as texts, by their dotted keys."""
    if isinstance(value, Mapping) and value:
        items = [_flat(item, f"{prefix}.{key}" if prefix else key) for key, item in value.items()]
        return {key: text for item in items for key, text in item.items()}
    shown = ", ".join(map(str, value)) if isinstance(value, list) else value
    return {prefix: "null" if shown is None else str(shown)}


def _both(a: pa.Table, b: pa.Table) -> pa.Table:
    """The rows of both runs. The name of a variant begins with that of its run."""
    return pa.concat_tables([_named(a, A), _named(b, B)])


def _named(table: pa.Table, run: str) -> pa.Table:
    at = table.column_names.index("variant")
    names = pc.binary_join_element_wise(run, table["variant"], ":")
    return table.set_column(at, table.schema.field(at), names)


def _sorted(scores: pa.Table) -> pa.Table:
    """The scores in an order that does not depend on the run."""
    return scores.sort_by([(name, "ascending") for name in FRAME])


def _compared(
    cells: ScoredCells, level: Level, holdout: str, *, nested: bool
) -> list[ComparedCells]:
    """A row for each patient count and variant of either run."""
    planned: dict[tuple[str, int | None], dict[int, list[Coordinates]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for place in sorted(cells.planned, key=Coordinates.order):
        line = (place.variant.partition(":")[2], place.gan_epoch)
        planned[line][place.n_patients].append(place)
    rows = []
    for (variant, epoch), by_count in planned.items():
        paired: dict[int, PairedWins] = {}
        reasons: dict[int, str] = {}
        for n, places in by_count.items():
            found = _paired(cells, places, level, holdout)
            if isinstance(found, PairedWins):
                paired[n] = found
            else:
                reasons[n] = found
        contrast_of = contrasts(paired, f"{B}:{variant}", f"{A}:{variant}", nested=nested)
        for n, places in by_count.items():
            of_a, of_b = (_aurocs(cells, places, run, level) for run in (A, B))
            rows.append(
                ComparedCells(
                    n, variant, epoch, len(of_a), len(of_b), _mean(of_a), _mean(of_b),
                    contrast_of.get(n), reasons.get(n, ""),
                )
            )  # fmt: skip
    return sorted(rows, key=lambda row: (row.n_patients, row.variant, row.gan_epoch or 0))


def _aurocs(
    cells: ScoredCells, places: list[Coordinates], run: str, level: Level
) -> list[float | None]:
    """The AUC-ROC of each replicate of one run; None if a class has no unit at this level."""
    here = [p for p in places if p.variant.startswith(f"{run}:") and p in cells.scored]
    return [_auroc(check_units(cells.scored[place]), level) for place in here]


def _auroc(frames: Scored, level: Level) -> float | None:
    try:
        return point_auroc(matrix_at(level, frames))
    except ValueError:  # `_paired` says it
        return None


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _paired(
    cells: ScoredCells, places: list[Coordinates], level: Level, holdout: str
) -> PairedWins | str:
    """The wins of the replicates that both runs have, or why there are none."""
    of_run = {
        run: {p.replicate: p for p in places if p.variant.startswith(f"{run}:")} for run in (A, B)
    }
    for run, other in ((A, B), (B, A)):
        if not of_run[run]:
            return f"only run {other.upper()} has it"
    common = [
        replicate
        for replicate, place in of_run[A].items()
        if place in cells.scored and of_run[B].get(replicate) in cells.scored
    ]
    if not common:
        return "no replicate is done in both"
    if holdout:
        return "other holdout frames"
    scored = {
        (of_run[run][k].variant, k): cells.scored[of_run[run][k]] for run in (A, B) for k in common
    }
    try:
        return pair_up(scored, level)
    except ValueError as error:
        return str(error)
