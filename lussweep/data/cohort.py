"""Draws of patients and frames. Patients are drawn first; frames follow from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lussweep.errors import InputError
from lussweep.study.spec import CohortSpec, ValSpec

CLASS_LABEL = {"pos": 1, "neg": 0}


def draw_cohort(
    frames: pa.Table, n_patients: int | None, cohort: CohortSpec, seed: int
) -> pa.Table:
    """Draw the frames of n positive and n negative patients, equally many of each class.

    `frames` is the train split's index. Positive frames come from positive patients. Negative
    frames come from negative patients or, with `negatives_from: all`, from all patients drawn.
    The larger class is cut without replacement, in proportion per patient. n_patients None takes
    every patient, and all of these frames without a cut. Raises InputError if a patient class has
    fewer than n patients with usable frames of the class.
    """
    rng = np.random.default_rng(seed)
    usable = usable_frames(frames)
    if n_patients is None:
        return _from_patients(usable, _patients(usable, 1), _patients(usable, 0), cohort)
    drawn = drawn_from(usable, n_patients, cohort, rng)
    n_frames = min(count_label(drawn, 1), count_label(drawn, 0))
    return pa.concat_tables([_cut(of_class(drawn, c), n_frames, rng) for c in CLASS_LABEL])


def drawn_from(
    rows: pa.Table, n_patients: int, cohort: CohortSpec, seed: int | np.random.Generator
) -> pa.Table:
    """The rows of n positive and n negative patients, before the larger class is cut.

    `rows` are usable frames, or videos with the columns patient_id, patient_class and label. Raises
    InputError if a patient class has fewer than n patients.
    """
    rng = np.random.default_rng(seed)
    positive, negative = (
        _draw_patients(_with_own_class(rows, label), n_patients, rng, word)
        for label, word in ((1, "positive"), (0, "negative"))
    )
    return _from_patients(rows, positive, negative, cohort)


def limit_val(frames: pa.Table, val: ValSpec, seed: int) -> pa.Table:
    """Draw the usable validation frames, within the limits of `val` per video and patient class.

    `val` is that of a cohort (`ValSpec.of_cohort`). Raises InputError if a patient class has fewer
    than `val.n_patients` patients.
    """
    assert val.n_patients != "cohort", "the plan knows the cohort"
    rng = np.random.default_rng(seed)
    usable = usable_frames(frames)
    if val.n_patients is not None:
        drawn: list[str] = []
        for label, word in ((1, "positive"), (0, "negative")):
            drawn += _draw_patients(_with_own_class(usable, label), val.n_patients, rng, word)
        usable = usable.filter(pc.is_in(usable["patient_id"], pa.array(drawn)))
    if val.frames_per_video is None:
        return usable
    videos = np.array(usable["video_id"].to_pylist())
    rows: list[int] = []
    for video in sorted(set(videos)):
        positions = np.flatnonzero(videos == video)
        rows += sorted(rng.permutation(positions)[: val.frames_per_video])
    return usable.take(sorted(rows))


def shuffle_labels(frames: pa.Table, seed: int) -> pa.Table:
    """Call a random half of the patients positive and the others negative.

    Every patient is equally likely to be called either, so the labels say nothing about the true
    ones. If the number of patients is odd, a coin decides which half is larger.
    """
    rng = np.random.default_rng(seed)
    patients = patient_ids(frames)
    n_positive = len(patients) // 2 + int(rng.integers(2)) * (len(patients) % 2)
    order = rng.permutation(len(patients))
    positive = pa.array([patients[i] for i in order[:n_positive]], pa.string())
    called = pc.is_in(frames["patient_id"], positive).cast(pa.int8())
    for name in ("label", "patient_class"):
        position = frames.column_names.index(name)
        frames = frames.set_column(position, frames.schema.field(name), called)
    return frames


def usable_frames(frames: pa.Table) -> pa.Table:
    """The frames that have a label. No other may be trained on, selected by or judged on.

    A frame without a label belongs to a positive video whose frames were annotated, and was not
    annotated as positive: whether it shows a consolidation is not known.
    """
    return frames.filter(pc.is_valid(frames["label"]))


def of_class(frames: pa.Table, name: str) -> pa.Table:
    """The frames of class `pos` or `neg`."""
    return frames.filter(pc.equal(frames["label"], CLASS_LABEL[name]))


def count_label(frames: pa.Table, label: int) -> int:
    """Number of frames with a label, 0 or 1."""
    return int(pc.sum(pc.equal(frames["label"], label)).as_py() or 0)


def patient_ids(frames: pa.Table) -> list[str]:
    """The distinct patient ids, sorted."""
    return sorted(frames["patient_id"].unique().to_pylist())


def _patients(frames: pa.Table, patient_class: int) -> list[str]:
    return patient_ids(frames.filter(pc.equal(frames["patient_class"], patient_class)))


def _with_own_class(frames: pa.Table, patient_class: int) -> list[str]:
    """The patients of a class who have frames of it.

    A positive patient may have none: `frame_stride` can drop all frames that are annotated.
    """
    return _patients(frames.filter(pc.equal(frames["label"], patient_class)), patient_class)


def _draw_patients(
    pool: Sequence[str], n_patients: int, rng: np.random.Generator, word: str
) -> list[str]:
    """Draw the first n of a seeded permutation, so that a smaller draw by the same seed is nested.

    Raises InputError if the pool has fewer than n patients.
    """
    order = rng.permutation(len(pool))
    if n_patients > len(pool):
        raise InputError(
            f"{n_patients} {word} patients needed, {len(pool)} have usable frames: "
            "ask for fewer, or check the labels and frame annotations"
        )
    return sorted(pool[i] for i in order[:n_patients])


def _from_patients(
    frames: pa.Table, positive: list[str], negative: list[str], cohort: CohortSpec
) -> pa.Table:
    donors = negative + positive if cohort.negatives_from == "all" else negative
    pos = of_class(frames, "pos")
    neg = of_class(frames, "neg")
    return pa.concat_tables(
        [
            pos.filter(pc.is_in(pos["patient_id"], pa.array(positive, pa.string()))),
            neg.filter(pc.is_in(neg["patient_id"], pa.array(donors, pa.string()))),
        ]
    )


def _cut(frames: pa.Table, n_frames: int, rng: np.random.Generator) -> pa.Table:
    patients = np.array(frames["patient_id"].to_pylist())
    names, counts = np.unique(patients, return_counts=True)
    quotas = [Fraction(n_frames * count, len(patients)) for count in counts.tolist()]
    rows: list[int] = []
    for name, share in zip(names, largest_remainder(quotas, n_frames), strict=True):
        positions = np.flatnonzero(patients == name)
        rows += sorted(rng.permutation(positions)[:share])
    return frames.take(sorted(rows))


def largest_remainder(quotas: Sequence[float | Fraction], total: int) -> list[int]:
    """Whole numbers that sum to `total`, each less than 1 away from its quota.

    `quotas` sum to `total`. Each is rounded down. The units that are left go to the quotas that
    lost most, among equal losses to the first. Only Fractions make equal losses exact.

    >>> largest_remainder([1.5, 0.5], 2)
    [2, 0]
    """
    shares = [math.floor(quota) for quota in quotas]
    by_loss = sorted(range(len(quotas)), key=lambda i: shares[i] - quotas[i])
    for i in by_loss[: total - sum(shares)]:
        shares[i] += 1
    return shares
