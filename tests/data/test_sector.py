"""The sector against drawn truth, and against boxes drawn by hand on real videos."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from lussweep.data.phantom import phantom_manifest, render_video, sector_mask
from lussweep.data.readers.decode import read_loop
from lussweep.data.sector import LOW_CONFIDENCE, Box, box_of, detect_sector, extremes_of
from lussweep.study.spec import PhantomSpec
from support.commands import POCUS

HEIGHT, WIDTH = 300, 400
BOXES = Path(__file__).with_name("pocus_sectors.csv")
"""Boxes and probes that a person drew on first, middle and last frame and on the change in time.
Where a shadow hides a side, the box follows the other side. `half` says whether the constants of
the detector were chosen with the video in view."""


def fan(radius: float, half_angle: float) -> np.ndarray:
    """A sector (H, W) of a probe of this radius, 30 rows below the top and 230 deep."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    centre = 30 - radius * np.cos(np.radians(half_angle))
    distance, angle = np.hypot(x - 200, y - centre), np.degrees(np.arctan2(x - 200, y - centre))
    return (distance >= radius) & (distance <= radius + 230) & (abs(angle) <= half_angle)


def upright() -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[30:260, 120:290] = True
    return mask


SHAPES = {"convex": fan(110, 30), "phased": fan(4, 38), "linear": upright()}


