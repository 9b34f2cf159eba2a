"""Reads how long steps took from the records of an earlier run."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from lussweep.errors import InputError
from lussweep.report.run_folder import EXPERIMENT_FILE
from lussweep.run.state import RUN_FILE, STATE_FILE
from lussweep.store import names, tables
from lussweep.store.artifacts import RECORD, Record
from lussweep.store.remote import is_url
from lussweep.study.costs import Frames, Measured, kind
from lussweep.study.plan import STAGES, Plan, Step, is_phantom
from lussweep.study.spec import GENERATORS, PhantomSpec, StudySpec
from lussweep.study.spec.generators import DCGAN

BUDGETS = {
    "": {"name", "description", "seed", "grid", "variants", "analysis", "keep_snapshots"},
    "classifier": {"n_epochs", "images_per_epoch", "early_stopping"},
    "score": {"n_images"},
    "synth": {"ratio", "n_images"},
    "search": {"n_trials", "gpus_per_trial", "select_by"},
    "data": {"phantom", "split", "label"},
    "memorisation": {"n_images", "release_gate"},
}
"""Settings, by section of the experiment, whose change needs no note: the work of a step depends on
them, or they cost no time. A change of any other setting may change the seconds for equal work. For
the generator, the settings are the budgets of its kind."""
ENOUGH_STEPS = 3
"""Least steps of a kind that must remain when its first step is left out."""


def measured_run(folder: Path, store: Path | None = None) -> Measured:
    """The steps of a run folder and their seconds.

    `store` is the folder of the artifacts; None reads it from the run's state. Raises InputError if
    the folder is not a run folder, a record is damaged, or no cell is done.
    """
    if not (folder / RUN_FILE).exists():
        raise InputError(
            f"--from {folder} is not a run folder: give the --out of a `lussweep grid`"
        )
    root = store or _store_of(folder)
    steps: dict[str, Step] = {}
    records: dict[str, Record] = {}
    kinds: set[str] = set()
    for path in (path for stage in STAGES for path in sorted(root.glob(f"{stage}/*/{RECORD}"))):
        try:
            record = json.loads(path.read_text())
            fields = (record[name] for name in ("stage", "version", "spec", "inputs", "name"))
            ref = f"{record['stage']}/{record['key']}"
            steps[ref], records[ref] = Step(*fields), record
            if not isinstance(record["circumstances"], dict):
                raise TypeError("its circumstances are not a JSON object")
            if record["stage"] == "gan":
                kinds.add(record["spec"]["gan"].get("kind", DCGAN))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise InputError(f"--from {folder}: {path} is damaged") from None
    if unknown := sorted(kinds - GENERATORS.keys()):
        raise InputError(
            f"--from {folder} has generators of the kind {', '.join(unknown)}: name their plugin "
            "in `plugins` of this experiment, or use --calibrate"
        )
    frames = seen_frames(steps, records, root.joinpath)
    if frames is None:
        raise InputError(
            f"--from {folder} has no cell that is done (its artifacts are in {root}): wait for "
            "one, or use --calibrate"
        )
    whole = {
        ref: record["circumstances"]["seconds"]
        for ref, record in records.items()
        if "seconds" in record["circumstances"] and set(steps[ref].inputs.values()) <= steps.keys()
    }
    starts = _first_of_each_kind(steps, records, whole)
    where, on_gpu = where_trained(records.values())
    return Measured(steps, whole, frames, frames, f"{folder} ({where})", on_gpu, starts=starts)


def _first_of_each_kind(
    steps: Mapping[str, Step], records: Mapping[str, Record], timed: Iterable[str]
) -> frozenset[str]:
    """Refs of the first step of each kind, if at least ENOUGH_STEPS others remain.

    Its seconds include the start of a process: CUDA, choice of algorithms, libraries.
    """
    by_kind: dict[str, list[str]] = {}
    for ref in timed:
        by_kind.setdefault(kind(steps[ref]), []).append(ref)
    return frozenset(
        min(refs, key=lambda ref: str(records[ref]["circumstances"].get("started", "")))
        for refs in by_kind.values()
        if len(refs) > ENOUGH_STEPS
    )


def scaled_to(measured: Measured, folder: Path, study: StudySpec, plan: Plan) -> Measured:
    """The measured run, with the frame counts of a plan on another phantom as its target.

    `folder` is the measured run's. Two phantoms differ only in the number of patients and videos
    and in the length of videos, so frame counts are in proportion to these. Frame counts of other
    data are unknown before decoding. They are taken to be those of the measured run.
    """
    if not (is_phantom(measured.steps) and is_phantom(plan.steps)):
        return measured
    there = _phantom_of(folder)
    here = study.data.phantom
    if there is None or here is None or there == here:
        return measured
    n_frames = _per_patient(here) / _per_patient(there)
    n_val_frames = _per_patient(here, study.val.frames_per_video)
    n_val_frames /= _per_patient(there, study.val.frames_per_video)
    if study.val.n_patients is None:  # otherwise both studies use the same number of patients
        n_val_frames *= here.val_patients / there.val_patients
    frames = measured.frames
    by_cohort: dict[int | None, float] = {
        n: frames.of_cohort(n) * n_frames for n in study.grid.n_patients
    }
    by_cohort[None] = frames.of_cohort(None) * n_frames * here.train_patients / there.train_patients
    n_holdout_frames = n_frames * here.holdout_patients / there.holdout_patients
    target = Frames(by_cohort, frames.val * n_val_frames, frames.holdout * n_holdout_frames)
    return replace(measured, target=target)


def _per_patient(phantom: PhantomSpec, cap: int | None = None) -> float:
    """Frames per patient, with at most `cap` frames per video."""
    return phantom.videos_per_patient * min(phantom.frames_per_video, cap or math.inf)


def _phantom_of(folder: Path) -> PhantomSpec | None:
    """The phantom of a run; None if its experiment names none that this version knows."""
    try:
        return PhantomSpec.model_validate(_experiment_of(folder)["data"]["phantom"])
    except (ValueError, TypeError, KeyError):
        return None


def _experiment_of(folder: Path) -> dict[str, Any]:
    """The experiment of a run as it was written; empty if it cannot be read."""
    try:
        experiment = yaml.safe_load((folder / EXPERIMENT_FILE).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        return {}
    return experiment if isinstance(experiment, dict) else {}


def differences(folder: Path, study: StudySpec) -> list[str]:
    """Names of settings that differ in the measured run and may change its seconds."""
    measured = _experiment_of(folder)
    if not measured:
        return []
    budgets = {**BUDGETS, "gan": study.gan.budgets | study.gan.circumstance}
    differ = []
    for name, section in study.model_dump(mode="json").items():
        if name in BUDGETS[""]:
            continue
        theirs = measured.get(name)
        if isinstance(section, dict) and isinstance(theirs, dict):
            keys = sorted(section.keys() - budgets.get(name, set()))
            differ += [f"{name}.{key}" for key in keys if section[key] != theirs.get(key)]
        elif section != theirs:
            differ.append(name)
    return differ


def _store_of(folder: Path) -> Path:
    """The folder of a run's artifacts, from its state; by default `artifacts` in the run folder."""
    try:
        place = str(json.loads((folder / STATE_FILE).read_text())["store"])
    except (OSError, ValueError, KeyError):
        return folder / "artifacts"
    if is_url(place):
        raise InputError(f"the artifacts of {folder} are at {place}: use --calibrate")
    return folder / place


