"""Why a video is left out is a text that a table can hold."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from lussweep.run.ingest import _problem
from lussweep.study.spec import PreprocessSpec, Video


def test_an_image_whose_name_is_no_unicode_is_named(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/herz-\xfc.png")).write_bytes(b"no image")
    except OSError:
        pytest.skip("needs a file system that takes any bytes as a name")
    video = Video(
        patient_id="P1", video_id="v1", label=0, split="train", path=str(tmp_path), sha256="0" * 64
    )
    (reason,) = pa.array([_problem(video, PreprocessSpec())]).to_pylist()
    assert "herz-\\udcfc.png" in reason
