"""A frame store of many videos, without pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from lussweep.data.frames import INDEX
from lussweep.run.ingest import describe
from lussweep.store import tables
from lussweep.study.keys import hashed_id
from lussweep.study.spec import SPLITS, Manifest, PreprocessSpec, Video

VIDEOS_PER_PATIENT = 2


def index_of(n_videos: int, n_frames: int) -> pa.Table:
    """An index (schema FRAMES) of so many videos, two a patient, with so many frames each."""
    video = np.repeat(np.arange(n_videos), n_frames)
    frame = np.tile(np.arange(n_frames), n_videos)
    patient = video // VIDEOS_PER_PATIENT

    def texts(names: list[str], row: np.ndarray) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array(row), names).cast(pa.string())

    patients = range(n_videos // VIDEOS_PER_PATIENT)
    columns = {
        "patient_id": texts([f"patient-{i}" for i in patients], patient),
        "video_id": texts([f"video-{i}" for i in range(n_videos)], video),
        "frame": frame,
        "label": patient % 2,
        "patient_class": patient % 2,
        "split": texts(list(SPLITS), patient % 3),
        "shard": texts([f"shard/{hashed_id(str(i))[:16]}" for i in patients], patient),
        "row": video % VIDEOS_PER_PATIENT * n_frames + frame,
        "mask_row": video % VIDEOS_PER_PATIENT,
        "source_frame": frame,
        "seconds": frame / 25,
    }
    return pa.table(columns).cast(tables.FRAMES)


def write_store(folder: Path, n_videos: int, n_frames: int) -> None:
    """Writes the files that `open_store` and `read_index` read."""
    videos = tuple(
        Video(
            patient_id=f"patient-{i // VIDEOS_PER_PATIENT}",
            video_id=f"video-{i}",
            label=1 if i // VIDEOS_PER_PATIENT % 2 else 0,
            split=SPLITS[i // VIDEOS_PER_PATIENT % 3],
            sha256=f"{i:064x}",
        )
        for i in range(n_videos)
    )
    tables.write(folder / INDEX, index_of(n_videos, n_frames), tables.FRAMES)
    describe(folder, Manifest(videos=videos), PreprocessSpec(), "drawn")
