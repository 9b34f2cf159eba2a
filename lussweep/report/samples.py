"""Chooses the real and synthetic frames that a report shows side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from lussweep.data.cohort import of_class
from lussweep.data.frames import load_pixels
from lussweep.report.sections import Collected
from lussweep.store import names, tables
from lussweep.store.arrays import read_array
from lussweep.study.spec import KNOWN

SHEET_COLUMNS = 10
FRAME = ("patient_id", "video_id", "frame")
WORDS = {"pos": "positive", "neg": "negative"}
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
                (f"real {WORDS[label]}, n = {n}", load_pixels(reported.store, frames.take(spread)))
            )
            synthetic = read_array(
                reported.store.open(ref_of[n, label]) / names.SYNTHETIC, np.uint8, mapped=True
            )
            groups.append(
                (f"synthetic {WORDS[label]}, n = {n}", np.array(synthetic[:SHEET_COLUMNS]))
            )
    return groups


def nearest_frames(collected: Collected) -> list[Labelled]:
    """The synthetic frames nearest to a training frame, and the nearest real frames of each.

    The rows are the synthetic frames, the nearest training frames and, where the card names them,
    the nearest holdout frames. Both classes are shown at the smallest and the largest count.
    """
    reported, index = collected.reported, collected.table("frames")
    pairs, cards = collected.table("closest_pairs"), collected.table("memorisation")
    where = {place: i for i, place in enumerate(_places(index, FRAME))}
    groups = []
    counts = pairs["n_patients"].to_pylist()
    for n in dict.fromkeys((min(counts, default=0), max(counts, default=0))):
        for label, word in WORDS.items():
            candidates = [
                row for row in pairs.to_pylist() if (row["n_patients"], row["class"]) == (n, label)
            ]
            candidates.sort(key=lambda row: row["gan"] in KNOWN)  # those of generators go first
            if not candidates:
                continue
            first_set = [candidates[0][name] for name in tables.SYNTH_SET]
            shown = [r for r in candidates if [r[name] for name in tables.SYNTH_SET] == first_set][
                :SHEET_COLUMNS
            ]
            card = next(
                c for c in cards.to_pylist() if [c[name] for name in tables.SYNTH_SET] == first_set
            )
            path = reported.store.open(f"synth/{card['synth_key']}") / names.SYNTHETIC
            synthetic = read_array(path, np.uint8, mapped=True)[
                [row["synthetic_row"] for row in shown]
            ]
            groups.append((f"synthetic {word}, n = {n}: the nearest to training frames", synthetic))
            for title, ids in NEAREST.items():
                if all(row[name] is not None for row in shown for name in ids):
                    near = index.take([where[tuple(row[name] for name in ids)] for row in shown])
                    groups.append((title, load_pixels(reported.store, near)))
    return groups


def _places(table: pa.Table, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in columns), strict=True))
