"""Assigns patients to the splits, and takes over the splits that a manifest gives."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from lussweep.data.cohort import largest_remainder
from lussweep.data.rows import Row
from lussweep.errors import InputError
from lussweep.study.keys import derive_seed
from lussweep.study.spec import CLASSES, SPLITS, SplitSpec

MISJUDGED = "its patient is positive, and all positive videos of this patient are left out"


def assign_splits(patients: Mapping[str, int], split: SplitSpec, seed: int) -> dict[str, str]:
    """Assign a split to each patient id, stratified by patient class (0 or 1).

    Counts follow the largest remainder, with at least one patient of each class in each split.
    The order of patients depends only on the seed and their ids. Raises InputError if the shares
    leave no training patients, or if a class has fewer patients than there are splits.
    """
    shares = (1 - split.val - split.holdout, split.val, split.holdout)
    if shares[0] <= 1e-9:
        raise InputError(
            f"split.val {split.val} and split.holdout {split.holdout} leave no training patients: "
            "lower one"
        )
    splits: dict[str, str] = {}
    problems = []
    for value, name in enumerate(CLASSES):
        ids = sorted(p for p, patient_class in patients.items() if patient_class == value)
        if len(ids) < len(SPLITS):
            problems.append(
                f"{len(ids)} {name} patients cannot fill {', '.join(SPLITS)}: "
                f"give at least {len(SPLITS)}"
            )
            continue
        ids.sort(key=lambda patient: derive_seed(seed, "split", patient))
        counts = _counts(len(ids), shares)
        names = [s for s, n in zip(SPLITS, counts, strict=True) for _ in range(n)]
        splits |= zip(ids, names, strict=True)
    if problems:
        raise InputError(problems)
    return splits


def _counts(n: int, shares: Iterable[float]) -> list[int]:
    """Whole counts that sum to n, each at least 1 and nearest to n * share."""
    counts = largest_remainder([round(n * share, 9) for share in shares], n)
    while 0 in counts:
        counts[counts.index(max(counts))] -= 1
        counts[counts.index(0)] += 1
    return counts


def patient_splits(
    rows: Sequence[Row], split: SplitSpec | None, seed: int, problems: list[str]
) -> dict[str, str]:
    """The split of each patient id, from the manifest or drawn.

    If `split` is None, nothing is trained: patients without a split count as train, and no split
    needs patients of both classes.
    """
    if split is None:
        return {row.patient_id or "": row.split or "train" for row in rows}
    patients: dict[str, int] = {}
    for row in rows:
        patient = row.patient_id or ""
        patients[patient] = max(patients.get(patient, 0), row.label or 0)
    if not any(row.split for row in rows):
        try:
            return assign_splits(patients, split, seed)
        except InputError as error:
            problems += error.problems
            return {}
    split_of = {row.patient_id or "": row.split or "" for row in rows}
    problems += missing_classes((split_of[patient], value) for patient, value in patients.items())
    return split_of


def missing_classes(places: Iterable[tuple[str, int]]) -> list[str]:
    """One line for each class that a split lacks. `places` are the patients' splits and classes."""
    present = set(places)
    return [
        f"the split {split} has no {name} patient: give at least one"
        for split in SPLITS
        for value, name in enumerate(CLASSES)
        if (split, value) not in present
    ]


def misjudged(videos: Iterable[tuple[str, str, int]], left_out: Collection[str]) -> list[str]:
    """The videos of positive patients of whom no positive video is left.

    They would count as videos of negative patients. `videos` are patient, video and label.
    """
    videos = list(videos)
    positive = {patient for patient, _, label in videos if label}
    still = {patient for patient, video, label in videos if label and video not in left_out}
    return [v for patient, v, _ in videos if patient in positive - still and v not in left_out]


def splits_source(rows: Sequence[Row], split: SplitSpec | None, seed: int) -> str:
    """The origin of the splits, in words for the user; empty if none was drawn or asked for."""
    if any(row.split for row in rows):
        return "read from the manifest"
    if split is None:
        return ""
    return (
        f"drawn at random by patient, stratified by class (val {split.val:g}, holdout "
        f"{split.holdout:g}, seed {seed}), because the manifest gives none"
    )
