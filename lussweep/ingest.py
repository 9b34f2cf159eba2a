"""A frame store: the artifacts of `ingest`, the manifest behind them and one index of frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from lussweep import tables
from lussweep.data.frames import INDEX, read_index
from lussweep.data.manifest import Skipped, read_manifest
from lussweep.errors import InputError
from lussweep.plan import Plan, make_data_plan
from lussweep.spec import DataSpec, Manifest, PreprocessSpec, SplitSpec, StudySpec, parse
from lussweep.store import ArtifactStore, read_json

if TYPE_CHECKING:
    from lussweep.backend.driver import Progress
    from lussweep.stages import Context

STORE_FILE = "store.json"
SKIPPED_FILE = "skipped.parquet"
RunSteps = Callable[[Plan, "Context"], "Progress"]


def ingest_manifest(
    path: Path,
    out: Path,
    *,
    label: str,
    annotations: Path | None,
    preprocess: PreprocessSpec,
    split: SplitSpec,
    seed: int,
    skip_unreadable: bool,
    run_steps: RunSteps,
    allow_absolute: bool = False,
) -> tuple[pa.Table, Sequence[Skipped]]:
    """Bring a manifest's videos into a store; the frame index and the videos left out.

    Raises InputError with every video that could not be brought in, unless they may be skipped.
    """
    manifest, skipped = read_manifest(
        path,
        label=label,
        annotations=annotations,
        split=split,
        seed=seed,
        skip_unreadable=skip_unreadable,
        allow_absolute=allow_absolute,
    )
    store = ArtifactStore(out / "artifacts")
    store.check_writable()
    manifest, late = bring_in(manifest, preprocess, store, skip_unreadable, run_steps)
    skipped = [*skipped, *late]
    plan = _plan(manifest, preprocess)
    refs = [ref for ref in plan.steps if ref.startswith("ingest/")]
    index = tables.concat([read_index(store.open(ref)) for ref in refs], tables.FRAMES)
    tables.write(out / INDEX, index, tables.FRAMES)
    rows = [dict(zip(tables.SKIPPED.names, row, strict=True)) for row in skipped]
    tables.write(out / SKIPPED_FILE, rows, tables.SKIPPED)
    described = {
        "preprocess": preprocess.model_dump(mode="json"),
        "manifest": manifest.model_dump(mode="json", exclude={"videos": {"__all__": {"path"}}}),
    }
    (out / STORE_FILE).write_text(json.dumps(described, indent=1))
    return index, skipped


def open_store(folder: Path) -> tuple[Manifest, PreprocessSpec]:
    """What a store holds. Raises InputError if the folder is none."""
    path = folder / STORE_FILE
    if not path.exists():
        raise InputError(f"{folder} is no frame store: make one with `lussweep ingest`")
    try:
        described = read_json(path)
        preprocess, manifest = described["preprocess"], described["manifest"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path} is damaged: run `lussweep ingest` again") from None
    videos = parse(Manifest, manifest, str(path))
    if any(video.path for video in videos.videos):  # none is written: a store is read, not videos
        raise InputError(f"{path} names video files: run `lussweep ingest` again")
    return videos, parse(PreprocessSpec, preprocess, str(path))


def bring_in(
    manifest: Manifest,
    preprocess: PreprocessSpec,
    store: ArtifactStore,
    skip_unreadable: bool,
    run_steps: RunSteps,
) -> tuple[Manifest, list[Skipped]]:
    """Run the data steps; videos that fail in the middle are left out if that is allowed.

    A file can look whole and still break while it is decoded, so leaving out may take a second
    pass over the patients concerned.
    """
    from lussweep.stages import Context

    plan = _plan(manifest, preprocess)
    paths = {v.sha256: v.path for v in manifest.videos if v.path}
    progress = run_steps(plan, Context(store, "cpu", paths))
    if not progress.failed:
        return manifest, []
    if not skip_unreadable:
        raise InputError([step_problem(o.error or "") for o in progress.failed.values()])
    patients = {plan.steps[ref].spec["patient_id"] for ref in progress.failed}
    reasons = {
        v.video_id: reason
        for v in manifest.videos
        if v.patient_id in patients and (reason := _problem(Path(v.path or ""), preprocess))
    }
    kept = tuple(v for v in manifest.videos if v.video_id not in reasons)
    skipped = [
        (v.patient_id, v.video_id, reasons[v.video_id])
        for v in manifest.videos
        if v.video_id in reasons
    ]
    smaller = Manifest(videos=kept)
    progress = run_steps(_plan(smaller, preprocess), Context(store, "cpu", paths))
    if progress.failed:
        raise InputError([step_problem(o.error or "") for o in progress.failed.values()])
    return smaller, skipped


def step_problem(error: str) -> str:
    """An outcome's error without the name of the exception before it."""
    return error.partition(": ")[2] if error.startswith("InputError") else error


def _problem(path: Path, spec: PreprocessSpec) -> str | None:
    from lussweep.data.decode import read_frames
    from lussweep.data.preprocess import preprocess

    try:
        preprocess(read_frames(path, spec.frame_stride), spec)
    except InputError as error:
        return str(error)
    return None


def _plan(manifest: Manifest, preprocess: PreprocessSpec) -> Plan:
    return make_data_plan(StudySpec(name="ingest", data=DataSpec(preprocess=preprocess)), manifest)
