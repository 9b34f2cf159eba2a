"""Makes and opens frame stores: artifacts of `ingest`, their manifest and an index of frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from lussweep.data.frames import INDEX, read_index
from lussweep.data.manifest import read_manifest, shorten
from lussweep.data.rows import Skipped
from lussweep.data.splits import MISJUDGED, misjudged, missing_classes
from lussweep.errors import InputError, encodable
from lussweep.run.hold import hold_folder
from lussweep.run.lease import TakenOver
from lussweep.run.mirror import work_folder
from lussweep.run.state import RUN_FILE
from lussweep.store import tables
from lussweep.store.artifacts import ArtifactStore, read_json
from lussweep.store.disk import room_named
from lussweep.store.folders import LocalFolder
from lussweep.store.object_store import artifact_store
from lussweep.study.plan import Plan, make_data_plan
from lussweep.study.plugins import Plugin, load_plugins
from lussweep.study.spec import SPLITS, DataSpec, Manifest, PreprocessSpec, StudySpec, Video, parse

if TYPE_CHECKING:
    from lussweep.backend.driver import Progress
    from lussweep.backend.stop import Stop
    from lussweep.run.request import IngestRequest
    from lussweep.stages import Context

STORE_FILE = "store.json"
SKIPPED_FILE = "skipped.parquet"
RunSteps = Callable[[Plan, "Context", Path, "Stop"], "Progress"]
"""Runs a plan. The path is a folder for the backend's files; the stop ends the run early."""


STORE_REMEDY = "ingest with that value into another store"


@dataclass(frozen=True)
class FrameStore:
    """A store of frames that was opened."""

    manifest: Manifest
    preprocess: PreprocessSpec
    artifacts: ArtifactStore
    splits: str
    """The origin of its splits, in words."""


@dataclass(frozen=True)
class Ingested:
    """A store of frames that was made."""

    manifest: Manifest
    index: pa.Table
    """The index of frames (schema FRAMES)."""
    skipped: Sequence[Skipped]
    splits: str
    """The origin of its splits, in words."""
    notes: Sequence[str]
    """What was recognised in the manifest, and what the store no longer lists."""


def ingest_manifest(request: IngestRequest, run_steps: RunSteps) -> Ingested:
    """Decode a manifest's videos into a frame store, new or existing.

    Raises InputError that lists every unreadable video, unless they may be skipped, for a store
    whose frames are of another preprocessing, and for a run folder: both have a frames.parquet.
    """
    preprocess = request.preprocess
    folder = work_folder(request.out)
    if (folder.path / RUN_FILE).exists():
        raise InputError(f"{request.out} is a run folder: choose another --out")
    earlier = _earlier(folder.path)
    if earlier is not None:
        problems = [
            f"{request.out} holds frames of {difference}: give another --out, or the value it has"
            for difference in differences(earlier.preprocess, preprocess).values()
        ]
        if problems:
            raise InputError(problems)
    plugins = load_plugins(request.plugins)
    read = read_manifest(
        request.manifest,
        label=request.label,
        positive=request.positive,
        annotations=request.annotations,
        split=request.split,
        seed=request.seed,
        skip_unreadable=request.skip_unreadable,
        skip_unlabelled=request.skip_unlabelled,
        allow_absolute=request.trust.allow_absolute,
    )
    store = artifact_store(folder.artifacts_place)
    store.check_writable()
    with room_named(folder.path), hold_folder(folder) as hold:

        def run(plan: Plan, context: Context) -> Progress:
            return run_steps(plan, context, folder.path / "ray", hold.stop)

        manifest, undecodable = bring_in(
            read.manifest, preprocess, store, request.skip_unreadable, run, plugins
        )
        if hold.lost:  # the command that took the folder writes the index
            raise TakenOver(hold.lost)
        skipped = [*read.skipped, *undecodable]
        index = _write_tables(folder.path, manifest, preprocess, skipped, store, read.splits)
        folder.publish()
    notes = [*read.notes, *_gone(earlier, manifest)]
    return Ingested(manifest, index, skipped, read.splits, notes)


def differences(
    has: PreprocessSpec, asked: PreprocessSpec, names: Collection[str] | None = None
) -> dict[str, str]:
    """The fields of `names`, or all, that differ, with both values in words."""
    return {
        name: f"{name} {getattr(has, name)}, and {getattr(asked, name)} is asked"
        for name in PreprocessSpec.model_fields
        if (names is None or name in names) and getattr(has, name) != getattr(asked, name)
    }


def _earlier(folder: Path) -> FrameStore | None:
    """The store that is there already. None if there is none, or if its description is damaged."""
    try:
        return open_store(str(folder))
    except InputError:
        return None


def _gone(earlier: FrameStore | None, manifest: Manifest) -> list[str]:
    """One line if the store had videos that the new manifest does not name."""
    if earlier is None:
        return []
    now = {video.video_id for video in manifest.videos}
    n_gone = sum(video.video_id not in now for video in earlier.manifest.videos)
    if not n_gone:
        return []
    return [f"{n_gone} videos of the store are not in this manifest: the store lists them no more"]


