"""A video that FFmpeg has opened: its packets and frames, and the damage that FFmpeg finds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from lussweep.data.readers.containers import check_container, truncated
from lussweep.data.readers.seam import (
    COPY_AGAIN,
    HEAD_BYTES,
    MAX_PIXELS,
    Frame,
    UnreadableError,
    check_size,
)
from lussweep.data.readers.shown import CONVERT, Screen, deinterlaced

DEMUXERS = (
    "mov,mp4,avi,mpeg,mpegts,matroska,webm,mpegvideo,m4v,h264,hevc,ivf,obu,asf,flv,dv,mxf,mjpeg"
)
"""The containers that are read. FFmpeg also knows playlists, which name other files."""
MAX_ANNOUNCED = 2**30
"""The number of frames in the header of an AVI that was written to a pipe. It means "unknown"."""
LOOK_AHEAD = 3
"""If fewer packets follow a picture that cannot be decoded, the end of the file has cut it."""

Log = tuple[int, str, str]
"""Level, part of FFmpeg, and text of a line of its log."""


# --- opening ------------------------------------------------------------------------------


@contextmanager
def opened(path: Path) -> Iterator[_Source]:
    """Opens a video inside the block. Raises UnreadableError if FFmpeg cannot read the file."""
    n_bytes = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    _check_head(head)
    check_container(path, head)
    av.logging.set_level(av.logging.WARNING)
    av.logging.set_skip_repeated(False)
    with av.logging.Capture(local=False) as logs:
        try:
            container = av.open(
                f"file:{path}",
                options={
                    "format_whitelist": DEMUXERS,
                    "protocol_whitelist": "file",
                    "max_pixels": str(MAX_PIXELS),
                },
            )
        except av.FFmpegError as error:
            _check_logged_sizes(logs)
            raise _not_a_video(error) from None
        with container:
            stream = _video_stream(container, logs)
            source = _Source(container, stream, n_bytes, logs)
            source.check_header()
            yield source


def _check_head(head: bytes) -> None:
    """Raises UnreadableError that names the kind of file, for kinds often taken for a video."""
    if not head:
        raise UnreadableError(f"the file is empty: {COPY_AGAIN}")
    if head.startswith(b"version https://git-lfs"):
        raise UnreadableError(
            "is a Git LFS pointer, not the video itself: fetch the video with `git lfs pull`"
        )
    if re.match(rb"\s*<(!doctype html|html|\?xml|head|body)", head, re.IGNORECASE):
        raise UnreadableError(
            "is a web page that was saved in place of the video: download the video again"
        )
    if head[128:132] == b"DICM":
        raise UnreadableError(f"is a DICOM file: {CONVERT}, or its frames to PNG")


def _not_a_video(error: av.FFmpegError) -> UnreadableError:
    return UnreadableError(
        f"is not an mp4, mov, avi, mpeg, mkv or webm video that FFmpeg can open "
        f"({error.strerror}): {COPY_AGAIN}, or {CONVERT}"
    )


def _video_stream(container: InputContainer, logs: list[Log]) -> VideoStream:
    """The first stream of pictures that is not a cover. Opens its decoder, with one thread."""
    for stream in container.streams:
        if stream.type != "video" or stream.disposition & stream.disposition.attached_pic:
            continue
        if stream.codec_context is None:
            raise UnreadableError(
                f"FFmpeg has no decoder for its codec ({_codec_tag(logs)}): {CONVERT} with the "
                "program that wrote it"
            )
        assert isinstance(stream, VideoStream)
        stream.codec_context.thread_count = 1  # several patients are read at once
        options = {"threads": "1", "max_pixels": str(MAX_PIXELS)}
        if stream.codec_context.name != "mjpeg":  # see `_is_damaged_jpeg`
            options["err_detect"] = "crccheck+bitstream+buffer+explode"
        stream.codec_context.options = options
        return stream
    raise UnreadableError(f"holds no video stream: {COPY_AGAIN}")


def _codec_tag(logs: list[Log]) -> str:
    """The four letters of a codec without a decoder, which only FFmpeg's log says."""
    tags = [match[1] for _, _, text in logs if (match := re.search(r"\((\S+) / 0x", text))]
    return tags[0] if tags else "unknown"


def _check_logged_sizes(logs: list[Log]) -> None:
    """Raises UnreadableError for a size that FFmpeg has refused. Only its log says the size."""
    for _, _, text in logs:
        if match := re.search(r"Picture size (\d+)x(\d+)", text):
            check_size(int(match[1]), int(match[2]))


# --- reading ------------------------------------------------------------------------------


