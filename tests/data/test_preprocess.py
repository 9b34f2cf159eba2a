import cv2
import numpy as np
import pytest

from lussweep.data.preprocess import preprocess, to_squares
from lussweep.data.sector import detect_sector
from lussweep.errors import InputError
from lussweep.study.spec import PreprocessSpec

HEIGHT, WIDTH = 200, 260
SPEC = PreprocessSpec(image_size=128)


def drawn_sector() -> np.ndarray:
    """A convex-probe sector (H, W): a fan of 70 degrees with its curved top cut out."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.ellipse(mask, (140, -20), (200, 200), 0, 55, 125, 1, -1)
    cv2.circle(mask, (140, -20), 60, 0, -1)
    return mask.astype(bool)


def hull(mask: np.ndarray) -> np.ndarray:
    """The mask with its curved top filled."""
    points = cv2.convexHull(cv2.findNonZero(mask.astype(np.uint8)))
    return cv2.fillConvexPoly(np.zeros(mask.shape, np.uint8), points, 1).astype(bool)


def screen_furniture() -> np.ndarray:
    """Still text in a corner and a ruler at the left edge (H, W)."""
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.putText(image, "ID 42", (2, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255, 1)
    image[30:190:10, 2:10] = 200
    return image


def speckle(n: int = 12, seed: int = 0) -> np.ndarray:
    """A video (T, H, W) of moving speckle in the sector, black elsewhere."""
    noise = np.random.default_rng(seed).integers(20, 180, (n, HEIGHT, WIDTH))
    return (noise * drawn_sector()).astype(np.uint8)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((a & b).sum() / (a | b).sum())


def test_the_sector_is_whole_and_text_beside_it_vanishes() -> None:
    video = np.maximum(speckle(), screen_furniture())
    sector = detect_sector(video).mask
    assert not (drawn_sector() & ~sector).any()
    assert overlap(sector, hull(drawn_sector())) > 0.99
    assert not (sector & (screen_furniture() > 0)).any()
    frames, mask = preprocess(video, PreprocessSpec(image_size=256, crop="none"))
    assert screen_furniture().any() and not frames[:, ~mask].any()
    clean, _ = preprocess(speckle(), PreprocessSpec(image_size=256, crop="none"))
    np.testing.assert_array_equal(frames, clean)


def test_shapes_types_and_determinism() -> None:
    video = speckle()
    before = video.copy()
    frames, mask = preprocess(video, SPEC)
    assert frames.shape == (12, 128, 128) and frames.dtype == np.uint8
    assert mask.shape == (128, 128) and mask.dtype == bool
    np.testing.assert_array_equal(video, before)
    np.testing.assert_array_equal(preprocess(video, SPEC)[0], frames)


def test_auto_crop_fills_the_square_and_keeps_the_aspect_ratio() -> None:
    _, mask = preprocess(speckle(), SPEC)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    height, width = (np.ptp(np.flatnonzero(drawn_sector().any(axis=a))) + 1 for a in (1, 0))
    assert np.ptp(columns) + 1 == 128
    assert np.ptp(rows) + 1 == pytest.approx(128 * height / width, abs=2)
    assert rows[0] == pytest.approx(127 - rows[-1], abs=1)


def test_a_dark_shadow_does_not_cut_the_sector() -> None:
    video = speckle()
    video[:, :, 120:165] = 0
    assert overlap(detect_sector(video).mask, hull(drawn_sector())) > 0.98


def test_a_still_video_keeps_its_sector_and_loses_small_text() -> None:
    still = np.repeat(np.maximum(speckle(1), screen_furniture()), 5, axis=0)
    sector = detect_sector(still).mask
    assert overlap(sector, hull(drawn_sector())) > 0.99
    assert not (sector & (screen_furniture() > 0)).any()


def test_a_grey_ground_is_not_the_sector() -> None:
    video = np.maximum(speckle(), 30)
    assert overlap(detect_sector(video).mask, hull(drawn_sector())) > 0.99


def test_a_sector_that_fills_the_image_is_kept() -> None:
    video = np.random.default_rng(0).integers(60, 200, (6, 90, 120)).astype(np.uint8)
    assert detect_sector(video).mask.all()
    _, mask = preprocess(video, SPEC)
    assert mask[16:112].all() and not mask[:15].any() and not mask[113:].any()


def test_without_the_mask_the_text_stays_and_padding_is_left_out_of_the_mask() -> None:
    video = np.maximum(speckle(), screen_furniture())
    spec = PreprocessSpec(image_size=256, crop="none", mask_outside_sector=False)
    frames, mask = preprocess(video, spec)
    assert frames[:, 30:48, 2:50].max() > 100
    assert mask[30:226].all() and not mask[:29].any()
    assert not frames[:, ~mask].any()


def test_mask_boxes_are_blanked_before_the_sector_is_sought() -> None:
    video = speckle()
    video[:, :15, :40] = np.random.default_rng(1).integers(0, 255, (12, 15, 40))
    box = (0, 0, 40, 15)
    clean, _ = preprocess(speckle(), SPEC)
    np.testing.assert_array_equal(
        preprocess(video, SPEC.model_copy(update={"mask_boxes": (box,)}))[0], clean
    )
    whole = PreprocessSpec(image_size=64, mask_boxes=((200, 0, 900, 900),), crop="none")
    assert not preprocess(video, whole)[0][:, :, 51:].any()


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (9, 0, 5, 9), (-1, 0, 5, 9)])
def test_a_mask_box_that_is_no_box(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError, match=r"mask box .* must have 0 <= x0 < x1"):
        preprocess(speckle(), SPEC.model_copy(update={"mask_boxes": (box,)}))


def test_a_fixed_crop() -> None:
    spec = PreprocessSpec(image_size=64, crop=(100, 60, 164, 124))
    frames, mask = preprocess(speckle(), spec)
    assert mask.all()
    np.testing.assert_array_equal(frames, speckle()[:, 60:124, 100:164])


@pytest.mark.parametrize(
    "box", [(0, 0, WIDTH + 1, 50), (0, 0, 50, HEIGHT + 1), (-1, 0, 50, 50), (50, 50, 50, 60)]
)
def test_a_crop_outside_the_image(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError, match=r"within the 260 x 200 image: change preprocess\.crop"):
        preprocess(speckle(), SPEC.model_copy(update={"crop": box}))


def test_a_crop_beside_the_sector() -> None:
    with pytest.raises(InputError, match="holds no part of the sector"):
        preprocess(speckle(), SPEC.model_copy(update={"crop": (0, 0, 20, 20)}))


@pytest.mark.parametrize("level", [0, 8])
@pytest.mark.parametrize("crop", ["auto", "none"])
def test_a_black_video(level: int, crop: str) -> None:
    video = np.full((4, 50, 50), level, np.uint8)
    with pytest.raises(InputError, match="the video is black"):
        preprocess(video, SPEC.model_copy(update={"crop": crop}))


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (3, 8, 8), (2, 1, 40)])
def test_tiny_videos(shape: tuple[int, int, int]) -> None:
    video = np.random.default_rng(0).integers(50, 255, shape).astype(np.uint8)
    frames, mask = preprocess(video, PreprocessSpec(image_size=64))
    assert frames.shape == (shape[0], 64, 64)
    assert mask.any() and frames.any() and not frames[:, ~mask].any()


@pytest.mark.parametrize("shape", [(0, 8, 8), (8, 8)])
def test_no_frames(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"frames of shape \(T, H, W\)"):
        preprocess(np.zeros(shape, np.uint8), SPEC)


@pytest.mark.parametrize("size", [64, 256])
@pytest.mark.parametrize(
    ("height", "width"), [(90, 61), (300, 416), (512, 512), (257, 768), (33, 9)]
)
def test_frames_that_are_resized_together_are_those_that_are_resized_alone(
    height: int, width: int, size: int
) -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (7, height, width), dtype=np.uint8)
    visible = rng.integers(0, 2, (height, width), dtype=np.uint8)
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    for together in (frames, frames[:1], frames[:4]):
        alone = []
        for frame in together:
            square = np.zeros((side, side), np.uint8)
            square[top : top + height, left : left + width] = frame * visible
            alone.append(cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA))
        np.testing.assert_array_equal(to_squares(together, visible, size), alone)
