"""Levels, order and time of every format that FFmpeg writes here, against what was written."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lussweep.data.readers.decode import probe, read_frames, read_loop
from support.commands import ROOT
from support.refused import refusal_of

MEDIA = ROOT.parent / "shared" / "cases" / "media"
HEIGHT, WIDTH, N_FRAMES, RATE = 64, 96, 24, 25
needs_media = pytest.mark.skipif(not MEDIA.is_dir(), reason=f"the cases are not at {MEDIA}")

FORMATS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "h264.mp4": ("libx264", "yuv420p", {}),
    "h264-full-range.mp4": ("libx264", "yuvj420p", {}),
    "h264-444.mp4": ("libx264", "yuv444p", {}),
    "h264-10-bits.mp4": ("libx264", "yuv420p10le", {}),
    "fragmented.mp4": ("libx264", "yuv420p", {"movflags": "frag_keyframe+empty_moov"}),
    "index-first.mp4": ("libx264", "yuv420p", {"movflags": "faststart"}),
    "hevc.mp4": ("libx265", "yuv420p", {}),
    "av1.mp4": ("libsvtav1", "yuv420p", {}),
    "mpeg4.mp4": ("mpeg4", "yuv420p", {}),
    "mjpeg.mov": ("mjpeg", "yuvj420p", {}),
    "prores.mov": ("prores_ks", "yuv422p10le", {}),
    "png.mov": ("png", "rgb24", {}),
    "qtrle.mov": ("qtrle", "rgb24", {}),
    "mjpeg.avi": ("mjpeg", "yuvj422p", {}),
    "mpeg4.avi": ("mpeg4", "yuv420p", {}),
    "ffv1.avi": ("ffv1", "gray", {}),
    "raw.avi": ("rawvideo", "bgr24", {}),
    "huffyuv.avi": ("huffyuv", "yuv422p", {}),
    "mpeg1.mpg": ("mpeg1video", "yuv420p", {}),
    "mpeg2.mpeg": ("mpeg2video", "yuv420p", {}),
    "mpeg2.ts": ("mpeg2video", "yuv420p", {}),
    "h264.ts": ("libx264", "yuv420p", {}),
    "h264.mkv": ("libx264", "yuv420p", {}),
    "vp8.webm": ("libvpx", "yuv420p", {}),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {}),
    "wmv2.wmv": ("wmv2", "yuv420p", {}),
    "flv.flv": ("flv1", "yuv420p", {}),
    "a.gif": ("gif", "gray", {}),
}
QUALITY = {
    "libx264": {"crf": "10"},
    "libx265": {"crf": "10", "x265-params": "log-level=none"},
    "libsvtav1": {"crf": "10", "preset": "10"},
    "libvpx": {"crf": "4", "deadline": "realtime", "cpu-used": "8"},
    "libvpx-vp9": {"crf": "10", "deadline": "realtime", "cpu-used": "8"},
}


def bars(n: int = N_FRAMES, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A ramp of grey levels, over it a bright bar that moves down, and the frame's number in bits.

    The bar shows the order, the ramp the levels, and the asymmetric picture its orientation.
    """
    frames = np.tile(np.linspace(16, 200, width).astype(np.uint8), (n, height, 1))
    for i in range(n):
        frames[i, 16 + (height - 24) * i // n :, : width // 3][:8] = 235
        frames[i, :16] = 0
        for bit in range(5):
            frames[i, :16, 16 * bit : 16 * bit + 16] = 235 * (i >> bit & 1)
    return frames


def numbers(frames: np.ndarray) -> list[int]:
    """The numbers that `bars` has written into the frames."""
    bits = frames[:, 4:12, : 16 * 5].reshape(len(frames), 8, 5, 16)[..., 4:12].mean(axis=(1, 3))
    return [int(row @ 2 ** np.arange(5)) for row in (bits > 117).astype(int)]


def write(
    path: Path, frames: np.ndarray, codec: str = "libx264", pixels: str = "yuv420p",
    *, options: dict[str, str] | None = None, codec_options: dict[str, str] | None = None,
    change: Callable[[Any], None] = lambda stream: None, times: list[int] | None = None,
) -> Path:  # fmt: skip
    """Writes grey frames (T, H, W) at RATE frames a second, or at `times` in its units."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream: Any = container.add_stream(
            codec, rate=RATE, options={**QUALITY.get(codec, {}), **(codec_options or {})}
        )
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = pixels
        if codec not in QUALITY:
            stream.bit_rate = 4_000_000
        change(stream)
        for i, frame in enumerate(frames):
            grey = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="gray")
            full = {"dst_color_range": "JPEG" if pixels.startswith("yuvj") else "MPEG"}
            shown = grey if pixels == "gray" else grey.reformat(
                format=pixels, src_color_range="JPEG", **(full if pixels.startswith("yuv") else {})
            )  # fmt: skip
            shown.pts = times[i] if times else i
            shown.time_base = Fraction(1, RATE)
            container.mux(stream.encode(shown))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name", FORMATS)
def test_levels_order_and_times_are_those_that_were_written(tmp_path: Path, name: str) -> None:
    codec, pixels, options = FORMATS[name]
    if codec not in av.codec.codecs_available:
        pytest.skip(f"this FFmpeg does not write {codec}")
    written = bars()
    path = write(tmp_path / name, written, codec, pixels, options=options)
    assert probe(path) is None
    loop = read_loop(path)
    assert loop.pixels.shape == written.shape
    assert numbers(loop.pixels) == list(range(N_FRAMES)) == list(loop.indices)
    error = np.abs(loop.pixels.astype(int) - written)
    assert np.median(error) <= 2 and error.mean() < 4
    tick = 0.04 if name.endswith(".gif") else 0.0011  # GIF counts hundredths
    np.testing.assert_allclose(loop.seconds, np.arange(N_FRAMES) / RATE, atol=tick)
    strided = read_loop(path, 5)
    assert strided.indices == (0, 5, 10, 15, 20)
    np.testing.assert_array_equal(strided.pixels, loop.pixels[::5])


LOSSLESS = ("ffv1.avi", "raw.avi", "png.mov", "qtrle.mov", "a.gif")


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_keep_every_level(tmp_path: Path, name: str) -> None:
    codec, pixels, _ = FORMATS[name]
    levels = np.arange(256, dtype=np.uint8).reshape(1, 8, 32).repeat(2, axis=0).repeat(4, axis=1)
    path = write(tmp_path / name, levels, codec, pixels)
    np.testing.assert_array_equal(read_frames(path), levels)


def test_one_video_after_another_in_one_process(tmp_path: Path) -> None:
    a = write(tmp_path / "a.mp4", bars())
    b = write(tmp_path / "b.mpg", 255 - bars(12, 48, 80), "mpeg2video")
    first, other, again = read_frames(a), read_frames(b), read_frames(a)
    assert other.shape == (12, 48, 80)
    np.testing.assert_array_equal(again, first)
    assert numbers(again) == list(range(N_FRAMES))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi", ".gif", ".webm", ".mpg"])
@pytest.mark.parametrize("share", [0.4, 0.65, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    name = {".mp4": "h264.mp4", ".mkv": "h264.mkv", ".ts": "h264.ts", ".avi": "mjpeg.avi",
            ".gif": "a.gif", ".webm": "vp9.webm", ".mpg": "mpeg1.mpg"}[suffix]  # fmt: skip
    codec, pixels, options = FORMATS[name]
    noise = np.random.default_rng(0).integers(0, 60, (N_FRAMES, HEIGHT, WIDTH), dtype=np.uint8)
    path = write(tmp_path / name, bars() // 2 + noise, codec, pixels, options=options)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "truncated" in refusal_of(path)


@pytest.mark.parametrize("name", ["h264.mp4", "h264.mkv", "mpeg4.avi", "mjpeg.avi", "h264.ts"])
def test_damage_in_the_middle_is_refused(tmp_path: Path, name: str) -> None:
    codec, pixels, options = FORMATS[name]
    noise = np.random.default_rng(0).integers(0, 60, (N_FRAMES, HEIGHT, WIDTH), dtype=np.uint8)
    path = write(tmp_path / name, bars() // 2 + noise, codec, pixels, options=options)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + middle // 4] = bytes(middle // 4)
    path.write_bytes(content)
    assert "copy it again" in refusal_of(path)


def woven(n: int = 12) -> np.ndarray:
    """Interlaced frames of a bar that moves by 3 pixels a field."""
    fields = np.full((2 * n, HEIGHT, WIDTH), 40, np.uint8)
    for i, field in enumerate(fields):
        field[:, 4 + 3 * i : 12 + 3 * i] = 200
    frames = fields[::2].copy()
    frames[:, 1::2] = fields[1::2, 1::2]
    return frames


@pytest.mark.parametrize("name", ["h264.mp4", "mpeg2.mpeg", "mpeg4.avi"])
def test_interlaced_frames_are_deinterlaced_one_for_each(tmp_path: Path, name: str) -> None:
    codec, pixels, _ = FORMATS[name]
    frames = woven()
    options = {"x264-params": "tff=1"} if codec == "libx264" else {"flags": "+ildct+ilme"}

    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=RATE, options=options)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, pixels
        stream.bit_rate = 8_000_000
        graph = av.filter.Graph()
        nodes = [
            graph.add_buffer(width=WIDTH, height=HEIGHT, format=av.VideoFormat(pixels),
                             time_base=Fraction(1, RATE)),
            graph.add("setfield", "tff"), graph.add("buffersink"),
        ]  # fmt: skip
        graph.link_nodes(*nodes).configure()
        for i, frame in enumerate(frames):
            shown = av.VideoFrame.from_ndarray(frame, format="gray").reformat(
                format=pixels, src_color_range="JPEG", dst_color_range="MPEG"
            )
            shown.pts, shown.time_base = i, Fraction(1, RATE)
            graph.push(shown)
            container.mux(stream.encode(graph.vpull()))
        container.mux(stream.encode(None))
    read = read_frames(path)
    assert read.shape == frames.shape
    combed = np.abs(np.diff(frames.astype(int), axis=1)).mean()
    assert np.abs(np.diff(read.astype(int), axis=1)).mean() < combed / 3
    np.testing.assert_array_equal(read, bwdif(path))


def bwdif(path: Path) -> np.ndarray:
    """All frames of a file through FFmpeg's own chain: bwdif, then grey."""
    found = []
    with av.open(str(path)) as container:
        graph = None
        frames = [*container.decode(video=0), None]
        for frame in frames:
            if graph is None:
                graph = av.filter.Graph()
                nodes = [
                    graph.add_buffer(width=frame.width, height=frame.height, format=frame.format,
                                     time_base=frame.time_base),
                    graph.add("bwdif", "send_frame:auto:interlaced"),
                    graph.add("format", "gray"), graph.add("buffersink"),
                ]  # fmt: skip
                graph.link_nodes(*nodes).configure()
            graph.push(frame)
            while True:
                try:
                    found.append(graph.vpull().to_ndarray())
                except (BlockingIOError, EOFError):
                    break
    return np.stack(found)


MATRICES = {  # FFmpeg's transformation of the picture as numpy does it
    (1, 0, 0, 1): lambda f: f,
    (-1, 0, 0, 1): lambda f: f[:, :, ::-1],
    (1, 0, 0, -1): lambda f: f[:, ::-1],
    (-1, 0, 0, -1): lambda f: f[:, ::-1, ::-1],
    (0, 1, -1, 0): lambda f: np.rot90(f, -1, (1, 2)),  # turned to the right
    (0, -1, 1, 0): lambda f: np.rot90(f, 1, (1, 2)),
    (0, 1, 1, 0): lambda f: f.transpose(0, 2, 1),
    (0, -1, -1, 0): lambda f: f[:, ::-1, ::-1].transpose(0, 2, 1),
}


@pytest.mark.parametrize("matrix", MATRICES)
def test_turned_and_mirrored_pictures(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    a, b, c, d = (65536 * value for value in matrix)
    plain = read_frames(write(tmp_path / "plain.mp4", bars()))
    path = write(
        tmp_path / "turned.mp4",
        bars(),
        change=lambda s: s.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30]),
    )
    np.testing.assert_array_equal(read_frames(path), MATRICES[matrix](plain))


