"""Stages that read videos, index the frames of a split, draw cohorts, and read external images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lussweep.data.cohort import count_label, draw_cohort, patient_ids
from lussweep.data.declaration import check_declaration
from lussweep.data.external import load_images
from lussweep.data.frames import INDEX, read_index, write_shard
from lussweep.errors import InputError, LeakageError
from lussweep.models.generators.checkpoint import Stopped
from lussweep.stages.context import Context, Summary, cohort_frames, shards_of, split_index
from lussweep.store import names, tables
from lussweep.study.keys import hashed_id
from lussweep.study.plan import Step
from lussweep.study.plan.step_specs import CohortStep, ExternalStep, IngestStep, ShardStep
from lussweep.study.spec import Video


def run_shard(step: Step, context: Context, out: Path) -> Summary:
    """Turns one patient's videos into pixels, sector masks and index rows.

    Raises Stopped between two videos if a stop is asked.
    """
    spec = ShardStep.of(step)
    videos = spec.of_patient()
    pixels: list[np.ndarray] = []
    masks: list[np.ndarray] = []
    rows: list[dict[str, Any]] = []
    for mask_row, video in enumerate(videos):
        if mask_row and context.link.stop_is_asked():
            raise Stopped(f"stopped after {mask_row} of {len(videos)} videos")
        frames, mask, source = _video_frames(video, spec, context)
        _check_annotations(video, source.end)
        first = sum(len(p) for p in pixels)
        rows += [
            {
                "patient_id": spec.patient_id,
                "video_id": video.video_id,
                "frame": i,
                "label": _frame_label(video, source_frame),
                "patient_class": max(v.label for v in videos),
                "shard": step.ref,
                "row": first + i,
                "mask_row": mask_row,
                "source_frame": source_frame,
                "seconds": seconds,
            }
            for i, (source_frame, seconds) in enumerate(
                zip(source.indices, source.seconds, strict=True)
            )
        ]
        pixels.append(frames)
        masks.append(mask)
    write_shard(out, pixels, np.stack(masks))
    tables.write(out / INDEX, rows, tables.FRAMES)
    return {"n_frames": len(rows), "n_videos": len(videos)}


class _Source(NamedTuple):
    """The places of a video's frames in its source."""

    indices: Sequence[int]
    """Numbers of the frames, from 0."""
    seconds: Sequence[float | None]
    """Times since the first frame. None where the source has no times."""
    end: int
    """The number of frames in the source, at most."""


def _video_frames(
    video: Video, spec: ShardStep, context: Context
) -> tuple[np.ndarray, np.ndarray, _Source]:
    """Frames (T, S, S), the sector mask (S, S), and where the frames come from."""
    if spec.phantom is not None:
        from lussweep.data.phantom import render_video, sector_mask

        phantom = spec.phantom
        mask = sector_mask(video.patient_id, phantom.image_size, phantom.seed)
        frames = render_video(video, phantom.n_frames, phantom.image_size, phantom.seed)
        return frames, mask, _Source(range(len(frames)), [None] * len(frames), len(frames))
    from lussweep.data.digests import sha256_now
    from lussweep.data.preprocess import preprocess
    from lussweep.data.readers.decode import read_loop

    assert spec.preprocess is not None, "a shard has a phantom or preprocessing"
    path = context.video_paths.get(video.sha256)
    if path is None:
        raise InputError(
            f"video {video.video_id} of patient {video.patient_id} has no file here: run with the "
            "manifest that lists it"
        )
    try:
        loop = read_loop(Path(path), spec.frame_stride)
        # The key names the file that was listed. Another node may have another file at its path.
        if sha256_now(Path(path)) != video.sha256:
            raise InputError(f"{path} is not the file that was listed, or has changed: run again")
        own = spec.preprocess.of_video(video)
        frames, mask = preprocess(loop.pixels, own, loop.extremes)
        return frames, mask, _Source(loop.indices, loop.seconds, loop.end)
    except InputError as error:
        raise InputError(f"video {video.video_id} of patient {video.patient_id}: {error}") from None


def _frame_label(video: Video, frame: int) -> int | None:
    """1 positive, 0 negative, None unusable. `frame` counts the frames of the source.

    All frames of a negative video are negative. If frames of a positive video are annotated, only
    those are positive and the others are unusable.
    """
    if video.label == 0 or video.annotated_frames is None:
        return video.label
    return 1 if frame in video.annotated_frames else None


def _check_annotations(video: Video, end: int) -> None:
    """Raises InputError if a frame from number `end` on is annotated."""
    last = max(video.annotated_frames or (0,))
    if last >= end:
        raise InputError(
            f"video {video.video_id} of patient {video.patient_id}: frame {last} is annotated, "
            f"the video ends before it: count frames from 0"
        )


def run_ingest(step: Step, context: Context, out: Path) -> Summary:
    """Writes the frame index of one split.

    Raises LeakageError if the index of a patient names another patient, or another's pixels.
    """
    indices = []
    for patient, ref in sorted(step.inputs.items()):
        index = read_index(context.store.open(ref))
        if shards_of(index) != {patient: {ref}}:
            raise LeakageError(
                f"{ref} holds frames that are not of patient {patient}: delete it, and it is made "
                "again"
            )
        indices.append(index)
    index = tables.with_columns(
        tables.concat(indices, tables.FRAMES), {"split": IngestStep.of(step).split}, tables.FRAMES
    )
    tables.write(out / INDEX, index, tables.FRAMES)
    return {"n_all_patients": len(indices), "n_frames": len(index)}


def run_cohort(step: Step, context: Context, out: Path) -> Summary:
    """Draws the patients and the frames of one cohort from the train split."""
    train = split_index(step, context, "train")
    spec = CohortStep.of(step)
    drawn = draw_cohort(train, spec.n_patients, spec.cohort, spec.seed)
    tables.write(out / names.COHORT, drawn, tables.FRAMES)
    return {
        "n_all_patients": len(patient_ids(drawn)),
        "n_pos_frames": count_label(drawn, 1),
        "n_neg_frames": count_label(drawn, 0),
    }


def run_external(step: Step, context: Context, out: Path) -> Summary:
    """Reads the images of another generator. Raises LeakageError if it saw patients outside the
    cohort, and InputError for images that cannot be used.
    """
    spec = ExternalStep.of(step)
    by_hash = {hashed_id(p): p for p in patient_ids(split_index(step, context, "train"))}
    declared = [by_hash.get(patient, patient) for patient in spec.patients]
    cohort = patient_ids(cohort_frames(step, context))
    check_declaration(declared, cohort, (), "external images")
    images = load_images(context.external[spec.sha256], spec.image_size)
    if len(images) < 2:
        raise InputError("one image is not a set: give at least 2")
    np.save(out / names.SYNTHETIC, images)
    return {"n_images": len(images)}
