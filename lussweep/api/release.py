"""The release card of a user's own synthetic frames: numbers, a gate, and its verdict.

The numbers come from `memorisation_card`, which makes the cards of a run's steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lussweep.data.leaks import normal_id
from lussweep.metrics.arrays import ArrayLike, as_ids, as_numbers
from lussweep.metrics.card import memorisation_card
from lussweep.metrics.distances import Device
from lussweep.study.spec import MemorisationSpec, ReleaseGateSpec
from lussweep.study.spec.release import Verdict

NO_PATIENTS = (
    "patients are not known, so each frame counts as a patient: give training_patients and "
    "holdout_patients"
)
DEFAULT = MemorisationSpec()


@dataclass(frozen=True, eq=False, repr=False)
class ReleaseCard:
    """The memorisation card of K synthetic frames: its numbers, the copies and the verdict.

    values: the numbers by name, as in memorisation.parquet; shares are in [0, 1], ratios have no
    unit, and None could not be measured. ratio_K: how much nearer each synthetic frame is to
    training than to holdout. is_copy_K: whether that is above values["copy_threshold"].
    nearest_training_K: the row of each one's nearest training frame. copies_of_patient: the number
    of copies by training patient. verdict: a word, passed, refused or unjudged, and its reasons.
    notes: what the card does not show.
    """

    values: Mapping[str, float | int | None]
    ratio_K: NDArray[np.float64]
    is_copy_K: NDArray[np.bool_]
    nearest_training_K: NDArray[np.int64]
    copies_of_patient: Mapping[str, int]
    verdict: Verdict
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the gate passes the card. It does not prove anonymity."""
        return self.verdict.word == "passed"

    def __repr__(self) -> str:
        """The verdict, its reasons, and the numbers, a line each."""
        lines = [self._title, *(f"- {line}" for line in (*self.verdict.reasons, *self.notes))]
        width = max(map(len, self.values))
        return "\n".join(
            [*lines, *(f"{name:<{width}}  {_shown(v)}" for name, v in self.values.items())]
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th><td>{_shown(value)}</td></tr>"
            for name, value in self.values.items()
        )
        lines = "".join(f"<li>{escape(line)}</li>" for line in (*self.verdict.reasons, *self.notes))
        return f"<p><b>{self._title}</b></p><ul>{lines}</ul><table>{rows}</table>"

    @property
    def _title(self) -> str:
        return f"release gate: {self.verdict.word}"


def release_card(
    synthetic: ArrayLike,
    training: ArrayLike,
    holdout: ArrayLike,
    *,
    training_patients: ArrayLike | None = None,
    holdout_patients: ArrayLike | None = None,
    gate: ReleaseGateSpec | None = None,
    n_images: int = DEFAULT.n_images,
    seed: int = 0,
    device: Device = "cpu",
) -> ReleaseCard:
    """Measure whether synthetic frames are copies of training frames, and judge by a gate.

    A copy is nearer to a training frame, beside the nearest holdout frame, than frames of unseen
    patients are (`lussweep/metrics/copies.py`). `authenticity` follows Alaa et al. 2022 (arXiv
    2102.08921); `lussweep/metrics/privacy.py` explains it and the comparison of distances. A card
    that passes does not prove that frames are anonymous.

    synthetic: (K, S, S) grey frames, whole numbers from 0 to 255. training: the frames that the
    generator saw, (N, S, S). holdout: frames of other patients, (M, S, S). training_patients (N,)
    and holdout_patients (M,) are texts or whole numbers. Without them each frame counts as a
    patient, and no card passes. `gate` holds the limits; by default those of a run. `n_images` is
    the most synthetic and holdout frames that are compared. `seed` draws holdout frames, and
    equally many patients and frames of both sides. Raises ValueError for frames of different
    shapes, features in place of frames, or a patient in both training and holdout, also under two
    spellings such as "P7" and "p07".

    >>> import numpy as np
    >>> import lussweep
    >>> rng = np.random.default_rng(0)
    >>> small = rng.integers(256, size=(3, 60, 16, 16), dtype=np.uint8)
    >>> training, holdout, new = small.repeat(4, axis=2).repeat(4, axis=3)  # coarse patterns
    >>> patients = np.repeat(np.arange(12), 5)
    >>> known = {"training_patients": patients, "holdout_patients": patients + 12}
    >>> copied = lussweep.release_card(training, training, holdout, **known)
    >>> copied.verdict.word, copied.verdict.reasons[0]
    ('refused', 'copy_share is 1, allowed is at most 0.1')
    >>> lussweep.release_card(new, training, holdout, **known).verdict.word
    'passed'
    """
    if n_images < 2:
        raise ValueError(f"n_images is {n_images}: give 2 or more")
    sets = {"synthetic": synthetic, "training": training, "holdout": holdout}
    frames = {name: _frames(values, f"{name} frames") for name, values in sets.items()}
    shapes = {name: images.shape[1:] for name, images in frames.items()}
    if len(set(shapes.values())) > 1:
        found = ", ".join(f"{name} {height} x {width}" for name, (height, width) in shapes.items())
        raise ValueError(f"the sets differ in the size of their frames ({found}): resize them")
    if (training_patients is None) != (holdout_patients is None):
        raise ValueError("give both training_patients and holdout_patients, or neither")
    n_train, n_holdout = len(frames["training"]), len(frames["holdout"])
    if training_patients is None or holdout_patients is None:
        train_id_N, holdout_id_M = np.arange(n_train), np.arange(n_train, n_train + n_holdout)
    else:
        train_id_N = _patients(training_patients, "training", n_train)
        holdout_id_M = _patients(holdout_patients, "holdout", n_holdout)
        _refuse_shared(train_id_N, holdout_id_M)
    card = memorisation_card(
        frames["training"],
        train_id_N,
        frames["holdout"],
        holdout_id_M,
        frames["synthetic"],
        n_images=n_images,
        side=DEFAULT.side,
        seed=seed,
        device=device,
    )
    verdict = (gate or ReleaseGateSpec()).verdict(card.values)
    if training_patients is None and verdict.word != "refused":
        verdict = Verdict("unjudged", ("cannot be judged without patients",))
    return ReleaseCard(
        card.values,
        card.copies.ratios.ratio_K,
        card.copies.is_copy_K,
        card.copies.ratios.nearest_train_K,
        card.copies.of_patient,
        verdict,
        _notes(training_patients is not None, len(frames["synthetic"]), n_images),
    )