def test_a_picture_that_is_turned_by_30_degrees_is_refused(tmp_path: Path) -> None:
    path = write(
        tmp_path / "turned.mp4", bars(), change=lambda s: s.set_display_rotation(30, False, False)
    )
    assert "an angle between right ones: convert it" in refusal_of(path)


@pytest.mark.parametrize(("ratio", "size"), [("2/1", (64, 192)), ("8/9", (72, 96))])
def test_pixels_that_are_not_square(tmp_path: Path, ratio: str, size: tuple[int, int]) -> None:
    written = bars()

    def widen(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(ratio)

    frames = read_frames(write(tmp_path / "wide.mp4", written, change=widen))
    assert frames.shape[1:] == size
    bar = [np.flatnonzero(f[16 * size[0] // HEIGHT + 2 :, 2] > 210) for f in frames]
    assert all(np.diff([rows.mean() for rows in bar]) > 0)


def test_times_that_are_not_even(tmp_path: Path) -> None:
    times = [0, 1, 2, 10, 11, 30]
    path = write(tmp_path / "gaps.mkv", bars(6), times=times)
    assert numbers(read_frames(path)) == list(range(6))
    np.testing.assert_allclose(read_loop(path).seconds, np.array(times) / RATE, atol=0.001)


def test_transparent_parts_are_black(tmp_path: Path) -> None:
    rgba = np.full((3, HEIGHT, WIDTH, 4), 200, np.uint8)
    rgba[:, :, :48, 3], rgba[:, :, 48:, 3] = 255, 0
    rgba[:, :8, :, 3] = 128
    path = tmp_path / "alpha.mov"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("png", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "rgba"
        for frame in rgba:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgba")))
        container.mux(stream.encode(None))
    frames = read_frames(path)
    assert set(np.unique(frames[:, 8:, :48])) == {200} and not frames[:, 8:, 48:].any()
    assert set(np.unique(frames[:, :8])) == {100}


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_a_webm_whose_transparent_parts_would_be_shown_is_refused(
    tmp_path: Path, codec: str
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg does not write {codec}")
    rgba = np.full((HEIGHT, WIDTH, 4), 200, np.uint8)
    rgba[:, 48:, 3] = 0
    path = tmp_path / "alpha.webm"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=RATE, options={"auto-alt-ref": "0"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuva420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, format="rgba")))
        container.mux(stream.encode(None))
    assert "has transparent parts, which FFmpeg would show: put it on black" in refusal_of(path)
    assert probe(path) == refusal_of(path)


def test_a_codec_that_ffmpeg_lacks_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "odd.avi", bars(), "mjpeg", "yuvj420p")
    path.write_bytes(path.read_bytes().replace(b"MJPG", b"QZX7"))
    line = refusal_of(path)
    assert "no decoder for its codec (QZX7): convert it to mp4" in line
    assert probe(path) == line


def test_a_file_of_sound_holds_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    assert "holds no video stream" in refusal_of(path)


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    write(tmp_path / "a.ts", bars())
    path = tmp_path / "list.mp4"
    for text in (
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.ts\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile a.ts\n",
    ):
        path.write_text(text)
        assert "is not an mp4, mov" in refusal_of(path)


@pytest.mark.parametrize("name", ["ünï côdé.mp4", "病人 7.mp4", "a:b%20'c.mp4"])
def test_names_in_any_script(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "plain.mp4", bars()).rename(tmp_path / name)
    assert len(read_frames(path)) == N_FRAMES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>not found</html>", "is a web page"),
        (bytes(128) + b"DICM" + bytes(99), "is a DICOM file: convert it to mp4 (H.264), or its"),
        (b"GIF89a", "gif"),
        (struct.pack(">I4s", 16, b"ftyp") + bytes(8), "mp4 file is truncated"),
    ],
)
def test_what_lies_in_place_of_a_video_is_named(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    assert message in refusal_of(path)
    assert probe(path) == refusal_of(path)


# --- the shared cases ---------------------------------------------------------------------


@needs_media
def test_the_interlaced_case_is_what_ffmpeg_shows_whatever_was_read_before() -> None:
    path = MEDIA / "il_h264.mp4"
    first = read_frames(path)
    read_frames(MEDIA / "piped.avi")
    np.testing.assert_array_equal(read_frames(path), first)
    np.testing.assert_array_equal(first, bwdif(path))
    assert first.shape == (40, 576, 720) and 40 < first.mean() < 200


@needs_media
def test_the_mirrored_case_is_mirrored_and_not_turned() -> None:
    plain = read_frames(MEDIA / "trim_editlist.mp4")
    path = MEDIA / "hflip.mp4"
    with av.open(str(path)) as container:
        stored = np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])
    np.testing.assert_array_equal(read_frames(path), stored[:, :, ::-1])
    assert plain.shape == (15, 120, 160)


@needs_media
@pytest.mark.parametrize(
    ("name", "n_frames"),
    [("trim_editlist.mp4", 15), ("nullframes.avi", 25), ("piped.avi", 40),
     ("g_transparent.gif", 10), ("not_a_video/pnot.mov", 40)],
)  # fmt: skip
def test_sound_cases_are_read(name: str, n_frames: int) -> None:
    assert probe(MEDIA / name) is None
    loop = read_loop(MEDIA / name)
    assert len(loop.pixels) == n_frames
    assert list(loop.seconds) == sorted(loop.seconds)


@needs_media
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("aspectchange.ts", "its size changes from 160 x 120 to 120 x 120 at frame 40"),
        ("not_a_video/html.mp4", "is a web page"),
        ("not_a_video/lfs.mp4", "is a Git LFS pointer"),
        ("not_a_video/uuid.mp4", "no frame can be decoded: copy it again"),
        ("not_a_video/styp.mp4", "no frame can be decoded: copy it again"),
    ],
)
def test_other_cases_are_refused(name: str, message: str) -> None:
    assert message in refusal_of(MEDIA / name)
