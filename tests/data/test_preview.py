"""What the preview says about videos: crop, mask, shade and outliers."""

from __future__ import annotations

import numpy as np
import pytest

from lussweep.data.preprocess import find_window
from lussweep.data.preview import BLANKED_COLOUR, look_at, outliers
from lussweep.errors import InputError
from lussweep.study.spec import PreprocessSpec

AUTO = PreprocessSpec()


def video(x0: int, y0: int, x1: int, y1: int, size: tuple[int, int] = (200, 150)) -> np.ndarray:
    """Eight frames (T, H, W) of noise in a box, black elsewhere."""
    width, height = size
    frames = np.zeros((8, height, width), np.uint8)
    noise = np.random.default_rng(0).integers(40, 200, (8, y1 - y0, x1 - x0))
    frames[:, y0:y1, x0:x1] = noise
    return frames


def shade(picture: np.ndarray) -> np.ndarray:
    """Where a black pixel of a picture (H, W, 3) is shaded."""
    return (picture == np.array(BLANKED_COLOUR) * 3 // 10).all(axis=2)


def test_a_look_has_the_crop_that_preprocessing_takes() -> None:
    frames = video(40, 30, 160, 130)
    look = look_at(frames, AUTO)
    assert look.crop == find_window(frames, AUTO)[0] == (40, 30, 160, 130)
    assert look.size == (200, 150) and look.n_frames == 8 and len(look.pictures) == 3


def test_what_is_blanked_is_shaded_and_tissue_is_not() -> None:
    frames = video(40, 30, 160, 130)
    spec = PreprocessSpec(mask_boxes=((100, 60, 120, 80),))
    picture = look_at(frames, spec).pictures[0]
    shaded = shade(picture)
    assert shaded[:28].all() and shaded[:, :38].all()
    np.testing.assert_array_equal(picture[40:55, 50:90, 0], frames[0, 40:55, 50:90])
    whole = shade(
        look_at(frames, PreprocessSpec(crop="none", mask_outside_sector=False)).pictures[0]
    )
    assert not whole.any()
    inside = picture[65:75, 105:115, 2].astype(int) - picture[65:75, 105:115, 1]
    assert (inside > 30).all()


def test_large_frames_are_shown_small_with_their_proportions() -> None:
    look = look_at(video(100, 50, 700, 350, size=(800, 400)), AUTO)
    assert look.pictures[0].shape == (160, 320, 3)


def test_a_crop_unlike_the_others_of_its_frame_size_is_an_outlier() -> None:
    alike = [look_at(video(40, 30, 160, 130), AUTO) for _ in range(5)]
    odd = look_at(video(40, 30, 90, 130), AUTO)
    other_size = [look_at(video(10, 10, 60, 90, size=(100, 100)), AUTO) for _ in range(5)]
    assert outliers([*alike, odd, *other_size]) == [5]


def test_rare_frame_sizes_are_compared_with_all_videos() -> None:
    alike = [look_at(video(40, 30, 160, 130), AUTO) for _ in range(5)]
    same_share = look_at(video(20, 15, 80, 65, size=(100, 75)), AUTO)
    odd = look_at(video(0, 0, 30, 75, size=(100, 76)), AUTO)
    assert outliers([*alike, same_share, odd]) == [6]


def test_no_videos_and_one() -> None:
    assert outliers([]) == []
    assert outliers([look_at(video(40, 30, 160, 130), AUTO)]) == []


def test_a_black_video_is_refused_as_preprocessing_refuses_it() -> None:
    with pytest.raises(InputError, match="the video is black"):
        look_at(np.zeros((3, 20, 20), np.uint8), AUTO)
