"""The release card of a user's own synthetic frames: numbers, a gate, and its verdict.

`_measured` alone knows how a card is computed. It calls what the stage `memorisation` calls.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lussweep.metrics.arrays import ArrayLike, as_ids, as_numbers
from lussweep.metrics.distances import Device
from lussweep.metrics.features import pixels
from lussweep.metrics.privacy import Memorisation, memorisation
from lussweep.metrics.sets import as_floats, as_samples
from lussweep.study.spec import MemorisationSpec, ReleaseGateSpec

NO_PATIENTS = (
    "patients are not known, so each frame counts as a patient of its own: near frames of a video "
    "can hide a copy from authenticity_across_patients"
)
SIDE = MemorisationSpec().side
"""Frames are shrunk to this many pixels a side, as in a run: `memorisation.side`."""


@dataclass(frozen=True, eq=False, repr=False)
class ReleaseCard:
    """How near K synthetic frames lie to the frames that their generator saw, and the verdict.

    values: the numbers by name, as in memorisation.parquet; shares are in [0, 1], a distance is in
    units of the samples, and None could not be measured. is_copy_K: which synthetic frames are
    copies. nearest_training_K: the row of each one's nearest training frame. failures: one line for
    each limit of the gate that the card fails. notes: what the card does not show.
    """

    values: Mapping[str, float | int | None]
    is_copy_K: NDArray[np.bool_]
    nearest_training_K: NDArray[np.int64]
    failures: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the card keeps every limit of the gate. It does not prove anonymity."""
        return not self.failures

    def __repr__(self) -> str:
        """The verdict, what failed, and the numbers, a line each."""
        lines = [_verdict(self), *(f"- {line}" for line in (*self.failures, *self.notes))]
        width = max(map(len, self.values))
        return "\n".join(
            [*lines, *(f"{name:<{width}}  {_shown(v)}" for name, v in self.values.items())]
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{escape(name)}</th><td>{_shown(value)}</td></tr>"
            for name, value in self.values.items()
        )
        lines = "".join(f"<li>{escape(line)}</li>" for line in (*self.failures, *self.notes))
        return f"<p><b>{escape(_verdict(self))}</b></p><ul>{lines}</ul><table>{rows}</table>"


def release_card(
    synthetic: ArrayLike,
    training: ArrayLike,
    holdout: ArrayLike,
    *,
    training_patients: ArrayLike | None = None,
    holdout_patients: ArrayLike | None = None,
    gate: ReleaseGateSpec | None = None,
    copy_quantile: float = 0.01,
    seed: int = 0,
    device: Device = "cpu",
) -> ReleaseCard:
    """Measure whether synthetic frames are copies of training frames, and judge by a gate.

    A copy is as near to a training frame as the nearest `copy_quantile` of the frames of unseen
    patients. `authenticity` follows Alaa et al. 2022 (arXiv 2102.08921);
    `lussweep/metrics/privacy.py` explains each number. A card that passes does not prove that
    frames are anonymous.

    synthetic: (K, H, W) grey frames of type uint8, or (K, D) features. training: the frames that
    the generator saw, (N, H, W) or (N, D). holdout: frames of other patients, (M, H, W) or (M, D).
    Larger frames are shrunk to 64 x 64 pixels, as in a run. training_patients (N,) and
    holdout_patients (M,) are texts or whole numbers. Without them each frame counts as a patient,
    and `notes` says so. `gate` holds the limits; by default at most a tenth of the frames may be
    copies. `seed` draws equally many patients and frames of both sides. Raises ValueError for sets
    of different shapes, missing or infinite values, or a patient in both training and holdout.

    >>> import numpy as np
    >>> import lussweep
    >>> rng = np.random.default_rng(0)
    >>> training, holdout, new = rng.normal(size=(3, 60, 8))
    >>> patients = np.repeat(np.arange(12), 5)
    >>> known = {"training_patients": patients, "holdout_patients": patients + 12}
    >>> lussweep.release_card(training, training, holdout, **known).failures
    ('copy_share is 1, allowed is at most 0.1',)
    >>> lussweep.release_card(new, training, holdout, **known).passed
    True
    """
    sets = {"synthetic": synthetic, "training": training, "holdout": holdout}
    samples = {name: _samples(values, f"{name} frames") for name, values in sets.items()}
    widths = {name: x_ND.shape[1] for name, x_ND in samples.items()}
    if len(set(widths.values())) > 1:
        found = ", ".join(f"{name} {width}" for name, width in widths.items())
        raise ValueError(f"the sets differ in their number of features or pixels: {found}")
    if len({x_ND.dtype == np.uint8 for x_ND in samples.values()}) > 1:
        samples = {name: as_floats(x_ND) for name, x_ND in samples.items()}
    if (training_patients is None) != (holdout_patients is None):
        raise ValueError("give both training_patients and holdout_patients, or neither")
    if training_patients is None or holdout_patients is None:
        n_train, n_holdout = len(samples["training"]), len(samples["holdout"])
        train_id_N, holdout_id_M = np.arange(n_train), np.arange(n_train, n_train + n_holdout)
    else:
        train_id_N = as_ids(training_patients, "training_patients")
        holdout_id_M = as_ids(holdout_patients, "holdout_patients")
        _refuse_shared(train_id_N, holdout_id_M)
    values, measured = _measured(
        samples, train_id_N, holdout_id_M, copy_quantile=copy_quantile, seed=seed, device=device
    )
    return ReleaseCard(
        values,
        measured.is_copy_K,
        measured.nearest_train_K,
        tuple((gate or ReleaseGateSpec()).failures(values)),
        (NO_PATIENTS,) if training_patients is None else (),
    )