def _frames(values: ArrayLike, name: str) -> NDArray[np.uint8]:
    """Frames as grey levels, uint8 (N, S, S). Raises ValueError, which calls them `name`."""
    array = as_numbers(values, name)
    if array.ndim != 3:
        raise ValueError(
            f"{name} have shape {array.shape}, not (frames, height, width): give grey frames, "
            "because features do not show copies"
        )
    if 0 in array.shape:
        raise ValueError(f"{name} have shape {array.shape}: give at least one frame")
    if array.shape[1] != array.shape[2]:
        raise ValueError(f"{name} have shape {array.shape}: crop or pad them to squares")
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() > 255:
        raise ValueError(
            f"{name} are of type {array.dtype}, from {array.min():g} to {array.max():g}: give grey "
            "levels, which are whole numbers from 0 to 255"
        )
    return array.astype(np.uint8, copy=False)


def _patients(values: ArrayLike, side: str, n_frames: int) -> NDArray[Any]:
    id_N = as_ids(values, f"{side}_patients")
    if id_N.shape != (n_frames,):
        raise ValueError(
            f"{side}_patients have shape {id_N.shape}, there are {n_frames} {side} frames: give "
            "the patient of each frame"
        )
    return id_N


def _refuse_shared(train_id_N: NDArray[Any], holdout_id_M: NDArray[Any]) -> None:
    if (train_id_N.dtype.kind in "SU") != (holdout_id_M.dtype.kind in "SU"):
        raise ValueError(
            "training_patients and holdout_patients are of two types, texts and numbers: give one"
        )
    shared = np.intersect1d(train_id_N, holdout_id_M)
    if len(shared):
        named = ", ".join(map(str, shared[:3].tolist()))
        raise ValueError(
            f"{len(shared)} patients are in training and in holdout ({named}): give holdout frames "
            "of patients whom the generator has not seen"
        )
    if train_id_N.dtype.kind == holdout_id_M.dtype.kind == "U":
        _refuse_spellings(np.unique(train_id_N), np.unique(holdout_id_M))


def _refuse_spellings(train_ids: NDArray[Any], holdout_ids: NDArray[Any]) -> None:
    """Raises ValueError for a patient in training and holdout whose id is written in two ways."""
    of_training = {normal_id(patient): patient for patient in train_ids.tolist()}
    for patient in holdout_ids.tolist():
        if (other := of_training.get(normal_id(patient))) is not None:
            raise ValueError(
                f"the patients {other!r} in training and {patient!r} in holdout may be one: write "
                "them alike, or make them differ by more than case, spaces, zeros and Unicode form"
            )


def _notes(knows_patients: bool, n_synthetic: int, n_images: int) -> tuple[str, ...]:
    notes = () if knows_patients else (NO_PATIENTS,)
    if n_synthetic <= n_images:
        return notes
    cut = (
        f"the first {n_images} of {n_synthetic} synthetic frames are compared: give a larger "
        "n_images to judge all"
    )
    return (*notes, cut)


def _shown(value: float | int | None) -> str:
    if value is None:
        return "not measured"
    return str(value) if isinstance(value, int) else f"{value:.4g}"
