"""Prints how many patients, videos and frames the cells of a plan train on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from lussweep.data.cohort_counts import CohortCounts, count_cohort, videos_of
from lussweep.errors import InputError
from lussweep.study.plan.step_specs import CohortStep

if TYPE_CHECKING:
    from lussweep.study.plan import Plan
    from lussweep.study.spec import Manifest, PhantomSpec


def print_cohorts(
    plan: Plan, manifest: Manifest, phantom: PhantomSpec | None, index: pa.Table | None
) -> None:
    """Print a row for each patient count, and why some cohorts cannot be drawn.

    `index` is the index of all frames, None before the videos are decoded. The frames of the
    phantom are known before.
    """
    videos = videos_of(manifest, index, phantom.frames_per_video if phantom else None)
    drawn: dict[int, list[CohortCounts]] = {}
    problems: dict[str, None] = {}
    for step in plan.steps.values():
        if step.stage != "cohort":
            continue
        spec = CohortStep.of(step)
        if spec.n_patients is None:
            continue  # the detector's, which is of no cell
        try:
            counts = count_cohort(videos, spec.n_patients, spec.cohort, spec.seed)
        except InputError as error:
            problems |= dict.fromkeys(f"{step.name}: {line}" for line in error.problems)
        else:
            drawn.setdefault(spec.n_patients, []).append(counts)
    if not drawn and not problems:
        return
    console = Console(highlight=False)
    table = Table(title="Real data that a cell trains on", title_justify="left")
    for heading in (
        "positive\npatients", "negative\npatients", "positive\nvideos", "negative\nvideos",
        "frames of\neach class",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for n, counts_of in sorted(drawn.items()):
        table.add_row(
            str(n),
            str(n),
            _range(counts.n_pos_videos for counts in counts_of),
            _range(counts.n_neg_videos for counts in counts_of),
            _range(counts.n_frames for counts in counts_of),
        )
    console.print(table)
    if any(counts.n_frames is None for counts_of in drawn.values() for counts in counts_of):
        console.print("The frames are counted when the videos are decoded.")
    for problem in problems:
        console.print(problem, soft_wrap=True, markup=False)


def _range(values: Iterable[int | None]) -> str:
    """The values of all replicates: one number, or the least and the greatest."""
    known = [value for value in values if value is not None]
    if not known:
        return "not yet known"
    low, high = min(known), max(known)
    return str(low) if low == high else f"{low} to {high}"
