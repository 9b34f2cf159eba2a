"""Phantom studies whose answer is known: sets with disguised copies, and sets of fresh patients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from lussweep.data.phantom import phantom_manifest, render_video
from lussweep.metrics.copies import (
    Copies,
    Ratios,
    Yardstick,
    find_copies,
    ratios,
    yardstick,
)
from lussweep.study.spec import PhantomSpec, ReleaseGateSpec

SIDE = 64
COPY_SHARE = 0.2
"""Of a set with copies."""
COUNTS = ((6, 12), (15, 24), (58, 120))
"""Training patients, and holdout patients, of one class."""
N_FRESH = 58

Frames = np.ndarray
Change = Callable[[Frames, np.random.Generator], Frames]


class Split(NamedTuple):
    frames: Frames
    patient_N: np.ndarray

    def first(self, n_patients: int) -> Split:
        chosen = self.patient_N < n_patients
        return Split(self.frames[chosen], self.patient_N[chosen])


# --- changes of a frame (S, S) ---------------------------------------------------------------


def _grey(change: Change) -> Change:
    def changed(frame: Frames, rng: np.random.Generator) -> Frames:
        return np.clip(np.rint(change(frame.astype(np.float64), rng)), 0, 255).astype(np.uint8)

    return changed


def _warped(frame: Frames, angle: float, scale: float, right: float = 0, down: float = 0) -> Frames:
    middle = ((frame.shape[0] - 1) / 2,) * 2
    matrix = cv2.getRotationMatrix2D(middle, angle, scale)
    matrix[:, 2] += (right, down)
    return cv2.warpAffine(frame, matrix, frame.shape[::-1])


def _sign(rng: np.random.Generator) -> int:
    return int(rng.choice((-1, 1)))


def _shift(size: int) -> Change:
    """`size` pixels along one side, and up to as many along the other."""

    def changed(frame: Frames, rng: np.random.Generator) -> Frames:
        offsets = rng.permutation([size * _sign(rng), int(rng.integers(-size, size + 1))])
        return _warped(frame, 0, 1, *map(float, offsets))

    return changed


def _jpeg(frame: Frames, rng: np.random.Generator) -> Frames:
    packed = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 30])[1]
    return cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)


CHANGES: dict[str, Change] = {
    "exact": lambda frame, rng: frame,
    "noise, SD 15": _grey(lambda frame, rng: frame + rng.normal(0, 15, frame.shape)),
    "brightness +-30": _grey(lambda frame, rng: frame + 30 * _sign(rng)),
    "gamma 1.5 or 1/1.5": _grey(lambda frame, rng: 255 * (frame / 255) ** 1.5 ** _sign(rng)),
    **{f"shift {size} px": _shift(size) for size in (1, 2, 3, 4)},
    "mirror": lambda frame, rng: frame[:, ::-1],
    "turn 3 degrees": lambda frame, rng: _warped(frame, 3 * _sign(rng), 1),
    "zoom 5 %": lambda frame, rng: _warped(frame, 0, 1 + 0.05 * _sign(rng)),
    "JPEG, quality 30": _jpeg,
    "blur 5x5": lambda frame, rng: cv2.blur(frame, (5, 5)),
}
"""What may have been done to a copy. The gate should see through each."""
BEYOND: dict[str, Change] = {
    "turn 6 degrees": lambda frame, rng: _warped(frame, 6 * _sign(rng), 1),
    "turn 10 degrees": lambda frame, rng: _warped(frame, 10 * _sign(rng), 1),
    "zoom 10 %": lambda frame, rng: _warped(frame, 0, 1 + 0.1 * _sign(rng)),
    "shift 6 px": _shift(6),
    "blur 9x9": lambda frame, rng: cv2.blur(frame, (9, 9)),
    "negative": lambda frame, rng: 255 - frame,
}
"""What the gate is not made for: how far it sees is measured."""
HONEST = {"fresh": CHANGES["exact"], "fresh, blurred 5x5": CHANGES["blur 5x5"]}
ONE_FRAME = {"one frame repeated": COPY_SHARE, "one frame repeated, 9 %": 0.09}


# --- studies ---------------------------------------------------------------------------------


def rendered(seed: int, cache: Path | None = None) -> dict[str, Split]:
    """Frames of one class of the phantom by split; `val` holds the fresh patients.

    Even seeds have positives, odd ones negatives. `cache` is a folder that keeps them.
    """
    path = cache / f"{seed}.npz" if cache else None
    if path and path.exists():
        with np.load(path) as file:
            return {name: Split(file[name], file[f"{name}_patient"]) for name in PATIENTS}
    label = int(seed % 2 == 0)
    spec = PhantomSpec(**{f"{split}_patients": n for split, n in PATIENTS.items()})
    videos = phantom_manifest(spec, seed).videos
    found = {}
    for split in PATIENTS:
        mine = [v for v in videos if v.split == split and v.label == label]
        mine = [v for v in mine if f"-{('neg', 'pos')[label]}-" in v.patient_id]
        frames = [render_video(video, spec.frames_per_video, SIDE, seed) for video in mine]
        patient = np.repeat([int(v.patient_id[-3:]) - 1 for v in mine], spec.frames_per_video)
        found[split] = Split(np.concatenate(frames), patient)
    if path:
        columns = {f"{name}_patient": split.patient_N for name, split in found.items()}
        np.savez(path, **{name: split.frames for name, split in found.items()}, **columns)
    return found


PATIENTS = {"train": 58, "val": N_FRESH, "holdout": 120}


class Judged(NamedTuple):
    word: str
    copies: Copies
    by: Yardstick


def judge_sets(
    splits: Mapping[str, Split],
    n_train: int,
    n_holdout: int,
    seed: int,
    changes: Mapping[str, Change] = CHANGES,
    gate: ReleaseGateSpec | None = None,
) -> dict[str, Judged]:
    """The verdict on each set, by what was done to its copies or to its fresh frames.

    A set has as many frames as the training patients. A share of them are copies of training
    frames, the others show fresh patients, as many as there are training patients.
    """
    gate = gate or ReleaseGateSpec()
    rng = np.random.default_rng([seed, n_train, n_holdout])
    train, holdout = splits["train"].first(n_train), splits["holdout"].first(n_holdout)
    fresh = splits["val"].first(n_train).frames
    fresh = fresh[rng.permutation(len(fresh))][: len(train.frames)]
    by = yardstick(train.frames, holdout.frames, holdout.patient_N, seed=seed)
    chosen = rng.permutation(len(train.frames))[: _n_copies(train, COPY_SHARE)]

    copied = train.frames[chosen]
    asked = {name: (fresh, change) for name, change in HONEST.items()}
    asked |= {name: (copied, change) for name, change in changes.items()}
    found = _ratios_of(
        by, {name: [change(f, rng) for f in frames] for name, (frames, change) in asked.items()}
    )
    honest, exact = found["fresh"], found["exact"]
    sets = {name: one if name in HONEST else _mixed(one, honest) for name, one in found.items()}
    for name, share in ONE_FRAME.items():
        sets[name] = _mixed(_repeated(exact, _n_copies(train, share)), honest)
    patients = train.patient_N.astype(str)
    judged = {}
    for name, one in sets.items():
        copies = find_copies(one, by.threshold, patients)
        judged[name] = Judged(gate.verdict(card_of(copies, by)).word, copies, by)
    return judged


def card_of(copies: Copies, by: Yardstick) -> dict[str, Any]:
    """The numbers of a card that the gate reads."""
    return {
        "n_synthetic": len(copies.is_copy_K),
        "copy_share": copies.copy_share,
        "frame_share": copies.frame_share,
        "recognisable_share": copies.recognisable_share,
        "caught_share": by.caught_share,
        "n_holdout_patients": by.n_patients,
    }


def _n_copies(train: Split, share: float) -> int:
    return int(np.ceil(share * len(train.frames)))


def _ratios_of(by: Yardstick, sets: Mapping[str, list[Frames]]) -> dict[str, Ratios]:
    """The ratios of each set, measured at once. The ratio of a frame depends on no other frame."""
    every = ratios(by, np.stack([frame for frames in sets.values() for frame in frames]))
    ends = np.cumsum([len(frames) for frames in sets.values()])[:-1]
    columns = zip(*(np.split(column_K, ends) for column_K in columns_of(every)), strict=True)
    return {name: Ratios(*column) for name, column in zip(sets, columns, strict=True)}


def columns_of(ratios: Ratios) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return ratios.ratio_K, ratios.nearest_train_K, ratios.nearest_holdout_K


def _repeated(copied: Ratios, n: int) -> Ratios:
    """The first frame, n times."""
    return Ratios(*(np.repeat(column_K[:1], n) for column_K in columns_of(copied)))


def _mixed(copied: Ratios, honest: Ratios) -> Ratios:
    """Copies in the place of the last frames of an honest set."""
    kept = len(honest.ratio_K) - len(copied.ratio_K)
    pairs = zip(columns_of(copied), columns_of(honest), strict=True)
    return Ratios(*(np.concatenate([copied_K, honest_K[:kept]]) for copied_K, honest_K in pairs))