@dataclass
class _Source:
    """An open video."""

    container: InputContainer
    stream: VideoStream
    n_bytes: int
    logs: list[Log]
    last_announced: int = field(init=False)
    """Time stamp of the last packet of an AVI, by its index or, without one, by its header."""

    def __post_init__(self) -> None:
        indexed = [entry.timestamp for entry in self.stream.index_entries if entry.size]
        n_announced = self.stream.frames if self.stream.frames < MAX_ANNOUNCED else 0
        # Without an index FFmpeg has made an entry for the first packet.
        self.last_announced = max(indexed) if len(indexed) > 1 else n_announced - 1

    @property
    def kind(self) -> str:
        name = self.container.format.name
        return {"mov,mp4,m4a,3gp,3g2,mj2": "mp4", "matroska,webm": "Matroska"}.get(name, name)

    def check_header(self) -> None:
        """Raises UnreadableError for a size beyond the limits, or an index beyond the file."""
        _check_logged_sizes(self.logs)
        context = self.stream.codec_context
        if context.width or context.height:
            check_size(context.width, context.height)
        if self.kind == "mp4" and any(
            entry.pos + entry.size > self.n_bytes for entry in self.stream.index_entries
        ):
            raise truncated(self.kind, self.n_bytes)

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """Yields all packets. The last one is empty and makes the decoder give its last frames."""
        end, last = Fraction(0), 0
        try:
            for packet in self.container.demux(self.stream):
                # In a transport stream a gap in the numbering counts as corrupt as well.
                if packet.is_corrupt and self.kind != "mpegts":
                    raise truncated(self.kind, self.n_bytes)
                if packet.size and packet.dts is not None:
                    last = packet.dts
                if packet.size and packet.pts is not None and packet.time_base:
                    end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
                yield packet
        except av.FFmpegError as error:
            raise UnreadableError(f"cannot be read ({error.strerror}): {COPY_AGAIN}") from None
        if self.kind == "avi" and last < self.last_announced:
            raise truncated(self.kind, self.n_bytes)
        if self.kind == "Matroska" and self._ends_early(end):
            raise truncated(self.kind, self.n_bytes)

    def _ends_early(self, end: Fraction) -> bool:
        """Whether a Matroska file ends in the middle of a block, or before its time."""
        if any("File ended prematurely" in text for _, _, text in self.logs):
            return True
        others = len(self.container.streams) > 1  # sound may be longer
        if others or not self.container.duration or not self.stream.average_rate:
            return False
        announced = Fraction(self.container.duration, av.time_base)
        return end + Fraction(3, 2) / self.stream.average_rate < announced

    def frames(self, stride: int) -> Iterator[Frame]:
        """Yields every stride-th frame. Raises UnreadableError for damage, and for no frame."""
        index, size = -1, None
        first_time: Any = None
        screen = Screen(self.stream.sample_aspect_ratio)
        for index, shown in enumerate(deinterlaced(self._decoded())):
            size = size or (shown.width, shown.height)
            if (shown.width, shown.height) != size:
                raise UnreadableError(
                    f"its size changes from {size[0]} x {size[1]} to "
                    f"{shown.width} x {shown.height} at frame {index}: cut it there"
                )
            if index == 0:
                first_time = shown.time
                self._check_opacity(shown)
            if index % stride == 0:
                is_timed = shown.time is not None and first_time is not None
                seconds = shown.time - first_time if is_timed else None
                yield Frame(index, seconds, screen.grey(shown))
        if index < 0:
            raise UnreadableError(f"no frame can be decoded: {COPY_AGAIN}")

    def _check_opacity(self, frame: VideoFrame) -> None:
        """Raises UnreadableError for opacity beside the pictures, as in a webm, that was not read.

        FFmpeg's own decoders of VP8 and VP9 show what is transparent.
        """
        is_read = any(component.is_alpha for component in frame.format.components)
        if self.stream.metadata.get("alpha_mode") == "1" and not is_read:
            raise UnreadableError(
                "has transparent parts, which FFmpeg would show: put it on black and save it as "
                "mp4 (H.264)"
            )

    def _decoded(self) -> Iterator[VideoFrame]:
        packets = self.packets()
        n_frames = 0
        for packet in packets:
            n_logged = len(self.logs)
            try:
                decoded = packet.decode()
            except av.FFmpegError:
                _check_logged_sizes(self.logs)
                raise self._undecodable(n_frames, packets) from None
            if self._is_damaged_jpeg(packet, self.logs[n_logged:]):
                raise self._undecodable(n_frames, packets)
            for frame in decoded:
                check_size(frame.width, frame.height)
                if frame.is_corrupt:
                    raise self._undecodable(n_frames, packets)
                n_frames += 1
                yield frame

    def _is_damaged_jpeg(self, packet: Packet[VideoStream], logs: list[Log]) -> bool:
        """Whether the decoder of motion JPEG found damage in a packet.

        The decoder is not set to raise errors, because in some films the index points a few bytes
        before each JPEG, where another program has put a box. A player shows these films without
        the last blocks of each picture, and the decoder logs an "overread" for each.
        """
        errors = [text for _, _, text in _errors_of("mjpeg", logs)]
        if not errors:
            return False
        is_shifted = not bytes(packet).startswith(b"\xff\xd8")
        return any(not (is_shifted and "overread" in text) for text in errors)

    def _undecodable(
        self, n_frames: int, packets: Iterator[Packet[VideoStream]]
    ) -> UnreadableError:
        """Tells a cut from other damage by what follows."""
        n_after = sum(1 for packet in islice(packets, LOOK_AHEAD + 1) if packet.size)
        if n_frames and n_after <= LOOK_AHEAD:
            return truncated(self.kind, self.n_bytes)
        if n_frames == 0:
            return UnreadableError(f"no frame can be decoded: {COPY_AGAIN}")
        return UnreadableError(f"frame {n_frames} cannot be decoded: {COPY_AGAIN}")


def _errors_of(name: str, logs: list[Log]) -> list[Log]:
    return [log for log in logs if log[1] == name and log[0] <= av.logging.ERROR]
