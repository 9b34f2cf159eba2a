"""Stage that makes the memorisation card of a synthetic set.

No other step uses the card, because it is made from holdout frames too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lussweep.data.cohort import of_class, patient_ids, usable_frames
from lussweep.data.frames import load_pixels
from lussweep.errors import InputError
from lussweep.metrics.card import memorisation_card
from lussweep.metrics.copies import Copies
from lussweep.stages.context import Context, Summary, refuse_overlap, split_index
from lussweep.stages.synthesis import generator_frames
from lussweep.store import names, tables
from lussweep.store.arrays import read_array
from lussweep.study.plan import Step
from lussweep.study.plan.step_specs import MemorisationStep

FRAME = ("patient_id", "video_id", "frame")
N_PAIRS = 20
"""Number of closest pairs that are kept for the report's sheet."""


def run_memorisation(step: Step, context: Context, out: Path) -> Summary:
    """Measures whether synthetic frames are nearer to training frames than to holdout frames."""
    card_step = MemorisationStep.of(step)
    spec, label = card_step.memorisation, card_step.label
    train = generator_frames(step.inputs["synth"], step, context)
    holdout = _holdout_frames(step, context, train, label)
    synthetic = read_array(context.store.open(step.inputs["synth"]) / names.SYNTHETIC, np.uint8)
    patients = [np.array(table["patient_id"].to_pylist()) for table in (train, holdout)]
    values, copies = memorisation_card(
        load_pixels(context.store, train),
        patients[0],
        load_pixels(context.store, holdout),
        patients[1],
        synthetic,
        n_images=spec.n_images,
        side=spec.side,
        seed=card_step.seed,
        device=context.torch_device(),
    )
    card = {"class": label, **values}
    tables.write(out / names.CARD, [card], tables.MEMORISATION)
    rows = [
        {"class": label, "patient_id": patient, "n_copies": n}
        for patient, n in copies.of_patient.items()
    ]
    tables.write(out / names.COPIES, rows, tables.COPIES)
    tables.write(out / names.PAIRS, _closest_pairs(copies, train, holdout, label), tables.PAIRS)
    return card


def _holdout_frames(step: Step, context: Context, train: pa.Table, label: str) -> pa.Table:
    """Frames of unseen patients, of the generator's class unless it saw both.

    Raises LeakageError if the generator saw one of them, and InputError if there are none.
    """
    holdout = usable_frames(split_index(step, context, "holdout"))
    refuse_overlap("training and holdout", patient_ids(train), patient_ids(holdout))
    if set(train["label"].to_pylist()) != {0, 1}:
        holdout = of_class(holdout, label)
    if not len(holdout):
        raise InputError(
            f"no holdout patient has a usable frame of class {label}, so the release gate cannot "
            "tell a copy: move such patients to the holdout split"
        )
    return holdout


def _closest_pairs(
    copies: Copies, train: pa.Table, holdout: pa.Table, label: str
) -> list[dict[str, Any]]:
    """The synthetic frames that are nearest to training frames beside holdout frames."""
    ratio_K = copies.ratios.ratio_K
    nearest = np.argsort(-ratio_K, kind="stable")[:N_PAIRS]
    near_train = train.take(copies.ratios.nearest_train_K[nearest]).to_pylist()
    near_holdout = holdout.take(copies.ratios.nearest_holdout_K[nearest]).to_pylist()
    return [
        {
            "class": label,
            "synthetic_row": int(row),
            "ratio": float(ratio_K[row]),
            "is_copy": bool(copies.is_copy_K[row]),
            **{name: seen[name] for name in FRAME},
            **{f"holdout_{name}": unseen[name] for name in FRAME},
        }
        for row, seen, unseen in zip(nearest, near_train, near_holdout, strict=True)
    ]