def speckle(mask: np.ndarray) -> np.ndarray:
    """Twelve frames (T, H, W) of speckle in the mask, darker with depth."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(12):
        echo = cv2.GaussianBlur(rng.standard_normal((HEIGHT, WIDTH, 2)), (0, 0), 1.5) * 5
        level = 60 + 40 * np.log(np.hypot(echo[..., 0], echo[..., 1]) + 0.1)
        frames.append(np.clip(level * np.linspace(1, 0.4, HEIGHT)[:, None], 0, 255) * mask)
    return np.array(frames).astype(np.uint8)


def with_furniture(video: np.ndarray) -> np.ndarray:
    """The video with still text, a ruler and a clock that runs."""
    video = video.copy()
    for t, frame in enumerate(video):
        cv2.putText(frame, "DOE JANE", (2, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255, 1)
        cv2.putText(frame, f"10:{t:02d}", (350, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255, 1)
        frame[30:260:10, 2:10] = 200
    return video


def with_trace(video: np.ndarray) -> np.ndarray:
    """The video with the trace of a heart that beats, just below the sector."""
    video = video.copy()
    x = np.arange(5, WIDTH - 5)
    for t, frame in enumerate(video):
        beat = np.exp(-((((x + 7 * t) % 60 - 20) / 3.0) ** 2))
        line = np.stack([x, 275 - 20 * beat], axis=1).astype(np.int32)
        cv2.polylines(frame, [line.reshape(-1, 1, 2)], False, 220, 1)
    return video


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0, width) * max(0, height)
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (a, b)]
    return shared / (sum(areas) - shared)


@pytest.mark.parametrize("shape", SHAPES)
def test_box_and_shape_beside_text_ruler_and_clock(shape: str) -> None:
    sector = detect_sector(with_furniture(speckle(SHAPES[shape])))
    assert sector.shape == shape
    assert overlap(sector.box, box_of(SHAPES[shape])) > 0.97
    assert sector.box == box_of(sector.mask)
    assert sector.confidence > 0.9


@pytest.mark.parametrize("shape", SHAPES)
def test_a_trace_that_pulls_the_sector_wide_takes_confidence(shape: str) -> None:
    sector = detect_sector(with_trace(speckle(SHAPES[shape])))
    pulled = overlap(sector.box, box_of(SHAPES[shape]))
    assert pulled < 0.9
    assert sector.confidence < (0.75 if pulled > 0.7 else LOW_CONFIDENCE)


def test_a_hidden_side_takes_confidence() -> None:
    video = speckle(SHAPES["convex"])
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    video[:, x > 260 - 0.1 * y] = 0
    sector = detect_sector(video)
    assert sector.confidence < LOW_CONFIDENCE < detect_sector(speckle(SHAPES["convex"])).confidence


def test_a_still_video_is_less_sure() -> None:
    moving = speckle(SHAPES["convex"])
    still = detect_sector(np.repeat(moving[:1], 5, axis=0))
    assert overlap(still.box, box_of(SHAPES["convex"])) > 0.97
    assert still.confidence < detect_sector(moving).confidence


def test_sides_that_the_image_cuts_off_leave_the_shape_unknown() -> None:
    video = np.random.default_rng(0).integers(60, 200, (6, 90, 120)).astype(np.uint8)
    sector = detect_sector(video)
    assert sector.shape == "unknown" and sector.box == (0, 0, 120, 90)


@pytest.mark.parametrize("level", [0, 8])
def test_a_black_video_is_the_whole_image_without_confidence(level: int) -> None:
    sector = detect_sector(np.full((3, 20, 30), level, np.uint8))
    assert sector.box == (0, 0, 30, 20) and sector.mask.all()
    assert sector.confidence == 0 and sector.shape == "unknown"


def test_few_frames_of_a_video_show_the_sector_of_all() -> None:
    """A bright spot wanders: each pixel of the sector moves in some frame, and in few frames most
    are still."""
    mask = SHAPES["convex"]
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    video = np.array([
        mask * np.where(np.hypot(x - 100 - 5 * t, y - 150) < 120, 120, 0) for t in range(40)
    ]).astype(np.uint8)  # fmt: skip
    whole = detect_sector(video)
    few = detect_sector(video[::20], extremes_of(video))
    np.testing.assert_array_equal(few.mask, whole.mask)
    assert overlap(whole.box, box_of(mask)) > 0.9
    assert overlap(detect_sector(video[::20]).box, box_of(mask)) < 0.9


def test_phantoms() -> None:
    spec = PhantomSpec(train_patients=6, val_patients=1, holdout_patients=1, videos_per_patient=1)
    found = []
    for video in phantom_manifest(spec, seed=1).videos:
        sector = detect_sector(render_video(video, 8, 128, seed=1))
        found.append(overlap(sector.box, box_of(sector_mask(video.patient_id, 128, seed=1))))
        assert sector.shape == "convex", video.patient_id
    assert np.mean(found) > 0.9 and min(found) > 0.7


STRIDES = (1, 2, 5, 10, 20, 40)


class Compared(NamedTuple):
    """The sector of a real video at one stride, against the box that was drawn by hand."""

    half: str
    stride: int
    overlap: float
    shape: str
    drawn_shape: str
    confidence: float


@pytest.fixture(scope="module")
def compared() -> list[Compared]:
    return list(_compared())


def _compared() -> Iterator[Compared]:
    for row in csv.DictReader(BOXES.read_text().splitlines()):
        loop = read_loop(POCUS / "videos" / row["file"])
        box = (int(row["x0"]), int(row["y0"]), int(row["x1"]), int(row["y1"]))
        for stride in STRIDES:  # the extremes are those of all frames at every stride
            sector = detect_sector(loop.pixels[::stride], loop.extremes)
            found = overlap(sector.box, box)
            yield Compared(
                row["half"], stride, found, sector.shape, row["shape"], sector.confidence
            )


@pytest.mark.unhurried
@pytest.mark.skipif(not POCUS.is_dir(), reason=f"the POCUS videos are not at {POCUS}")
@pytest.mark.parametrize("half", ["tuning", "final"])
@pytest.mark.parametrize("stride", STRIDES)
def test_real_videos(compared: list[Compared], half: str, stride: int) -> None:
    videos = [video for video in compared if (video.half, video.stride) == (half, stride)]
    assert len(videos) > 30
    assert np.mean([video.overlap for video in videos]) > 0.96
    for video in videos:
        assert video.overlap >= 0.7 or video.confidence < LOW_CONFIDENCE
        assert video.shape in (video.drawn_shape, "unknown")