def seen_frames(
    steps: Mapping[str, Step],
    records: Mapping[str, Record],
    folder_of: Callable[[str], Path],
) -> Frames | None:
    """Frame counts of the measured steps; None if no cell is done."""
    sizes: dict[int | None, list[int]] = {}
    for ref, step in steps.items():
        if step.stage == "cohort":
            sizes.setdefault(step.spec["n_patients"], []).append(
                records[ref]["summary"]["n_pos_frames"]
            )
    judged = [r["summary"] for ref, r in records.items() if steps[ref].stage == "evaluate"]
    trials = [ref for ref, step in steps.items() if step.stage == "trial"]
    if not (sizes and judged and trials):
        return None
    n_val = tables.read(folder_of(trials[0]) / names.VAL_SCORES, tables.FRAME_SCORES).num_rows
    by_cohort = {n: sum(counts) / len(counts) for n, counts in sizes.items()}
    return Frames(by_cohort, n_val, judged[0]["n_holdout_frames"])


def where_trained(records: Iterable[Record]) -> tuple[str, bool]:
    """The two places with most trainings (as "cuda of HOST"), and whether the first is a GPU."""
    places = Counter(
        (record["circumstances"].get("device", "cpu"), record["circumstances"]["host"])
        for record in records
        if record["stage"] in ("gan", "trial")
    ).most_common(2)
    text = ", ".join(f"{device} of {host}" for (device, host), _ in places)
    return text, bool(places) and places[0][0][0].startswith("cuda")
