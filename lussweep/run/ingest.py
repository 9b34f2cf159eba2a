"""A frame store: the artifacts of `ingest`, the manifest behind them and one index of frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from lussweep.data.frames import INDEX, read_index
from lussweep.data.manifest import Skipped, read_manifest
from lussweep.errors import InputError
from lussweep.run.hold import hold_folder
from lussweep.run.lease import TakenOver
from lussweep.run.mirror import work_folder
from lussweep.store import tables
from lussweep.store.artifacts import ArtifactStore, read_json
from lussweep.store.disk import room_named
from lussweep.store.folders import LocalFolder
from lussweep.store.object_store import artifact_store
from lussweep.study.plan import Plan, make_data_plan
from lussweep.study.spec import DataSpec, Manifest, PreprocessSpec, StudySpec, parse

if TYPE_CHECKING:
    from lussweep.backend.driver import Progress
    from lussweep.backend.stop import Stop
    from lussweep.run.request import IngestRequest
    from lussweep.stages import Context

STORE_FILE = "store.json"
SKIPPED_FILE = "skipped.parquet"
RunSteps = Callable[[Plan, "Context", Path, "Stop"], "Progress"]
"""With a folder of their own for the backend's files, and what ends them."""


def ingest_manifest(
    request: IngestRequest, run_steps: RunSteps
) -> tuple[pa.Table, Sequence[Skipped]]:
    """Bring a manifest's videos into a frame store.

    Returns the index of frames (schema FRAMES) and the videos that were left out. Raises InputError
    with every video that could not be brought in, unless they may be skipped.
    """
    manifest, skipped = read_manifest(
        request.manifest,
        label=request.label,
        annotations=request.annotations,
        split=request.split,
        seed=request.seed,
        skip_unreadable=request.skip_unreadable,
        allow_absolute=request.trust.allow_absolute,
    )
    preprocess = request.preprocess
    folder = work_folder(request.out)
    store = artifact_store(folder.artifacts_place)
    store.check_writable()
    with room_named(folder.path), hold_folder(folder) as hold:

        def run(plan: Plan, context: Context) -> Progress:
            return run_steps(plan, context, folder.path / "ray", hold.stop)

        manifest, late = bring_in(manifest, preprocess, store, request.skip_unreadable, run)
        if hold.lost:  # the store is the other command's now
            raise TakenOver(hold.lost)
        skipped = [*skipped, *late]
        index = _describe(folder.path, manifest, preprocess, skipped, store)
        folder.publish()
    return index, skipped


def _describe(
    folder: Path,
    manifest: Manifest,
    preprocess: PreprocessSpec,
    skipped: Sequence[Skipped],
    store: ArtifactStore,
) -> pa.Table:
    """Write what makes a folder of artifacts a frame store; its index of frames."""
    plan = _plan(manifest, preprocess)
    refs = [ref for ref in plan.steps if ref.startswith("ingest/")]
    index = tables.concat([read_index(store.open(ref)) for ref in refs], tables.FRAMES)
    tables.write(folder / INDEX, index, tables.FRAMES)
    rows = [dict(zip(tables.SKIPPED.names, row, strict=True)) for row in skipped]
    tables.write(folder / SKIPPED_FILE, rows, tables.SKIPPED)
    described = {
        "preprocess": preprocess.model_dump(mode="json"),
        "manifest": manifest.model_dump(mode="json", exclude={"videos": {"__all__": {"path"}}}),
    }
    LocalFolder(folder).write(STORE_FILE, json.dumps(described, indent=1).encode())
    return index


def open_store(place: str) -> tuple[Manifest, PreprocessSpec, ArtifactStore]:
    """What a store holds, and its artifacts. Raises InputError if the folder or URL is none."""
    folder = work_folder(place)
    path = folder.path / STORE_FILE
    if not path.exists():
        raise InputError(f"{place} is no frame store: make one with `lussweep ingest`")
    try:
        described = read_json(path)
        preprocess, manifest = described["preprocess"], described["manifest"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path} is damaged: run `lussweep ingest` again") from None
    videos = parse(Manifest, manifest, str(path))
    if any(video.path for video in videos.videos):  # none is written: a store is read, not videos
        raise InputError(f"{path} names video files: run `lussweep ingest` again")
    artifacts = artifact_store(folder.artifacts_place)
    return videos, parse(PreprocessSpec, preprocess, str(path)), artifacts


def bring_in(
    manifest: Manifest,
    preprocess: PreprocessSpec,
    store: ArtifactStore,
    skip_unreadable: bool,
    run_steps: Callable[[Plan, Context], Progress],
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
    from lussweep.data.preprocess import preprocess
    from lussweep.data.readers.decode import read_frames

    try:
        preprocess(read_frames(path, spec.frame_stride), spec)
    except InputError as error:
        return str(error)
    return None


def _plan(manifest: Manifest, preprocess: PreprocessSpec) -> Plan:
    return make_data_plan(StudySpec(name="ingest", data=DataSpec(preprocess=preprocess)), manifest)
