"""Letting synthetic frames out of a run folder, where their memorisation card allows it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lussweep import tables
from lussweep.errors import InputError
from lussweep.export import Kind, write_images
from lussweep.plan import Step
from lussweep.run import EXPERIMENT_FILE
from lussweep.spec import ReleaseGateSpec, load_study, read_text
from lussweep.store import ArtifactStore

PLACE = ("n_patients", "replicate", "class", "gan", "gan_epoch")
"""What tells one set of a run from another."""


def release(
    run: Path, out: Path, kind: Kind, chosen: Mapping[str, Any], store: Path | None = None
) -> list[Path]:
    """Write every set of `run` that `chosen` describes to `out`/n_patients/replicate/class.

    Each is a folder of images (or one Parquet file) with its card and a declaration of patients:
    what the source `external` reads. Raises InputError if no set is described, if two would share
    a folder, or if the release gate refuses any of them; then nothing is written.
    """
    study = load_study(read_text(run / EXPERIMENT_FILE), where=EXPERIMENT_FILE)
    artifacts = ArtifactStore(store or run / "artifacts")
    rows = _matching(run, chosen)
    gate = study.memorisation.release_gate
    refused = [line for row in rows for line in _refusals(row, gate, artifacts)]
    if refused:
        raise InputError(refused)
    folders = []
    for row in rows:
        folder = out / str(row["n_patients"]) / str(row["replicate"]) / row["class"]
        frames, patients, card = _open_set(row, artifacts)
        card |= {
            "study": study.name,
            "study_seed": study.seed,
            "release_gate": gate.model_dump(mode="json") if gate else {},
            "passed": True,
        }
        write_images(frames, folder, kind, card=card, patients=patients)
        folders.append(folder)
    return folders


def _matching(run: Path, chosen: Mapping[str, Any]) -> list[dict[str, Any]]:
    path = run / "memorisation.parquet"
    if not path.exists():
        raise InputError(f"{run} has no {path.name}: give the folder of a run of `lussweep grid`")
    every = tables.read(path, tables.MEMORISATION).to_pylist()
    rows = [row for row in every if all(row[k] == v for k, v in chosen.items())]
    if not rows:
        known = "; ".join(sorted({_name(row) for row in every})) or "none"
        raise InputError(f"{run} has no such synthetic set; there are: {known}")
    folders: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        twin = folders.setdefault(tuple(row[name] for name in PLACE[:3]), row)
        if twin is not row:
            raise InputError(
                f"two sets fit, {_name(twin)} and {_name(row)}: choose with --gan and --gan-epoch"
            )
    return rows


def _refusals(
    row: Mapping[str, Any], gate: ReleaseGateSpec | None, store: ArtifactStore
) -> list[str]:
    if gate is None:
        return []
    card = store.record(f"memorisation/{row['memorisation_key']}")["summary"]
    return [
        f"{_name(row)} may not leave: {reason} (memorisation.release_gate)"
        for reason in gate.failures(card)
    ]


def _open_set(
    row: Mapping[str, Any], store: ArtifactStore
) -> tuple[np.ndarray, list[str], dict[str, Any]]:
    """Frames, the patients whose frames their generator saw, and the card."""
    from lussweep.data.cohort import patient_ids
    from lussweep.stages import SYNTHETIC, Context
    from lussweep.stages.generation import generator_frames

    ref = f"synth/{row['synth_key']}"
    record = store.record(ref)
    step = Step("synth", record["version"], record["spec"], record["inputs"], record["name"])
    patients = patient_ids(generator_frames(ref, step, Context(store)))
    role = "external" if "external" in record["inputs"] else "gan"
    made_by = store.record(record["inputs"][role])
    frames = np.load(store.open(ref) / SYNTHETIC)
    measured = store.record(f"memorisation/{row['memorisation_key']}")["summary"]
    card = {
        **{name: row[name] for name in PLACE},
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
    return f"n={row['n_patients']} r={row['replicate']} {row['class']} {row['gan']}{epoch}"
