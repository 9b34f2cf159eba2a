"""Releases synthetic frames from a run folder if their memorisation card allows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict

from lussweep.data.cohort import of_class, patient_ids
from lussweep.errors import InputError
from lussweep.report.export import Kind, write_images
from lussweep.store import names, tables
from lussweep.store.arrays import read_array
from lussweep.store.artifacts import ArtifactStore
from lussweep.study.coordinates import Draw
from lussweep.study.plan import BOTH_CLASSES
from lussweep.study.spec import (
    KNOWN,
    MemorisationSpec,
    Spec,
    Verdict,
    parse,
    plain_values,
    read_text,
)


class Origin(Spec):
    """The fields that a release reads from the experiment file of a run."""

    model_config = ConfigDict(extra="ignore")
    name: str
    seed: int
    memorisation: MemorisationSpec

    @classmethod
    def read(cls, path: Path) -> Origin:
        """Read the run's experiment. Plugins that it names are not loaded."""
        return parse(cls, plain_values(read_text(path), path.name), path.name)


def matching_sets(
    folder: Path, chosen: Mapping[str, Any], store: ArtifactStore
) -> list[dict[str, Any]]:
    """Returns the rows of `memorisation` for the sets of a run that `chosen` describes.

    Without a choice of `gan`, sets of known worth count only if there are no others.
    Raises InputError if no set matches, if a set is not in the store, or if two sets would share
    a folder.
    """
    path = folder / "memorisation.parquet"
    if not path.exists():
        raise InputError(
            f"{folder} has no {path.name}: give the folder of a run of `lussweep grid`"
        )
    every = tables.read(path, tables.MEMORISATION).to_pylist()
    rows = [row for row in every if all(row[k] == v for k, v in chosen.items())]
    if "gan" not in chosen:
        rows = [row for row in rows if row["gan"] not in KNOWN] or rows
    if not rows:
        existing = "; ".join(sorted({_name(row) for row in every})) or "none"
        raise InputError(f"{folder} has no such synthetic set; there are: {existing}")
    absent = [row for row in rows if not all(map(store.has, _refs(row)))]
    if absent:
        raise InputError(f"{_name(absent[0])} is not in {store.place}: give --store as to the grid")
    by_folder: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        here = by_folder.setdefault(tuple(row[name] for name in tables.SYNTH_SET[:3]), [])
        if not any(_is_same_set(other, row, store) for other in here):
            here.append(row)
    for here in by_folder.values():
        if len(here) > 1:
            fit = "; ".join(map(_name, here))
            raise InputError(f"several sets fit ({fit}): choose with --gan and --gan-epoch")
    return [here[0] for here in by_folder.values()]


def release(
    sets: Sequence[Mapping[str, Any]],
    origin: Origin,
    store: ArtifactStore,
    out: Path,
    kind: Kind,
    *,
    allow_unjudged: bool = False,
) -> list[Path]:
    """Writes every set to `out`/n_patients/replicate/class, and returns these folders.

    Each folder holds images (or one Parquet file), a card and a declaration of patients. The
    source `external` can read it. Raises InputError if the release gate refuses any set, or cannot
    judge it and `allow_unjudged` is not given; then nothing is written.
    """
    gate = origin.memorisation.release_gate
    verdicts = [origin.memorisation.verdict(store.record(_refs(row)[1])["summary"]) for row in sets]
    held = [
        line
        for row, verdict in zip(sets, verdicts, strict=True)
        for line in _refusals(row, verdict, allow_unjudged)
    ]
    if held:
        raise InputError(held)
    folders = []
    for row, verdict in zip(sets, verdicts, strict=True):
        folder = out / str(row["n_patients"]) / str(row["replicate"]) / row["class"]
        frames, patients, card = _open_set(row, store)
        card |= {
            "study": origin.name,
            "study_seed": origin.seed,
            "release_gate": gate.model_dump(mode="json") if gate else {},
            "verdict": verdict.word,
            "verdict_because": "; ".join(verdict.reasons) or None,
        }
        write_images(frames, folder, kind, card=card, patients=patients)
        folders.append(folder)
    return folders


def _refs(row: Mapping[str, Any]) -> tuple[str, str]:
    """The refs of a set and of its card."""
    return f"synth/{row['synth_key']}", f"memorisation/{row['memorisation_key']}"


def _is_same_set(one: Mapping[str, Any], other: Mapping[str, Any], store: ArtifactStore) -> bool:
    """Whether two steps made the same frames.

    `select: last` and `select: {epoch: N}` can be different steps with the same frames.
    """
    if any(one[name] != other[name] for name in tables.SYNTH_SET):
        return False
    first, second = (
        read_array(store.open(_refs(row)[0]) / names.SYNTHETIC, np.uint8) for row in (one, other)
    )
    return np.array_equal(first, second)


def _refusals(row: Mapping[str, Any], verdict: Verdict, allow_unjudged: bool) -> list[str]:
    if row["gan"] in KNOWN and verdict.word != "refused":
        return [f"{_name(row)} must not be exported: {_NOT_MADE}"]
    if verdict.word == "unjudged" and not allow_unjudged:
        remedy = "add holdout patients, or give --allow-unjudged"
        return [f"{_name(row)} {reason}: {remedy}" for reason in verdict.reasons]
    if verdict.word != "refused":
        return []
    return [
        f"{_name(row)} must not be exported: {reason} (memorisation.release_gate)"
        for reason in verdict.reasons
    ]


_NOT_MADE = "no generator made these frames: they are those of a variant of known worth"


def _open_set(
    row: Mapping[str, Any], store: ArtifactStore
) -> tuple[np.ndarray, list[str], dict[str, Any]]:
    """Frames (N, S, S) uint8, the patients whose frames their generator saw, and the card."""
    synth, memorisation = _refs(row)
    record = store.record(synth)
    role = "external" if "external" in record["inputs"] else "gan"
    made_by = store.record(record["inputs"][role])
    # The generator of an external set may have seen both classes, also if the set shows one.
    label = made_by["spec"]["class"] if role == "gan" else BOTH_CLASSES
    cohort = tables.read_frames(store.open(record["inputs"]["cohort"]) / names.COHORT)
    patients = patient_ids(cohort if label == BOTH_CLASSES else of_class(cohort, label))
    frames = read_array(store.open(synth) / names.SYNTHETIC, np.uint8)
    measured = store.record(memorisation)["summary"]
    card = {
        **{name: row[name] for name in tables.SYNTH_SET},
        "n_images": len(frames),
        "image_size": int(frames.shape[1]),
        "seed": record["spec"]["seed"],
        "synth_key": row["synth_key"],
        "generator_key": record["inputs"][role].partition("/")[2],
        "generator_seed": made_by["spec"].get("seed"),
        "generator": made_by["spec"].get("gan", {"sha256": made_by["spec"].get("sha256")}),
        "memorisation_key": row["memorisation_key"],
        "memorisation": {k: v for k, v in measured.items() if k != "class"},
    }
    return frames, patients, card


def _name(row: Mapping[str, Any]) -> str:
    epoch = "" if row["gan_epoch"] is None else f" epoch={row['gan_epoch']}"
    return f"{Draw.of_row(row)} {row['class']} {row['gan']}{epoch}"