def _measured(
    samples: Mapping[str, NDArray[Any]],
    train_id_N: NDArray[Any],
    holdout_id_M: NDArray[Any],
    *,
    copy_quantile: float,
    seed: int,
    device: Device,
) -> tuple[dict[str, float | int | None], Memorisation]:
    """The numbers of a card, named as the gate names them."""
    measured = memorisation(
        samples["training"],
        train_id_N,
        samples["holdout"],
        holdout_id_M,
        samples["synthetic"],
        copy_quantile=copy_quantile,
        seed=seed,
        device=device,
    )
    values: dict[str, float | int | None] = {
        "n_synthetic": len(samples["synthetic"]),
        "n_train": len(samples["training"]),
        "n_compared": measured.n_compared,
        "ratio_median": measured.ratio_median,
        "nearer_train_share": measured.nearer_train_share,
        "copy_threshold": measured.copy_threshold,
        "copy_share": measured.copy_share,
        "most_copies_of_a_patient": max(measured.copies_per_patient.values()),
        "authenticity": measured.authenticity,
        "authenticity_across_patients": measured.authenticity_across_patients,
    }
    return {k: v if v is None or math.isfinite(v) else None for k, v in values.items()}, measured


def _samples(values: ArrayLike, name: str) -> NDArray[Any]:
    """Frames as rows of shrunk pixels, or features as they are."""
    array = as_numbers(values, name)
    if array.ndim != 3:
        return as_samples(array, name)
    if array.dtype != np.uint8:
        raise ValueError(
            f"{name} are images of type {array.dtype}: give grey levels of type uint8, or features "
            "(samples, features)"
        )
    if 0 in array.shape:
        raise ValueError(f"{name} have shape {array.shape}: give at least one frame")
    if max(array.shape[1:]) > SIDE:
        import cv2

        shrunk = [cv2.resize(f, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for f in array]
        array = np.stack(shrunk)
    return pixels(array)


def _refuse_shared(train_id_N: NDArray[Any], holdout_id_M: NDArray[Any]) -> None:
    if train_id_N.dtype.kind in "SU" and holdout_id_M.dtype.kind not in "SU":
        raise ValueError("training_patients are texts, holdout_patients are numbers: give one type")
    shared = np.intersect1d(train_id_N, holdout_id_M)
    if len(shared):
        named = ", ".join(map(str, shared[:3].tolist()))
        raise ValueError(
            f"{len(shared)} patients are in training and in holdout ({named}): give holdout frames "
            "of patients whom the generator has not seen"
        )


def _verdict(card: ReleaseCard) -> str:
    return "passes the release gate" if card.passed else "fails the release gate"


def _shown(value: float | int | None) -> str:
    if value is None:
        return "not measured"
    return str(value) if isinstance(value, int) else f"{value:.4g}"
