"""Shows a decoded frame as a player does: whole, upright, with square pixels, on black; in grey."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from lussweep.data.readers.seam import UnreadableError, check_size

CONVERT = "convert it to mp4 (H.264)"

POINTWISE_COLOURS = (2, 5, 6)
"""The colour spaces (ITU-T H.273) in which FFmpeg makes grey of the luma alone: unspecified and
BT.601. In others it also looks at the chroma."""

Pixels = NDArray[np.uint8]


class Screen:
    """Shows the frames of one video as grey levels of full range."""

    def __init__(self, ratio: Fraction | None) -> None:
        """`ratio` is the width of a pixel by its height."""
        self.ratio = ratio
        self.scalers: dict[str, VideoReformatter] = {}
        """One converter for each pixel format. A frame's own converter would start threads."""
        self.tables: dict[tuple[str, int, int], Pixels] = {}
        """The grey level of each level of luma, by pixel format, colour range and colour space."""

    def grey(self, frame: VideoFrame) -> Pixels:
        """The grey levels (H, W) of a frame, as a player shows it."""
        width, height = _square(frame.width, frame.height, self.ratio)
        if (width, height) == (frame.width, frame.height) and _is_pointwise(frame):
            grey = np.asarray(cv2.LUT(_plane(frame), self._table(frame)), np.uint8)
        else:
            grey = self._levels(frame, width, height, "gray")
        if not any(component.is_alpha for component in frame.format.components):
            return _oriented(grey, frame)
        opacity = self._levels(frame, width, height, "rgba")[..., 3]
        composited = ((grey * opacity.astype(np.uint16) + 127) // 255).astype(np.uint8)
        return _oriented(composited, frame)

    def _levels(self, frame: VideoFrame, width: int, height: int, kind: str) -> Pixels:
        scaler = self.scalers.setdefault(kind, VideoReformatter())
        scaled = scaler.reformat(frame, width, height, kind, dst_color_range="JPEG", threads=1)
        return _plane(scaled) if kind == "gray" else _plane(scaled, 4).reshape(height, width, 4)

    def _table(self, frame: VideoFrame) -> Pixels:
        """What FFmpeg makes of the luma levels 0 to 255 in frames like this one.

        To look levels up in it gives FFmpeg's pixels in less time.
        """
        kind = (frame.format.name, int(frame.color_range), int(frame.colorspace))
        if kind not in self.tables:
            ramp = VideoFrame(256, 2, frame.format.name)
            for plane in ramp.planes:
                plane.update(b"\x80" * plane.buffer_size)
            _plane(ramp)[:] = np.arange(256)
            ramp.color_range, ramp.colorspace = frame.color_range, frame.colorspace
            self.tables[kind] = self._levels(ramp, 256, 2, "gray")[0].copy()
        return self.tables[kind]


def _is_pointwise(frame: VideoFrame) -> bool:
    """Whether the grey level of a pixel depends on its luma alone, which has a plane of 8 bits."""
    luma, *others = frame.format.components
    return (
        luma.is_luma
        and luma.bits == 8
        and all(other.plane != luma.plane for other in others)
        and not frame.format.has_palette
        and int(frame.colorspace) in POINTWISE_COLOURS
    )


def _plane(frame: VideoFrame, n_bytes: int = 1) -> Pixels:
    """The first plane (H, W times the bytes of a pixel) of a frame, in its memory."""
    plane: Any = frame.planes[0]
    rows: Pixels = np.frombuffer(plane, np.uint8).reshape(frame.height, -1)  # padded
    from_top = rows if plane.line_size > 0 else rows[::-1]
    return from_top[:, : n_bytes * frame.width]


def _square(width: int, height: int, ratio: Fraction | None) -> tuple[int, int]:
    """The size with square pixels, for pixels that are `ratio` times as wide as high."""
    if ratio and ratio > 0:
        width, height = (
            (round(width * ratio), height) if ratio > 1 else (width, round(height / ratio))
        )
        check_size(width, height)
    return width, height


def deinterlaced(decoded: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    """Yields each decoded frame. From the first interlaced one on, frames pass through bwdif."""
    graph = None
    for frame in decoded:
        if graph is None and frame.interlaced_frame:
            graph = _bwdif(frame)
        if graph is None:
            yield frame
            continue
        graph.push(frame)
        yield from _pulled(graph)
    if graph is not None:
        graph.push(None)
        yield from _pulled(graph)


def _bwdif(frame: VideoFrame) -> av.filter.Graph:
    """Deinterlaces the frames that are marked (https://ffmpeg.org/ffmpeg-filters.html#bwdif)."""
    graph = av.filter.Graph()
    graph.threads = 1
    nodes = [
        graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=frame.time_base or Fraction(1, 25),
        ),
        graph.add("bwdif", "mode=send_frame:deint=interlaced"),
        graph.add("buffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    return graph


def _pulled(graph: av.filter.Graph) -> Iterator[VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.BlockingIOError, av.EOFError):
            return


def _oriented(pixels: Pixels, frame: VideoFrame) -> Pixels:
    """Turns and mirrors pixels (H, W) as the frame's display matrix says.

    The matrix (ISO/IEC 14496-12, 8.3.2.3) maps x to a x + c y and y to b x + d y.
    """
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return pixels
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
    if (a or d) and (b or c):
        raise UnreadableError(f"is turned by an angle between right ones: {CONVERT}")
    if b or c:
        pixels, a, d = pixels.T, c, b
    return np.ascontiguousarray(pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])
