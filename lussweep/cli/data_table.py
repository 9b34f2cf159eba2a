"""Prints where the splits come from, what each split holds, and what is not used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from lussweep.cli.streams import may_break
from lussweep.data.counts import PLACES, count, unused
from lussweep.data.frames import read_index
from lussweep.data.rows import Skipped
from lussweep.run.notices import skipped_lines
from lussweep.store import tables
from lussweep.study.spec import CLASSES, Manifest

if TYPE_CHECKING:
    from lussweep.run.arguments import Data
    from lussweep.run.folder import Run


def print_data(
    manifest: Manifest,
    splits: str,
    *,
    notes: Iterable[str] = (),
    frames: pa.Table | None = None,
    skipped: Sequence[Skipped] = (),
    stride: int = 1,
    negatives_from: str = "negative_patients",
    reveal_ids: bool = True,
) -> None:
    """Print notes, counts by split and class, and the videos and frames that are not used.

    `splits` says where the splits come from. `frames` is the index of frames, None before the
    videos are decoded. `skipped` are the videos that were left out: patient, video, reason.
    Without `reveal_ids` they are counted, not named.
    """
    console = Console(highlight=False)
    for note in notes:
        console.print(note, soft_wrap=True, markup=False)
    console.print(f"splits: {splits}", soft_wrap=True, markup=False)
    console.print(counts_table(manifest, frames))
    for line in unused(manifest, frames, stride=stride, negatives_from=negatives_from):
        console.print(line, soft_wrap=True, markup=False)
    for line in skipped_lines(skipped, reveal_ids, n_named=None):
        console.print(line, soft_wrap=True, markup=False)


def counts_table(manifest: Manifest, frames: pa.Table | None) -> Table:
    """Patients, videos and frames by split and class. `frames` is the index of frames."""
    table = Table(title="Data by split and class", title_justify="left")
    table.add_column("")
    for split, label in PLACES:
        table.add_column(f"{split} {CLASSES[label]}", justify="right")
    counts = count(manifest, frames)
    rows = {"patients": counts.patients, "videos": counts.videos, "frames": counts.frames}
    for name, numbers in rows.items():
        if numbers is not None:
            table.add_row(name, *(str(numbers[place]) for place in PLACES))
    return table


def print_counts(run: Run, data: Data) -> None:
    """Print the counts of a run's patients, videos and frames, after its videos are decoded."""
    if not data.is_phantom:
        counts = counts_table(run.manifest, frame_index(run))
        with may_break():
            Console(highlight=False).print(counts)


def print_given(run: Run, data: Data) -> bool:
    """Print the data of a run. Returns whether its frames were counted.

    Prints nothing for the phantom: the experiment says what it simulates.
    """
    if data.is_phantom:
        return True
    frames = frame_index(run)
    with may_break():
        print_data(
            run.manifest,
            data.splits,
            notes=data.notes,
            frames=frames,
            skipped=data.skipped,
            stride=run.study.data.preprocess.frame_stride,
            negatives_from=run.study.cohort.negatives_from,
            reveal_ids=run.reveal_ids,
        )
    return frames is not None


def frame_index(run: Run) -> pa.Table | None:
    """The index of a run's frames. None before its videos are decoded."""
    refs = [ref for ref in run.requested.steps if ref.startswith("ingest/")]
    if not all(map(run.store.has, refs)):
        return None
    return tables.concat([read_index(run.store.open(ref)) for ref in refs], tables.FRAMES)
