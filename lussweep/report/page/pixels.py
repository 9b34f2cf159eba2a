"""Frames of a run as pictures of the page, from its tables and artifacts."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lussweep.data.cohort import of_class
from lussweep.data.frames import load_pixels
from lussweep.report.cells import Row
from lussweep.report.page.seam import PageSource
from lussweep.report.samples import FRAME, NEAREST, nearest_sets
from lussweep.report.sections import Collected, NotWritten
from lussweep.report.sections.feature_map import spread_counts
from lussweep.store import names
from lussweep.store.arrays import read_array
from lussweep.study.spec import CLASS_WORDS

SIDE = 96
"""Largest side of a frame on the page, in pixels."""
N_FRAMES = 8
"""Frames of a row."""
MOST_COUNTS = 6


@dataclass(frozen=True)
class Strip:
    """A row of frames as one picture."""

    title: str
    uri: str
    width: int
    height: int
    epoch: int | None = None
    """The GAN epoch of synthetic frames."""


@dataclass(frozen=True)
class Group:
    """Strips that belong together."""

    title: str
    strips: Sequence[Strip]

    @property
    def epochs(self) -> list[int]:
        """The GAN epochs of the strips, if they differ."""
        epochs = sorted({s.epoch for s in self.strips if s.epoch is not None})
        return epochs if len(epochs) > 1 else []


def is_phantom(collected: Collected) -> bool:
    """Whether the frames are the simulator's. False where the artifacts do not say it."""
    try:
        shards = collected.table("frames")["shard"]
    except NotWritten:
        return False
    store = collected.reported.store
    if not len(shards) or not store.has(shards[0].as_py()):
        return False
    return "phantom" in store.record(shards[0].as_py())["spec"]


def strip(title: str, frames_NSS: np.ndarray, epoch: int | None = None) -> Strip:
    """Frames (N, S, S) uint8 in one row, each SIDE pixels or less, as a PNG inside its address."""
    from PIL import Image

    side = min(SIDE, frames_NSS.shape[1])
    row = Image.new("L", (len(frames_NSS) * (side + 2) - 2, side), 255)
    for i, pixels in enumerate(frames_NSS):
        frame = Image.fromarray(np.ascontiguousarray(pixels))
        row.paste(frame.resize((side, side), Image.Resampling.BOX), (i * (side + 2), 0))
    file = io.BytesIO()
    row.save(file, format="PNG", optimize=True)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return Strip(title, f"data:image/png;base64,{data}", *row.size, epoch)


def sample_groups(source: PageSource) -> list[Group]:
    """Real frames of a cohort, and synthetic frames of its generators, by class and patient count.

    The first replicate of each count is shown, at each GAN epoch that has a set.
    """
    cards = source.rows("memorisation")
    store, cohorts = source.collected.reported.store, source.collected.table("cohorts")
    groups = []
    for n in spread_counts((row["n_patients"] for row in cards), MOST_COUNTS):
        replicate = min(row["replicate"] for row in cards if row["n_patients"] == n)
        of_draw = cohorts.filter(
            pc.and_(pc.equal(cohorts["n_patients"], n), pc.equal(cohorts["replicate"], replicate))
        )
        for label, word in CLASS_WORDS.items():
            strips = [
                strip(f"real {word} frames", load_pixels(store, _spread(of_class(of_draw, label))))
            ]
            sets = [r for r in cards
                    if (r["n_patients"], r["replicate"]) == (n, replicate)
                    and r["class"] in (label, "both")]  # fmt: skip
            for card in sorted(sets, key=lambda r: (r["gan"], r["gan_epoch"] or 0)):
                ref = f"synth/{card['synth_key']}"
                if not store.has(ref):
                    continue
                frames = read_array(store.open(ref) / names.SYNTHETIC, np.uint8, mapped=True)
                epoch = card["gan_epoch"]
                at = f", epoch {epoch}" if epoch is not None else ""
                title = f"synthetic {word} frames, {card['gan']}{at}"
                strips.append(strip(title, np.array(frames[:N_FRAMES]), epoch))
            if strips:
                groups.append(Group(f"{n} patients per class, {word}", strips))
    return groups


def _spread(frames: pa.Table) -> pa.Table:
    rows = np.linspace(0, len(frames) - 1, min(N_FRAMES, len(frames))).round().astype(int)
    return frames.take(pa.array(rows))


def nearest_pairs(source: PageSource) -> list[Group]:
    """The synthetic frames nearest to a training frame, above the nearest real frames of each.

    Both classes are shown at the smallest and the largest patient count.
    """
    collected, groups = source.collected, []
    store = collected.reported.store
    for one in nearest_sets(source.rows("closest_pairs"), source.rows("memorisation"), N_FRAMES):
        ref = f"synth/{one.card['synth_key']}"
        if not store.has(ref):
            continue
        frames = read_array(store.open(ref) / names.SYNTHETIC, np.uint8, mapped=True)
        synthetic = np.array(frames[[row["synthetic_row"] for row in one.pairs]])
        ratios = f"{one.pairs[0]['ratio']:.2f} to {one.pairs[-1]['ratio']:.2f}"
        strips = [strip(f"synthetic frames, ratios {ratios}; {_threshold(one.card)}", synthetic)]
        for title, ids in NEAREST.items():
            found = frames_of(collected, one.pairs, ids)
            if found is not None:
                strips.append(strip(title, load_pixels(store, found)))
        if len(strips) > 1:
            title = f"{one.n_patients} patients per class, {CLASS_WORDS[one.label]}"
            groups.append(Group(title, strips))
    return groups


def _threshold(card: Row) -> str:
    """Above which ratio a frame of this set is a copy."""
    threshold = card["copy_threshold"]
    if threshold is None:
        return "too few holdout patients for a threshold of copies"
    return f"a copy is above {threshold:.2f}"


def frames_of(
    collected: Collected, rows: Sequence[Row], ids: Sequence[str] = FRAME
) -> pa.Table | None:
    """The rows of `frames` with these patients, videos and frame numbers, in this order.

    `ids` are the columns that name them. None if the artifacts that hold their pixels are not at
    hand, or if rows do not name a frame.
    """
    index = collected.table("frames")
    columns = (index[name].to_pylist() for name in FRAME)
    where = {place: i for i, place in enumerate(zip(*columns, strict=True))}
    places = [tuple(row[name] for name in ids) for row in rows]
    if not all(place in where for place in places):
        return None
    found = index.take(pa.array([where[place] for place in places]))
    return found if at_hand(collected, found) else None


def at_hand(collected: Collected, frames: pa.Table) -> bool:
    """Whether the store holds the pixels of these frames."""
    store = collected.reported.store
    return all(store.has(shard) for shard in frames["shard"].unique().to_pylist())
