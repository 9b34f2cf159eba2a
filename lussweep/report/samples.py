"""Chooses the real and synthetic frames that a report shows side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from lussweep.data.cohort import of_class
from lussweep.data.frames import load_pixels
from lussweep.report.cells import Row
from lussweep.report.sections import Collected
from lussweep.store import names, tables
from lussweep.store.arrays import read_array
from lussweep.study.spec import CLASS_WORDS, KNOWN

SHEET_COLUMNS = 10
FRAME = ("patient_id", "video_id", "frame")
NEAREST = {
    "nearest training frames": FRAME,
    "nearest holdout frames": tuple(f"holdout_{name}" for name in FRAME),
}
"""The columns of a table of pairs that name the nearest real frame of each kind."""
Labelled = tuple[str, np.ndarray]
"""A title, and frames (N, S, S) uint8."""


def sampled_frames(collected: Collected) -> list[Labelled]:
    """Real and synthetic frames of both classes at the smallest and the largest patient count."""
    reported = collected.reported
    groups = []
    ref_of: dict[tuple[int, str], str] = {}
    cohorts: dict[int, str] = {}
    for cell in reported.plan.cells:
        for label in ("pos", "neg"):
            ref = cell.refs.get(f"synth_{label}")
            if ref and cell.recipe.generator(label) and reported.store.has(ref):
                n = cell.coordinates.n_patients
                ref_of.setdefault((n, label), ref)
                cohorts.setdefault(n, cell.refs["cohort"])
    for n in dict.fromkeys((min(cohorts, default=0), max(cohorts, default=0))):
        for label in ("pos", "neg"):
            if (n, label) not in ref_of:
                continue
            table = tables.read_frames(reported.store.open(cohorts[n]) / names.COHORT)
            frames = of_class(table, label)
            spread = np.linspace(0, len(frames) - 1, min(SHEET_COLUMNS, len(frames))).astype(int)
            groups.append(
                (
                    f"real {CLASS_WORDS[label]}, n = {n}",
                    load_pixels(reported.store, frames.take(spread)),
                )
            )
            synthetic = read_array(
                reported.store.open(ref_of[n, label]) / names.SYNTHETIC, np.uint8, mapped=True
            )
            groups.append(
                (f"synthetic {CLASS_WORDS[label]}, n = {n}", np.array(synthetic[:SHEET_COLUMNS]))
            )
    return groups


class NearestSet(NamedTuple):
    """The synthetic frames of one set that are nearest to training frames."""

    n_patients: int
    label: str
    """pos or neg."""
    pairs: Sequence[Row]
    """Rows of `closest_pairs`, the largest ratio first."""
    card: Row
    """The row of `memorisation`."""


def nearest_sets(pairs: Sequence[Row], cards: Sequence[Row], most: int) -> list[NearestSet]:
    """A set of each class at the smallest and the largest patient count, with its first pairs.

    Sets of generators go before those of known worth. `most` is the largest number of pairs.
    """
    sets = []
    counts = [row["n_patients"] for row in pairs]
    for n in dict.fromkeys((min(counts, default=0), max(counts, default=0))):
        for label in CLASS_WORDS:
            mine = [row for row in pairs if (row["n_patients"], row["class"]) == (n, label)]
            mine.sort(key=lambda row: row["gan"] in KNOWN)
            if mine:
                own = [row for row in mine if _set(row) == _set(mine[0])]
                card = next(card for card in cards if _set(card) == _set(mine[0]))
                sets.append(NearestSet(n, label, own[:most], card))
    return sets


def _set(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in tables.SYNTH_SET)


def nearest_frames(collected: Collected) -> list[Labelled]:
    """The synthetic frames nearest to a training frame, and the nearest real frames of each.

    The rows are the synthetic frames, the nearest training frames and, where the card names them,
    the nearest holdout frames. Both classes are shown at the smallest and the largest count.
    """
    reported, index = collected.reported, collected.table("frames")
    pairs, cards = collected.table("closest_pairs"), collected.table("memorisation")
    where = {place: i for i, place in enumerate(_places(index, FRAME))}
    groups = []
    for one in nearest_sets(pairs.to_pylist(), cards.to_pylist(), SHEET_COLUMNS):
        path = reported.store.open(f"synth/{one.card['synth_key']}") / names.SYNTHETIC
        rows = [row["synthetic_row"] for row in one.pairs]
        synthetic = read_array(path, np.uint8, mapped=True)[rows]
        word = CLASS_WORDS[one.label]
        title = f"synthetic {word}, n = {one.n_patients}: the nearest to training frames"
        groups.append((title, synthetic))
        for title, ids in NEAREST.items():
            if all(row[name] is not None for row in one.pairs for name in ids):
                near = index.take([where[tuple(row[name] for name in ids)] for row in one.pairs])
                groups.append((title, load_pixels(reported.store, near)))
    return groups


def _places(table: pa.Table, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in columns), strict=True))
