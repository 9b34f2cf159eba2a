"""Grey by a table against grey by FFmpeg's own converter."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from av.video.format import names
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from lussweep.data.readers import shown
from lussweep.data.readers.decode import read_frames

RANGES, COLOURS = (0, 1, 2), (1, 2, 4, 5, 6, 9)
"""ITU-T H.273: 1 is BT.709, 4 FCC, 9 BT.2020; 2, 5 and 6 are `POINTWISE_COLOURS`."""


def by_ffmpeg(frame: VideoFrame) -> np.ndarray:
    grey = VideoReformatter().reformat(frame, format="gray", dst_color_range="JPEG", threads=1)
    return np.frombuffer(grey.planes[0], np.uint8).reshape(grey.height, -1)[:, : grey.width]


def frame_of_noise(kind: str, colour_range: int, colours: int) -> VideoFrame:
    frame = VideoFrame(67, 33, kind)
    frame.color_range, frame.colorspace = colour_range, colours
    rng = np.random.default_rng(0)
    for plane in frame.planes:
        plane.update(rng.integers(0, 256, plane.buffer_size, np.uint8))
    return frame


def test_grey_is_that_of_ffmpeg_in_all_pixel_formats() -> None:
    by_table = set()
    for kind in sorted(names):
        try:
            VideoFrame(67, 33, kind)
        except ValueError:  # a format of hardware
            continue
        for colour_range in RANGES:
            for colours in COLOURS:
                frame = frame_of_noise(kind, colour_range, colours)
                if shown._is_pointwise(frame):
                    by_table.add((kind, colours))
                    table = shown.Screen(None)._table(frame)
                    found = table[shown._plane(frame)]
                    assert (found == by_ffmpeg(frame)).all(), (kind, colour_range, colours)
    assert {("yuv420p", 2), ("yuvj422p", 5), ("nv12", 6), ("gray", 2)} <= by_table
    assert not {("rgb24", 2), ("yuv420p10le", 2), ("pal8", 2), ("yuv420p", 1)} & by_table


@pytest.mark.parametrize("kind", ["yuv420p", "yuv420p10le", "rgb24", "gray"])
def test_frames_of_one_video_may_differ_in_range_and_colours(kind: str) -> None:
    screen = shown.Screen(None)
    for colour_range, colours in ((1, 2), (2, 2), (1, 1), (1, 2)):
        frame = frame_of_noise(kind, colour_range, colours)
        assert (screen.grey(frame) == by_ffmpeg(frame)).all()


def test_rows_that_are_stored_from_the_bottom_are_shown_upright(tmp_path: Path) -> None:
    stored = np.arange(48 * 64).reshape(48, 64) // 12
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        stream.codec_context.extradata = b"BottomUp\0"
        frame = VideoFrame.from_ndarray(stored.astype(np.uint8), format="gray")
        container.mux([*stream.encode(frame), *stream.encode(None)])
    np.testing.assert_array_equal(read_frames(tmp_path / "a.mkv")[0], stored[::-1])
