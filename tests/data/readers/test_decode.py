import csv
import os
from pathlib import Path
from typing import IO

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from lussweep.data.readers import decode
from lussweep.data.readers.decode import probe, read_frames
from lussweep.data.readers.seam import MAX_SIDE
from support import hostile_video
from support.commands import POCUS
from support.refused import refusal_of

CODECS = {".mp4": "mp4v", ".mov": "mp4v", ".avi": "MJPG", ".mpeg": "MPEG", ".MP4": "mp4v"}
FORMATS = [*CODECS, ".gif"]


def noise(n: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Frames whose mean is their number times 10, under noise that fills the file."""
    frames = np.random.default_rng(0).integers(-9, 10, (n, height, width))
    return np.clip(frames + 10 * np.arange(n)[:, None, None], 0, 255).astype(np.uint8)


def write_video(path: Path, frames: np.ndarray) -> Path:
    colour = [cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR) for frame in frames]
    if path.suffix == ".gif":
        animation = cv2.Animation()
        animation.frames = colour
        animation.durations = np.full(len(colour), 40)
        assert cv2.imwriteanimation(str(path), animation)
        return path
    size = (frames.shape[2], frames.shape[1])
    lower = path.with_suffix(path.suffix.lower())
    writer = cv2.VideoWriter(str(lower), cv2.VideoWriter_fourcc(*CODECS[lower.suffix]), 25, size)
    assert writer.isOpened()
    for frame in colour:
        writer.write(frame)
    writer.release()
    return lower.rename(path)


def write_images(folder: Path, frames: np.ndarray) -> Path:
    folder.mkdir()
    for i, frame in enumerate(frames):
        assert cv2.imwrite(str(folder / f"frame{i}.png"), frame)
    return folder


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_frame_of_every_format_in_order(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"video{suffix}", noise(20))
    frames = read_frames(path)
    assert frames.shape == (20, 48, 64) and frames.dtype == np.uint8
    np.testing.assert_allclose(frames.mean(axis=(1, 2)), 10 * np.arange(20), atol=6)
    assert probe(path) is None


@pytest.mark.parametrize("suffix", [".avi", "folder"])
@pytest.mark.parametrize("stride", [2, 3, 50])
def test_stride_keeps_every_kth_frame_from_the_first(
    tmp_path: Path, suffix: str, stride: int
) -> None:
    if suffix == "folder":
        path = write_images(tmp_path / "loop", noise(20))
    else:
        path = write_video(tmp_path / "video.avi", noise(20))
    np.testing.assert_array_equal(read_frames(path, stride), read_frames(path)[::stride])


def test_a_stride_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stride must be at least 1, got 0"):
        read_frames(tmp_path, 0)


def test_a_folder_of_images_is_read_in_natural_order(tmp_path: Path) -> None:
    frames = noise(12)
    folder = write_images(tmp_path / "loop", frames)
    (folder / "notes.txt").write_text("not an image")
    np.testing.assert_array_equal(read_frames(folder), frames)
    assert probe(folder) is None


@pytest.mark.parametrize("suffix", FORMATS)
def test_half_a_file_is_truncated(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"video{suffix}", noise(40))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2 + 1])  # off the boundary of an mpeg pack
    assert "is truncated at" in refusal_of(path)
    assert probe(path) == refusal_of(path)


def test_the_container_is_told_by_content_not_by_suffix(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", noise(5)).rename(tmp_path / "video.avi")
    assert len(read_frames(path)) == 5
    path.write_bytes(path.read_bytes()[:-10])
    assert "mp4 file is truncated" in refusal_of(path)


def test_an_mp4_with_its_index_first_is_truncated_too(tmp_path: Path) -> None:
    """OpenCV opens such a file and decodes what is there."""
    path = tmp_path / "video.mp4"
    index = b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x08moov"
    path.write_bytes(index + b"\0\0\1\0mdat" + bytes(248))
    assert "truncated" not in refusal_of(path)
    path.write_bytes(index + b"\0\0\1\0mdat" + bytes(247))
    assert "truncated" in refusal_of(path)


def test_frames_that_are_missing_in_the_middle_show_in_the_index(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.avi", noise(20))
    content = bytearray(path.read_bytes())
    middle, end = len(content) // 2, len(content) - 500
    content[middle:end] = bytes(end - middle)
    path.write_bytes(content)
    assert "truncated" in refusal_of(path)
    assert probe(path) == refusal_of(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.mp4", b"", "the file is empty: copy it again"),
        ("text.mp4", b"not a video", "is not an mp4, mov, avi, mpeg, mkv or webm"),
        ("bad.gif", b"GIF89a" + bytes(7) + b";", "its header gives 0 x 0 pixels"),
        ("bad.mpeg", b"\0\0\1\xba" + bytes(400), "copy it again"),
    ],
)
def test_files_that_are_no_video(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert message in refusal_of(path)
    assert probe(path) == refusal_of(path)


def test_a_missing_file(tmp_path: Path) -> None:
    assert "does not exist: correct the path" in refusal_of(tmp_path / "none.mp4")
    assert probe(tmp_path / "none.mp4") == refusal_of(tmp_path / "none.mp4")


def test_a_header_of_too_many_pixels_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "wide.avi", noise(1, 16, MAX_SIDE + 16))
    assert "its header gives 8208 x 16 pixels" in refusal_of(path)
    assert probe(path) == refusal_of(path)


def test_a_gif_header_of_billions_of_pixels(tmp_path: Path) -> None:
    path = write_video(tmp_path / "huge.gif", noise(2))
    content = bytearray(path.read_bytes())
    content[6:10] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert "1 to 8192 a side are read" in refusal_of(path)


def test_more_frames_than_memory_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "long.avi", noise(20))
    monkeypatch.setattr(decode, "MAX_BYTES", 19 * 48 * 64)
    assert "cut it into parts" in refusal_of(path)
    assert len(read_frames(path, stride=2)) == 10


def test_folders_that_are_no_video(tmp_path: Path) -> None:
    folder = tmp_path / "loop"
    folder.mkdir()
    assert "the folder holds no image" in refusal_of(folder)
    (folder / "a.png").write_text("not a png")
    assert "a.png: is not a PNG, JPEG, TIFF, BMP, WEBP, GIF image" in refusal_of(folder)
    assert probe(folder) == refusal_of(folder)
    cv2.imwrite(str(folder / "a.png"), np.zeros((8, 9), np.uint8))
    cv2.imwrite(str(folder / "b.png"), np.zeros((8, 7), np.uint8))
    assert "frame sizes differ (9 x 8 and 7 x 8)" in refusal_of(folder)
    cv2.imwrite(str(folder / "a.png"), np.zeros((1, MAX_SIDE + 1), np.uint8))
    assert "8192 pixels a side" in refusal_of(folder)


def test_broken_files_leave_stderr_alone(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    path = write_video(tmp_path / "video.gif", noise(5))
    content = bytearray(path.read_bytes())
    content[900:] = bytes(len(content) - 900)
    content[:4] = b"GIF8"
    path.write_bytes(content)
    mp4 = tmp_path / "bad.mp4"
    mp4.write_bytes(b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x08moov")
    capfd.readouterr()
    refusal_of(path)
    refusal_of(mp4)
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not POCUS.is_dir(), reason=f"the POCUS videos are not at {POCUS}")
def test_real_videos_have_the_frames_of_their_manifest(tmp_path: Path) -> None:
    """Three of each format; half of each is refused, cut off the boundary of an MPEG pack."""
    with (POCUS / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    by_suffix: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        assert probe(POCUS / row["path"]) is None
        by_suffix.setdefault(Path(row["path"]).suffix.lower(), []).append(row)
    assert set(by_suffix) == {".mp4", ".avi", ".mov", ".mpeg", ".gif"}
    for suffix, members in by_suffix.items():
        for row in members[:: max(1, len(members) // 2)]:
            source = POCUS / row["path"]
            assert len(read_frames(source)) == int(row["frames"]), row["path"]
            half = tmp_path / f"half{suffix}"
            half.write_bytes(source.read_bytes()[: source.stat().st_size // 2 + 99])
            assert "is truncated" in (probe(half) or ""), row["path"]


def test_an_honest_h264_video_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    path.write_bytes(hostile_video.h264(64, 48))
    frames = decode.read_frames(path)
    assert frames.shape == (3, 48, 64)
    assert [len(np.unique(frame)) for frame in frames] == [1, 1, 1]
    assert np.diff(frames[:, 0, 0]).min() > 0


@pytest.mark.parametrize("kind", ["video", "array", "folder", "animation"])
def test_extremes_are_those_of_all_frames_at_every_stride(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (7, 24, 32)).astype(np.uint8)
    path = tmp_path / "a"
    if kind == "video":
        path = tmp_path / "a.avi"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 24, "gray"
            for frame in levels:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
            container.mux(stream.encode(None))
    elif kind == "array":
        np.save(path := tmp_path / "a.npy", levels)
    elif kind == "folder":
        path.mkdir()
        for number, frame in enumerate(levels):
            Image.fromarray(frame).save(path / f"{number}.png")
    else:
        first, *others = map(Image.fromarray, levels)
        first.save(path := tmp_path / "a.tif", save_all=True, append_images=others)
    for stride in (1, 3, 100):
        loop = decode.read_loop(path, stride)
        np.testing.assert_array_equal(loop.pixels, levels[::stride])
        np.testing.assert_array_equal(loop.extremes, [levels.max(axis=0), levels.min(axis=0)])
        assert loop.end == len(levels)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        3,
        [],
        [[1, 3, 2], [0], [0], 1],
        [[2, 3, 1], [0], [0, 1], 2],
        [[12], [0], [0], 1],
        [[0, 3, 2], [], [], 0],
        [[4, 3, 1], [0, 1, 2, 3], [0, 1, 2, 3], 4],
        [[2, 3, 1], [0, 1], [0, 1], None],
        [[2, 3, 1], [0, 1], [0, 1]],
    ],
)
def test_an_answer_that_does_not_fit_the_frames_is_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: object
) -> None:
    def call(*_: object, out: IO[bytes], **__: object) -> object:
        out.write(bytes(12))
        out.flush()
        return answer

    monkeypatch.setattr(decode.child, "call", call)
    assert "gave no valid answer: copy it again" in refusal_of(tmp_path / "a.avi")


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.avi")
    assert "is neither a file nor a folder" in refusal_of(tmp_path / "a.avi")
