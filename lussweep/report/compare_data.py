"""Says whether two runs have the same holdout frames, and the same patients in their cohorts.

Ids alone do not say it: the simulator gives its patients the same ids whatever the seed, and a
manifest may use one id for another video. So videos are compared by their SHA-256.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lussweep.errors import InputError
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.coordinates import DRAW_AXES

FRAME = ("patient_id", "video_id", "frame", "label")
"""The columns that tell one holdout frame from another."""
Draw = tuple[Any, ...]
"""The values of DRAW_AXES."""


def holdout_difference(a: pa.Table, b: pa.Table) -> str:
    """How the holdout frames of two tables of scores differ, in words; empty if they do not."""
    frames_a, frames_b = (_distinct(table, FRAME) for table in (a, b))
    if frames_a == frames_b:
        return ""
    patients_a, patients_b = (_distinct(table, FRAME[:1]) for table in (a, b))
    only_a, only_b = len(patients_a - patients_b), len(patients_b - patients_a)
    if only_a or only_b:
        n_both = len(patients_a & patients_b)
        return f"{n_both} patients are in both, {only_a} in A alone, {only_b} in B alone"
    n_frames = len({frame[:-1] for frame in frames_a ^ frames_b})
    return f"the patients are the same, and {n_frames} of their frames or labels differ"


def content_difference(
    a: pa.Table, store_a: ArtifactStore, b: pa.Table, store_b: ArtifactStore
) -> str:
    """How the videos of holdout patients differ, in words; empty if their SHA-256s are the same.

    `a` and `b` are indices of all frames, with the same holdout patients. A patient with the same
    artifact in both has the same videos, because the key of an artifact depends on them. Otherwise
    the records of both artifacts say what was read. Where one cannot be read, that is said.
    """
    artifacts_a, artifacts_b = _artifacts_of(a), _artifacts_of(b)
    n_other = n_unknown = 0
    for patient in artifacts_a.keys() | artifacts_b.keys():
        refs_a, refs_b = artifacts_a.get(patient, set()), artifacts_b.get(patient, set())
        if refs_a == refs_b:
            continue
        videos_a, videos_b = _videos_in(refs_a, store_a), _videos_in(refs_b, store_b)
        if videos_a is None or videos_b is None:
            n_unknown += 1
        elif videos_a != videos_b:
            n_other += 1
    n = len(artifacts_a)
    if n_other:
        return f"the ids are the same, but {n_other} of {n} patients have other videos"
    if n_unknown:
        return (
            f"the ids are the same, but nothing shows that {n_unknown} of {n} patients have the "
            "same videos: their frames are other artifacts, whose records are not in both run "
            "folders"
        )
    return ""


def cohort_difference(a: pa.Table, b: pa.Table) -> str:
    """How many draws of both runs have other patients, in words; empty if none has."""
    patients_a, patients_b = _patients_of_draws(a), _patients_of_draws(b)
    common = patients_a.keys() & patients_b.keys()
    n_other = sum(patients_a[draw] != patients_b[draw] for draw in common)
    return f"{n_other} of {len(common)}" if n_other else ""


def _artifacts_of(frames: pa.Table) -> dict[str, set[str]]:
    """The artifacts that hold the frames of each holdout patient."""
    holdout = frames.filter(pc.equal(frames["split"], "holdout"))
    artifacts_of = defaultdict(set)
    for patient, ref in _distinct(holdout, ("patient_id", "shard")):
        artifacts_of[patient].add(ref)
    return artifacts_of


def _videos_in(refs: Iterable[str], store: ArtifactStore) -> list[str] | None:
    """The SHA-256s of the videos that artifacts were made of; None if a record does not say."""
    with suppress(InputError, OSError, ValueError, KeyError, TypeError):
        records = [store.record(ref) for ref in refs]
        return sorted(video["sha256"] for record in records for video in record["spec"]["videos"])
    return None


def _patients_of_draws(cohorts: pa.Table) -> dict[Draw, set[str]]:
    """The training patients of each draw."""
    train = cohorts.filter(pc.equal(cohorts["split"], "train"))
    patients_of = defaultdict(set)
    for *draw, patient in _distinct(train, (*DRAW_AXES, "patient_id")):
        patients_of[tuple(draw)].add(patient)
    return patients_of


def _distinct(table: pa.Table, names: tuple[str, ...]) -> set[tuple[Any, ...]]:
    rows = table.select(names).group_by(list(names)).aggregate([])
    return set(zip(*(rows[name].to_pylist() for name in names), strict=True))