def _write_tables(
    folder: Path,
    manifest: Manifest,
    preprocess: PreprocessSpec,
    skipped: Sequence[Skipped],
    store: ArtifactStore,
    splits: str,
) -> pa.Table:
    """Write the files that make a folder of artifacts a frame store. Returns its index."""
    plan = _plan(manifest, preprocess)
    refs = [ref for ref in plan.steps if ref.startswith("ingest/")]
    index = tables.concat([read_index(store.open(ref)) for ref in refs], tables.FRAMES)
    tables.write(folder / INDEX, index, tables.FRAMES)
    rows = [dict(zip(tables.SKIPPED.names, row, strict=True)) for row in skipped]
    tables.write(folder / SKIPPED_FILE, rows, tables.SKIPPED)
    describe(folder, manifest, preprocess, splits)
    return index


def describe(folder: Path, manifest: Manifest, preprocess: PreprocessSpec, splits: str) -> None:
    """Write what `open_store` reads. The paths of the videos are left out."""
    described = {
        "preprocess": preprocess.model_dump(mode="json"),
        "manifest": manifest.model_dump(mode="json", exclude={"videos": {"__all__": {"path"}}}),
        "splits": splits,
    }
    LocalFolder(folder).write(STORE_FILE, json.dumps(described, indent=1).encode())


def open_store(place: str) -> FrameStore:
    """Open a frame store at a folder or URL.

    Raises InputError if there is none, or if its description is damaged.
    """
    folder = work_folder(place)
    path = folder.path / STORE_FILE
    if not path.exists():
        raise InputError(f"{place} is not a frame store: make one with `lussweep ingest`")
    try:
        described = read_json(path)
        preprocess, manifest = described["preprocess"], described["manifest"]
        splits = str(described.get("splits", "those of the store"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path} is damaged: run `lussweep ingest` again") from None
    videos = parse(Manifest, manifest, str(path))
    if any(video.path for video in videos.videos):  # `describe` writes no paths
        raise InputError(f"{path} names video files: run `lussweep ingest` again")
    artifacts = artifact_store(folder.artifacts_place)
    return FrameStore(videos, parse(PreprocessSpec, preprocess, str(path)), artifacts, splits)


def bring_in(
    manifest: Manifest,
    preprocess: PreprocessSpec,
    store: ArtifactStore,
    skip_unreadable: bool,
    run_steps: Callable[[Plan, Context], Progress],
    plugins: tuple[Plugin, ...] = (),
) -> tuple[Manifest, list[Skipped]]:
    """Run the data steps. Returns the manifest of the decoded videos, and the skipped ones.

    A file can look whole and still fail while it is decoded. If `skip_unreadable`, the patients of
    failed steps are decoded again to find which of their videos fail, and the steps run a second
    time without those. Raises InputError that lists every failed step otherwise, and if a split
    has no patient of a class left.
    """
    from lussweep.stages import Context

    plan = _plan(manifest, preprocess)
    paths = {v.sha256: v.path for v in manifest.videos if v.path}
    context = Context(store, "cpu", paths, plugins=plugins)
    progress = run_steps(plan, context)
    if not progress.failed:
        return manifest, []
    if not skip_unreadable:
        raise InputError([step_problem(o.error or "") for o in progress.failed.values()])
    patients = {plan.steps[ref].spec["patient_id"] for ref in progress.failed}
    reasons = {
        v.video_id: reason
        for v in manifest.videos
        if v.patient_id in patients and (reason := _problem(v, preprocess))
    }
    videos = [(v.patient_id, v.video_id, v.label) for v in manifest.videos]
    reasons |= dict.fromkeys(misjudged(videos, reasons), MISJUDGED)
    kept = tuple(v for v in manifest.videos if v.video_id not in reasons)
    skipped = [
        (v.patient_id, v.video_id, reasons[v.video_id])
        for v in manifest.videos
        if v.video_id in reasons
    ]
    smaller = Manifest(videos=kept)
    if missing := missing_classes(
        (split, max(video.label for video in videos))
        for split in SPLITS
        for videos in smaller.patients(split).values()
    ):
        unread = [f"skipped {video} of {patient}: {reason}" for patient, video, reason in skipped]
        raise InputError(shorten([*missing, *unread]))
    progress = run_steps(_plan(smaller, preprocess), context)
    if progress.failed:
        raise InputError([step_problem(o.error or "") for o in progress.failed.values()])
    return smaller, skipped


def step_problem(error: str) -> str:
    """The error of an outcome, without `InputError: ` at its beginning."""
    return error.partition(": ")[2] if error.startswith("InputError") else error


def _problem(video: Video, spec: PreprocessSpec) -> str | None:
    """Why a video cannot be decoded; None if it can."""
    from lussweep.data.preprocess import preprocess
    from lussweep.data.readers.decode import read_loop

    try:
        loop = read_loop(Path(video.path or ""), spec.frame_stride)
        preprocess(loop.pixels, spec.of_video(video), loop.extremes)
    except InputError as error:
        return encodable(str(error))
    return None


def _plan(manifest: Manifest, preprocess: PreprocessSpec) -> Plan:
    return make_data_plan(StudySpec(name="ingest", data=DataSpec(preprocess=preprocess)), manifest)
