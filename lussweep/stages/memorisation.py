"""The memorisation card of a synthetic set. A leaf of the plan, because it may see holdout."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from lussweep.data.cohort import of_class, patient_ids, usable_frames
from lussweep.data.frames import load_pixels
from lussweep.metrics.features import pixels
from lussweep.metrics.privacy import memorisation
from lussweep.stages.context import SYNTHETIC, Context, Summary, refuse_overlap, split_index
from lussweep.stages.synthesis import generator_frames
from lussweep.store import tables
from lussweep.store.arrays import read_array
from lussweep.study.plan import Step
from lussweep.study.spec import MemorisationSpec

CARD = "card.parquet"
COPIES = "copies.parquet"
PAIRS = "pairs.parquet"
N_PAIRS = 20
"""Closest pairs that are kept for the eye."""


def run_memorisation(step: Step, context: Context, out: Path) -> Summary:
    """How near synthetic frames lie to what their generator saw, against unseen patients."""
    spec = MemorisationSpec.model_validate(step.spec["memorisation"])
    label = step.spec["class"]
    train = generator_frames(step.inputs["synth"], step, context)
    holdout = usable_frames(split_index(step, context, "holdout"))
    refuse_overlap("training and holdout", patient_ids(train), patient_ids(holdout))
    if set(train["label"].to_pylist()) != {0, 1}:
        holdout = of_class(holdout, label)
    synthetic = read_array(context.store.open(step.inputs["synth"]) / SYNTHETIC, np.uint8)
    synthetic = synthetic[: spec.n_images]
    found = memorisation(
        _shrunk(load_pixels(context.store, train), spec.side),
        np.array(train["patient_id"].to_pylist()),
        _shrunk(load_pixels(context.store, holdout), spec.side),
        np.array(holdout["patient_id"].to_pylist()),
        _shrunk(synthetic, spec.side),
        copy_quantile=spec.copy_quantile,
        seed=step.spec["seed"],
        device=context.torch_device(),
    )
    card = {
        "class": label,
        "n_synthetic": len(synthetic),
        "n_train": len(train),
        "n_compared": found.n_compared,
        "ratio_median": _known(found.ratio_median),
        "nearer_train_share": found.nearer_train_share,
        "copy_threshold": found.copy_threshold,
        "copy_share": found.copy_share,
        "most_copies_of_a_patient": max(found.copies_per_patient.values()),
        "authenticity": found.authenticity,
        "authenticity_across_patients": _known(found.authenticity_across_patients),
    }
    tables.write(out / CARD, [card], tables.MEMORISATION)
    copies = [
        {"class": label, "patient_id": patient, "n_copies": n}
        for patient, n in found.copies_per_patient.items()
    ]
    tables.write(out / COPIES, copies, tables.COPIES)
    nearest = np.argsort(found.distance_K, kind="stable")[:N_PAIRS]
    near_train = train.take(found.nearest_train_K[nearest]).to_pylist()
    pairs = [
        {
            "class": label,
            "synthetic_row": int(row),
            "distance": float(found.distance_K[row]),
            "is_copy": bool(found.is_copy_K[row]),
            **{name: frame[name] for name in ("patient_id", "video_id", "frame")},
        }
        for row, frame in zip(nearest, near_train, strict=True)
    ]
    tables.write(out / PAIRS, pairs, tables.PAIRS)
    return card


def _known(value: float) -> float | None:
    """None for what cannot be measured: a share between patients where there is one, a ratio of
    which half is zero."""
    return value if math.isfinite(value) else None


def _shrunk(frames_NSS: np.ndarray, side: int) -> np.ndarray:
    """Frames as rows of grey levels, no more than `side` pixels a side."""
    if frames_NSS.shape[1] > side:
        small = [cv2.resize(f, (side, side), interpolation=cv2.INTER_AREA) for f in frames_NSS]
        frames_NSS = np.stack(small)
    return pixels(frames_NSS)
