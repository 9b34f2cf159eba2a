"""Stage that makes the memorisation card of a synthetic set.

No other step uses the card, because it is made from holdout frames too.
"""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from lussweep.data.cohort import of_class, patient_ids, usable_frames
from lussweep.data.frames import load_pixels
from lussweep.metrics.features import pixels
from lussweep.metrics.privacy import memorisation
from lussweep.stages.context import Context, Summary, refuse_overlap, split_index
from lussweep.stages.synthesis import generator_frames
from lussweep.store import names, tables
from lussweep.store.arrays import read_array
from lussweep.study.plan import Step
from lussweep.study.plan.step_specs import MemorisationStep

N_PAIRS = 20
"""Number of closest pairs that are kept for the report's sheet."""


def run_memorisation(step: Step, context: Context, out: Path) -> Summary:
    """Measures whether synthetic frames are nearer to training frames than to holdout frames."""
    card_step = MemorisationStep.of(step)
    spec, label = card_step.memorisation, card_step.label
    train = generator_frames(step.inputs["synth"], step, context)
    holdout = usable_frames(split_index(step, context, "holdout"))
    refuse_overlap("training and holdout", patient_ids(train), patient_ids(holdout))
    if set(train["label"].to_pylist()) != {0, 1}:
        holdout = of_class(holdout, label)
    synthetic = read_array(context.store.open(step.inputs["synth"]) / names.SYNTHETIC, np.uint8)
    synthetic = synthetic[: spec.n_images]
    measured = memorisation(
        _shrunk(load_pixels(context.store, train), spec.side),
        np.array(train["patient_id"].to_pylist()),
        _shrunk(load_pixels(context.store, holdout), spec.side),
        np.array(holdout["patient_id"].to_pylist()),
        _shrunk(synthetic, spec.side),
        copy_quantile=spec.copy_quantile,
        seed=card_step.seed,
        device=context.torch_device(),
    )
    card = {
        "class": label,
        "n_synthetic": len(synthetic),
        "n_train": len(train),
        "n_compared": measured.n_compared,
        "ratio_median": _finite_or_none(measured.ratio_median),
        "nearer_train_share": measured.nearer_train_share,
        "copy_threshold": measured.copy_threshold,
        "copy_share": measured.copy_share,
        "most_copies_of_a_patient": max(measured.copies_per_patient.values()),
        "authenticity": measured.authenticity,
        "authenticity_across_patients": _finite_or_none(measured.authenticity_across_patients),
    }
    tables.write(out / names.CARD, [card], tables.MEMORISATION)
    copies = [
        {"class": label, "patient_id": patient, "n_copies": n}
        for patient, n in measured.copies_per_patient.items()
    ]
    tables.write(out / names.COPIES, copies, tables.COPIES)
    nearest = np.argsort(measured.distance_K, kind="stable")[:N_PAIRS]
    near_train = train.take(measured.nearest_train_K[nearest]).to_pylist()
    pairs = [
        {
            "class": label,
            "synthetic_row": int(row),
            "distance": float(measured.distance_K[row]),
            "is_copy": bool(measured.is_copy_K[row]),
            **{name: frame[name] for name in ("patient_id", "video_id", "frame")},
        }
        for row, frame in zip(nearest, near_train, strict=True)
    ]
    tables.write(out / names.PAIRS, pairs, tables.PAIRS)
    return card


def _finite_or_none(value: float) -> float | None:
    """The value, or None if it is not finite and so cannot be measured.

    A share between patients cannot be measured with one patient. A median ratio cannot be measured
    if half of the distances to holdout frames are zero.
    """
    return value if math.isfinite(value) else None


def _shrunk(frames_NSS: np.ndarray, side: int) -> np.ndarray:
    """Frames (N, S, S) as rows of grey levels, shrunk to at most `side` pixels a side."""
    if frames_NSS.shape[1] > side:
        small = [cv2.resize(f, (side, side), interpolation=cv2.INTER_AREA) for f in frames_NSS]
        frames_NSS = np.stack(small)
    return pixels(frames_NSS)
